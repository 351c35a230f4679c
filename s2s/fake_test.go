package s2s

import (
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/router/routertest"
)

// A fake is a server that says what a test likes on the streams that are opened to it.
type fake struct {
	t     testing.TB
	addr  string
	conns atomic.Int64
}

// newFake has serve called for each connection, behind TLS and the header of the other side.
func newFake(t testing.TB, serve func(*raw)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := server(t, nil, names{dns: []string{"b.example"}})
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.cert.Raw}, PrivateKey: cert.key}}}
	f := &fake{t: t, addr: "tls://" + l.Addr().String()}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			r := &raw{t: t, conn: tls.Server(c, cfg), mild: true}
			done := make(chan struct{})
			go func() { defer close(done); defer c.Close(); r.hears("version='1.0'>"); serve(r) }()
			defer func() { c.Close(); <-done }()
		}
	}()
	return f
}

const fakeHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='b.example' to='a.example' id='x' version='1.0'>"

// believes opens the stream and believes whatever key comes.
func (r *raw) believes(features string) {
	r.say("%s<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>%s</stream:features>", fakeHeader, features)
	r.hears("</db:result>")
	r.say("<db:result from='b.example' to='a.example' type='valid'/>")
}

const offersSM = "<sm xmlns='urn:xmpp:sm:3'/>"

// TestSilence wants a stream on which nothing comes for a while to give back memory, and to
// live.
func TestSilence(t *testing.T) {
	a, b := two(t, nil, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	before := a.allLinks()
	for _, h := range []*house{a, b} {
		for _, l := range h.allLinks() {
			l.mu.Lock()
			l.heard = l.heard.Add(-trimAfter)
			l.mu.Unlock()
		}
	}
	time.Sleep(10 * a.cfg.SweepEvery)
	ann.Says(hello)
	wants(t, bob, helloHeard)
	for _, l := range before {
		if l.out && !l.asks && l.ended() {
			t.Error("the stream has ended")
		}
	}
}

// TestSilentOpening has a server think for a while before it says what it offers, and another one
// before it says who it is: neither stream ends before its time.
func TestSilentOpening(t *testing.T) {
	goOn := make(chan struct{})
	f := newFake(t, func(r *raw) {
		<-goOn
		r.believes("")
		r.hears("</message>")
		r.hears("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	ann.Says(hello)
	slow := dialRaw(t, a.starttls)
	routertest.Eventually(t, "both streams", func() bool { return f.conns.Load() > 0 && len(a.allLinks()) == 2 })
	for _, l := range a.allLinks() {
		l.mu.Lock()
		l.heard = l.heard.Add(-trimAfter)
		l.mu.Unlock()
	}
	time.Sleep(10 * a.cfg.SweepEvery)
	close(goOn)
	routertest.Eventually(t, "nothing waits", func() bool { return a.Figures(0).Waiting == 0 })
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	slow.secure(nil, "c.example", "a.example")
}

// TestSlowServer wants a stream that is being opened to live as long as opening may take.
func TestSlowServer(t *testing.T) {
	goOn := make(chan struct{})
	f := newFake(t, func(r *raw) {
		r.believes(offersSM)
		r.hears("<enable")
		<-goOn
		r.say("<enabled xmlns='urn:xmpp:sm:3'/>")
		r.hears("</message>")
		r.say("<a xmlns='urn:xmpp:sm:3' h='1'/>")
		r.hears("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	ann.Says(hello)
	routertest.Eventually(t, "a stream", func() bool { return f.conns.Load() > 0 })
	time.Sleep(200 * time.Millisecond)
	for _, l := range a.allLinks() {
		l.mu.Lock()
		l.spoke = l.spoke.Add(-2 * verifierIdle)
		l.mu.Unlock()
	}
	time.Sleep(200 * time.Millisecond)
	close(goOn)
	routertest.Eventually(t, "nothing waits", func() bool { g := a.Figures(0); return g.Waiting+g.Unacknowledged == 0 })
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestPoison wants a server that bears no message not to be asked for one stream after the
// other.
func TestPoison(t *testing.T) {
	f := newFake(t, func(r *raw) {
		r.believes(offersSM)
		r.hears("<enable")
		r.say("<enabled xmlns='urn:xmpp:sm:3'/>")
		r.hears("</message>")
		r.say("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		r.hears("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	ann.Says(hello)
	routertest.Eventually(t, "some streams", func() bool { return f.conns.Load() >= maxBarren })
	time.Sleep(500 * time.Millisecond)
	if n := f.conns.Load(); n > maxBarren {
		t.Errorf("%d streams in half a second", n)
	}
	set := *a.settings.Load()
	set.GiveUp = time.Millisecond
	a.SetSettings(set)
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
}

// TestTheirError wants a stream error of the other side to be answered with the end of the
// stream (RFC 6120 §4.9.1.1).
func TestTheirError(t *testing.T) {
	b := open(t, nil, "b.example")
	r := dialRaw(t, b.starttls)
	r.secure(nil, "a.example", "b.example")
	r.say("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
	r.hears("</stream:stream>")
}

// TestSharedBothWays has a second domain of ours share a stream of both directions: what is
// answered to it comes by that, too.
func TestSharedBothWays(t *testing.T) {
	quick := func(p *plan) { p.set.Manage = false }
	a, b := open(t, quick, "a.example", "a2.example"), open(t, quick, "b.example")
	a.leads("b.example", b.starttls, false)
	b.leads("a.example", a.starttls, false)
	b.leads("a2.example", a.starttls, false)
	ann, amy, bob := a.Online("ann@a.example/1"), a.Online("amy@a2.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	amy.Says(hello)
	wants(t, bob, "<message from='amy@a2.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	for _, to := range []*routertest.Actor{amy, ann, amy} {
		bob.Says("<message to='" + to.JID().String() + "' type='chat' id='2'><body>Hi</body></message>")
		wants(t, to, "<message from='bob@b.example/2' to='"+to.JID().String()+"' type='chat' id='2'><body>Hi</body></message>")
	}
	if n := a.outgoing(); n != 1 {
		t.Errorf("%d streams: %+v", n, a.Links())
	}
}

// TestUnanswered has the stream end by which a key is being verified: that says nothing about
// the key, and who has sent it may come again.
func TestUnanswered(t *testing.T) {
	f := newFake(t, func(r *raw) {
		r.say("%s<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>", fakeHeader)
		r.hears("</db:verify>")
	})
	b := open(t, nil, "b.example")
	b.routes.Store("a.example", []string{f.addr})
	r := dialRaw(t, b.starttls)
	r.secure(nil, "a.example", "b.example")
	r.say("<db:result from='a.example' to='b.example'>key</db:result>")
	if got := r.hears("</db:result>"); !strings.Contains(got, "type='error'") || !strings.Contains(got, "<remote-server-timeout") {
		t.Error(got)
	}
}

// TestTalkative has a stranger ask for things as fast as it can: it does not fill the log.
func TestTalkative(t *testing.T) {
	b := open(t, nil, "b.example")
	r := dialRaw(t, b.starttls)
	r.secure(nil, "evil.example", "b.example")
	for range 500 {
		r.say("<db:verify from='evil.example' to='b.example' id='1'>key</db:verify><db:result from='evil.example' to='b.example' type='valid'/>")
	}
	r.say("<db:verify from='evil.example' to='b.example' id='last'>key</db:verify>")
	r.hears("id='last'")
	if n := strings.Count(b.log.String(), "level=WARN"); n > maxOdd {
		t.Errorf("%d lines", n)
	}
	r.say("<db:verify from='evil.example' to='nobody.example' id='2'>key</db:verify>")
	r.hears("<item-not-found")
}

// TestResumeOfOthers has a server try to go on with the stream of another one: it may not, and
// the other one still may.
func TestResumeOfOthers(t *testing.T) {
	ca := newCA(t, "authority", nil)
	mine, evil := server(t, ca, names{dns: []string{"a.example"}}), server(t, ca, names{dns: []string{"evil.example"}})
	b := open(t, certified(t, ca, nil), "b.example", "b2.example")
	first := dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	first.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	_, id, _ := strings.Cut(first.hears("resume="), " id='")
	id, _, _ = strings.Cut(id, "'")
	first.say("<iq from='a.example' to='b.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='urn:xmpp:sm:3'/>")
	first.hears("<a xmlns='urn:xmpp:sm:3' h='1'/>")
	first.conn.Close()
	resume := "<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>"
	for _, r := range []*raw{
		dialRaw(t, b.starttls).known(evil, "evil.example", "b.example"),
		dialRaw(t, b.starttls).known(mine, "a.example", "b2.example"),
	} {
		r.say("%s", resume)
		r.hears("<item-not-found")
	}
	early := dialRaw(t, b.starttls)
	early.secure(mine, "a.example", "b.example")
	early.say("%s", resume)
	early.hears("<item-not-found")
	both := dialRaw(t, b.starttls)
	both.secure(mine, "a.example", "b.example")
	both.say("<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
	both.hears("<success")
	both.say(rawHeader, "a.example", "b.example")
	both.hears("</stream:features>")
	both.say("%s", resume)
	both.hears("<item-not-found")

	again := dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	again.say("%s", resume)
	again.hears("<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='1'/>")
}

// TestWrapAround has the count of stanzas go beyond 32 bits (XEP-0198 §4).
func TestWrapAround(t *testing.T) {
	f := newFake(t, func(r *raw) {
		r.believes(offersSM)
		r.hears("<enable")
		r.say("<enabled xmlns='urn:xmpp:sm:3'/>")
		r.hears("</message>")
		r.say("<a xmlns='urn:xmpp:sm:3' h='4294967295'/>")
		r.hears("</message>")
		r.say("<a xmlns='urn:xmpp:sm:3' h='0'/>")
		r.hears("</message>")
		r.say("<a xmlns='urn:xmpp:sm:3' h='2'/>") // one too many
		r.hears("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	p := pair{"a.example", "b.example"}
	l, err := a.reach(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.smOut.acked = 1<<32 - 2
	l.mu.Unlock()
	for range 2 {
		ann.Says(hello)
		routertest.Eventually(t, "nothing waits", func() bool { g := a.Figures(0); return g.Waiting+g.Unacknowledged == 0 })
	}
	if l.ended() {
		t.Error("the stream has ended")
	}
	ann.Says(hello)
	routertest.Eventually(t, "the stream has ended", l.ended)
	if !a.log.has("more is acknowledged than was sent") {
		t.Error("the log says nothing")
	}
}
