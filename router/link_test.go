package router_test

import (
	"context"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/ping"
	"parley/xmpp"
)

// TestFlyingCountsStanzas wants a stream of many senders to count nothing behind a message
// that is not committed: an acknowledgement of so many stanzas is one of the first ones
// (XEP-0198 §4).
func TestFlyingCountsStanzas(t *testing.T) {
	open := make(chan struct{})
	h := routertest.New(t, gate(open), ping.New(), router.Feature{
		Name: "refuses",
		Unwrap: func(context.Context, *xmpp.Stanza) (*xmpp.Stanza, *xmpp.Error) {
			return nil, xmpp.Refuse("forbidden", "")
		},
	})
	juliet := h.Online("juliet@example.com/balcony")
	l := h.Router.NewLink()
	var rd router.Round
	for _, xml := range []string{
		"<iq from='romeo@example.org/1' to='example.com' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<message from='romeo@example.org/1' to='juliet@example.com' type='chat' id='2'><body>x</body><keep xmlns='test'/></message>",
		"<iq from='tybalt@example.org/1' to='example.com' type='get' id='3'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<presence from='tybalt@example.org/1' to='juliet@example.com/balcony'/>",
		"<message from='paris@example.org/1' to='juliet@example.com' type='chat' id='5'><body>x</body></message>",
		"<message from='paris@example.org/1' to='example.com' id='6'/>", // is refused
	} {
		st, err := xmpp.ParseStanza(xml)
		if err != nil {
			t.Fatal(err)
		}
		l.Deliver(context.Background(), &rd, st)
	}
	l.Answered()
	if n := l.Flying(); n != 6 {
		t.Errorf("%d stanzas may not be acknowledged, not 6", n)
	}
	close(open)
	l.Settle(&rd)
	if n := l.Flying(); n != 0 {
		t.Errorf("%d stanzas are said to be in flight", n)
	}
	h.Settle()
	juliet.Forgets()
}
