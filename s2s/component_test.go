package s2s

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"parley/auth"
	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/ping"
	"parley/xmpp"
)

// gateways is a house with components and no other servers.
type gateways struct {
	*routertest.House
	*Components
	t     testing.TB
	addr  string
	log   *journal
	certs *auth.Certs
}

const ircSecret = "a secret of irc"

// withComponents makes a house that irc.example.com and *.wild.example.com may connect to.
func withComponents(t testing.TB, change func(*ComponentsConfig)) *gateways {
	t.Helper()
	s := &gateways{t: t, log: &journal{}}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", s.log)
		}
	})
	s.House = routertest.NewWith(t, routertest.Config{Hosts: []string{"example.com"}, Log: log, Features: []router.Feature{roster.New(), ping.New()}})
	var err error
	if s.certs, err = auth.OpenCerts(auth.CertConfig{Dir: t.TempDir(), Hosts: []auth.HostCert{{Host: "example.com"}}}); err != nil {
		t.Fatal(err)
	}
	cfg := ComponentsConfig{
		Router: s.Router, Log: log, TLS: s.certs.Server(auth.TLSOptions{}), Settings: ComponentDefaults(), SweepEvery: 10 * time.Millisecond,
		Rules: []ComponentRule{{Domain: "irc.example.com", Secret: ircSecret}, {Domain: "wild.example.com", Secret: ircSecret, Wildcard: true}},
	}
	if change != nil {
		change(&cfg)
	}
	s.Components = NewComponents(cfg)
	s.Router.SetWays(s.Ways(func(_, to string) (router.Way, *xmpp.Error) {
		return nil, xmpp.Refuse("remote-server-not-found", "")
	}))
	s.addr = s.listen(false)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return s
}

func (s *gateways) listen(direct bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	go s.Serve(l, direct)
	return l.Addr().String()
}

// A peer is a component, spoken by hand.
type peer struct {
	net.Conn
	t  testing.TB
	in []byte
	id string
}

func dialComponent(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: conn, t: t}
	t.Cleanup(func() { conn.Close() })
	return p
}

func (p *peer) says(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	p.Write([]byte(format))
}

// hears reads until a part has come, and returns all up to there.
func (p *peer) hears(part string) string {
	p.t.Helper()
	buf := make([]byte, 4096)
	for {
		if i := strings.Index(string(p.in), part); i >= 0 {
			got := string(p.in[:i+len(part)])
			p.in = p.in[i+len(part):]
			return got
		}
		p.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := p.Read(buf)
		p.in = append(p.in, buf[:n]...)
		if err != nil && !strings.Contains(string(p.in), part) {
			p.t.Fatalf("there was no %q: %v; there was\n%s", part, err, p.in)
		}
	}
}

// ends wants the stream to end with an error, and the connection with it.
func (p *peer) ends(condition string) {
	p.t.Helper()
	p.hears("<" + condition + " xmlns='" + xmpp.NSStreams + "'")
	p.hears("</stream:stream>")
}

func componentHead(domain string) string {
	return "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='" + domain + "'>"
}

func (p *peer) opens(domain string) {
	p.t.Helper()
	p.says("%s", componentHead(domain))
	head := p.hears("'>")
	p.id = strings.TrimSuffix(head[strings.LastIndex(head, "id='")+4:], "'>")
}

func (p *peer) proves(secret string) {
	sum := sha1.Sum([]byte(p.id + secret))
	p.says("<handshake>%s</handshake>", hex.EncodeToString(sum[:]))
}

// component connects one.
func (s *gateways) component(domain string) *peer {
	s.t.Helper()
	p := dialComponent(s.t, s.addr)
	p.opens(domain)
	p.proves(ircSecret)
	p.hears("<handshake/>")
	routertest.Eventually(s.t, domain+" is connected", func() bool { return s.connected(domain) })
	return p
}

func (s *gateways) connected(domain string) bool {
	for _, i := range s.Info() {
		if i.Domain == domain {
			return i.Connected
		}
	}
	return false
}

func TestComponentTalks(t *testing.T) {
	s := withComponents(t, nil)
	ann := s.Online("ann@example.com/1")
	p := s.component("irc.example.com")
	p.says("<message from='#a@irc.example.com/bob' to='ann@example.com' type='chat' id='1'><body xml:lang='en'>Hello</body></message>")
	wants(t, ann, "<message from='#a@irc.example.com/bob' to='ann@example.com' type='chat' id='1'><body xml:lang='en'>Hello</body></message>")
	ann.Says("<message to='#a@irc.example.com/bob' type='chat' id='2'><body>Hi &amp; so</body></message>")
	p.hears("<message to='#a@irc.example.com/bob' from='ann@example.com/1' id='2' type='chat'><body>Hi &amp; so</body></message>")
	ann.Says("<iq to='irc.example.com' type='get' id='3'><query xmlns='jabber:iq:register'/></iq>")
	p.hears("<iq to='irc.example.com' from='ann@example.com/1' id='3' type='get'><query xmlns='jabber:iq:register'/></iq>")
	p.says("<iq from='irc.example.com' to='ann@example.com/1' type='result' id='3'/>")
	wants(t, ann, "<iq from='irc.example.com' to='ann@example.com/1' type='result' id='3'/>")
	ann.Says("<presence to='#a@irc.example.com/ann'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	p.hears("<presence to='#a@irc.example.com/ann' from='ann@example.com/1'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	p.says("<iq from='x@irc.example.com/y' to='example.com' type='get' id='4'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.hears("<iq to='x@irc.example.com/y' from='example.com' id='4' type='result'/>")
	p.says("<message from='irc.example.com' to='x@other.example' id='5'><body/></message>")
	p.hears("<remote-server-not-found")
	i := s.Info()[0]
	if !i.Connected || i.In != 4 || i.Out < 5 || i.Address == "" {
		t.Errorf("%+v", i)
	}
	p.says("</stream:stream>")
	p.hears("</stream:stream>")
	routertest.Eventually(t, "it is gone", func() bool { return !s.connected("irc.example.com") })
}

// One sender's stanzas stay in order, whatever kinds they are.
func TestComponentOrder(t *testing.T) {
	s := withComponents(t, nil)
	ann := s.Online("ann@example.com/1")
	p := s.component("irc.example.com")
	const n = 1000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<message from='a@irc.example.com' to='ann@example.com/1' id='%d'><body>x</body></message>", i)
	}
	p.says("%s", b.String())
	for i := range n {
		if st := wants(t, ann, "<message from='a@irc.example.com' to='ann@example.com/1'><body>x</body></message>"); st.ID != fmt.Sprint(i) {
			t.Fatalf("message %s instead of %d", st.ID, i)
		}
	}
}

// Who is connected stays; who comes second is refused. But one that is dead gives way.
func TestComponentConflict(t *testing.T) {
	s := withComponents(t, nil)
	ann := s.Online("ann@example.com/1")
	first := s.component("irc.example.com")
	second := dialComponent(t, s.addr)
	second.opens("irc.example.com")
	second.proves(ircSecret)
	second.ends("conflict")
	if strings.Contains(string(second.in), "<handshake/>") {
		t.Error("the second was welcome")
	}
	first.hears("<ping xmlns='urn:xmpp:ping'/>") // is it there?
	first.says("<message from='a@irc.example.com' to='ann@example.com/1' id='1'/>")
	wants(t, ann, "<message from='a@irc.example.com' to='ann@example.com/1' id='1'/>")
	time.Sleep(6 * time.Second) // it has answered with whatever it said, and stays
	if !s.connected("irc.example.com") {
		t.Fatal("the first has ended")
	}
	third := dialComponent(t, s.addr)
	third.opens("irc.example.com")
	third.proves(ircSecret)
	third.ends("conflict")
	first.ends("connection-timeout") // it says nothing
	s.component("irc.example.com")
}

func TestComponentWildcard(t *testing.T) {
	s := withComponents(t, func(c *ComponentsConfig) {
		c.Rules = append(c.Rules, ComponentRule{Domain: "own.wild.example.com", Secret: ircSecret})
	})
	ann := s.Online("ann@example.com/1")
	p := s.component("wild.example.com")
	p.says("<message from='x@a.b.wild.example.com' to='ann@example.com/1' id='1'/>")
	wants(t, ann, "<message from='x@a.b.wild.example.com' to='ann@example.com/1' id='1'/>")
	ann.Says("<message to='y@c.wild.example.com' id='2'/>")
	p.hears("to='y@c.wild.example.com' from='ann@example.com/1' id='2'")
	ann.Says("<message to='y@own.wild.example.com' id='3'/>") // another component's
	wants(t, ann, "<message from='y@own.wild.example.com' to='ann@example.com/1' id='3' type='error'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the service own.wild.example.com is not connected at present</text></error></message>")
	for domain, local := range map[string]bool{"a.wild.example.com": true, "wild.example.com": true, "xwild.example.com": false, "com": false, "irc.example.com": true} {
		if s.Local(domain) != local {
			t.Errorf("%s is local: %v", domain, !local)
		}
	}
	p.says("<message from='x@own.wild.example.com' to='ann@example.com/1' id='4'/>")
	p.ends("invalid-from")
}

// What is for a component that is not there is answered at once, if it is worth an answer.
func TestComponentAbsent(t *testing.T) {
	s := withComponents(t, nil)
	ann := s.Online("ann@example.com/1")
	for _, st := range []string{
		"<message to='x@irc.example.com' id='%d'><body/></message>",
		"<iq to='irc.example.com' type='get' id='%d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<presence to='#a@irc.example.com/ann' id='%d'/>",
		"<presence to='x@irc.example.com' type='subscribe' id='%d'/>",
	} {
		ann.Says(fmt.Sprintf(st, 1))
		var got *xmpp.Stanza
		routertest.Eventually(t, "an error for "+st, func() bool {
			got = ann.Hears()
			return got != nil && got.Type == "error"
		})
		if e := xmpp.ErrorOf(got); e.Condition != "remote-server-timeout" || e.Type != "wait" {
			t.Errorf("%s\n%s", st, got)
		}
	}
	ann.Forgets()
	ann.Says("<presence to='#a@irc.example.com/ann' type='unavailable'/>")
	ann.Says("<message to='x@irc.example.com' type='error' id='9'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	ann.GetsNothing()
}

// Who removes a component from the configuration, or gives it another secret, ends its stream.
func TestComponentRules(t *testing.T) {
	s := withComponents(t, nil)
	irc, wild := s.component("irc.example.com"), s.component("wild.example.com")
	s.SetRules([]ComponentRule{{Domain: "irc.example.com", Secret: "another secret"}})
	irc.ends("reset")
	wild.ends("host-gone")
	p := dialComponent(t, s.addr)
	p.opens("irc.example.com")
	p.proves(ircSecret)
	p.ends("not-authorized")
	p = dialComponent(t, s.addr)
	p.opens("irc.example.com")
	p.proves("another secret")
	p.hears("<handshake/>")
	if s.Local("wild.example.com") {
		t.Error("it is still ours")
	}
	s.SetRules([]ComponentRule{{Domain: "irc.example.com", Secret: "another secret", Wildcard: true}})
	p.says("<iq from='a.irc.example.com' to='example.com' type='get' id='4'><ping xmlns='urn:xmpp:ping'/></iq>") // it stays, and may more
	p.hears("id='4' type='result'")
}

func TestComponentTLS(t *testing.T) {
	s := withComponents(t, nil)
	p := dialComponent(t, s.listen(true))
	p.Conn = tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
	p.opens("irc.example.com")
	p.proves(ircSecret)
	p.hears("<handshake/>")
	if i := s.Info()[0]; i.TLS == "" {
		t.Errorf("%+v", i)
	}
	clear := dialComponent(t, s.listen(true)) // no TLS where it comes first
	clear.says("%s", componentHead("wild.example.com"))
	clear.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, _ := clear.Read(make([]byte, 100)); n > 0 && s.connected("wild.example.com") {
		t.Error("it was let in")
	}
}

func TestComponentShutdown(t *testing.T) {
	s := withComponents(t, nil)
	p := s.component("irc.example.com")
	half := dialComponent(t, s.addr)
	half.opens("wild.example.com")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	p.ends("system-shutdown")
	half.ends("system-shutdown")
}

// Contacts behind a component that has gone do not look as if they were there.
func TestComponentIsMissed(t *testing.T) {
	s := withComponents(t, func(c *ComponentsConfig) { c.Settings.Absent = 3 * time.Second })
	ann := s.Online("ann@example.com/1")
	p := s.component("irc.example.com")
	ann.Says("<presence to='x@irc.example.com' type='subscribe'/>")
	p.hears("<presence to='x@irc.example.com' from='ann@example.com' type='subscribe'/>")
	p.says("<presence from='x@irc.example.com' to='ann@example.com' type='subscribed'/><presence from='x@irc.example.com/r' to='ann@example.com'/>")
	hears := func(typ, from string) {
		t.Helper()
		routertest.Eventually(t, typ+" from "+from, func() bool {
			st := ann.Hears()
			return st != nil && st.Kind == xmpp.Presence && st.Type == typ && st.From.String() == from
		})
	}
	hears("", "x@irc.example.com/r")
	p.Close()
	routertest.Eventually(t, "it is gone", func() bool { return !s.connected("irc.example.com") })
	ann.GetsNothing() // it may come back at once
	p = s.component("irc.example.com")
	time.Sleep(4 * time.Second)
	ann.GetsNothing()
	p.Close()
	hears("unavailable", "x@irc.example.com")
	p = s.component("irc.example.com")
	p.hears("<presence to='x@irc.example.com' from='ann@example.com' type='probe'/>")
}
