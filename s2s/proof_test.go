package s2s

import (
	"crypto/x509"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
)

// certified has certificates of an authority for all domains.
func certified(t testing.TB, ca *signer, change func(*plan)) func(*plan) {
	return func(p *plan) {
		p.roots, p.now = pool(ca), testTime
		p.certs = map[string]*signer{}
		for _, d := range []string{"a.example", "a2.example", "b.example"} {
			p.certs[d] = server(t, ca, names{dns: []string{d}})
		}
		if change != nil {
			change(p)
		}
	}
}

func strict(p *plan) { p.policy = PolicyConfig{RequireCertificate: true} }

// proofOf waits until the first stream of that direction has a proof, and returns it.
func (h *house) proofOf(direction string) (proof string) {
	h.t.Helper()
	routertest.Eventually(h.t, "a stream "+direction, func() bool {
		for _, l := range h.Links() {
			all := l.Receives
			if direction == "out" {
				all = l.Sends
			}
			for _, p := range all {
				if l.Direction == direction {
					proof = p
				}
			}
		}
		return proof != ""
	})
	return proof
}

const hello = "<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>"
const helloHeard = "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>"

// TestCertificates has both sides believe each other by certificates alone.
func TestCertificates(t *testing.T) {
	ca := newCA(t, "authority", nil)
	for _, direct := range []bool{false, true} {
		a, b := two(t, certified(t, ca, strict), direct)
		ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
		ann.Says(hello)
		wants(t, bob, helloHeard)
		if ours, theirs := a.proofOf("out"), b.proofOf("in"); ours != "certificate" || theirs != ProofPKIX {
			t.Errorf("direct=%v: %s and %s", direct, ours, theirs)
		}
	}
}

// TestBadCertificates wants who insists on certificates to refuse the bad ones, to tell the
// sender, and to say why in the log.
func TestBadCertificates(t *testing.T) {
	ca, stranger := newCA(t, "authority", nil), newCA(t, "nobody knows it", nil)
	for name, c := range map[string]struct {
		cert *signer
		why  string
	}{
		"wrong host": {server(t, ca, names{dns: []string{"c.example"}}), "c.example"},
		"expired": {issue(t, ca, func(c *x509.Certificate) {
			setNames(t, c, names{dns: []string{"b.example"}})
			c.NotAfter = testTime().AddDate(0, 0, -1)
		}), "expired"},
		"self-signed":  {server(t, nil, names{dns: []string{"b.example"}}), "self-signed"},
		"unknown root": {server(t, stranger, names{dns: []string{"b.example"}}), "authority"},
		"only CN":      {issue(t, ca, func(c *x509.Certificate) { c.Subject.CommonName = "b.example" }), "b.example"},
	} {
		t.Run(name, func(t *testing.T) {
			good := certified(t, ca, strict)
			a := open(t, good, "a.example")
			b := open(t, func(p *plan) { good(p); p.certs["b.example"] = c.cert }, "b.example")
			a.leads("b.example", b.starttls, false)
			b.leads("a.example", a.starttls, false)
			ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
			ann.Says(hello)
			st := wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
			if !strings.Contains(st.String(), "certificate of b.example is not accepted") || !strings.Contains(st.String(), c.why) {
				t.Errorf("outgoing: %s", st)
			}
			bob.Says("<message to='ann@a.example' type='chat' id='2'><body>Hi</body></message>") // and incoming
			wants(t, bob, "<message from='ann@a.example' to='bob@b.example/2' type='error' id='2'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
			if !a.log.has("a server is refused: its certificate does not prove its domain") {
				t.Error("the log says nothing")
			}
		})
	}
}

// TestSharedStream has a second domain of ours send by the stream of the first
// (XEP-0220 §2.6).
func TestSharedStream(t *testing.T) {
	ca := newCA(t, "authority", nil)
	for name, change := range map[string]func(*plan){"dialback": nil, "certificates": certified(t, ca, nil)} {
		t.Run(name, func(t *testing.T) {
			quick := func(p *plan) {
				if change != nil {
					change(p)
				}
				p.set.Bidi, p.set.Manage = false, false
			}
			a, b := open(t, quick, "a.example", "a2.example"), open(t, quick, "b.example")
			a.leads("b.example", b.starttls, false)
			b.leads("a.example", a.starttls, false)
			b.leads("a2.example", a.starttls, false)

			ann, amy, bob := a.Online("ann@a.example/1"), a.Online("amy@a2.example/1"), b.Online("bob@b.example/2")
			ann.Says(hello)
			wants(t, bob, helloHeard)
			amy.Says(hello)
			wants(t, bob, "<message from='amy@a2.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
			if n := a.outgoing(); n != 1 {
				t.Errorf("%d streams: %+v", n, a.Links())
			}
		})
	}
}

func (h *house) outgoing() (n int) {
	for _, l := range h.Links() {
		if l.Direction == "out" && len(l.Sends) > 0 {
			n++
		}
	}
	return n
}

// TestDANEStream has signed DNS say where a server is and which certificate it has.
func TestDANEStream(t *testing.T) {
	cert := server(t, nil, names{})
	z := newZone(t)
	z.set(func() { z.signed = true })
	change := func(p *plan) {
		p.zone, p.now = z, testTime
		p.policy = PolicyConfig{RequireCertificate: true}
		p.certs = map[string]*signer{"a.example": cert, "b.example": cert}
	}
	a, b := open(t, change, "a.example"), open(t, change, "b.example")
	for _, h := range []*house{a, b} {
		_, port, _ := net.SplitHostPort(h.starttls)
		n, _ := strconv.Atoi(port)
		d := h.hosts[0]
		z.add(t, "_xmpp-server._tcp."+d+". 60 IN SRV 0 0 "+port+" xmpp."+d+".", "xmpp."+d+". 60 IN A 127.0.0.1",
			"_"+strconv.Itoa(n)+"._tcp.xmpp."+d+". 60 IN TLSA "+tlsa(3, 1, 1, cert))
	}
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	if theirs := b.proofOf("in"); theirs != ProofDANE {
		t.Errorf("proof %s", theirs)
	}
}

// TestIdle wants a stream without stanzas to be closed, and another one to be opened when
// there is something to say.
func TestIdle(t *testing.T) {
	a, b := two(t, func(p *plan) { p.set.Idle = 100 * time.Millisecond }, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	for range 2 {
		ann.Says(hello)
		wants(t, bob, helloHeard)
		routertest.Eventually(t, "no streams", func() bool { return len(a.Links()) == 0 && len(b.Links()) == 0 })
	}
	if slices.ContainsFunc(a.Routes(), func(r RouteInfo) bool { return r.Error != "" }) {
		t.Errorf("%+v", a.Routes())
	}
}
