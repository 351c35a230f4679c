package s2s

import (
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
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
