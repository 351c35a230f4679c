package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/muc"
	"parley/router/routertest"
	"parley/xmpp"
)

const (
	userX = "<x xmlns='http://jabber.org/protocol/muc#user'>"
	mavNS = "urn:xmpp:muc:affiliations:1"
)

// asks sends an IQ request to the room.
func asks(a *routertest.Actor, typ, content string) {
	a.Sends("<iq type='" + typ + "' id='q' to='" + verona + "'>" + content + "</iq>")
}

// hatCommand runs a command of XEP-0317.
func hatCommand(a *routertest.Actor, node string, fields ...string) {
	var b strings.Builder
	for i := 0; i+1 < len(fields); i += 2 {
		fmt.Fprintf(&b, "<field var='hats#%s'><value>%s</value></field>", fields[i], fields[i+1])
	}
	asks(a, "set", "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:"+node+"'><x xmlns='jabber:x:data' type='submit'>"+b.String()+"</x></command>")
}

func photo(n int) string {
	return "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>" + strings.Repeat("QUFB", n) + "</BINVAL></PHOTO></vCard>"
}

func affiliates(a *routertest.Actor, aff string, who ...string) {
	var b strings.Builder
	for _, w := range who {
		fmt.Fprintf(&b, "<item affiliation='%s' jid='%s'/>", aff, w)
	}
	asks(a, "set", "<query xmlns='http://jabber.org/protocol/muc#admin'>"+b.String()+"</query>")
}

// hearsAll returns what has come for somebody.
func hearsAll(a *routertest.Actor) (list []*xmpp.Stanza) {
	for st := a.Hears(); st != nil; st = a.Hears() {
		list = append(list, st)
	}
	return list
}

// mavOf returns the versions in a stanza.
func mavOf(st *xmpp.Stanza) (since, until string) {
	e := st.Child("http://jabber.org/protocol/muc#user", "x").Child(mavNS, "mav")
	return e.Attr("since"), e.Attr("until")
}

// What a room has beside its lists is there again when it comes back into memory.
func TestFacetsOutliveMemory(t *testing.T) {
	h, c := timed(t)
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	enterRoom(juliet, verona, "Juliet", "")
	hatCommand(romeo, "create", "uri", "urn:example:poet", "title", "Poet", "hue", "20.5")
	hatCommand(romeo, "assign", "uri", "urn:example:poet", "jid", "juliet@example.com")
	asks(romeo, "set", photo(3))
	romeo.Forgets()
	juliet.Sends("<message to='" + verona + "' type='groupchat' id='m1'><body>one</body></message>")
	one := last(romeo)
	juliet.Sends("<message to='" + verona + "' type='groupchat' id='m2'><body>two</body></message>")
	asks(romeo, "set", "<moderate xmlns='urn:xmpp:message-moderate:1' id='"+one.Child("urn:xmpp:sid:0", "stanza-id").Attr("id")+"'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>")
	enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"'/>")
	romeo.Forgets()
	affiliates(romeo, "member", "juliet@example.com")
	version := ""
	for _, st := range hearsAll(romeo) {
		if _, until := mavOf(st); until != "" {
			version = until
		}
	}
	for _, a := range []*routertest.Actor{romeo, juliet} {
		a.Sends("<presence type='unavailable' to='" + verona + "/x'/>")
		a.Forgets()
	}
	c.passes(h, time.Hour)
	c.passes(h, time.Hour)
	if n := rooms(h).Loaded(); n != 0 {
		t.Fatalf("%d rooms are in memory", n)
	}
	enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"' since='"+version+"'/>")
	if _, until := mavOf(romeo.Gets("<presence>…</presence>")); until != version || until == "" {
		t.Errorf("the version is %q instead of %q", until, version)
	}
	romeo.Gets("<message type='groupchat' id='m2'>…</message>")
	romeo.Gets("<message type='groupchat'><subject/></message>")
	enterRoom(juliet, verona, "Juliet", "")
	romeo.Gets("<presence from='" + verona + "/Juliet'>…<hats xmlns='urn:xmpp:hats:0'><hat title='Poet' uri='urn:example:poet' hue='20.5'/></hats></presence>")
	asks(romeo, "get", "<vCard xmlns='vcard-temp'/>")
	romeo.Gets("<iq type='result'>" + photo(3) + "</iq>")
	asks(romeo, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>")
	if st := last(romeo); !strings.Contains(st.String(), "muc#roominfo_avatarhash") {
		t.Errorf("the picture is not announced: %s", st)
	}
}

// A room that is destroyed leaves nothing to the next one of its name.
func TestNothingIsInherited(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"'/>")
	first := ""
	for _, st := range hearsAll(romeo) {
		if _, until := mavOf(st); until != "" {
			first = until
		}
	}
	open(romeo, verona, "slow_mode_duration", "60")
	hatCommand(romeo, "create", "uri", "urn:example:poet", "title", "Poet")
	hatCommand(romeo, "assign", "uri", "urn:example:poet", "jid", "romeo@example.com")
	asks(romeo, "set", photo(3))
	asks(romeo, "set", "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>")
	romeo.Forgets()
	enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"' since='"+first+"'/>")
	list := romeo.Gets("<message>" + userX + "<mav xmlns='" + mavNS + "' until='*'/><item jid='romeo@example.com' affiliation='owner'/></x>…</message>")
	if _, until := mavOf(list); until == first {
		t.Error("it has the version of the one before")
	}
	romeo.Gets("<presence>" + userX + "…</x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/></presence>")
	romeo.Forgets()
	asks(romeo, "get", "<vCard xmlns='vcard-temp'/>")
	romeo.Gets("<iq type='result'><vCard xmlns='vcard-temp'/></iq>")
}

// Long lists come in messages that follow upon each other, and who was away for too long gets the
// whole list.
func TestLongLists(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Versions: 3})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"'/>")
	open(romeo, verona)
	var versions []string
	note := func() {
		for _, st := range hearsAll(romeo) {
			if since, until := mavOf(st); until != "" && st.Kind == xmpp.Message {
				if n := len(versions); n > 0 && since != versions[n-1] {
					t.Errorf("%s follows upon %s", since, versions[n-1])
				}
				versions = append(versions, until)
			}
		}
	}
	note()
	for n := range 3 {
		var who []string
		for i := range 400 {
			who = append(who, fmt.Sprintf("user%d@example.com", n*400+i))
		}
		affiliates(romeo, "member", who...)
		note()
	}
	if len(versions) != 1201 {
		t.Fatalf("%d versions", len(versions))
	}
	for back, messages := range map[int]int{1: 0, 2: 1, 3: 1, 4: 3, 1000: 3} {
		enterRoom(romeo, verona, "Romeo", "<mav xmlns='"+mavNS+"' since='"+versions[len(versions)-back]+"'/>")
		items, before, n := 0, "", 0
		for _, st := range hearsAll(romeo) {
			since, until := mavOf(st)
			if st.Kind != xmpp.Message || until == "" {
				continue
			}
			if n++; n > 1 && since != before {
				t.Errorf("%d back: %q follows upon %q", back, since, before)
			}
			before = until
			for e := range st.Child("http://jabber.org/protocol/muc#user", "x").Children {
				if e.Name().Local == "item" {
					items++
				}
			}
		}
		want := back - 1
		if messages == 3 {
			want = 1201
		}
		if n != messages || items != want || n > 0 && before != versions[len(versions)-1] {
			t.Errorf("%d back: %d items in %d messages instead of %d in %d", back, items, n, want, messages)
		}
	}
}

func TestLimitsOfFacets(t *testing.T) {
	h := house(t, muc.Settings{
		Defaults: muc.DefaultRoom(), Hats: 2, HatsWorn: 1, AvatarBytes: 400, Applications: 1, Watchers: 2, Sessions: 1, SlowMode: 10,
	})
	romeo, juliet, nurse := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x"), h.Connected("nurse@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona, "slow_mode_duration", "11")
	refused(t, romeo, "not-acceptable")
	open(romeo, verona, "slow_mode_duration", "10", "membersonly", "1")
	well(t, romeo)
	for i, want := range []string{"", "", "resource-constraint"} {
		hatCommand(romeo, "create", "uri", fmt.Sprintf("urn:example:%d", i), "title", "Hat")
		if want != "" {
			refused(t, romeo, want)
		} else {
			well(t, romeo)
		}
	}
	hatCommand(romeo, "assign", "uri", "urn:example:0", "jid", "juliet@example.com")
	well(t, romeo)
	hatCommand(romeo, "assign", "uri", "urn:example:1", "jid", "juliet@example.com")
	refused(t, romeo, "resource-constraint")
	hatCommand(romeo, "assign", "uri", "urn:example:1", "jid", "@")
	refused(t, romeo, "bad-request")
	for _, wrong := range [][]string{{"uri", "no uri", "title", "x"}, {"uri", "urn:x", "title", " "}, {"uri", "urn:x", "title", "x", "hue", "blue"},
		{"uri", "urn:x", "title", "x", "hue", "361"}, {"uri", "urn:x", "title", "x", "hue", "NaN"}} {
		hatCommand(romeo, "create", wrong...)
		refused(t, romeo, "bad-request")
	}

	asks(romeo, "set", photo(50))
	well(t, romeo)
	asks(romeo, "set", photo(101))
	refused(t, romeo, "policy-violation")
	asks(romeo, "set", "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>###</BINVAL></PHOTO></vCard>")
	refused(t, romeo, "bad-request")

	register := "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>" +
		"<field var='muc#register_roomnick'><value>%s</value></field></x></query>"
	asks(juliet, "set", fmt.Sprintf(register, "Juliet"))
	well(t, juliet)
	asks(nurse, "set", fmt.Sprintf(register, "Nurse"))
	refused(t, nurse, "resource-constraint")
	asks(juliet, "set", fmt.Sprintf(register, "Juliet")) // the same request
	well(t, juliet)

	watch := "<presence to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>"
	juliet2 := h.Connected("juliet@example.com/y")
	romeo.Sends(watch)
	romeo.Forgets()
	juliet.Sends(watch)
	juliet.GetsNothing()
	juliet2.Sends(watch)
	refused(t, juliet2, "resource-constraint") // her own
	nurse.Sends(watch)
	refused(t, nurse, "resource-constraint") // all
	juliet.Sends("<presence to='conference.example.com' type='unavailable'/>")
	nurse.Sends(watch)
	nurse.GetsNothing()
}

// Who waits long enough may speak again, and a slow room is not forgotten meanwhile.
func TestSlowModeEnds(t *testing.T) {
	h, c := timed(t)
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona, "slow_mode_duration", "600")
	say := func() { juliet.Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>") }
	enterRoom(juliet, verona, "Juliet", "")
	say()
	well(t, juliet)
	for _, a := range []*routertest.Actor{romeo, juliet} {
		a.Sends("<presence type='unavailable' to='" + verona + "/x'/>")
	}
	c.passes(h, 5*time.Minute)
	c.passes(h, 4*time.Minute)
	enterRoom(juliet, verona, "Juliet", "")
	say()
	refused(t, juliet, "policy-violation")
	c.passes(h, 61*time.Second)
	say()
	well(t, juliet)
	say()
	refused(t, juliet, "policy-violation")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona, "slow_mode_duration", "5")
	juliet.Forgets()
	c.passes(h, 6*time.Second)
	say()
	well(t, juliet)
}

// One is told of activity once for each absence, as long as one belongs to the room and wants to.
func TestWatchersAreToldOnceForEachAbsence(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	const told = "<message from='conference.example.com'><rai xmlns='urn:xmpp:rai:0'><activity>" + verona + "</activity></rai>…</message>"
	say := func() {
		romeo.Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>")
		romeo.Forgets()
	}
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	juliet.Sends("<presence to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>")
	say()
	juliet.GetsNothing() // it is no concern of hers
	affiliates(romeo, "member", "juliet@example.com")
	say()
	juliet.Gets(told)
	say()
	juliet.GetsNothing()
	enterRoom(juliet, verona, "Juliet", "")
	say()
	juliet.Sends("<presence to='" + verona + "/Juliet' type='unavailable'/>")
	juliet.Forgets()
	romeo.Sends("<message to='" + verona + "' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	juliet.GetsNothing()
	say()
	juliet.Gets(told)
	enterRoom(juliet, verona, "Juliet", "")
	juliet.Sends("<presence to='" + verona + "/Juliet' type='unavailable'/>")
	juliet.Forgets()
	affiliates(romeo, "none", "juliet@example.com")
	say()
	juliet.GetsNothing()
	affiliates(romeo, "member", "example.com") // all of the domain
	say()
	juliet.Sends("<presence to='conference.example.com' type='unavailable'/>")
	juliet.Forgets()
	juliet.Sends("<presence to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>")
	juliet.Gets(told)
	juliet.Leaves()
	juliet = h.Connected("juliet@example.com/x")
	say()
	juliet.GetsNothing()

	away := h.Service(far)
	affiliates(romeo, "member", "nurse@"+far)
	away.Sends("<presence from='nurse@" + far + "/a' to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>")
	away.Gets(told)
	away.Sends("<presence from='nurse@" + far + "/b' to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>")
	away.Gets(told)
	h.Router.Distant("conference.example.com", far, false)
	away.Sends("<presence from='nurse@" + far + "/a' to='conference.example.com'><rai xmlns='urn:xmpp:rai:0'/></presence>")
	away.Gets(told)
	away.Sends("<message type='error' from='nurse@" + far + "/a' to='conference.example.com'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	say()
	away.GetsNothing()
}
