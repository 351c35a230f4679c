package s2s

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router/routertest"
)

// A wire carries connections to a server, until it is cut.
type wire struct {
	to    string
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
	delay time.Duration // of what is carried
	deaf  bool          // nothing is carried back
	shut  bool          // nobody is let in
}

func newWire(t testing.TB, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: to, l: l}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			to, shut := w.to, w.shut
			w.mu.Unlock()
			b, err := net.Dial("tcp", to)
			if err != nil || shut {
				a.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, a, b)
			w.mu.Unlock()
			go w.copy(a, b, true)
			go w.copy(b, a, false)
		}
	}()
	return w
}

func (w *wire) copy(a, b net.Conn, back bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := b.Read(buf)
		if err != nil {
			break
		}
		w.mu.Lock()
		delay, deaf := w.delay, w.deaf && back
		w.mu.Unlock()
		time.Sleep(delay)
		if deaf {
			continue
		}
		if _, err := a.Write(buf[:n]); err != nil {
			break
		}
	}
	a.Close()
	b.Close()
}

// slow has everything take its time.
func (w *wire) slow(delay time.Duration) {
	w.mu.Lock()
	w.delay = delay
	w.mu.Unlock()
}

// deafen has nothing be carried back any more, until the next cut.
func (w *wire) deafen() {
	w.mu.Lock()
	w.deaf = true
	w.mu.Unlock()
}

// refuse has nobody be let in.
func (w *wire) refuse(all bool) {
	w.mu.Lock()
	w.shut = all
	w.mu.Unlock()
}

// cut loses all connections, with what is on its way.
func (w *wire) cut() {
	w.mu.Lock()
	list := w.conns
	w.conns, w.deaf = nil, false
	w.mu.Unlock()
	for _, c := range list {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// TestCut sends messages both ways while connections are cut: each arrives, once and in
// order, for the streams are resumed (XEP-0198 §5).
func TestCut(t *testing.T) {
	for _, bidi := range []bool{false, true} {
		t.Run(fmt.Sprintf("bidi=%v", bidi), func(t *testing.T) { cutTest(t, bidi) })
	}
}

// TestCutWithoutAcknowledgements does it where nobody acknowledges: each message arrives, and
// some come again.
func TestCutWithoutAcknowledgements(t *testing.T) {
	a, b := two(t, func(p *plan) { p.set.Manage = false }, false)
	toB := newWire(t, b.starttls)
	a.leads("b.example", toB.l.Addr().String(), false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	const n = 600
	for i := range n {
		if i%150 == 100 {
			toB.cut()
		}
		ann.Says(fmt.Sprintf("<message to='bob@b.example' type='chat' id='a%d'><body>x</body></message>", i))
	}
	next, again := 0, 0
	for next < n {
		var got string
		routertest.Eventually(t, fmt.Sprintf("bob hears a%d", next), func() bool {
			st := bob.Hears()
			if st == nil || !strings.HasPrefix(st.ID, "a") {
				return false
			}
			got = st.ID
			return true
		})
		var i int
		fmt.Sscanf(got, "a%d", &i)
		switch {
		case i == next:
			next++
		case i < next:
			again++
		default:
			t.Fatalf("a%d comes, and a%d is missing", i, next)
		}
	}
	t.Logf("%d of %d came again", again, n)
	routertest.Eventually(t, "nothing waits", func() bool { return a.Figures(1).Unacknowledged <= 1 })
}

func cutTest(t *testing.T, bidi bool) {
	a, b := two(t, func(p *plan) { p.set.Bidi = bidi }, false)
	toB, toA := newWire(t, b.starttls), newWire(t, a.starttls)
	a.leads("b.example", toB.l.Addr().String(), false)
	b.leads("a.example", toA.l.Addr().String(), false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says("<message to='bob@b.example' type='chat' id='first'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='first'><body>Hello</body></message>")

	const n = 1000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4 {
			time.Sleep(60 * time.Millisecond)
			toB.cut()
			toA.cut()
		}
	}()
	for i := range n {
		ann.Says(fmt.Sprintf("<message to='bob@b.example' type='chat' id='a%d'><body>x</body></message>", i))
		if i%2 == 0 {
			bob.Says(fmt.Sprintf("<message to='ann@a.example' type='chat' id='b%d'><body>x</body></message>", i))
		}
	}
	<-done
	inOrder(t, bob, "a", n, 1)
	inOrder(t, ann, "b", n, 2)
}

// inOrder wants messages with ids of one kind, each once.
func inOrder(t *testing.T, who *routertest.Actor, prefix string, n, step int) {
	t.Helper()
	for i := 0; i < n; {
		want := fmt.Sprintf("%s%d", prefix, i)
		var got string
		routertest.Eventually(t, who.JID().String()+" hears "+want, func() bool {
			st := who.Hears()
			if st == nil || !strings.HasPrefix(st.ID, prefix) {
				return false
			}
			got = st.ID
			return true
		})
		if got != want {
			t.Fatalf("%s hears %s instead of %s", who.JID(), got, want)
		}
		i += step
	}
	time.Sleep(300 * time.Millisecond)
	for st := who.Hears(); st != nil; st = who.Hears() {
		t.Fatalf("%s hears %s once more", who.JID(), st)
	}
}
