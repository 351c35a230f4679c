package s2s

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router/routertest"
)

// leavesBy returns the stream that the route sends by; nil while there is none.
func (r *route) leavesBy() *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link
}

// pong answers the ping that stands in what came, if there is one.
func (r *raw) pong(got string) {
	if _, id, there := strings.Cut(got, "id='ask-"); there {
		id, _, _ = strings.Cut(id, "'")
		r.say("<iq type='result' id='ask-%s' from='b.example' to='a.example'/>", id)
	}
}

// breaks has the connection be reset.
func (r *raw) breaks() {
	conn := r.conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
	conn.SetLinger(0)
	conn.Close()
}

// A forgetful server does no stream management. The first of its streams is served by the test, and by
// the others it takes what comes, and answers pings.
type forgetful struct {
	*fake
	mu  sync.Mutex
	ids []string // of messages, in the order in which they came by the others
}

func newForgetful(t *testing.T, first func(*raw)) *forgetful {
	f := &forgetful{}
	n := 0
	f.fake = newFake(t, func(r *raw) {
		if n++; n == 1 {
			first(r)
			return
		}
		r.believes("<bidi xmlns='urn:xmpp:features:bidi'/>")
		for got := r.hears(">"); got != ""; got = r.hears(">") {
			f.notes(got)
			r.pong(got)
		}
	})
	return f
}

func (f *forgetful) notes(got string) {
	if _, id, there := strings.Cut(got, "<message"); there {
		_, id, _ = strings.Cut(id, " id='")
		id, _, _ = strings.Cut(id, "'")
		f.mu.Lock()
		f.ids = append(f.ids, id)
		f.mu.Unlock()
	}
}

// wants waits until messages with these ids have come, in this order.
func (f *forgetful) wants(t *testing.T, ids ...string) {
	t.Helper()
	routertest.Eventually(t, fmt.Sprintf("%s come", ids), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Sprint(f.ids) == fmt.Sprint(ids)
	})
}

func saysMany(who *routertest.Actor, ids ...string) {
	for _, id := range ids {
		who.Says("<message to='bob@b.example' type='chat' id='" + id + "'><body>Hello</body></message>")
	}
}

// TestPingWhereAllIsFull has as much wait for a server as may: it is asked all the same whether it has that, and
// what it did not take is not lost.
func TestPingWhereAllIsFull(t *testing.T) {
	goOn, heard := make(chan struct{}), make(chan string, 1)
	f := newForgetful(t, func(r *raw) {
		<-goOn
		r.believes("<bidi xmlns='urn:xmpp:features:bidi'/>")
		heard <- r.hears("id='ask-")
		r.breaks()
	})
	a := open(t, func(p *plan) { p.set.QueueStanzas = 3 }, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	saysMany(a.Online("ann@a.example/1"), "1", "2", "3")
	routertest.Eventually(t, "all wait", func() bool { return a.Figures(0).Waiting == 3 })
	close(goOn)
	if got := <-heard; got == "" {
		t.Error("it was not asked")
	}
	f.wants(t, "1", "2", "3")
}

// TestFallsSilent has a server answer, and then take what it is sent and say nothing: it is not believed to have
// that. One that does so again is.
func TestFallsSilent(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	f := newForgetful(t, func(r *raw) {
		r.believes("<bidi xmlns='urn:xmpp:features:bidi'/>")
		r.pong(r.hears("</message>") + r.hears("</iq>"))
		<-gone // nothing is read any more, as if the machine was off
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	saysMany(ann, "1")
	r := a.known(pair{"a.example", "b.example"})
	routertest.Eventually(t, "it answers", r.answers.Load)
	routertest.Eventually(t, "it has that", func() bool { return a.Figures(0).Unacknowledged == 0 })
	saysMany(ann, "2")
	time.Sleep(pingWithin - time.Second)
	if a.Figures(0).Unacknowledged == 0 {
		t.Error("it is believed")
	}
	saysMany(ann, "3")
	f.wants(t, "2", "3")
	close(gone)
	routertest.Eventually(t, "it answers", r.answers.Load)
}

// TestIdleThere has the other side close what is idle as if it were lost: it is not connected to again for nothing.
func TestIdleThere(t *testing.T) {
	ended := make(chan struct{})
	f := newForgetful(t, func(r *raw) {
		r.believes("<bidi xmlns='urn:xmpp:features:bidi'/>")
		r.pong(r.hears("</iq>"))
		r.say("<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		r.hears("</stream:stream>")
		close(ended)
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	saysMany(a.Online("ann@a.example/1"), "1")
	<-ended
	time.Sleep(time.Second)
	if n := f.conns.Load(); n > 1 {
		t.Errorf("%d connections for one message", n)
	}
}

// TestCloseWhileTalking closes a stream in order while more is said all the time: each message comes once, if the
// answer comes in the time that there is for it.
func TestCloseWhileTalking(t *testing.T) {
	for range 5 {
		if closesWhileTalking(t) < lastAcksWithin {
			return
		}
	}
	t.Fatal("this machine is too busy to answer in time")
}

// closesWhileTalking returns how long closing took. If that was in time it wants all.
func closesWhileTalking(t *testing.T) (took time.Duration) {
	var f *forgetful
	second := make(chan time.Time, 1)
	f = newForgetful(t, func(r *raw) {
		r.believes("<bidi xmlns='urn:xmpp:features:bidi'/>")
		for got := r.hears(">"); got != "" && !strings.Contains(got, "</stream:stream>"); got = r.hears(">") {
			f.notes(got)
			time.AfterFunc(50*time.Millisecond, func() { r.pong(got) }) // the way takes its time
		}
		second <- time.Now()
		r.say("</stream:stream>")
	})
	a := open(t, nil, "a.example")
	a.routes.Store("b.example", []string{f.addr})
	ann := a.Online("ann@a.example/1")
	var ids []string
	var began time.Time
	for i := range 150 {
		ids = append(ids, fmt.Sprint(i))
		saysMany(ann, ids[i])
		time.Sleep(10 * time.Millisecond)
		if i == 50 {
			began = time.Now()
			a.CloseDomain("b.example")
		}
	}
	if took = (<-second).Sub(began); took < lastAcksWithin {
		f.wants(t, ids...)
		if n := f.conns.Load(); n != 2 {
			t.Errorf("%d connections", n)
		}
	}
	return took
}

// TestGrantedWhenOver has a stream be granted that is over: an attempt is not given up for it.
func TestGrantedWhenOver(t *testing.T) {
	a := open(t, func(p *plan) { p.set.Connect = 3 * time.Second }, "a.example")
	p := pair{"a.example", "b.example"}
	came := make(chan struct{}, 10)
	a.leads("b.example", stands(t, func(c net.Conn) { came <- struct{}{}; io.Copy(io.Discard, c) }), false)
	saysMany(a.Online("ann@a.example/1"), "1")
	<-came
	l := a.loose(p)
	l.grants(p, "certificate")
	l.end(nil)
	l.pay(time.Now())
	time.Sleep(200 * time.Millisecond)
	if a.stats.Failed.Load() > 0 {
		t.Error("it has failed")
	}
}

// TestBackoffBehindResumption wants attempts at resuming a stream, which are made quickly, not to count for the time
// behind them.
func TestBackoffBehindResumption(t *testing.T) {
	a := open(t, nil, "a.example")
	p := pair{"a.example", "b.example"}
	r := a.route(p)
	st := element(t, "<message xmlns='jabber:server' from='ann@a.example/1' to='bob@b.example'/>")
	back := &resumption{id: "X", link: a.loose(p), n: 1, until: time.Now().Add(resumeFor)}
	r.mu.Lock()
	r.state, r.queue = connecting, []item{{st: st, size: 1, at: time.Now()}} // by this test
	r.mayResume(back)
	r.mu.Unlock()
	for range 8 {
		r.failed(errors.New("refused"))
	}
	r.mu.Lock()
	back.comes = time.Now()
	r.mu.Unlock()
	r.failed(errors.New("refused"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := time.Until(r.retryAt); d > 3*backoffFirst {
		t.Errorf("the next attempt is made in %s", d)
	}
	r.queue, r.resume, r.state = nil, nil, resting
}
