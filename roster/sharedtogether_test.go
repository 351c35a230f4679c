package roster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestSharedTogether has groups change while people come, go, and change presence, all at
// once. When all is quiet every client knows what is, as in TestSharedRandom.
func TestSharedTogether(t *testing.T) {
	for seed := range uint64(10) {
		p := &troupe{company: newCompany(t), rnd: rand.New(rand.NewPCG(seed, 3)), there: map[string]*watcher{}, gone: map[string]bool{}}
		for _, user := range troupePeople {
			p.Exists(xmpp.MustJID(user))
			w := &watcher{actor: p.Connected(user + "/0"), items: map[string]string{}, sees: map[xmpp.JID]bool{}}
			p.there[user+"/0"] = w
			p.fetch(w)
			p.says(w, "<presence/>")
		}
		p.together(seed)
		p.Settle()
		for _, w := range p.there {
			p.listen(w)
		}
		if why := p.wrong(); why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
	}
}

func (p *troupe) together(seed uint64) {
	var all sync.WaitGroup
	all.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 1))
		for range 30 {
			p.groups.Set([]SharedGroup{group(troupeGroups[rnd.IntN(3)]), group(troupeGroups[3+rnd.IntN(2)])}[:1+rnd.IntN(2)])
		}
	})
	for _, user := range troupePeople {
		all.Go(func() {
			for i := range 20 {
				peer, err := p.Bind(xmpp.MustJID(fmt.Sprintf("%s/guest", user)))
				if err != nil {
					p.t.Error(err)
					return
				}
				speak(p.t, peer, "<presence/>", rosterGet, "<presence><show>away</show></presence>")
				if i%2 == 0 {
					speak(p.t, peer, "<presence type='unavailable'/>")
				}
				peer.Sender.Leave("")
			}
		})
	}
	for _, w := range p.there {
		all.Go(func() {
			for range 20 {
				speak(p.t, w.actor.Peer(), "<presence><show>dnd</show></presence>", "<presence/>")
			}
		})
	}
	all.Wait()
}

// speak sends stanzas without waiting for what comes of them.
func speak(t testing.TB, p *routertest.Peer, stanzas ...string) {
	var rd router.Round
	defer rd.Flush()
	for _, xml := range stanzas {
		st, err := xmpp.ParseStanza(xml)
		if err == nil {
			err = p.Sender.Send(context.Background(), &rd, st)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestLeavesWithTheGroup: a resource that leaves before its account has heard that a group
// is gone is seen to leave by those who saw it.
func TestLeavesWithTheGroup(t *testing.T) {
	c := newCompany(t)
	c.has("All: example.com")
	r, j := c.Online(romeo+"/a"), c.Online(juliet+"/b")
	r.Forgets()
	c.feature.shared.swap(func(*snapshot, uint64) *snapshot { return newSnapshot(nil, nil) })
	j.Leaves()
	r.Gets("<presence type='unavailable' from='juliet@example.com/b' to='romeo@example.com'/>")
	c.feature.shared.announce()
	c.Settle()
	r.GetsNothing()
}

// TestTooManyPeople: who finds no room is left out on every side.
func TestTooManyPeople(t *testing.T) {
	var people []Person
	for i := range maxPeople + 5 {
		jid := xmpp.MustJID(fmt.Sprintf("p%06d@example.com", maxPeople+5-i))
		people = append(people, Person{jid, jid.Local()})
	}
	last, first := people[0].JID, people[len(people)-1].JID // by address
	s := newSnapshot([]SharedGroup{group("All: example.com")}, people)
	if len(s.people) != maxPeople || s.lost != 5 || s.list(last) != nil {
		t.Errorf("%d people, %d lost, the last has %d contacts", len(s.people), s.lost, s.list(last).len())
	}
	if l := s.list(first); l.len() != maxPeople {
		t.Errorf("the first has %d contacts", l.len())
	}
	if more := s.with(Person{xmpp.MustJID("a@example.com"), "a"}); len(more.people) != maxPeople {
		t.Errorf("one more makes %d", len(more.people))
	}
}

// TestWhatIsRemembered: lists and their texts are bounded.
func TestWhatIsRemembered(t *testing.T) {
	var groups []SharedGroup
	var people []Person
	for i := range 9 { // so many parts that there are more of them than lists are kept
		g := SharedGroup{Name: fmt.Sprint("g", i)}
		for j := range 1 << 9 {
			if j>>i&1 == 1 {
				g.Members = append(g.Members, xmpp.MustJID(employee(j)))
			}
		}
		g.ShownTo = g.Members
		groups = append(groups, g)
	}
	for j := range 1 << 9 {
		people = append(people, Person{xmpp.MustJID(employee(j)), "x"})
	}
	s := newSnapshot(groups, people)
	for j := 1; j < 1<<9; j++ {
		l := s.list(xmpp.MustJID(employee(j)))
		if s.written(l); len(s.lists) > maxLists || len(s.texts) > maxTexts {
			t.Fatalf("%d lists and %d texts are kept", len(s.lists), len(s.texts))
		}
	}
	if first := s.texts[0]; first.text.Load() == nil {
		t.Error("a text that is remembered is not there")
	}
}
