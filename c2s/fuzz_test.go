package c2s_test

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// FuzzStream brings a stream into a state and sends anything. Afterwards the server serves
// the next client, and nothing is left of this one.
func FuzzStream(f *testing.F) {
	stages := maps.Clone(stages)
	stages["managed"] = func(h *house) *xmpptest.Client { return h.managed("mallory", "").Client }
	names := slices.Sorted(maps.Keys(stages))
	for i := range names {
		for _, seed := range []string{
			"", " ", "<", "</stream:stream>", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01",
			"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biws</auth>",
			"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdz</response>", "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
			"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biws</initial-response><bind xmlns='urn:xmpp:bind:0'><tag>x</tag></bind></authenticate>",
			"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>",
			"<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>", "<message to='mallory@example.com'><body>&#x41;<![CDATA[x]]></body></message>",
			"<presence><priority>5</priority></presence><presence type='subscribe' to='juliet@example.com'/>",
			"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>",
			"<enable xmlns='urn:xmpp:sm:3' resume='1' max='5'/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='0'/>",
			"<resume xmlns='urn:xmpp:sm:3' previd='x' h='4294967295'/><a xmlns='urn:xmpp:sm:3' h='-1'/>",
			"<presence/><a xmlns='urn:xmpp:sm:3' h='4294967295'/><r xmlns='urn:xmpp:sm:3'>x</r><failed xmlns='urn:xmpp:sm:3'/>",
			"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biws</initial-response><resume xmlns='urn:xmpp:sm:3'/></authenticate>",
			"<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq><iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
		} {
			f.Add(uint8(i), []byte(seed))
		}
	}
	h := open(f, func(p *plan) {
		p.set.Register, p.set.RegisterPerDay, p.set.LoginTimeout, p.set.SMTimeout = true, 1, 2*time.Second, moment
	})
	h.account("mallory", "witness")
	h.serves()
	f.Fuzz(func(t *testing.T, stage uint8, data []byte) {
		h := *h
		h.t = t
		before := runtime.NumGoroutine()
		c := stages[names[int(stage)%len(names)]](&h)
		c.Write(string(data))
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		c.Conn.Read(make([]byte, 64))
		c.Close()
		if stage%8 == 0 {
			h.serves()
		}
		eventually(t, "the connection is gone", func() bool { return h.Stats().Open.Load() == 0 })
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+1 })
	})
}
