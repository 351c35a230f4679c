package s2s

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"parley/router/routertest"
)

// TestManyDomains measures what 10,000 domains take that are known and not in use, and wants
// them to be forgotten.
func TestManyDomains(t *testing.T) {
	h := open(t, nil, "a.example")
	before := heap()
	const n = 10_000
	for i := range n {
		if _, err := h.Ways("a.example", fmt.Sprintf("d%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / n
	t.Logf("%d bytes a domain", each)
	if each > 1024 {
		t.Errorf("a domain that is known takes %d bytes", each)
	}
	h.tidy(time.Now())
	if len(h.Routes()) != n {
		t.Error("domains are forgotten at once")
	}
	for _, r := range h.allRoutes() {
		r.mu.Lock()
		r.used = time.Now().Add(-forgetAfter - time.Minute)
		r.mu.Unlock()
	}
	h.tidy(time.Now())
	if left := len(h.Routes()); left != 0 {
		t.Errorf("%d domains are never forgotten", left)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestQueueIsBounded wants the senders of too much for a domain that is down to be told.
func TestQueueIsBounded(t *testing.T) {
	a := open(t, func(p *plan) { p.set.QueueStanzas, p.set.QueueBytes = 3, 4<<10 }, "a.example")
	a.leads("b.example", "127.0.0.1:1", false)
	a.leads("c.example", "127.0.0.1:1", false)
	ann := a.Online("ann@a.example/1")
	for i := range 4 {
		ann.Says(fmt.Sprintf("<message to='bob@b.example' type='chat' id='%d'><body>Hello</body></message>", i))
	}
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='3'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	ann.Says("<message to='cid@c.example' type='chat' id='x'><body>" + fmt.Sprintf("%05000d", 1) + "</body></message>")
	wants(t, ann, "<message from='cid@c.example' to='ann@a.example/1' type='error' id='x'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	routertest.Eventually(t, "three wait", func() bool { return a.Figures(1).Waiting == 3 })
}

// TestDenied wants nothing to be said to, or heard of, a domain that the rules deny.
func TestDenied(t *testing.T) {
	a := open(t, func(p *plan) { p.policy.Deny = []string{"b.example"} }, "a.example")
	b := open(t, nil, "b.example")
	a.leads("b.example", b.starttls, false)
	b.leads("a.example", a.starttls, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='1'><error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	bob.Says("<message to='ann@a.example' type='chat' id='2'><body>Hi</body></message>")
	wants(t, bob, "<message from='ann@a.example' to='bob@b.example/2' type='error' id='2'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	ann.Forgets()
	if len(a.Links()) != 0 {
		t.Errorf("%+v", a.Links())
	}
}

// TestRate wants a server that sends more than it may to be read later, and to lose nothing.
func TestRate(t *testing.T) {
	a := open(t, nil, "a.example")
	b := open(t, func(p *plan) { p.set.Rate, p.set.Burst = 100<<10, 20<<10 }, "b.example")
	a.leads("b.example", b.starttls, false)
	b.leads("a.example", a.starttls, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	began := time.Now()
	const n = 300
	for i := range n {
		ann.Says(fmt.Sprintf("<message to='bob@b.example' type='chat' id='a%d'><body>%01000d</body></message>", i, 0))
	}
	inOrder(t, bob, "a", n, 1)
	if d := time.Since(began); d < 1500*time.Millisecond { // but for what is there at once and a round of 64
		t.Errorf("300 KiB came in %s", d)
	}
	if b.Stats().Paced.Load() == 0 {
		t.Error("nobody has counted")
	}
}
