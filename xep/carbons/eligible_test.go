package carbons

import (
	"fmt"
	"testing"

	"parley/xmpp"
)

const (
	fromRoomUser = "rooms.example.com@example.com/nick" // any full address
	fromRoom     = "hall@rooms.example.com"
)

func message(t testing.TB, typ, id, content string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseStanza(fmt.Sprintf("<message type='%s' id='%s' from='%s' to='romeo@example.com/desk'>%s</message>", typ, id, fromRoomUser, content))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestEligible goes through the rules of XEP-0280 §6.1: what a message contains on the
// left, and the types with which it is one for copies.
func TestEligible(t *testing.T) {
	types := []string{"", "normal", "nonsense", "chat", "headline", "groupchat", "error"}
	for _, c := range []struct {
		what, content string
		in, out       string // a digit for each type, in their order
	}{
		{"nothing", "", "0001000", "0001000"},
		{"a body", "<body>x</body>", "1111000", "1111000"},
		{"a body of another namespace", "<body xmlns='x'>x</body>", "0001000", "0001000"},
		{"a subject", "<subject>x</subject>", "0001000", "0001000"},
		{"a receipt", "<received xmlns='urn:xmpp:receipts' id='1'/>", "1111100", "1111100"},
		{"a request for one", "<request xmlns='urn:xmpp:receipts'/>", "1111100", "1111100"},
		{"a chat state", "<gone xmlns='http://jabber.org/protocol/chatstates'/>", "1111100", "1111100"},
		{"a marker", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", "1111100", "1111100"},
		{"encrypted", "<encrypted xmlns='urn:xmpp:omemo:2'/>", "0001000", "0001000"},
		{"a direct invitation", "<x xmlns='jabber:x:conference' jid='hall@rooms.example.com'/>", "1111100", "1111100"},
		{"a mediated invitation", "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>", "1111100", "1111100"},
		{"the same with a body", "<body>x</body><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>", "1111100", "1111100"},
		{"to and from a participant", "<body>x</body><x xmlns='http://jabber.org/protocol/muc#user'/>", "0000000", "1111000"},
		{"a state of a participant", "<active xmlns='http://jabber.org/protocol/chatstates'/><x xmlns='http://jabber.org/protocol/muc#user'/>", "0000000", "1111100"},
		{"private", "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", "0000000", "0000000"},
		{"private of another namespace", "<body>x</body><private xmlns='x'/>", "1111000", "1111000"},
		{"a private invitation", "<x xmlns='jabber:x:conference' jid='hall@rooms.example.com'/><private xmlns='urn:xmpp:carbons:2'/>", "0000000", "0000000"},
		{"no copies", "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", "0000000", "0000000"},
		{"another hint", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", "1111000", "1111000"},
		{"a sent carbon", "<body>x</body><sent xmlns='urn:xmpp:carbons:2'/>", "0000000", "0000000"},
		{"a received carbon", "<received xmlns='urn:xmpp:carbons:2'/><active xmlns='http://jabber.org/protocol/chatstates'/>", "0000000", "0000000"},
		{"a carbon deeper in", "<body>x</body><forwarded xmlns='urn:xmpp:forward:0'><received xmlns='urn:xmpp:carbons:2'/></forwarded>", "1111000", "1111000"},
	} {
		for i, typ := range types {
			st := message(t, typ, "1", c.content)
			if got, want := eligible(st, inbound), c.in[i] == '1'; got != want {
				t.Errorf("%s, type %q, received: %v", c.what, typ, got)
			}
			if got, want := eligible(st, outbound), c.out[i] == '1'; got != want {
				t.Errorf("%s, type %q, sent: %v", c.what, typ, got)
			}
		}
	}
	st := message(t, "chat", "1", "<body>x</body><x xmlns='http://jabber.org/protocol/muc#user'/>")
	if st = st.Readdressed(st.To, xmpp.MustJID(fromRoom)); !eligible(st, inbound) {
		t.Error("a room itself is no participant of it")
	}
}

// TestErrors are those in response to what was eligible: of the last messages, from whom
// they were for, once they have an id.
func TestErrors(t *testing.T) {
	k := newTalk()
	failed := func(id string, d direction) bool {
		return k.eligible(message(t, "error", id, "<error type='cancel'/>"), d)
	}
	if failed("1", inbound) || failed("", inbound) {
		t.Error("in response to nothing")
	}
	answered := func(id, content string, d direction) { // to or from whom the errors come from or go to
		st := message(t, "chat", id, content)
		if d == outbound {
			st = st.Readdressed(st.From.Bare(), st.To)
		}
		k.eligible(st, d)
	}
	answered("", "<body>x</body>", outbound)
	answered("1", "<body>x</body>", outbound)
	answered("2", "<private xmlns='urn:xmpp:carbons:2'/>", outbound)
	for range 2 { // of two devices
		if !failed("1", inbound) {
			t.Error("the error for a message is none")
		}
	}
	if failed("1", outbound) || failed("2", inbound) || failed("", inbound) {
		t.Error("the wrong way, for a private message, or without an id")
	}
	for i := range remembered - 1 {
		answered(fmt.Sprint("more", i), "<body>x</body>", outbound)
	}
	if !failed("1", inbound) || !failed("more0", inbound) {
		t.Error("forgotten too early")
	}
	answered("last", "<body>x</body>", outbound)
	if failed("1", inbound) || !failed("more0", inbound) || !failed("last", inbound) || len(k.last) != remembered {
		t.Errorf("not the oldest is forgotten; %d are remembered", len(k.last))
	}
}
