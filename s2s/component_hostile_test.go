package s2s

import (
	"parley/router/routertest"
	"parley/xmpp"
	"strings"
	"testing"
	"time"
)

func TestComponentHandshake(t *testing.T) {
	patient := withComponents(t, nil)
	short := withComponents(t, func(c *ComponentsConfig) { c.Settings.Handshake = 300 * time.Millisecond })
	for _, c := range []struct{ name, says, condition string }{
		{"another domain", componentHead("other.example.com"), "host-unknown"},
		{"below a domain without a wildcard", componentHead("x.irc.example.com"), "host-unknown"},
		{"below one with", componentHead("x.wild.example.com"), "host-unknown"},
		{"the server's domain", componentHead("example.com"), "host-unknown"},
		{"no domain", strings.Replace(componentHead("x"), "to='x'", "", 1), "host-unknown"},
		{"a user", componentHead("a@irc.example.com"), "host-unknown"},
		{"a client", strings.Replace(componentHead("irc.example.com"), "jabber:component:accept", "jabber:client", 1), "invalid-namespace"},
		{"no stream", "<message xmlns='jabber:component:accept'/>", "invalid-namespace"},
		{"a DTD", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + componentHead("irc.example.com"), "restricted-xml"},
		{"a stanza first", componentHead("irc.example.com") + "<message from='a@irc.example.com' to='ann@example.com'/>", "not-authorized"},
		{"a wrong proof", componentHead("irc.example.com") + "<handshake>0000000000000000000000000000000000000000</handshake>", "not-authorized"},
		{"no proof", componentHead("irc.example.com") + "<handshake/>", "not-authorized"},
		{"silence", "", "connection-timeout"},
		{"silence behind the header", componentHead("irc.example.com"), "connection-timeout"},
		{"too much", componentHead("irc.example.com") + "<handshake>" + strings.Repeat("x", 20<<10), "policy-violation"},
		{"no XML", "GET / HTTP/1.1\r\n\r\n", "bad-format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := patient
			if c.condition == "connection-timeout" {
				s = short
			}
			p := dialComponent(t, s.addr)
			p.t = t
			p.says("%s", c.says)
			p.ends(c.condition)
			if s.connected("irc.example.com") {
				t.Error("it is connected")
			}
		})
	}
	if patient.log.has(ircSecret) || short.log.has(ircSecret) {
		t.Error("the log has the secret")
	}
}

// A handshake is good for its own stream alone.
func TestComponentHandshakeIsNotRepeated(t *testing.T) {
	s := withComponents(t, nil)
	one, two := dialComponent(t, s.addr), dialComponent(t, s.addr)
	one.opens("irc.example.com")
	two.opens("irc.example.com")
	if one.id == two.id {
		t.Fatal("two streams have one id")
	}
	two.id = one.id
	two.proves(ircSecret)
	two.ends("not-authorized")
}

func TestComponentBrake(t *testing.T) {
	s := withComponents(t, nil)
	for range 10 {
		p := dialComponent(t, s.addr)
		p.opens("irc.example.com")
		p.proves("guess")
		p.ends("not-authorized")
	}
	p := dialComponent(t, s.addr)
	p.opens("irc.example.com")
	p.proves(ircSecret)
	p.ends("policy-violation") // it is not looked at any more
	s.component("wild.example.com")
	s.SetRules([]ComponentRule{{Domain: "irc.example.com", Secret: ircSecret}}) // a reload forgives
	s.component("irc.example.com")
	if s.Stats().Failed.Load() != 11 {
		t.Errorf("%d handshakes failed", s.Stats().Failed.Load())
	}
}

func TestComponentConnectionsPerAddress(t *testing.T) {
	s := withComponents(t, func(c *ComponentsConfig) { c.Settings.PerAddress = 3 })
	s.component("irc.example.com") // what has proved itself does not count
	for range 3 {
		dialComponent(t, s.addr).opens("wild.example.com")
	}
	p := dialComponent(t, s.addr)
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := p.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes were read", n)
	}
	if s.Stats().Refused.Load() != 1 {
		t.Errorf("%d were refused", s.Stats().Refused.Load())
	}
}

func TestComponentAddresses(t *testing.T) {
	for _, c := range []struct{ name, says, condition string }{
		{"another's name", "<message from='ann@example.com' to='ann@example.com'/>", "invalid-from"},
		{"another component's", "<presence from='x@wild.example.com' to='ann@example.com'/>", "invalid-from"},
		{"a sub-domain", "<iq from='x@a.irc.example.com' to='ann@example.com' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "invalid-from"},
		{"a domain that ends so", "<message from='x@notirc.example.com' to='ann@example.com'/>", "invalid-from"},
		{"another's name, and no address", "<message from='ann@example.com' to='@'/>", "invalid-from"},
		{"no from", "<message to='ann@example.com'/>", "improper-addressing"},
		{"no to", "<message from='irc.example.com'/>", "improper-addressing"},
		{"no stanza", "<foo xmlns='urn:example'/>", "unsupported-stanza-type"},
		{"a second handshake", "<handshake/>", "unsupported-stanza-type"},
		{"a client's stanza", "<message xmlns='jabber:client' from='irc.example.com' to='ann@example.com'/>", "invalid-namespace"},
		{"a comment", "<!-- -->", "restricted-xml"},
		{"not closed", "<message from='irc.example.com'></iq>", "not-well-formed"},
		{"too much", "<message from='irc.example.com' to='ann@example.com'><body>" + strings.Repeat("x", 600<<10), "policy-violation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withComponents(t, nil)
			ann := s.Online("ann@example.com/1")
			other := s.component("wild.example.com")
			p := s.component("irc.example.com")
			p.says("%s", c.says)
			p.ends(c.condition)
			routertest.Eventually(t, "it is gone", func() bool { return !s.connected("irc.example.com") })
			other.says("<message from='x@wild.example.com' to='ann@example.com/1' id='1'/>") // others live
			wants(t, ann, "<message from='x@wild.example.com' to='ann@example.com/1' id='1'/>")
		})
	}
}

// An address that is none ends nothing: strangers choose what gateways make addresses of.
func TestComponentMalformedAddresses(t *testing.T) {
	s := withComponents(t, nil)
	p := s.component("irc.example.com")
	p.says("<message from='a@irc.example.com' to='@example.com' id='1'><body/></message>")
	p.hears("<message to='a@irc.example.com' id='1' type='error'><error type='modify'><jid-malformed")
	p.says("<iq from='&quot;@irc.example.com' to='ann@example.com' type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.hears("<iq to='irc.example.com' from='ann@example.com' id='2' type='error'>")
	p.says("<message from='a@irc.example.com' to='@example.com' id='3' type='error'/><iq from='irc.example.com' to='example.com' type='get' id='4'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := p.hears("id='4' type='result'"); strings.Contains(got, "id='3'") {
		t.Error("an error was answered: " + got)
	}
}

// A component that reads nothing is not waited for: senders get errors, and it ends.
func TestComponentReadsNothing(t *testing.T) {
	s := withComponents(t, func(c *ComponentsConfig) {
		c.Settings.QueueBytes, c.Settings.Stall = 1<<20, 500*time.Millisecond
	})
	ann := s.Online("ann@example.com/1")
	s.component("irc.example.com")
	body := strings.Repeat("x", 100<<10)
	full := false
	for i := 0; i < 200 && !full; i++ {
		ann.Says("<message to='x@irc.example.com' id='1'><body>" + body + "</body></message>")
		if st := ann.Hears(); st != nil && st.Type == "error" {
			full = xmpp.ErrorOf(st).Condition == "resource-constraint"
		}
	}
	if !full {
		t.Error("everything was taken")
	}
	routertest.Eventually(t, "it is ended", func() bool { return !s.connected("irc.example.com") })
}

// One that says nothing is asked, and ends when it does not answer.
func TestComponentIdle(t *testing.T) {
	s := withComponents(t, func(c *ComponentsConfig) {
		c.Settings.Idle, c.Settings.Patience = 200*time.Millisecond, 2*time.Second
	})
	p := s.component("irc.example.com")
	for range 3 {
		ask := p.hears("<ping xmlns='urn:xmpp:ping'/></iq>")
		id := ask[strings.Index(ask, " id='")+5:]
		id = id[:strings.IndexByte(id, '\'')]
		p.says("<iq from='irc.example.com' to='example.com' type='result' id='%s'/>", id)
	}
	p.ends("connection-timeout")
}
