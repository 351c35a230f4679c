package s2s

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xmpp"
)

// TestResumedTwice has a stream be resumed, and that connection be lost too, before what came in the
// stream is written: who resumes it then is told that it has come, once it has.
func TestResumedTwice(t *testing.T) {
	ca := newCA(t, "authority", nil)
	mine := server(t, ca, names{dns: []string{"a.example"}})
	b := open(t, certified(t, ca, nil), "b.example")
	bob := b.Online("bob@b.example/2")
	first := dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	first.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	_, id, _ := strings.Cut(first.hears("resume="), " id='")
	id, _, _ = strings.Cut(id, "'")
	second, third := dialRaw(t, b.starttls).known(mine, "a.example", "b.example"), dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	lost := b.resumable(id, pair{"b.example", "a.example"})
	b.Disk.Slow(2 * time.Second)
	defer b.Disk.Slow(0)
	first.say("%s", "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message><r xmlns='urn:xmpp:sm:3'/>")
	first.hears("<a xmlns='urn:xmpp:sm:3' h='0'/>") // it is on its way
	first.conn.Close()
	resume := "<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>"
	second.say("%s", resume)
	routertest.Eventually(t, "the second has it", func() bool { return b.resumable(id, pair{"b.example", "a.example"}) != lost })
	second.conn.Close()
	third.say("%s", resume)
	third.hears("<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='1'/>")
	wants(t, bob, helloHeard)
}

// bothOpen has each of two houses open a stream of both directions at the same time, by which it sends.
func bothOpen(t *testing.T) (a, b *house, toA, toB *wire, ann, bob *routertest.Actor) {
	t.Helper()
	a, b = two(t, certified(t, newCA(t, "authority", nil), nil), false)
	toA, toB = newWire(t, a.starttls), newWire(t, b.starttls)
	a.leads("b.example", toB.l.Addr().String(), false)
	b.leads("a.example", toA.l.Addr().String(), false)
	ann, bob = a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	toA.slow(20 * time.Millisecond) // so that neither is there before the other is being opened
	toB.slow(20 * time.Millisecond)
	ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	bob.Says("<message to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, bob, helloHeard)
	wants(t, ann, "<message from='bob@b.example/2' to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	routertest.Eventually(t, "all is acknowledged", func() bool { return a.Figures(0).Unacknowledged+b.Figures(0).Unacknowledged == 0 })
	toA.slow(0)
	toB.slow(0)
	for _, h := range []*house{a, b} {
		for _, l := range h.allLinks() {
			l.mu.Lock()
			routes, out, bidi := len(l.routes), l.out, l.bidi
			l.mu.Unlock()
			if routes > 0 != out || !bidi {
				t.Fatalf("%d send by a stream (ours: %v, both directions: %v)", routes, out, bidi)
			}
		}
	}
	return a, b, toA, toB, ann, bob
}

// lost is how many streams a route may resume, or have resumed.
func (h *house) lost(p pair) int {
	r := h.route(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.resume)
}

// TestBothOpenAndLost has two servers open a stream of both directions at the same time and lose both. What
// has arrived does not come again, whichever is resumed first.
func TestBothOpenAndLost(t *testing.T) {
	t.Parallel()
	for _, theirsFirst := range []bool{false, true} {
		a, b, toA, toB, ann, bob := bothOpen(t)
		toB.deafen()
		ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
		wants(t, bob, helloHeard)
		toA.refuse(true)
		toB.refuse(true)
		way := pair{"a.example", "b.example"}
		toB.cut()
		routertest.Eventually(t, "the one is lost", func() bool { return a.lost(way) == 1 })
		toA.cut()
		routertest.Eventually(t, "the other, too", func() bool { return a.lost(way) == 2 })
		if theirsFirst {
			toA.refuse(false)
			b.known(pair{"b.example", "a.example"}).hurry()
			routertest.Eventually(t, "theirs is resumed", func() bool { return a.stats.Resumed.Load() == 1 })
		}
		toB.refuse(false)
		a.known(way).hurry()
		ann.Says("<message to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
		wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	}
}

// TestOtherStreamWhileLost has a server that has lost its stream and cannot connect be reached by one that the other
// side opens: it goes on trying for a while to resume its own, and then does with that.
func TestOtherStreamWhileLost(t *testing.T) {
	t.Parallel()
	a, b := two(t, certified(t, newCA(t, "authority", nil), nil), false)
	toB := newWire(t, b.starttls)
	a.leads("b.example", toB.l.Addr().String(), false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, bob, helloHeard)
	routertest.Eventually(t, "it is acknowledged", func() bool { return a.Figures(0).Unacknowledged == 0 })
	began := time.Now()
	toB.refuse(true)
	toB.cut()
	way := pair{"a.example", "b.example"}
	routertest.Eventually(t, "it is lost", func() bool { return a.lost(way) == 1 })
	routertest.Eventually(t, "there, too", func() bool { return b.lost(pair{"b.example", "a.example"}) == 1 })
	ann.Says("<message to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	b.known(pair{"b.example", "a.example"}).notResumed(func(*resumption) bool { return true }) // as if that had never sent by it
	bob.Says("<message to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, ann, "<message from='bob@b.example/2' to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	if d := time.Since(began); d < comesBack {
		t.Errorf("it does with the other after %s", d)
	}
}

// TestRefusedForAWhile has a server that has lost its stream be refused for most of the time that it has, while the
// other side has opened one of its own: it resumes it as soon as it can, and nothing comes twice.
func TestRefusedForAWhile(t *testing.T) {
	t.Parallel()
	a, b := two(t, certified(t, newCA(t, "authority", nil), nil), false)
	toB := newWire(t, b.starttls)
	a.leads("b.example", toB.l.Addr().String(), false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	bob.Says("<message to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, ann, "<message from='bob@b.example/2' to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
	routertest.Eventually(t, "all is acknowledged", func() bool { return a.Figures(0).Unacknowledged+b.Figures(0).Unacknowledged == 0 })
	toB.deafen()
	ann.Says(hello)
	wants(t, bob, helloHeard)
	toB.refuse(true)
	toB.cut()
	time.Sleep(comesBack * 3 / 5)
	toB.refuse(false)
	ann.Says("<message to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	if n := b.stats.Resumed.Load(); n != 1 {
		t.Errorf("%d streams were resumed", n)
	}
}

// TestReachedByTheOther has a server wait for one that it cannot connect to, and be connected to by that: it does
// with this stream at once, whether it is in the middle of an attempt or waits for the next one.
func TestReachedByTheOther(t *testing.T) {
	for _, waits := range []bool{false, true} {
		a, b := two(t, certified(t, newCA(t, "authority", nil), func(p *plan) { p.set.Connect = 15 * time.Second }), false)
		came := make(chan struct{}, 10)
		silent := stands(t, func(c net.Conn) { came <- struct{}{}; io.Copy(io.Discard, c) })
		ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
		if waits {
			a.leads("b.example", "127.0.0.1:1", false)
			ann.Says(hello)
			routertest.Eventually(t, "it has failed", func() bool { return a.stats.Failed.Load() == 1 })
			a.leads("b.example", silent, false)
		} else {
			a.leads("b.example", silent, false)
			ann.Says(hello)
			<-came
		}
		began := time.Now()
		bob.Says("<message to='ann@a.example' type='chat' id='1'><body>Hello</body></message>")
		wants(t, bob, helloHeard)
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("waits=%v: it waits for %s though there is a stream", waits, d)
		}
	}
}

// loose returns a stream of ours with the other side that is in nobody's hands.
func (h *house) loose(p pair) *link {
	c, err := net.Dial("tcp", stands(h.t, func(c net.Conn) { io.Copy(io.Discard, c) }))
	if err != nil {
		h.t.Fatal(err)
	}
	tcp, err := xmpp.NewTCP(c.(*net.TCPConn))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { tcp.Close(0) })
	l := newLink(h.Server, tcp, true)
	l.head, l.bidi = p, true
	return l
}

func element(t *testing.T, text string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseStanza(text)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

var errLost = &lostError{io.ErrUnexpectedEOF}

// TestLostWhileJoining has a stream be lost while a route joins it, and another one, too.
func TestLostWhileJoining(t *testing.T) {
	a := open(t, nil, "a.example")
	p := pair{"a.example", "b.example"}
	r, l, other := a.route(p), a.loose(p), a.loose(p)
	r.mu.Lock()
	r.state, r.joining = connecting, l
	r.mu.Unlock()
	if !l.attach(r) {
		t.Fatal("it is over")
	}
	l.end(errLost)
	other.end(errLost)
	if list, state := r.takeAll(l); state != resting || len(list) > 0 || r.leavesBy() != nil {
		t.Errorf("state %d with the lost one", state)
	}
	r.rest()
}

// TestLostBehindAnswer has a stream be lost when the answer to enabling stream management, or to resuming, has been
// read, and whoever has asked has not gone on: it may be resumed.
func TestLostBehindAnswer(t *testing.T) {
	a := open(t, nil, "a.example")
	p := pair{"a.example", "b.example"}
	r, first, second := a.route(p), a.loose(p), a.loose(p)
	r.mu.Lock()
	r.state = connecting // by this test
	r.mu.Unlock()
	first.smReply = make(chan *xmpp.Stanza, 1)
	first.replied(element(t, "<enabled xmlns='urn:xmpp:sm:3' id='X' resume='true'/>"))
	first.end(errLost)
	back := r.resumes()
	if back == nil || back.id != "X" {
		t.Fatalf("%+v may be resumed", back)
	}
	st := element(t, "<message xmlns='jabber:server' from='ann@a.example/1' to='bob@b.example'/>")
	r.mu.Lock()
	back.n, r.queue = 2, []item{{st: st, size: 1}, {st: st, size: 1}}
	r.mu.Unlock()
	second.smReply, second.smAsks = make(chan *xmpp.Stanza, 1), back
	answer := element(t, "<resumed xmlns='urn:xmpp:sm:3' previd='X' h='1'/>")
	second.replied(answer)
	second.end(errLost)
	if err := second.resumedBy(r, back, answer); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) != 1 || len(r.resume) != 1 || r.resume[0].link != second || r.resume[0].acked != 1 {
		t.Errorf("%d wait, and %+v may be resumed", len(r.queue), r.resume)
	}
	r.queue, r.resume, r.state = nil, nil, resting
}

// TestTimedOutThere has the other side end a stream on which it has heard nothing: that is resumed like a lost one.
func TestTimedOutThere(t *testing.T) {
	second := make(chan string, 1)
	n := 0
	f := newFake(t, func(r *raw) {
		r.believes(offersSM)
		if n++; n > 1 {
			second <- r.hears("previd='X'")
			return
		}
		r.hears("<enable")
		r.say("<enabled xmlns='urn:xmpp:sm:3' id='X' resume='true'/>")
		r.hears("</message>")
		r.say("<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	a.Online("ann@a.example/1").Says(hello)
	if got := <-second; !strings.Contains(got, "<resume") {
		t.Errorf("not resumed: %s", got)
	}
}

// TestCheckCarriesNothing has a check open a stream by which nothing else happens.
func TestCheckCarriesNothing(t *testing.T) {
	said := make(chan string, 1)
	f := newFake(t, func(r *raw) {
		r.say("%s<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><bidi xmlns='urn:xmpp:features:bidi'/>%s</stream:features>", fakeHeader, offersSM)
		key := r.hears("</db:result>")
		r.say("<db:result from='b.example' to='a.example' type='valid'/>")
		said <- key + r.hears("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	if c := a.Check(t.Context(), "a.example", "b.example", false); c.Error != "" || c.Ours != "dialback" {
		t.Errorf("%+v", c)
	}
	if got := <-said; !strings.HasPrefix(got, "<db:result ") || !strings.HasSuffix(got, "</db:result></stream:stream>") {
		t.Errorf("it says %s", got)
	}
}

// TestLastPresence has presence that was sent in a lost stream be remembered when something newer is already.
func TestLastPresence(t *testing.T) {
	a := open(t, nil, "a.example")
	p := pair{"a.example", "b.example"}
	r := a.route(p)
	was := element(t, "<presence xmlns='jabber:server' from='ann@a.example/1' to='bob@b.example'/>")
	is := element(t, "<presence xmlns='jabber:server' from='ann@a.example/1' to='bob@b.example' type='unavailable'/>")
	r.mu.Lock()
	r.state = connecting // by this test
	r.queue = []item{{st: was, size: 1, at: time.Now()}}
	r.mayResume(&resumption{id: "X", link: a.loose(p), n: 1, until: time.Now().Add(resumeFor)})
	r.mu.Unlock()
	r.failed(errors.New("refused"))
	if err := r.Carry(nil, is, 0); err != nil {
		t.Fatal(err)
	}
	r.notResumed((*resumption).ours)
	r.failed(errors.New("refused"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if list := r.remembered(); len(list) != 1 || list[0].st != is {
		t.Errorf("%+v is remembered", list)
	}
	r.state = resting
}

// TestLeftBeforeAnswer has a stream be ended by us before stream management is answered: what comes behind the answer
// is not taken, for the other side, which has no acknowledgement of it, sends it again.
func TestLeftBeforeAnswer(t *testing.T) {
	a := open(t, nil, "a.example")
	l := a.loose(pair{"a.example", "b.example"})
	l.smReply = make(chan *xmpp.Stanza, 1)
	l.end(nil)
	if !l.replied(element(t, "<enabled xmlns='urn:xmpp:sm:3' id='X' resume='true'/>")) || l.count() {
		t.Error("it is taken")
	}
}
