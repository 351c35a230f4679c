package s2s

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// inStages bring a stream to us into a state.
var inStages = []func(r *raw, good *signer){
	func(*raw, *signer) {},
	func(r *raw, _ *signer) {
		r.say(rawHeader, "evil.example", "b.example")
		r.hears("</stream:features>")
	},
	func(r *raw, _ *signer) { r.secure(nil, "evil.example", "b.example") },
	func(r *raw, good *signer) { r.secure(good, "evil.example", "b.example") },
	func(r *raw, good *signer) { r.known(good, "evil.example", "b.example") },
	func(r *raw, good *signer) {
		r.known(good, "evil.example", "b.example").say("<enable xmlns='urn:xmpp:sm:3' resume='1'/>")
		r.hears("<enabled")
	},
	func(r *raw, good *signer) {
		r.secure(good, "evil.example", "b.example")
		r.say("<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
		r.hears("<success")
		r.say(rawHeader, "evil.example", "b.example")
		r.hears("</stream:features>")
		r.say("<enable xmlns='urn:xmpp:sm:3' resume='1'/>")
		r.hears("<enabled")
	},
}

var fuzzSeeds = []string{
	"", " ", "<", "</stream:stream>", "<stream:error/>", "<stream:features/>", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02",
	"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='evil.example' to='b.example' version='1.0'>",
	"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
	"<db:result from='evil.example' to='b.example'>k</db:result>", "<db:result from='evil.example' to='b.example' type='valid'/>",
	"<db:verify from='evil.example' to='b.example' id='1'>k</db:verify>", "<db:verify from='b.example' to='evil.example' id='x' type='valid'/>",
	"<db:result from='evil.example' to='b.example' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
	"<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>-1</max-bytes></limits></bidi>",
	"<enable xmlns='urn:xmpp:sm:3' resume='1'/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
	"<resume xmlns='urn:xmpp:sm:3' previd='x' h='4294967295'/>", "<enabled xmlns='urn:xmpp:sm:3' id='1' resume='1'/>", "<resumed xmlns='urn:xmpp:sm:3' h='9'/>",
	"<message from='u@evil.example' to='bob@b.example'><body>x</body></message>", "<iq from='evil.example' to='b.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
	"<presence from='u@evil.example' to='bob@b.example' type='subscribe'/>", "<message from='bob@b.example' to='bob@b.example'/>", "<iq from='@@' to='b.example'/>",
}

// FuzzIncoming brings a stream to us into a state and sends anything. Nobody hears anything of
// others than the one who was proved, the server serves the next one, and nothing is left.
func FuzzIncoming(f *testing.F) {
	for i := range inStages {
		for _, seed := range fuzzSeeds {
			f.Add(uint8(i), []byte(seed))
		}
	}
	ca := newCA(f, "authority", nil)
	evil := server(f, ca, names{dns: []string{"evil.example"}})
	h := open(f, certified(f, ca, func(p *plan) { p.set.Negotiate, p.set.PerAddress = 5*time.Second, 0 }), "b.example")
	bob := h.Online("bob@b.example/2")
	f.Fuzz(func(t *testing.T, stage uint8, data []byte) {
		before := runtime.NumGoroutine()
		r := dialRaw(t, h.starttls)
		inStages[int(stage)%len(inStages)](r, evil)
		r.conn.Write(data)
		r.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		r.conn.Read(make([]byte, 64))
		r.conn.Close()
		fuzzLeft(t, h, before)
		for st := bob.Hears(); st != nil; st = bob.Hears() {
			if from := st.From.Domain(); from != "evil.example" && from != "b.example" || from == "b.example" && strings.Contains(st.String(), "<body>") && st.Type != "error" {
				t.Errorf("somebody got through: %s", st)
			}
		}
	})
}

// fuzzLeft wants nothing to be left of a stream, and nothing to have panicked.
func fuzzLeft(t *testing.T, h *house, before int) {
	t.Helper()
	h.CloseDomain("evil.example")
	routertest.Eventually(t, "no stream is left", func() bool { return len(h.allLinks()) == 0 })
	routertest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+3 })
	if n := h.Router.Stats().Panics.Load(); n != 0 || h.log.has("panicked") {
		t.Fatalf("%d panics: %s", n, h.log)
	}
	h.log.mu.Lock()
	h.log.b.Reset()
	h.log.mu.Unlock()
}

// A scripted server sends anything in some state of a stream that we have opened.
type scripted struct {
	l     net.Listener
	cfg   *tls.Config
	stage uint8
	data  []byte
}

const (
	outFeatures = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>"
	outStages   = 7
)

// serve goes through a stream up to the stage, says what is to be said, and closes.
func (s *scripted) serve(t testing.TB, c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	stage := s.stage % outStages
	if stage == 0 { // instead of TLS
		c.Write(s.data)
		return
	}
	r := &raw{t: t, conn: tls.Server(c, s.cfg), mild: true}
	r.hears("version='1.0'>")
	for i, step := range []func(){
		func() { r.say("%s", strings.ReplaceAll(fakeHeader, "b.example", "evil.example")) },
		func() { r.say(outFeatures) },
		func() { r.hears("</db:result>") },
		func() { r.say("<db:result from='evil.example' to='a.example' type='valid'/>") },
		func() { r.hears("<enable") },
		func() { r.say("<enabled xmlns='urn:xmpp:sm:3' id='z' resume='1'/>"); r.hears("</message>") },
	} {
		if i+1 == int(stage) {
			break
		}
		step()
	}
	r.conn.Write(s.data)
	c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	io.Copy(io.Discard, r.conn)
}

// FuzzOutgoing has a server that we connect to say anything in any state of the stream.
func FuzzOutgoing(f *testing.F) {
	for i := range outStages {
		for _, seed := range fuzzSeeds {
			f.Add(uint8(i), []byte(seed))
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	cert := server(f, nil, names{dns: []string{"evil.example"}})
	s := &scripted{l: l, cfg: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.cert.Raw}, PrivateKey: cert.key}}}}
	h := open(f, func(p *plan) { p.set.Connect = 3 * time.Second }, "a.example")
	h.leads("evil.example", l.Addr().String(), true)
	ann, dora := h.Online("ann@a.example/1"), h.Online("dora@a.example/2")
	f.Fuzz(func(t *testing.T, stage uint8, data []byte) {
		before := runtime.NumGoroutine()
		s.stage, s.data = stage, data
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := l.Accept(); err == nil {
				s.serve(t, c)
			}
		}()
		st, err := xmpp.ParseStanza("<message from='ann@a.example/1' to='u@evil.example' type='chat' id='f'><body>x</body></message>")
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		h.Router.Deliver(&rd, st)
		rd.Flush()
		<-done
		r := h.known(pair{"a.example", "evil.example"})
		fuzzForget(h, r)
		fuzzLeft(t, h, before)
		fuzzForget(h, r)
		for _, who := range []*routertest.Actor{ann, dora} {
			for st := who.Hears(); st != nil; st = who.Hears() {
				if st.From.Domain() != "evil.example" && st.From != who.JID() {
					t.Errorf("%s hears %s", who.JID(), st)
				}
			}
		}
	})
}

// fuzzForget has what waits be given up, and the next stream be tried at once.
func fuzzForget(h *house, r *route) {
	set := *h.settings.Load()
	set.GiveUp = 0
	h.SetSettings(set)
	defer func() { set.GiveUp = time.Hour; h.SetSettings(set) }()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		rests := r.state == resting && len(r.queue) == 0
		r.resume, r.failure, r.barren, r.away = nil, nil, 0, absence{}
		r.mu.Unlock()
		if rests && len(h.allLinks()) == 0 {
			break
		}
		h.CloseDomain("evil.example")
	}
	r.mu.Lock()
	r.retryAt = time.Time{}
	r.mu.Unlock()
}

// FuzzDialback reads dialback elements and features of any form.
func FuzzDialback(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var sc xmpp.Scanner
		sc.Reset(xmpp.NSServer, false, xmpp.Limits{Stanza: unprovenStanza})
		all := append([]byte(fakeHeader), data...)
		copy(sc.Space(len(all)), all)
		sc.Filled(len(all))
		sc.Next()
		if ev, err := sc.Next(); err != nil || ev != xmpp.EventStanza {
			return
		}
		st := sc.Stanza()
		if from, to, ok := dialbackPair(st); ok && (from == "" || to == "") {
			t.Errorf("no domains in %s", st)
		}
		if condition, text := dialbackError(st, st.Child(nsDialback, "error")); condition == "" || len(text) > 4*MaxTrailText {
			t.Errorf("%q %q of %s", condition, text, st)
		}
		if got := readFeatures(st); got.maxBytes < 0 {
			t.Errorf("%+v of %s", got, st)
		}
		streamErrorOf(st)
		failureOf(st)
	})
}
