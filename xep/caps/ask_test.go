package caps

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered is an answer that nobody else gives.
func numbered(i int) string {
	return fmt.Sprintf(`<identity category='client' type='pc'/><feature var='urn:n:%d'/>`, i)
}

// TestFlood has one account announce thousands of hashes: some are looked at.
func TestFlood(t *testing.T) {
	var clock atomic.Int64
	w := newWorld(t, "", func(f *feature) { f.now = func() time.Time { return time.Unix(1e9+clock.Load(), 0) } })
	a := w.Connected("a@example.com/x")
	asked := 0
	announce := func(from, to int) {
		for i := from; i < to; i++ {
			a.Sends(announces("sha-1", of(t, numbered(i))))
			for st := a.Hears(); st != nil; st = a.Hears() {
				if st.Kind == xmpp.IQ {
					asked++
					a.Says(xmpp.Result(st, xmpp.Payload(query(numbered(i)))).String())
				}
			}
		}
	}
	announce(0, 2000)
	if n := w.rows(t); asked != maxNews || n != maxNews {
		t.Errorf("asked for %d, %d rows", asked, n)
	}
	clock.Store(int64(5 * newsEvery / time.Second))
	announce(2000, 2100)
	if asked != maxNews+5 {
		t.Errorf("asked for %d after five minutes", asked)
	}
	b := w.comes("b@example.com/x", announces("sha-1", ver)) // others are asked as ever
	isAsked(b, "*")
	if len(w.f.there) != 2 || len(w.f.open) != 1 {
		t.Errorf("%d clients, %d questions", len(w.f.there), len(w.f.open))
	}
}

// TestSilence has those who are asked say nothing: others are, of another account first, and
// a late answer counts.
func TestSilence(t *testing.T) {
	w := newWorld(t, "", nil)
	st := announces("sha-1", ver)
	first := w.comes("a@example.com/x", st)
	isAsked(first, "*")
	same, other := w.comes("a@example.com/y", st), w.comes("b@example.com/x", st)
	q := w.f.open[digest{"0115", "sha-1", ver}]
	timeIsOver := func(a *routertest.Actor) {
		w.f.late(q, w.f.there[a.JID()])
		w.Settle()
	}
	timeIsOver(first)
	same.GetsNothing()
	isAsked(other, "*")
	timeIsOver(first) // the question is not its any more
	same.GetsNothing()
	timeIsOver(other)
	isAsked(same, "*")
	timeIsOver(same)
	if len(w.f.open) != 0 {
		t.Errorf("%d questions are open, with nobody to ask", len(w.f.open))
	}
	first.Answers(query(exodus))
	if got := w.heard("a@example.com/x"); len(got) != 4 || w.rows(t) != 1 {
		t.Errorf("who answers late: %v", got)
	}
	third := w.comes("c@example.com/x", st)
	third.GetsNothing()
	if got := w.heard("c@example.com/x"); len(got) != 4 {
		t.Errorf("who comes later: %v", got)
	}
}

// TestPatienceEnds waits for the time to be over.
func TestPatienceEnds(t *testing.T) {
	w := newWorld(t, "", func(f *feature) { f.patience = time.Millisecond })
	w.comes("a@example.com/x", announces("sha-1", ver))
	routertest.Eventually(t, "nobody is asked any more", func() bool {
		w.f.mu.Lock()
		defer w.f.mu.Unlock()
		return len(w.f.open) == 0
	})
}

// TestGone has the one who is asked go away, or change its mind: the next one is asked.
func TestGone(t *testing.T) {
	for name, goes := range map[string]func(*routertest.Actor){
		"lost":        func(a *routertest.Actor) { a.Leaves() },
		"unavailable": func(a *routertest.Actor) { a.Sends(`<presence type='unavailable'/>`) },
		"another":     func(a *routertest.Actor) { a.Sends(announces("sha-1", of(t, numbered(1)))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", nil)
			st := announces("sha-1", ver)
			first := w.comes("a@example.com/x", st)
			isAsked(first, "*")
			second, third := w.comes("b@example.com/x", st), w.comes("c@example.com/x", st)
			second.GetsNothing()
			second.Leaves() // while it waits
			goes(first)
			w.Settle()
			isAsked(third, "urn:x#"+ver)
			third.Answers(query(exodus))
			if got := w.heard("c@example.com/x"); !slices.Contains(got, muc) {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestTheOldestGo fills the table.
func TestTheOldestGo(t *testing.T) {
	w := newWorld(t, "", nil)
	err := w.Store.Write(context.Background(), func(tx *storage.Tx) error {
		for i := range 10 {
			d := digest{"0115", "sha-1", fmt.Sprint(i)}
			if err := add(tx, d, &Info{Features: []string{"f"}}, time.Unix(int64(i), 0), 5); err != nil {
				return err
			}
			if i == 6 {
				if err := use(tx, digest{"0115", "sha-1", "3"}, time.Unix(100, 0)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, false, true, false, false, true, true, true, true} {
		err := w.Store.Read(context.Background(), func(tx *storage.Tx) error {
			info, err := find(tx, digest{"0115", "sha-1", fmt.Sprint(i)})
			if (info != nil) != want {
				t.Errorf("%d is there: %v", i, info != nil)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryIsBounded fills the cache, with few large and with many small ones.
func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int{1, 30000} {
		var c cache
		for i := range 3 * maxEntries {
			c.put(digest{"0115", "sha-1", fmt.Sprint(i)}, &Info{Features: []string{string(make([]byte, size))}}, time.Time{})
			c.get([]digest{{"0115", "sha-1", "0"}})
		}
		sum := 0
		for e := c.order.Front(); e != nil; e = e.Next() {
			sum += e.Value.(*entry).info.size()
		}
		if len(c.entries) > maxEntries || c.bytes > maxMemory || len(c.entries) != c.order.Len() || sum != c.bytes {
			t.Errorf("%d entries, %d in order, %d bytes, %d counted", len(c.entries), c.order.Len(), sum, c.bytes)
		}
		if _, ok := c.get([]digest{{"0115", "sha-1", "0"}}); !ok {
			t.Error("the one in use is gone")
		}
	}
}

// TestUseIsNoted keeps a hash that is used from memory from looking old in the table.
func TestUseIsNoted(t *testing.T) {
	var clock atomic.Int64
	w := newWorld(t, "", func(f *feature) { f.now = func() time.Time { return time.Unix(1e9+clock.Load(), 0) } })
	a := w.comes("a@example.com/x", announces("sha-1", ver))
	isAsked(a, "*")
	a.Answers(query(exodus))
	used := func() (at time.Time) {
		w.Barrier()
		err := w.Store.Read(context.Background(), func(tx *storage.Tx) error {
			_, err := tx.One(`select used from capabilities`, nil, &at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for i, want := range []int64{0, 3600, 2 * 86400} {
		clock.Store(want)
		if want == 3600 {
			want = 0 // not for every login
		}
		w.comes(fmt.Sprintf("b%d@example.com/x", i), announces("sha-1", ver))
		if got := used(); got.Unix() != 1e9+want {
			t.Errorf("used at %d instead of %d", got.Unix()-1e9, want)
		}
	}
}

// TestTogether has many clients come at once, of whom some lie, and some go at once.
func TestTogether(t *testing.T) {
	w := newWorld(t, "", nil)
	var all sync.WaitGroup
	var asked atomic.Int64
	for i := range 40 {
		jid := xmpp.MustJID(fmt.Sprintf("p%d@example.com/x", i))
		w.Exists(jid.Bare())
		all.Go(func() {
			p, err := w.Bind(jid)
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Sender.Leave("")
			var rd router.Round
			send := func(xml string) {
				st, err := xmpp.ParseStanza(xml)
				if err == nil {
					err = p.Sender.Send(context.Background(), &rd, st)
				}
				if err != nil {
					t.Error(err)
				}
			}
			send(announces("sha-1", ver))
			if i%4 == 1 {
				return
			}
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
				if f, ok := w.Router.Capabilities(jid, xmpp.NewStanza(xmpp.Presence, nil)); ok {
					if i%4 != 2 && !slices.Contains(f, muc) {
						t.Errorf("%s can do %v", jid, f)
					}
					return
				}
				if time.Now().After(end) {
					t.Errorf("%s waits for ever", jid)
					return
				}
				st := p.Session.Next()
				if st == nil || st.Kind != xmpp.IQ {
					continue
				}
				asked.Add(1)
				content := exodus
				if i%4 == 2 {
					content = numbered(i)
				}
				send(xmpp.Result(st, xmpp.Payload(query(content))).String())
			}
		})
	}
	all.Wait()
	if n := w.rows(t); n > 1 || asked.Load() == 0 {
		t.Errorf("%d rows, %d were asked", n, asked.Load())
	}
	if len(w.f.there) != 0 || len(w.f.open) != 0 {
		t.Errorf("%d clients and %d questions are left", len(w.f.there), len(w.f.open))
	}
}

// BenchmarkPresence is a change of presence of a client that announces what is known.
func BenchmarkPresence(b *testing.B) {
	w := newWorld(b, "", nil)
	for name, st := range map[string]string{"announced": announces("sha-1", ver), "not": `<presence/>`} {
		b.Run(name, func(b *testing.B) {
			p, err := w.Bind(xmpp.MustJID("a@example.com/x"))
			if err != nil {
				w.Exists(xmpp.MustJID("a@example.com"))
				if p, err = w.Bind(xmpp.MustJID("a@example.com/x")); err != nil {
					b.Fatal(err)
				}
			}
			defer p.Sender.Leave("")
			p.Session.Tap(func(*xmpp.Stanza) {})
			var rd router.Round
			presence := parse(b, st)
			b.ReportAllocs()
			for b.Loop() {
				again := *presence
				if err := p.Sender.Send(context.Background(), &rd, &again); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestForgedAnswers: the answer to the server's question is believed from who was asked and
// from nobody else, also if another knows its id, and if it is the right one.
func TestForgedAnswers(t *testing.T) {
	w := newWorld(t, "", nil)
	mallory := w.Connected("mallory@example.com/x")
	other := w.Connected("juliet@example.com/other")
	juliet := w.comes("juliet@example.com/x", announces("sha-1", ver))
	asked := juliet.Gets(`<iq type='get' id='caps-*'>…</iq>`)
	for _, forger := range []*routertest.Actor{mallory, other} {
		for _, to := range []string{"", "to='example.com'", "to='juliet@example.com'", "to='example.net'", "to='juliet@example.com/x'"} {
			forger.Sends(`<iq type='result' id='` + asked.ID + `' ` + to + `>` + query(exodus) + `</iq>`)
		}
		juliet.Gets(`<iq type='result' from='` + forger.JID().String() + `'>…</iq>`) // as from who it is
	}
	juliet.GetsNothing()
	if n := w.rows(t); n != 0 || w.heard("juliet@example.com/x") != nil {
		t.Errorf("somebody else's answer is believed")
	}
	juliet.Sends(`<iq type='result' id='` + asked.ID + `' to='mallory@example.com/x'>` + query(exodus) + `</iq>`) // not to the server
	if n := w.rows(t); n != 0 {
		t.Errorf("an answer to somebody else is believed")
	}
	juliet.Sends(`<iq type='result' id='` + asked.ID + `' to='example.com'>` + query(exodus) + `</iq>`)
	if got := w.heard("juliet@example.com/x"); len(got) == 0 {
		t.Error("the right answer is not believed")
	}
	if n := w.rows(t); n != 1 {
		t.Errorf("%d rows", n)
	}
}
