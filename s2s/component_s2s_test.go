package s2s

import (
	"context"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
)

// attach puts components into a house that talks to other servers.
func (h *house) attach(rules ...ComponentRule) *gateways {
	h.t.Helper()
	g := &gateways{House: h.House, t: h.t, log: h.log, certs: h.certs}
	g.Components = NewComponents(ComponentsConfig{Router: h.Router, Settings: ComponentDefaults(), Rules: rules, SweepEvery: 10 * time.Millisecond})
	h.Router.SetWays(g.Ways(h.Ways))
	g.addr = g.listen(false)
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			h.t.Errorf("stopping: %v", err)
		}
	})
	return g
}

// A component talks with people on another server, and they with it.
func TestComponentAbroad(t *testing.T) {
	var g *gateways
	local := func(domain string) bool { return g != nil && g.Local(domain) }
	a := open(t, func(p *plan) { p.local = local }, "a.example")
	b := open(t, nil, "b.example")
	a.leads("b.example", b.starttls, false)
	b.leads("a.example", a.starttls, false)
	b.leads("irc.a.example", a.starttls, false)
	g = a.attach(ComponentRule{Domain: "irc.a.example", Secret: ircSecret})
	bob := b.Online("bob@b.example/2")
	p := g.component("irc.a.example")
	p.says("<message from='x@irc.a.example/y' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, bob, "<message from='x@irc.a.example/y' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	bob.Says("<message to='x@irc.a.example/y' type='chat' id='2'><body>Hi</body></message>")
	p.hears("<message to='x@irc.a.example/y' from='bob@b.example/2' id='2' type='chat'><body>Hi</body></message>")
	bob.Says("<presence to='#c@irc.a.example/bob'/>")
	p.hears("<presence to='#c@irc.a.example/bob' from='bob@b.example/2'/>")
	p.says("<presence from='#c@irc.a.example/bob' to='bob@b.example/2'/>")
	wants(t, bob, "<presence from='#c@irc.a.example/bob' to='bob@b.example/2'/>")
	// One that is gone is told from a domain that is not there.
	p.Close()
	routertest.Eventually(t, "it is gone", func() bool { return !g.connected("irc.a.example") })
	bob.Says("<message to='x@irc.a.example/y' type='chat' id='3'><body>Hi</body></message>")
	wants(t, bob, "<message from='x@irc.a.example/y' to='bob@b.example/2' type='error' id='3'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the service irc.a.example is not connected at present</text></error></message>")
}

// Another server cannot speak for a component, whatever it says and whatever proves it.
func TestComponentIsNotClaimedFromOutside(t *testing.T) {
	rules := ComponentRule{Domain: "irc.a.example", Secret: ircSecret}
	var g *gateways
	a := open(t, func(p *plan) { p.local = func(domain string) bool { return g != nil && g.Local(domain) } }, "a.example")
	evil := open(t, nil, "irc.a.example")
	evil.leads("a.example", a.starttls, false)
	a.leads("irc.a.example", evil.starttls, false) // dialback would believe it
	g = a.attach(rules)
	ann := a.Online("ann@a.example/1")
	eve := evil.Online("eve@irc.a.example/1")
	eve.Says("<message to='ann@a.example' type='chat' id='1'><body>I am the gateway</body></message>")
	routertest.Eventually(t, "it is refused", func() bool {
		st := eve.Hears()
		return st != nil && st.Type == "error"
	})
	ann.GetsNothing()
}

// What is for a component costs no memory of its own but the bytes.
func TestWayToComponentAllocatesNothing(t *testing.T) {
	s := withComponents(t, nil)
	p := s.component("irc.example.com")
	go func() {
		for buf := make([]byte, 64<<10); ; {
			if _, err := p.Read(buf); err != nil {
				return
			}
		}
	}()
	p.SetReadDeadline(time.Time{})
	ways := s.Ways(nil)
	st := carried(t)
	var rd router.Round
	send := func() {
		w, err := ways("example.com", "irc.example.com")
		if err == nil {
			err = w.Carry(&rd, st, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		rd.Flush()
	}
	for range 100 {
		send()
	}
	if n := testing.AllocsPerRun(200, send); n > 1 { // a write that the socket has to take later
		t.Errorf("%.1f allocations", n)
	}
}
