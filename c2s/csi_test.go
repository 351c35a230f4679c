package c2s_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const inactive, active = "<inactive xmlns='urn:xmpp:csi:0'/>", "<active xmlns='urn:xmpp:csi:0'/>"

// heard returns what has come before the answer to a ping, each as KIND and what it says.
func heard(c interface {
	Ping(func(*xmpp.Stanza))
}) (list []string) {
	c.Ping(func(st *xmpp.Stanza) { list = append(list, words(st)) })
	return list
}

func words(st *xmpp.Stanza) string {
	says := []string{st.Kind.String(), st.Type, st.Child("", "show").Text(), st.Child("", "body").Text()}
	for e := range st.Children {
		if e.Name().Space == "http://jabber.org/protocol/chatstates" {
			says = append(says, e.Name().Local)
		}
	}
	return strings.Join(strings.Fields(strings.Join(says, " ")), " ")
}

// TestClientState: what can wait does while nobody looks at the client, only the last of
// each kind is kept, and it comes before anything that cannot wait (XEP-0352 §3.2, §5.1).
func TestClientState(t *testing.T) {
	h := open(t, nil)
	romeo, juliet := h.login("romeo", "x"), h.login("juliet", "y")
	say := func(xml string) {
		t.Helper()
		romeo.Say("%s", strings.ReplaceAll(xml, "TO", "to='"+juliet.JID.String()+"'"))
		romeo.Ping(nil)
	}
	expect := func(want ...string) {
		t.Helper()
		if got := heard(juliet); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("juliet hears %q instead of %q", got, want)
		}
	}
	chatter := func() {
		say("<presence TO><show>away</show></presence>")
		say("<message type='chat' TO><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
		say("<presence TO><show>dnd</show></presence>")
		say("<message type='chat' TO><paused xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/></message>")
	}
	all := []string{"presence away", "message chat composing", "presence dnd", "message chat paused"}
	chatter()
	expect(all...) // a stream begins active (§4.2)

	juliet.Say(inactive)
	juliet.Ping(nil)
	chatter()
	say("<message type='chat' TO><body>But soft</body></message>")
	juliet.Expect("<show>dnd</show>")
	juliet.Expect("<paused")
	juliet.Expect("But soft")
	chatter() // and again, as it is inactive yet
	say("<presence TO type='unavailable'/>")
	juliet.Say(active)
	expect("message chat paused", "presence unavailable") // before the answer to the ping (§5.1)
	chatter()
	expect(all...)

	juliet.Say(inactive)
	juliet.Say(inactive)
	juliet.Ping(nil)
	for _, urgent := range []string{
		"<message TO type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body></message>",
		"<message TO type='error'><composing xmlns='http://jabber.org/protocol/chatstates'/><error type='cancel'/></message>",
		"<message TO><received xmlns='urn:xmpp:receipts' id='1'/></message>",
		"<message TO><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item/></items></event></message>", // of no account
		"<presence TO type='error'><error type='cancel'/></presence>",
	} {
		say(urgent)
		juliet.Next()
	}
	for i := range 600 { // more than are held back
		romeo.Say("<message type='chat' to='%s' id='%d'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", juliet.JID, i)
	}
	romeo.Ping(nil)
	expect("message chat composing") // of each kind one
	juliet.Say("<active xmlns='urn:example:other'/>")
	juliet.ExpectEnd("unsupported-stanza-type")
}

// TestManyAreHeld: nobody makes a sleeping client's server hold more than so much.
func TestManyAreHeld(t *testing.T) {
	h := open(t, nil)
	juliet := h.login("juliet", "y")
	juliet.Say(inactive)
	juliet.Ping(nil)
	const n = 3
	for i := range n {
		romeo := h.login(fmt.Sprintf("romeo%d", i), "x")
		for range 20 {
			romeo.Say("<presence to='%s'><show>away</show></presence>", juliet.JID)
		}
		romeo.Ping(nil)
		romeo.Bye()
	}
	got := heard(juliet)
	if len(got) != n || got[0] != "presence unavailable" {
		t.Errorf("juliet hears %q", got)
	}
}

// TestBornInactive: a client may log in as one that nobody looks at (XEP-0386 §3.1), and is
// not woken by copies of what is not even a message either.
func TestBornInactive(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	phone := h.dial()
	phone.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Inline: inactive + "<enable xmlns='urn:xmpp:carbons:2'/>"})
	desk, romeo := h.login("juliet", "desk"), h.login("romeo", "x")
	phone.Ping(nil)
	composing := "<message type='chat' to='%s' id='%s'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
	for i := range 3 {
		desk.Say(composing, romeo.JID, fmt.Sprint(i))
		desk.Ping(nil)
		romeo.Say(composing, desk.JID, fmt.Sprint(i))
		romeo.Ping(nil)
	}
	forged := "<message type='chat' to='%s'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><composing xmlns='http://jabber.org/protocol/chatstates'/></message></forwarded></received></message>"
	romeo.Say(forged, phone.JID)
	phone.Expect("<composing", "<sent") // the last of each, before what is no carbon
	phone.Expect("<composing", "<received")
	phone.Expect("<received", "from='"+romeo.JID.String()+"'")
	phone.Ping(func(st *xmpp.Stanza) { t.Errorf("there is more: %s", st) })
}
