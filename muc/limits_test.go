package muc_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/muc"
	"parley/router/routertest"
	"parley/xmpp"
)

// last returns what somebody has heard last, and forgets the rest.
func last(a *routertest.Actor) (st *xmpp.Stanza) {
	for {
		next := a.Hears()
		if next == nil {
			return st
		}
		st = next
	}
}

// refused wants the last that somebody has heard to be an error.
func refused(t *testing.T, a *routertest.Actor, condition string) {
	t.Helper()
	st := last(a)
	if st == nil || st.Type != "error" || xmpp.ErrorOf(st).Condition != condition {
		t.Errorf("%s heard %v instead of %s", a.JID(), st, condition)
	}
}

// well wants it to be none.
func well(t *testing.T, a *routertest.Actor) {
	t.Helper()
	if st := last(a); st == nil || st.Type == "error" {
		t.Errorf("%s heard %v", a.JID(), st)
	}
}

func open(a *routertest.Actor, room string, fields ...string) {
	var b strings.Builder
	fmt.Fprintf(&b, "<iq type='set' id='o' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>", room)
	for i := 0; i+1 < len(fields); i += 2 {
		fmt.Fprintf(&b, "<field var='muc#roomconfig_%s'><value>%s</value></field>", fields[i], fields[i+1])
	}
	a.Sends(b.String() + "</x></query></iq>")
}

func enterRoom(a *routertest.Actor, room, nick, within string) {
	a.Sends(fmt.Sprintf("<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'>%s</x></presence>", room, nick, within))
}

func TestLimits(t *testing.T) {
	h := house(t, muc.Settings{
		Defaults: muc.DefaultRoom(), Rooms: 4, RoomsPerUser: 3, Occupants: 3, Affiliations: 4, Rate: 5, RateBytes: 4000, PresenceRate: 4, Sessions: 2,
	})
	romeo, juliet, nurse, tybalt := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x"), h.Connected("nurse@example.com/x"), h.Connected("tybalt@example.com/x")
	room := func(n int) string { return fmt.Sprintf("r%d@conference.example.com", n) }
	for n := range 3 {
		enterRoom(romeo, room(n), "Romeo", "")
		open(romeo, room(n))
		well(t, romeo)
	}
	enterRoom(romeo, room(3), "Romeo", "")
	refused(t, romeo, "resource-constraint") // his own
	enterRoom(juliet, room(3), "Juliet", "")
	open(juliet, room(3))
	well(t, juliet)
	enterRoom(juliet, room(4), "Juliet", "")
	refused(t, juliet, "resource-constraint") // the domain's

	enterRoom(juliet, room(0), "Juliet", "")
	well(t, juliet)
	enterRoom(nurse, room(0), "Nurse", "")
	well(t, nurse)
	enterRoom(tybalt, room(0), "Tybalt", "")
	refused(t, tybalt, "service-unavailable") // occupants
	romeo2, romeo3 := h.Connected("romeo@example.com/y"), h.Connected("romeo@example.com/z")
	enterRoom(romeo2, room(0), "Romeo", "")
	well(t, romeo2)
	enterRoom(romeo3, room(0), "Romeo", "")
	refused(t, romeo3, "conflict") // sessions

	for range 5 {
		juliet.Sends("<message to='" + room(0) + "' type='groupchat'><body>Hark</body></message>")
	}
	well(t, juliet)
	juliet.Sends("<message to='" + room(0) + "' type='groupchat'><body>Hark</body></message>")
	refused(t, juliet, "policy-violation") // messages
	nurse.Sends("<message to='" + room(0) + "' type='groupchat'><body>" + strings.Repeat("x", 3900) + "</body></message>")
	well(t, nurse)
	nurse.Sends("<message to='" + room(0) + "' type='groupchat'><body>" + strings.Repeat("x", 3900) + "</body></message>")
	refused(t, nurse, "policy-violation") // bytes
	for range 4 {
		juliet.Sends("<presence to='" + room(0) + "/Juliet'/>")
	}
	well(t, juliet)
	juliet.Sends("<presence to='" + room(0) + "/Juliet'/>")
	refused(t, juliet, "policy-violation") // presence
	for n := range 3 {
		romeo.Sends(fmt.Sprintf("<iq type='set' id='a' to='%s'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='m%d@example.com'/></query></iq>", room(1), n))
		well(t, romeo)
	}
	romeo.Sends(fmt.Sprintf("<iq type='set' id='a' to='%s'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='m9@example.com'/></query></iq>", room(1)))
	refused(t, romeo, "resource-constraint") // lists
}

func TestPasswordsAreNotGuessed(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo, tybalt, juliet := h.Connected("romeo@example.com/x"), h.Connected("tybalt@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona, "passwordprotectedroom", "1", "roomsecret", "rose")
	for n := range 10 {
		enterRoom(tybalt, verona, "Tybalt", fmt.Sprintf("<password>%d</password>", n))
		refused(t, tybalt, "not-authorized")
	}
	enterRoom(tybalt, verona, "Tybalt", "<password>rose</password>")
	refused(t, tybalt, "policy-violation")
	enterRoom(juliet, verona, "Juliet", "<password>rose</password>")
	well(t, juliet)
}

// TestNothingStaysOfRoomsThatAreNotThere enters and leaves many rooms: none stays in memory that is not there.
func TestNothingStaysOfRoomsThatAreNotThere(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Create: muc.CreateAdmins})
	romeo := h.Connected("romeo@example.com/x")
	for n := range 1000 {
		room := fmt.Sprintf("r%d@conference.example.com", n)
		enterRoom(romeo, room, "Romeo", "")
		refused(t, romeo, "not-allowed")
		romeo.Sends("<message to='" + room + "' type='groupchat'><body>Hark</body></message>")
		refused(t, romeo, "item-not-found")
		romeo.Sends("<iq type='get' id='i' to='" + room + "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		refused(t, romeo, "item-not-found")
	}
	if n := rooms(h).Loaded(); n > 0 {
		t.Errorf("%d rooms are in memory", n)
	}
}

func TestOneUserDoesNotFillARoom(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), PresenceRate: 1000})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	far := h.Service("far.example")
	for n := range 12 {
		far.Sends(fmt.Sprintf("<presence from='paris@far.example/%d' to='%s/Paris%d'><x xmlns='http://jabber.org/protocol/muc'/></presence>", n, verona, n))
		if n < 10 {
			well(t, far)
		} else {
			refused(t, far, "policy-violation")
		}
	}
}
