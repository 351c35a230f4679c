package s2s

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
)

// A raw is a connection to a house on which a test says whatever it likes.
type raw struct {
	t    testing.TB
	conn net.Conn
	got  string // what has come and was not looked at
	mild bool   // the end is no failure of the test
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, conn: c}
}

func (r *raw) say(format string, args ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.conn, format, args...); err != nil {
		r.t.Logf("said too late: %v", err)
	}
}

// hears waits for a part of what comes, and returns all up to its end.
func (r *raw) hears(part string) string {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	buf := make([]byte, 16<<10)
	for {
		if at := strings.Index(r.got, part); at >= 0 {
			all := r.got[:at+len(part)]
			r.got = r.got[at+len(part):]
			return all
		}
		n, err := r.conn.Read(buf)
		r.got += string(buf[:n])
		if err != nil && r.mild {
			return ""
		}
		if err != nil && !strings.Contains(r.got, part) {
			r.t.Fatalf("waiting for %q: %v; there was %q", part, err, r.got)
		}
	}
}

// ends waits for the end of the connection, and wants a stream error before it.
func (r *raw) ends(condition string) {
	r.t.Helper()
	if condition != "" {
		r.hears("<" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'")
		r.hears("</stream:stream>")
	}
	r.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.Copy(io.Discard, r.conn); err != nil && !strings.Contains(err.Error(), "reset") {
		r.t.Fatalf("the connection does not end: %v", err)
	}
}

const rawHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='%s' to='%s' version='1.0'>"

// secure begins TLS with a certificate, or none, and opens a stream behind it.
func (r *raw) secure(cert *signer, from, to string) string {
	r.t.Helper()
	r.say(rawHeader, from, to)
	r.hears("</stream:features>")
	r.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	r.hears("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	cfg := &tls.Config{InsecureSkipVerify: true}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.cert.Raw}, PrivateKey: cert.key}}
	}
	c := tls.Client(r.conn, cfg)
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	r.conn, r.got = c, ""
	r.say(rawHeader, from, to)
	return r.hears("</stream:features>")
}

// known is a stream of a domain that has proved itself.
func (r *raw) known(cert *signer, from, to string) *raw {
	r.t.Helper()
	if f := r.secure(cert, from, to); !strings.Contains(f, "<mechanism>EXTERNAL</mechanism>") {
		r.t.Fatalf("no EXTERNAL for a good certificate: %s", f)
	}
	r.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
	r.hears("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
	r.say(rawHeader, from, to)
	r.hears("</stream:features>")
	return r
}

// TestHostile says what no server says, and wants the stream to end with the right error, or
// to live where others' stanzas may be on it.
func TestHostile(t *testing.T) {
	ca := newCA(t, "authority", nil)
	evil := server(t, ca, names{dns: []string{"evil.example"}})
	h := open(t, certified(t, ca, func(p *plan) { p.set.Stanza = 20 << 10 }), "b.example", "b2.example")
	bob := h.Online("bob@b.example/2")
	bob.Forgets()
	message := "<message from='%s' to='%s' id='m'><body>spoofed</body></message>"
	for name, c := range map[string]struct {
		act  func(*raw)
		ends string // "-": it lives
	}{
		"header for nobody":     {func(r *raw) { r.say(rawHeader, "evil.example", "c.example") }, "host-unknown"},
		"header from ourselves": {func(r *raw) { r.say(rawHeader, "b2.example", "b.example") }, "invalid-from"},
		"header of a client": {func(r *raw) {
			r.say(strings.Replace(rawHeader, "jabber:server'", "jabber:client'", 1), "evil.example", "b.example")
		}, "invalid-namespace"},
		"header from a user": {func(r *raw) { r.say(rawHeader, "u@evil.example", "b.example") }, "improper-addressing"},
		"no XML":             {func(r *raw) { r.say("GET / HTTP/1.1\r\n\r\n") }, "bad-format"},
		"DTD":                {func(r *raw) { r.say("<!DOCTYPE x [<!ENTITY a 'b'>]>") }, "restricted-xml"},
		"stanza in clear":    {func(r *raw) { r.say(rawHeader+message, "evil.example", "b.example", "u@evil.example", "bob@b.example") }, "not-authorized"},
		"dialback in clear": {func(r *raw) {
			r.say(rawHeader+"<db:result from='evil.example' to='b.example'>k</db:result>", "evil.example", "b.example")
		}, "policy-violation"},
		"SASL in clear": {func(r *raw) {
			r.say(rawHeader+"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", "evil.example", "b.example")
			r.hears("<encryption-required/>")
		}, "-"},
		"stanza before any proof": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say(message, "u@evil.example", "bob@b.example")
		}, "not-authorized"},
		"EXTERNAL without a certificate": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
			r.hears("<not-authorized/>")
		}, "-"},
		"EXTERNAL for somebody else": {func(r *raw) {
			r.secure(evil, "evil.example", "b.example")
			r.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>YS5leGFtcGxl</auth>")
			r.hears("<invalid-authzid/>")
		}, "-"},
		"another header behind SASL": {func(r *raw) {
			r.secure(evil, "evil.example", "b.example")
			r.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
			r.hears("<success")
			r.say(rawHeader, "a.example", "b.example")
		}, "invalid-from"},
		"many attempts": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			for range 3 {
				r.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>=</auth>")
			}
		}, "policy-violation"},
		"a domain of ours": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(message, "amy@b2.example", "bob@b.example")
		}, "invalid-from"},
		"a domain of others": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(message, "amy@a.example", "bob@b.example")
		}, "invalid-from"},
		"a sub-domain": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(message, "amy@x.evil.example", "bob@b.example")
		}, "invalid-from"},
		"another host of ours": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(message, "amy@evil.example", "bob@b2.example")
		}, "invalid-from"},
		"to third parties": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(message, "amy@evil.example", "ann@a.example")
		}, "host-unknown"},
		"without from": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<message to='bob@b.example'><body>x</body></message>")
		}, "improper-addressing"},
		"without to": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<message from='u@evil.example'><body>x</body></message>")
		}, "improper-addressing"},
		"a large stanza": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say(strings.Replace(message, "spoofed", strings.Repeat("x", 30<<10), 1), "u@evil.example", "bob@b.example")
		}, "policy-violation"},
		"an unknown element": {func(r *raw) { r.known(evil, "evil.example", "b.example").say("<x xmlns='urn:x'/>") }, "unsupported-stanza-type"},
		"TLS twice": {func(r *raw) {
			r.secure(evil, "evil.example", "b.example")
			r.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		}, "policy-violation"},
		"a malformed to": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<iq type='get' id='1' from='u@evil.example/1' to='@@b.example'><ping xmlns='urn:xmpp:ping'/></iq>")
		}, "-"},
		"answers that nobody asked for": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<db:result from='evil.example' to='b.example' type='valid'/><db:verify from='evil.example' to='b.example' id='1' type='valid'/>")
			r.say("<db:result from='a.example' to='b.example' type='valid'/>")
			r.say("<r xmlns='urn:xmpp:sm:3'/>")
			r.hears("unexpected-request")
			r.say(message, "u@evil.example", "bob@b.example")
		}, "not-authorized"},
		"a key for a domain of ours": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<db:result from='b2.example' to='b.example'>key</db:result>")
		}, "invalid-from"},
		"a key for nobody": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<db:result from='evil.example' to='c.example'>key</db:result>")
			r.hears("<item-not-found")
		}, "-"},
		"a key of a domain without a server": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<db:result from='a.example' to='b.example'>key</db:result>")
			r.hears("type='error'")
		}, "-"},
		"a key that is not ours": {func(r *raw) {
			r.secure(nil, "evil.example", "b.example")
			r.say("<db:verify from='evil.example' to='b.example' id='abc'>key</db:verify>")
			r.hears("<db:verify from='b.example' to='evil.example' type='invalid' id='abc'/>")
		}, "-"},
		"resuming what is not there": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<resume xmlns='urn:xmpp:sm:3' previd='abc' h='0'/>")
			r.hears("<item-not-found")
		}, "-"},
		"acknowledging what was not sent": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<enable xmlns='urn:xmpp:sm:3'/>")
			r.hears("<enabled")
			r.say("<a xmlns='urn:xmpp:sm:3' h='7'/>")
		}, "undefined-condition"},
		"enabling twice": {func(r *raw) {
			r.known(evil, "evil.example", "b.example").say("<enable xmlns='urn:xmpp:sm:3'/><enable xmlns='urn:xmpp:sm:3'/>")
		}, "policy-violation"},
		"both directions too late": {func(r *raw) { r.known(evil, "evil.example", "b.example").say("<bidi xmlns='urn:xmpp:bidi'/>") }, "policy-violation"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, h.starttls)
			c.act(r)
			if c.ends != "-" {
				r.ends(c.ends)
				return
			}
			r.say("</stream:stream>")
			r.hears("</stream:stream>")
		})
	}
	if st := bob.Hears(); st != nil {
		t.Errorf("somebody got through: %s", st)
	}
}

// TestProofTakesTime has servers that prove nothing go after a while, and not be too many.
func TestProofTakesTime(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Negotiate, p.set.PerAddress = 2*time.Second, 3 }, "b.example")
	var list []*raw
	for range 3 {
		r := dialRaw(t, h.starttls)
		r.say(rawHeader, "evil.example", "b.example")
		r.hears("</stream:features>")
		list = append(list, r)
	}
	silent := dialRaw(t, h.starttls) // one too many: refused without a word (XEP-0205 §4.1)
	silent.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := silent.conn.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, r := range list {
		r.ends("connection-timeout")
	}
	half := dialRaw(t, h.direct) // TLS that never comes
	half.say("\x16\x03\x01")
	half.ends("")
	routertest.Eventually(t, "no streams", func() bool { return len(h.Links()) == 0 })
}

// TestTooLargeForThem wants a stanza that the other server does not take to be refused, and
// the stream to live (XEP-0478 §4).
func TestTooLargeForThem(t *testing.T) {
	a := open(t, nil, "a.example")
	b := open(t, func(p *plan) { p.set.Stanza = 12 << 10 }, "b.example")
	a.leads("b.example", b.starttls, false)
	b.leads("a.example", a.starttls, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	ann.Says("<message to='bob@b.example' type='chat' id='2'><body>" + strings.Repeat("x", 13<<10) + "</body></message>")
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='2'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	if n := a.outgoing(); n != 1 {
		t.Errorf("%d streams", n)
	}
}

// TestContentIsIntact sends what other namespaces are in, and stanzas in stanzas.
func TestContentIsIntact(t *testing.T) {
	a, b := two(t, nil, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	inner := "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' to='x@y'><body>in</body></message></forwarded><x xmlns='urn:x'><y xmlns=''/></x>"
	ann.Says("<message to='bob@b.example' type='chat' id='1'><body>a&amp;b</body>" + inner + "</message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>a&amp;b</body>"+inner+"</message>")
}
