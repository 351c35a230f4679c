package s2s

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xmpp"
)

// A storm is two houses with people who talk while everything that can happen to streams
// happens to theirs.
type storm struct {
	t        *testing.T
	a, b     *house
	toA, toB *wire
	people   []*talker
	restarts bool // somebody was
	idle     bool // streams are closed when they are idle, instead of being cut
}

// A talker sends numbered messages to everybody in the other house.
type talker struct {
	*routertest.Actor
	sent map[string]int   // to whom -> how many
	got  map[string][]int // from whom -> which, in order
}

func (s *storm) others(p *talker) (list []*talker) {
	for _, q := range s.people {
		if q.JID().Domain() != p.JID().Domain() {
			list = append(list, q)
		}
	}
	return list
}

// says has a talker say something to somebody.
func (s *storm) says(r *rand.Rand, p *talker) {
	to := s.others(p)[r.IntN(len(s.others(p)))]
	size := 1 + r.IntN(20)
	if r.IntN(50) == 0 {
		size = 50_000
	}
	switch r.IntN(6) {
	case 0:
		p.Says(fmt.Sprintf("<iq to='%s' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>", to.JID().Domain()))
	case 1:
		p.Says(fmt.Sprintf("<presence to='%s'/>", to.JID()))
	default:
		n := p.sent[to.JID().String()]
		p.sent[to.JID().String()]++
		p.Says(fmt.Sprintf("<message to='%s' type='chat' id='n%d'><body>%s</body></message>", to.JID(), n, strings.Repeat("x", size)))
	}
}

func (p *talker) hears() {
	for st := p.Hears(); st != nil; st = p.Hears() {
		var n int
		if _, err := fmt.Sscanf(st.ID, "n%d", &n); err == nil && st.Kind == xmpp.Message && st.Type == "chat" {
			p.got[st.From.String()] = append(p.got[st.From.String()], n)
		}
	}
}

// happens has something happen.
func (s *storm) happens(r *rand.Rand, restarts bool) {
	// A stream that is cut in the moment in which one side has closed it leaves the other in
	// doubt; that is nobody's fault, and so one storm has either.
	switch what := r.IntN(12); {
	case what < 3 && !s.idle:
		[]*wire{s.toA, s.toB, s.toB}[what].cut()
	}
	switch r.IntN(12) {
	case 3, 4:
		if h := []*house{s.a, s.b}[r.IntN(2)]; !s.idle {
			h.CloseDomain("a.example")
			h.CloseDomain("b.example")
		}
	case 5:
		if !s.idle {
			break
		}
		set := *s.b.settings.Load()
		set.Idle = []time.Duration{5 * time.Millisecond, time.Minute}[r.IntN(2)]
		s.b.SetSettings(set)
	case 6:
		s.toB.slow(time.Duration(r.IntN(40)) * time.Millisecond)
	case 7:
		if restarts && r.IntN(2) == 0 {
			s.restarts = true
			h := []*house{s.a, s.b}[r.IntN(2)]
			h.stop()
			h.again()
			s.wires(h)
		}
	}
	time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
}

// wires has the wires lead to a house that listens elsewhere now.
func (s *storm) wires(h *house) {
	w := s.toA
	if h == s.b {
		w = s.toB
	}
	w.mu.Lock()
	w.to = h.starttls
	w.mu.Unlock()
}

// TestStorm wants every message to arrive, in the order in which its sender has sent it, and
// once; twice, under the same id, only where a server was restarted, or where there is no stream
// management and nobody has answered for it.
func TestStorm(t *testing.T) {
	for _, c := range []struct{ bidi, manage, restarts bool }{
		{false, true, false}, {true, true, false}, {false, true, true}, {true, true, true}, {false, false, false}, {true, false, false},
	} {
		t.Run(fmt.Sprintf("bidi=%v,sm=%v,restarts=%v", c.bidi, c.manage, c.restarts), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			s := &storm{t: t, idle: r.IntN(3) == 0}
			unarchived := r.IntN(2) == 0 // so that what is said is written only where it takes long
			t.Logf("unarchived: %v", unarchived)
			s.a, s.b = two(t, func(p *plan) { p.set.Bidi, p.set.Manage, p.unarchived = c.bidi, c.manage, unarchived }, false)
			s.toA, s.toB = newWire(t, s.a.starttls), newWire(t, s.b.starttls)
			s.a.leads("b.example", s.toB.l.Addr().String(), false)
			s.b.leads("a.example", s.toA.l.Addr().String(), false)
			for _, name := range []string{"ann@a.example/1", "amy@a.example/1", "bob@b.example/2", "ben@b.example/2"} {
				h := s.a
				if strings.Contains(name, "@b.") {
					h = s.b
				}
				s.people = append(s.people, &talker{Actor: h.Online(name), sent: map[string]int{}, got: map[string][]int{}})
			}
			s.rages(r, c.restarts)
			s.settles(c.manage)
		})
	}
}

// rages has everybody talk while things happen.
func (s *storm) rages(r *rand.Rand, restarts bool) {
	for range 60 {
		for range 1 + r.IntN(20) {
			s.says(r, s.people[r.IntN(len(s.people))])
		}
		s.happens(r, restarts)
	}
	for _, h := range []*house{s.a, s.b} {
		set := *h.settings.Load()
		set.Idle = time.Minute
		h.SetSettings(set)
	}
	s.toB.slow(0)
}

// settles waits until everything has arrived, and looks at it.
func (s *storm) settles(once bool) {
	for end, quiet := time.Now().Add(30*time.Second), 0; quiet < 30 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		before := s.heard()
		for _, p := range s.people {
			p.hears()
		}
		if quiet++; s.heard() != before || s.waits() {
			quiet = 0
		}
	}
	for _, p := range s.people {
		for _, q := range s.others(p) {
			s.compare(q.JID().String()+" -> "+p.JID().String(), q.sent[p.JID().String()], p.got[q.JID().String()], once)
		}
	}
}

func (s *storm) heard() (n int) {
	for _, p := range s.people {
		for _, list := range p.got {
			n += len(list)
		}
	}
	return n
}

func (s *storm) waits() bool {
	for _, h := range []*house{s.a, s.b} {
		if f := h.Figures(0); f.Waiting+f.Unacknowledged > 0 {
			return true
		}
	}
	return false
}

func (s *storm) compare(what string, sent int, got []int, once bool) {
	s.t.Helper()
	next, twice := 0, 0
	for i, n := range got {
		switch {
		case n > next:
			s.t.Fatalf("%s: %d comes where %d should: %v", what, n, next, got[max(0, i-5):min(len(got), i+5)])
		case n < next:
			twice++
		default:
			next++
		}
	}
	if next < sent {
		s.t.Errorf("%s: %d of %d arrived", what, next, sent)
	}
	if twice > 0 && once && !s.restarts {
		s.t.Errorf("%s: %d came twice", what, twice)
	}
	s.t.Logf("%s: %d sent, %d heard, %d twice", what, sent, len(got), twice)
}
