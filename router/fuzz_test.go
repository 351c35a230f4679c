package router_test

import (
	"context"
	"errors"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// heardAll counts what somebody heard that is an answer to the one request.
func heardAll(a *routertest.Actor, id string) (answers int) {
	for st := a.Hears(); st != nil; st = a.Hears() {
		if st.Kind == xmpp.IQ && st.ID == id && (st.Type == "result" || st.Type == "error") {
			answers++
		}
	}
	return answers
}

// say sends what may be nonsense, and reports whether it was a stanza that does not end the
// stream.
func say(t *testing.T, h *routertest.House, p *routertest.Peer, xml string) (st *xmpp.Stanza, ok bool) {
	st, err := xmpp.ParseStanza(xml)
	if err != nil || st.Kind == xmpp.Nonza {
		return nil, false
	}
	var rd router.Round
	err = p.Sender.Send(context.Background(), &rd, st)
	var end *xmpp.StreamError
	if err != nil && !errors.As(err, &end) {
		t.Fatalf("%s: %v", xml, err)
	}
	rd.Flush()
	h.Settle()
	return st, err == nil
}

// FuzzPresence sends presence of any form in a house with several people: nothing panics,
// and the house goes on.
func FuzzPresence(f *testing.F) {
	h := fullHouse(f)
	romeo := h.Online("romeo@example.com/desk")
	juliet := h.Online("juliet@example.com/home")
	h.Online("juliet@example.com/phone")
	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	juliet.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	for _, seed := range []string{
		"<presence/>", "<presence to='juliet@example.com'/>", "<presence type='probe' to='juliet@example.com/home'/>",
		"<presence type='unavailable'><status>x</status></presence>", "<presence><priority>-128</priority></presence>",
		"<presence type='subscribe' to='juliet@example.com/x' id='1'/>", "<presence type='unsubscribed' to='example.net'/>",
		"<presence type='shout' to='@'/>", "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
		"<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>x</hash></c></presence>",
		"<presence><x xmlns='vcard-temp:x:update'><photo/></x><x xmlns='vcard-temp:x:update'/></presence>",
		"<presence><delay xmlns='urn:xmpp:delay' from='example.com'/></presence>", "<presence type='error' to='juliet@example.com'/>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, xml string) {
		if st, ok := say(t, h, romeo.Peer(), xml); !ok || st.Kind != xmpp.Presence {
			return
		}
		if n := h.Router.Stats().Panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
		heardAll(romeo, "")
		heardAll(juliet, "")
		if say(t, h, romeo.Peer(), "<iq type='get' id='alive'><ping xmlns='urn:xmpp:ping'/></iq>"); heardAll(romeo, "alive") != 1 {
			t.Errorf("the house does not answer behind %s", xml)
		}
	})
}

// FuzzNode asks for any node of service discovery, of the server, the own account, somebody
// and nobody: there is one answer, whatever the node.
func FuzzNode(f *testing.F) {
	h := fullHouse(f)
	romeo := h.Online("romeo@example.com/desk")
	h.Online("juliet@example.com/home")
	for _, seed := range []string{
		"", "x", "http://jabber.org/protocol/commands", "http://jabber.org/protocol/offline", "urn:x-parley:server#", "urn:xmpp:caps#sha-256.",
		"'; drop table body; --", "%00%ff", "\u202e\u0000", "http://jabber.org/protocol/admin#add-user",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, node string) {
		node = string(xmpp.AppendEscaped(nil, xmpp.Clean(node)))
		for _, to := range []string{"example.com", "romeo@example.com", "juliet@example.com", "nobody@example.com", "juliet@example.com/home"} {
			for _, ns := range []string{"http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"} {
				xml := "<iq type='get' id='q' to='" + to + "'><query xmlns='" + ns + "' node='" + node + "'/></iq>"
				if _, ok := say(t, h, romeo.Peer(), xml); !ok {
					return
				}
				if n := heardAll(romeo, "q"); n != 1 {
					t.Errorf("%s has %d answers", xml, n)
				}
			}
		}
		if n := h.Router.Stats().Panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
