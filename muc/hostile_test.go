package muc_test

import (
	"fmt"
	"testing"
	"time"

	"parley/muc"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

// soon runs fn and wants it to be over: rooms must not wait for each other.
func soon(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: a room waits for ever", what)
	}
}

// give sends a change of affiliation and does not wait for anything.
func give(t *testing.T, a *routertest.Actor, room, who, aff string) {
	t.Helper()
	a.Person.Says(fmt.Sprintf("<iq type='set' id='g' to='%s'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='%s' jid='%s'/></query></iq>", room, aff, who))
}

// A room, and rooms in turn, are made members of rooms: an invitation would have a turn wait for
// itself, or two for each other.
func TestRoomsAreNoMembersOfRooms(t *testing.T) {
	const padua = "padua@conference.example.com"
	for _, aff := range []string{"member", "admin", "owner"} {
		h := house(t, muc.Settings{Defaults: muc.CompanyRoom()})
		romeo := h.Connected("romeo@example.com/x")
		for _, room := range []string{verona, padua} {
			enterRoom(romeo, room, "Romeo", "")
			open(romeo, room)
		}
		romeo.Forgets()
		soon(t, aff, func() {
			give(t, romeo, verona, verona, aff)
			give(t, romeo, verona, padua, aff)
			give(t, romeo, padua, verona, aff)
			h.Settle()
		})
		for st := romeo.Hears(); st != nil; st = romeo.Hears() {
			if st.Kind == xmpp.IQ && st.Type != "error" {
				t.Errorf("a room is %s of a room: %s", aff, st)
			}
		}
		soon(t, "by operators", func() {
			if err := rooms(h).Affiliate(xmpp.MustJID(verona), xmpp.MustJID(verona), aff, ""); err == nil {
				t.Errorf("operators make a room %s of itself", aff)
			}
		})
	}
}

// The same by the form, where owners and admins are named.
func TestRoomsDoNotRunRooms(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.CompanyRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	romeo.Forgets()
	soon(t, "by the form", func() {
		romeo.Person.Says("<iq type='set' id='o' to='" + verona + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_roomadmins'><value>" + verona + "</value></field></x></query></iq>")
		h.Settle()
	})
	refused(t, romeo, "not-acceptable")
}

// Who has been refused a change of presence is still there, and leaves with its session.
func TestRefusedPresenceLeavesNoGhost(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), PresenceRate: 2})
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	enterRoom(juliet, verona, "Juliet", "")
	for range 4 {
		juliet.Sends("<presence to='" + verona + "/Juliet'/>")
	}
	refused(t, juliet, "policy-violation")
	juliet.Leaves()
	h.Settle()
	if n := rooms(h).Count().Sessions; n != 1 {
		t.Errorf("%d sessions are in the room, of which one is gone", n)
	}
}

// Entering and leaving again and again is bounded as changes of presence are: each is told to
// everybody.
func TestComingAndGoingIsBounded(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), PresenceRate: 10, Rate: 10})
	romeo, tybalt := h.Connected("romeo@example.com/x"), h.Connected("tybalt@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	romeo.Forgets()
	for n := range 200 {
		enterRoom(tybalt, verona, fmt.Sprintf("Tybalt%d", n), "")
		tybalt.Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>")
		tybalt.Sends("<presence to='" + verona + "/x' type='unavailable'/>")
	}
	presence, said := 0, 0
	for st := romeo.Hears(); st != nil; st = romeo.Hears() {
		if st.Kind == xmpp.Presence {
			presence++
		} else {
			said++
		}
	}
	if presence > 40 || said > 20 {
		t.Errorf("romeo heard %d changes of presence and %d messages of one who comes and goes", presence, said)
	}
}

// Who was invited under a nickname does not find out by declining whose that is.
func TestDeclinesTellNoAddress(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo, juliet := h.Online("romeo@example.com/x"), h.Online("juliet@example.com/x")
	enterRoom(romeo, verona, "Montague", "")
	open(romeo, verona)
	romeo.Sends("<message to='" + verona + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@example.com'/></x></message>")
	juliet.Forgets()
	decline := func(to string) {
		juliet.Sends("<message to='" + verona + "'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='" + to + "'/></x></message>")
	}
	decline("romeo@example.com")
	refused(t, juliet, "item-not-found")
	romeo.Forgets()
	decline(verona + "/Montague")
	romeo.Gets("<message from='" + verona + "'>…</message>")
	juliet.GetsNothing()
}

// One request cannot do what two cannot: reserve a nickname for two, or fill the lists beyond
// their limit.
func TestOneRequestIsNoWayRoundLimits(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Affiliations: 4})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	asks(romeo, "set", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='a@example.com' nick='Rose'/><item affiliation='member' jid='b@example.com' nick='rose'/></query>")
	refused(t, romeo, "conflict")
	affiliates(romeo, "member", "a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com")
	refused(t, romeo, "resource-constraint")
	in, err := rooms(h).Show(xmpp.MustJID(verona))
	if err != nil || len(in.Affiliations) != 1 {
		t.Errorf("%v %v", in.Affiliations, err)
	}
}

// What operators ask for, and what then goes wrong beyond all errors, is not told to have been
// done.
func TestOperatorsHearOfPanics(t *testing.T) {
	set, broken := muc.Settings{Defaults: muc.DefaultRoom()}.Whole(), false
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	s := muc.New(muc.Config{Prefix: "conference", Archives: keeper, Settings: func(string) *muc.Settings {
		if broken {
			broken = false
			panic("there are none")
		}
		return set
	}})
	routertest.New(t, mam.Feature(keeper), muc.Feature(s))
	broken = true
	if err := s.Create(xmpp.MustJID(verona), xmpp.JID{}, nil); err == nil {
		t.Error("a room was made, it is said")
	}
}

// Strangers who say that they are not there, or that something has come back, do not fill the
// line of a room that stands still.
func TestErrorsOfStrangersDoNotWait(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Queue: 8})
	romeo := h.Connected("romeo@example.com/x")
	h.Service(far)
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	held := make(chan struct{})
	release := rooms(h).Hold(xmpp.MustJID(verona), held)
	<-held
	says := func(format string, args ...any) {
		st, err := xmpp.ParseStanza(fmt.Sprintf(format, args...))
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		h.Router.Deliver(&rd, st)
		rd.Flush()
	}
	for n := range 1000 {
		says("<message from='x%d@%s/a' to='%s' type='error'><body>x</body></message>", n, far, verona)
		says("<presence from='x%d@%s/a' to='%s/x' type='unavailable'/>", n, far, verona)
	}
	if n := rooms(h).Waiting(xmpp.MustJID(verona)); n > 16 {
		t.Errorf("%d stanzas wait in a room that takes 8", n)
	}
	close(release)
	h.Settle()
}

// Who leaves and enters again at once, before the room has said that it is gone, is there, and
// leaves with its session.
func TestBackAtOnceLeavesNoGhost(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	held := make(chan struct{})
	release := rooms(h).Hold(xmpp.MustJID(verona), held)
	<-held
	var rd router.Round
	for _, text := range []string{"<presence to='" + verona + "/Romeo' type='unavailable'/>",
		"<presence to='" + verona + "/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"} {
		st, err := xmpp.ParseStanza(text)
		if err == nil {
			err = romeo.Peer().Sender.Send(t.Context(), &rd, st)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	h.Settle()
	if n := rooms(h).Count().Sessions; n != 1 {
		t.Fatalf("%d sessions are in the room", n)
	}
	romeo.Leaves()
	h.Settle()
	if list := rooms(h).Seated(); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

// Who tries one room after the other, and is refused, may still go on.
func TestManyRoomsInOneSession(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Create: muc.CreateAdmins})
	romeo := h.Connected("romeo@example.com/x")
	for n := range 1100 {
		enterRoom(romeo, fmt.Sprintf("r%d@conference.example.com", n), "Romeo", "")
		refused(t, romeo, "not-allowed")
	}
}

// Who cannot enter by that nickname makes no room that nobody is in.
func TestNoRoomIsLeftBehind(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "\u2800", "")
	refused(t, romeo, "not-acceptable")
	if n := rooms(h).Count().Rooms; n != 0 {
		t.Errorf("there are %d rooms", n)
	}
}

// Where the disk is full, who leaves a room that was never configured is gone.
func TestOneLeavesWhereTheDiskIsFull(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	h.Disk.FullEvery(1)
	romeo.Sends("<presence to='" + verona + "/Romeo' type='unavailable'/>")
	if list := rooms(h).Seated(); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

// A moderator gives voice to a member, too, who has lost it.
func TestModeratorsGiveVoiceToMembers(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo, juliet, nurse := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x"), h.Connected("nurse@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	affiliates(romeo, "member", "juliet@example.com")
	enterRoom(juliet, verona, "Juliet", "")
	enterRoom(nurse, verona, "Nurse", "")
	role := func(a *routertest.Actor, nick, role string) {
		t.Helper()
		asks(a, "set", "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='"+nick+"' role='"+role+"'/></query>")
	}
	role(romeo, "Nurse", "moderator")
	role(romeo, "Juliet", "visitor")
	nurse.Forgets()
	role(nurse, "Juliet", "participant")
	well(t, nurse)
	role(nurse, "Juliet", "none")
	refused(t, nurse, "not-allowed")
}

// Another server that speaks for itself gives its users nothing: what a domain is to a room all of
// them are.
func TestDomainsDoNotEnterThemselves(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Create: muc.CreateAnyone})
	romeo, away := h.Connected("romeo@example.com/x"), h.Service(far)
	away.Sends("<presence from='" + far + "/x' to='" + verona + "/N'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	refused(t, away, "not-allowed")
	away.Sends("<presence from='juliet@" + far + "' to='" + verona + "/N'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	refused(t, away, "jid-malformed")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	away.Sends("<iq type='set' id='r' from='" + far + "' to='" + verona + "'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field><field var='muc#register_roomnick'><value>N</value></field></x></query></iq>")
	refused(t, away, "not-allowed")
	in, err := rooms(h).Show(xmpp.MustJID(verona))
	if err != nil || len(in.Affiliations) != 1 || len(in.Occupants) != 1 {
		t.Errorf("%v %v %v", in.Affiliations, in.Occupants, err)
	}
}

// Who makes members of many who are not there does not have the room stand still for a commit
// each.
func TestManyInvitationsAreOneCommit(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.CompanyRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	var who []string
	for n := range 300 {
		who = append(who, fmt.Sprintf("m%d@example.com", n))
		h.Exists(xmpp.MustJID(who[n]))
	}
	before := h.Disk.Commits()
	h.Disk.Slow(5 * time.Millisecond)
	affiliates(romeo, "member", who...)
	well(t, romeo)
	if n := h.Disk.Commits() - before; n > 100 {
		t.Errorf("%d commits", n)
	}
}

// Who is in a room of a domain that is not served for a while, and goes meanwhile, is not there
// when it is served again.
func TestGoneWhileTheDomainWas(t *testing.T) {
	const other = "verona@conference.example.net"
	h, c := timed(t)
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, other, "Romeo", "")
	open(romeo, other)
	enterRoom(juliet, other, "Juliet", "")
	h.Router.SetHosts([]string{"example.com"})
	romeo.Sends("<message to='" + other + "' type='groupchat'><body>Hark</body></message>")
	refused(t, romeo, "remote-server-not-found")
	romeo.Leaves()
	h.Router.SetHosts([]string{"example.com", "example.net"})
	c.passes(h, time.Minute)
	if list := rooms(h).Seated(); len(list) != 1 {
		t.Errorf("%v", list)
	}
}
