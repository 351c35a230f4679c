package s2s

import (
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xmpp"
)

// TestGivenUp wants the sender to hear what became of a message, and the archive to know.
func TestGivenUp(t *testing.T) {
	a := open(t, func(p *plan) { p.set.GiveUp = 50 * time.Millisecond }, "a.example")
	a.leads("b.example", "127.0.0.1:1", false)
	ann := a.Online("ann@a.example/1")
	ann.Says("<message to='bob@b.example' type='chat' id='m1'><body>Hello</body></message>")
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='m1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	ann.Says("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
	var ids []string
	for {
		var st *xmpp.Stanza
		routertest.Eventually(t, "an answer of the archive", func() bool { st = ann.Hears(); return st != nil })
		if st.Kind == xmpp.IQ {
			break
		}
		ids = append(ids, st.String())
	}
	if len(ids) != 2 || !strings.Contains(ids[0], "Hello") || !strings.Contains(ids[1], "remote-server-timeout") {
		t.Errorf("the archive has\n%s", strings.Join(ids, "\n"))
	}
	ann.Says("<iq type='get' to='b.example' id='i1'><ping xmlns='urn:xmpp:ping'/></iq>") // while nothing is tried
	wants(t, ann, "<iq from='b.example' to='ann@a.example/1' type='error' id='i1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>")
}

// TestWaits has messages wait for a domain over a restart, and arrive in order.
func TestWaits(t *testing.T) {
	b := open(t, nil, "b.example")
	a := open(t, nil, "a.example")
	b.leads("a.example", a.starttls, false)
	a.leads("b.example", "127.0.0.1:1", false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	for _, id := range []string{"1", "2", "3"} {
		ann.Says("<message to='bob@b.example' type='chat' id='" + id + "'><body>Hello</body></message>")
	}
	a.stop()
	a.leads("b.example", b.starttls, false)
	a.again()
	b.leads("a.example", a.starttls, false)
	for _, id := range []string{"1", "2", "3"} {
		wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='"+id+"'><body>Hello</body></message>")
	}
	a.stop()
	a.again()
	b.leads("a.example", a.starttls, false)
	ann.Says("<message to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
}
