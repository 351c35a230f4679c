package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// Who takes part, and how long.
const (
	randomPublishers = 3
	randomReaders    = 4
	randomSteps      = 60
	randomLives      = 3
)

// A heard is what one session has heard of each node, in order.
type heard struct {
	mu    sync.Mutex
	texts map[string][]int
	wants []string // nodes
}

// TestEverybodyHearsTheLast has publishers publish and readers come, go and change what they are
// interested in, all at once, over several lives of the house. Who is there in the end has heard
// the last item of each node that it may see and wants; and nobody has heard anything twice, or
// out of order.
func TestEverybodyHearsTheLast(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &randomWorld{last: map[string]int{}}
	for life := range randomLives {
		t.Run(strconv.Itoa(life), func(t *testing.T) {
			cfg := routertest.Config{Storage: storage.Config{Dir: dir}, Dir: accounts}
			r.w = newWorld(t, cfg, Limits{})
			if life == 0 {
				r.acquaint(t)
			}
			r.prove(t)
			r.live(t, rand.New(rand.NewPCG(seed, uint64(life))))
		})
	}
}

type randomWorld struct {
	w *world

	mu   sync.Mutex
	last map[string]int // of publisher and node, what was acknowledged last
}

func publisher(i int) string { return fmt.Sprintf("p%d@example.com", i) }
func readerName(i int) string {
	return fmt.Sprintf("r%d@example.com", i)
}

// acquaint lets all readers but the last see all publishers.
func (r *randomWorld) acquaint(t *testing.T) {
	for i := range randomPublishers {
		p := r.w.Online(publisher(i) + "/first")
		p.Does(publishes("presence", "1", "0", ""))
		p.Does(publishes("open", "1", "0", options("access_model", "open")))
		p.Does(publishes("own", "1", "0", options("access_model", "whitelist")))
		for j := range randomReaders - 1 {
			q := r.w.Online(readerName(j) + "/first")
			befriend(p, q)
			q.Leaves()
		}
		p.Leaves()
	}
	r.w.Exists(xmpp.MustJID(readerName(randomReaders - 1)))
}

// kinds are what readers may be interested in.
func kinds() [][]string {
	return [][]string{{"presence"}, {"open"}, {"own", "presence"}, {"open", "own", "presence"}}
}

// prove has the hashes of all kinds known, so that nobody is asked.
func (r *randomWorld) prove(t *testing.T) {
	r.w.Exists(xmpp.MustJID("prover@example.net"))
	for _, nodes := range kinds() {
		r.w.interested(t, "prover@example.net/x", nodes...).Leaves()
	}
}

// live is one life of the house.
func (r *randomWorld) live(t *testing.T, rnd *rand.Rand) {
	var all sync.WaitGroup
	for i := range randomPublishers {
		local := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		all.Go(func() { r.publishes(t, publisher(i), local) })
	}
	var stay []*stayer
	for i := range randomReaders {
		s := &stayer{r: r, t: t, name: readerName(i), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
		stay = append(stay, s)
		all.Go(s.comesAndGoes)
	}
	for i := range randomPublishers { // a publisher hears itself
		s := &stayer{r: r, t: t, name: publisher(i), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), own: true}
		stay = append(stay, s)
		all.Go(s.comesAndGoes)
	}
	all.Wait()
	r.w.Settle()
	for _, s := range stay {
		s.check()
		s.p.Sender.Leave("")
	}
	r.w.Settle()
}

// publishes publishes numbers that grow at its nodes.
func (r *randomWorld) publishes(t *testing.T, bare string, rnd *rand.Rand) {
	p, err := r.w.Bind(xmpp.MustJID(bare + "/publisher"))
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Sender.Leave("")
	p.Session.Tap(func(*xmpp.Stanza) {})
	for range randomSteps {
		node := []string{"presence", "open", "own"}[rnd.IntN(3)]
		key := bare + " " + node
		r.mu.Lock()
		r.last[key]++
		n := r.last[key]
		r.mu.Unlock()
		say(t, p, publishes(node, "1", strconv.Itoa(n), ""))
	}
}

// say sends a stanza without waiting for what it causes.
func say(t testing.TB, p *routertest.Peer, xml string) {
	var rd router.Round
	st, err := xmpp.ParseStanza(xml)
	if err == nil {
		err = p.Sender.Send(context.Background(), &rd, st)
	}
	if err != nil {
		t.Errorf("%s: %v", xml, err)
	}
	rd.Flush()
}

// A stayer is somebody who comes and goes, and stays in the end.
type stayer struct {
	r    *randomWorld
	t    *testing.T
	name string
	rnd  *rand.Rand
	own  bool // one of a publisher's

	p *routertest.Peer
	h *heard
}

func (s *stayer) comesAndGoes() {
	for i := range randomSteps / 4 {
		if s.p != nil && s.rnd.IntN(3) == 0 {
			say(s.t, s.p, `<presence type='unavailable'/>`)
			s.p.Sender.Leave("")
			s.check0()
			s.p = nil
		}
		if s.p == nil {
			var err error
			if s.p, err = s.r.w.Bind(xmpp.MustJID(s.name + "/stayer" + strconv.Itoa(i))); err != nil {
				s.t.Error(err)
				return
			}
			s.h = &heard{texts: map[string][]int{}}
			s.p.Session.Tap(s.h.hears)
		}
		s.h.mu.Lock()
		s.h.wants = kinds()[s.rnd.IntN(len(kinds()))]
		wants := s.h.wants
		s.h.mu.Unlock()
		say(s.t, s.p, `<presence>`+shown(s.t, wants...)+`</presence>`)
	}
}

func (h *heard) hears(st *xmpp.Stanza) {
	node, text, ok := texts(st)
	if !ok {
		return
	}
	n, _ := strconv.Atoi(text)
	h.mu.Lock()
	key := st.From.Bare().String() + " " + node
	h.texts[key] = append(h.texts[key], n)
	h.mu.Unlock()
}

// check0 looks that nothing came twice or out of order. What a session was not interested in for
// a while it may hear once more when it is again: the last item is what it is given then.
func (s *stayer) check0() {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	for key, list := range s.h.texts {
		for i := 1; i < len(list); i++ {
			if list[i] < list[i-1] {
				s.t.Errorf("%s heard of %s: %v", s.name, key, list)
				break
			}
		}
	}
}

// check is check0 for who stays, who has also heard the last of all that it wants and may see.
func (s *stayer) check() {
	if s.p == nil {
		return
	}
	s.check0()
	for i := range randomPublishers {
		for _, node := range s.h.wants {
			own := s.name == publisher(i)
			stranger := !own && (s.own || s.name == readerName(randomReaders-1))
			list, want := s.h.texts[publisher(i)+" "+node], s.r.last[publisher(i)+" "+node]
			switch {
			case !own && (stranger || node == "own"):
				if len(list) > 0 {
					s.t.Errorf("%s heard of %s's %s: %v", s.name, publisher(i), node, list)
				}
			case len(list) == 0 || list[len(list)-1] != want:
				s.t.Errorf("%s heard of %s's %s %v, and not %d", s.name, publisher(i), node, list, want)
			}
		}
	}
}

// TestNobodyHearsTwice is the same for readers who stay interested in the same: strictly.
func TestNobodyHearsTwice(t *testing.T) {
	r := &randomWorld{last: map[string]int{}, w: newWorld(t, routertest.Config{}, Limits{})}
	r.acquaint(t)
	r.prove(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all sync.WaitGroup
	var some atomic.Int64
	for i := range randomPublishers {
		all.Go(func() { r.publishes(t, publisher(i), rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range randomReaders - 1 {
		all.Go(func() {
			for j := range 20 {
				p, err := r.w.Bind(xmpp.MustJID(fmt.Sprintf("%s/x%d", readerName(i), j)))
				if err != nil {
					t.Error(err)
					return
				}
				h := &heard{texts: map[string][]int{}}
				p.Session.Tap(h.hears)
				say(t, p, `<presence>`+shown(t, "open", "own", "presence")+`</presence>`)
				time.Sleep(time.Duration(j%5) * time.Millisecond)
				p.Sender.Leave("")
				h.mu.Lock()
				some.Add(int64(len(h.texts)))
				for key, list := range h.texts {
					for k := 1; k < len(list); k++ {
						if list[k] <= list[k-1] {
							t.Errorf("%s of %s: %v", p.Session.JID(), key, list)
						}
					}
				}
				h.mu.Unlock()
			}
		})
	}
	all.Wait()
	r.w.Settle()
	if some.Load() == 0 {
		t.Error("nobody has heard anything")
	}
}
