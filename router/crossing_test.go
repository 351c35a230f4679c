package router_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/storage/storagetest"
	"parley/xep/ping"
	"parley/xmpp"
)

// bridge is a feature of the test: of messages that say <bridge/> it has the way bridged, those
// that say <keep/> it keeps, and of both it knows which were written, and which were taken.
type bridge struct {
	store *storage.Store

	mu    sync.Mutex
	told  map[string]int // how often their Keeping heard what became of it
	taken []storage.ID
	left  []storage.ID // what sessions held that have left
	fails bool         // a Keeping panics when it is told that it is written
}

const bridgeSchema = `create table bridged (id integer primary key, message text not null)`

type bridging struct {
	f       *bridge
	message string
}

func (k bridging) Write(tx *storage.Tx, id storage.ID) error {
	return tx.Exec(`insert into bridged (id, message) values ($1, $2)`, id, k.message)
}

func (k bridging) Written(storage.ID, error) {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	k.f.told[k.message]++
	if k.f.fails {
		panic("the test")
	}
}

func (k bridging) Undo(*storage.Tx, storage.ID) error { return nil }

func (f *bridge) feature() router.Feature {
	f.told = map[string]int{}
	return router.Feature{
		Name:   "bridge",
		Schema: storage.Schema{Name: "bridge", Steps: []string{bridgeSchema}},
		Start:  func(h router.Hall) { f.store = h.Store },
		Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			k := bridging{f, p.Stanza.ID}
			switch {
			case p.Stanza.Has("test", "bridge"):
				p.Wait()
				p.Bridge(k)
			case p.Stanza.Has("test", "keep"):
				p.Wait()
				p.Keep(k)
			}
			return nil
		}},
		Took: func(_ *router.Account, ids []storage.ID) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.taken = append(f.taken, ids...)
		},
		Left: func(_ *router.Turn, _ *router.Account, s *router.Sender) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, id := range s.Held() {
				if !router.Provisional(id) {
					f.left = append(f.left, id)
				}
			}
		},
	}
}

// rows returns what was written: ids by message, and the messages in the order of the ids.
func (f *bridge) rows(t *testing.T) (ids map[string]storage.ID, order []string) {
	t.Helper()
	ids = map[string]storage.ID{}
	err := f.store.Read(context.Background(), func(tx *storage.Tx) error {
		return tx.Each(`select id, message from bridged order by id`, nil, func(r *storage.Row) error {
			if _, twice := ids[r.Text(1)]; twice {
				t.Errorf("%s is written twice", r.Text(1))
			}
			ids[r.Text(1)] = r.ID(0)
			order = append(order, r.Text(1))
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	return ids, order
}

func (f *bridge) took() []storage.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.taken)
}

// crossing is a house with a sender and somebody whose client says only when it is told to that
// it has something.
type crossing struct {
	*routertest.House
	t        *testing.T
	f        *bridge
	from, to *routertest.Peer
	rd       router.Round
}

func newCrossing(t *testing.T) *crossing {
	c := &crossing{t: t, f: &bridge{}}
	c.House = routertest.New(t, c.f.feature(), ping.New())
	c.from, c.to = c.comes("a@example.com/1"), c.comes("b@example.com/1")
	c.to.Session.Silent()
	return c
}

func (c *crossing) comes(full string) *routertest.Peer {
	c.t.Helper()
	j := jid(c.t, full)
	c.Exists(j.Bare())
	p := available(c.t, c.House, j)
	c.Router.Wait(context.Background())
	c.Barrier()
	for st := p.Session.Next(); st != nil; st = p.Session.Next() { // its own presence
	}
	return p
}

// says has the sender say a message, and waits for nothing.
func (c *crossing) says(id, what string) {
	c.sends(fmt.Sprintf("<message to='b@example.com' id='%s'>%s</message>", id, what))
}

func (c *crossing) sends(xml string) {
	c.t.Helper()
	if err := c.from.Sender.Send(context.Background(), &c.rd, stanza(c.t, xml)); err != nil {
		c.t.Fatal(err)
	}
	c.rd.Flush()
}

// hears wants the recipient to have heard these messages, in this order.
func (c *crossing) hears(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		if st := c.to.Session.Next(); st == nil || st.ID != id {
			c.t.Fatalf("%v comes instead of %s", st, id)
		}
	}
	if st := c.to.Session.Next(); st != nil {
		c.t.Fatalf("%v comes, too", st)
	}
}

// written wants these messages to have been written, in this order, and no others.
func (c *crossing) written(ids ...string) {
	c.t.Helper()
	if _, order := c.f.rows(c.t); !slices.Equal(order, ids) {
		c.t.Fatalf("%v are written, not %v", order, ids)
	}
}

const (
	bridged = "<bridge xmlns='test'/>"
	kept    = "<keep xmlns='test'/>"
)

func stanza(t *testing.T, xml string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseStanza(xml)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// inTime does something in a house of its own, and in another one where it took so long that what was on
// its way may have been written meanwhile.
func inTime(t *testing.T, do func(c *crossing)) *crossing {
	t.Helper()
	for range 100 {
		c := newCrossing(t)
		began := time.Now()
		if do(c); time.Since(began) < router.CrossWithin {
			return c
		}
	}
	t.Fatal("nothing is done in time here")
	return nil
}

// TestWhatArrivesAtOnceIsNeverWritten: it is handed over at once, in flight until the client
// has it, and settled then.
func TestWhatArrivesAtOnceIsNeverWritten(t *testing.T) {
	before, flying := int64(0), 0
	c := inTime(t, func(c *crossing) {
		settled := make(chan struct{})
		before = c.Disk.Commits()
		c.says("m", bridged)
		c.hears("m")
		flying = c.from.Sender.Flying()
		c.from.Sender.WhenSettled(func() { close(settled) })
		c.to.Session.Acknowledge()
		<-settled
	})
	if flying != 1 {
		t.Fatalf("%d are in flight", flying)
	}
	if n := c.from.Sender.Flying(); n != 0 {
		t.Errorf("%d are in flight in the end", n)
	}
	time.Sleep(3 * router.CrossWithin / 2)
	c.written()
	if c.f.told["m"] != 1 || len(c.f.took()) != 0 || len(c.to.Sender.Held()) != 0 {
		t.Errorf("its Keeping was told %d times; %v were taken; %v are held", c.f.told["m"], c.f.took(), c.to.Sender.Held())
	}
	if n := c.Disk.Commits() - before; n > 0 {
		t.Errorf("%d commits for nothing", n)
	}
}

// TestWhatTakesLongIsWritten, and settled then; who has it says so later.
func TestWhatTakesLongIsWritten(t *testing.T) {
	c := newCrossing(t)
	settled := make(chan struct{})
	c.says("1", bridged)
	c.says("2", bridged)
	c.from.Sender.WhenSettled(func() { close(settled) })
	<-settled
	c.hears("1", "2")
	c.written("1", "2")
	c.to.Session.Acknowledge()
	ids, _ := c.f.rows(t)
	if got := c.f.took(); !slices.Equal(got, []storage.ID{ids["1"], ids["2"]}) {
		t.Errorf("%v were taken of %v", got, ids)
	}
	if held := c.to.Sender.Held(); len(held) != 0 {
		t.Errorf("%v are held yet", held)
	}
}

// TestWhoAsksDoesNotWaitForOthers: what was said before something else is written for that.
func TestWhoAsksDoesNotWaitForOthers(t *testing.T) {
	c := newCrossing(t)
	c.says("m", bridged)
	c.sends("<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	c.written("m")
	if st := c.from.Session.Next(); st == nil || st.ID != "p" {
		t.Errorf("the answer is %v", st)
	}
}

// TestOrderBesideTheWay: what is kept nowhere and what is kept come in the order in which they
// were said, and stand in that order where they are written.
func TestOrderBesideTheWay(t *testing.T) {
	flying := 0
	c := inTime(t, func(c *crossing) {
		c.says("1", bridged)
		c.says("2", "")
		c.says("3", bridged)
		c.hears("1", "2", "3")
		flying = c.from.Sender.Flying()
	})
	if flying != 3 {
		t.Fatalf("%d are in flight: what is settled is counted from the first", flying)
	}
	c.says("4", kept)
	c.says("5", bridged)
	c.says("6", "")
	c.from.Sender.Settle(&c.rd)
	c.Barrier()
	c.hears("4", "5", "6")
	c.written("1", "3", "4", "5")
}

// TestWhoAnswersIsNotHeldUp: a client that answers the server has nothing written for that,
// and what is settled is counted from its first message in flight.
func TestWhoAnswersIsNotHeldUp(t *testing.T) {
	answered, flying := false, 0
	c := inTime(t, func(c *crossing) {
		answered = false
		c.from.Sender.Ask(&c.rd, "get", "q", xmpp.Payload("<ping xmlns='urn:xmpp:ping'/>"), func(*xmpp.Stanza) { answered = true })
		c.says("1", bridged)
		c.sends("<iq type='result' id='q' to='example.com'/>")
		flying = c.from.Sender.Flying()
		c.to.Session.Acknowledge()
	})
	if !answered || flying != 2 {
		t.Errorf("answered: %v; %d in flight", answered, flying)
	}
	c.written()
	if n := c.from.Sender.Flying(); n != 0 {
		t.Errorf("%d in flight in the end", n)
	}
}

// TestWhoLeavesWithoutAWord: what it had not said that it had is written, and known to whoever
// sees to it.
func TestWhoLeavesWithoutAWord(t *testing.T) {
	c := newCrossing(t)
	c.says("m", bridged)
	c.to.Leaves()
	c.written("m")
	ids, _ := c.f.rows(t)
	if !slices.Equal(c.f.left, []storage.ID{ids["m"]}) {
		t.Errorf("%v is left, of %v", c.f.left, ids)
	}
}

// TestSeveralDevicesHaveTheOrderOfCommits: then it is written first.
func TestSeveralDevicesHaveTheOrderOfCommits(t *testing.T) {
	c := newCrossing(t)
	c.comes("b@example.com/2")
	c.says("m", bridged)
	c.from.Sender.Settle(&c.rd)
	c.Barrier()
	c.written("m")
	c.hears("m")
}

// TestNobodyLooks: who has turned away is not asked, and has it written.
func TestNobodyLooks(t *testing.T) {
	c := newCrossing(t)
	c.to.Session.Attend(router.Inactive)
	c.says("m", bridged)
	c.from.Sender.Settle(&c.rd)
	c.written("m")
}

// TestTheDiskIsFullMeanwhile: nobody knows whether it will arrive, so its sender hears of that.
func TestTheDiskIsFullMeanwhile(t *testing.T) {
	c := newCrossing(t)
	c.Disk.FullEvery(1)
	c.says("m", bridged)
	c.hears("m")
	c.from.Sender.Settle(&c.rd)
	c.Disk.FullEvery(0)
	c.Barrier()
	st := c.from.Session.Next()
	if st == nil || st.Type != "error" || xmpp.ErrorOf(st).Condition != "resource-constraint" {
		t.Errorf("its sender hears %v", st)
	}
	c.to.Session.Acknowledge() // it has it after all
	if len(c.f.took()) != 0 || len(c.to.Sender.Held()) != 0 {
		t.Errorf("%v were taken, %v are held", c.f.took(), c.to.Sender.Held())
	}
}

// TestItArrivesWhileItIsWritten: it is taken out again, or was not written.
func TestItArrivesWhileItIsWritten(t *testing.T) {
	for range 30 {
		c := newCrossing(t)
		c.Disk.Slow(time.Duration(rand.IntN(3)) * time.Millisecond)
		c.says("m", bridged)
		go c.to.Session.Acknowledge()
		c.from.Sender.Settle(&c.rd)
		routertest.Eventually(t, "nothing is held any more", func() bool { return len(c.to.Sender.Held()) == 0 })
		c.Barrier()
		ids, order := c.f.rows(t)
		if took := c.f.took(); len(took) != len(order) || len(took) == 1 && took[0] != ids["m"] {
			t.Fatalf("%v is written, %v taken", ids, took)
		}
	}
}

// TestRefusedBehindAKeep: who named something to be written hears that it is not.
func TestRefusedBehindAKeep(t *testing.T) {
	var heard []error
	h := routertest.New(t,
		router.Feature{Name: "names", Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			p.Keep(hearing{func(err error) { heard = append(heard, err) }})
			return nil
		}}},
		router.Feature{Name: "refuses", Arrived: router.Hooks{Keep: func(*router.Passage) *xmpp.Error {
			return xmpp.Refuse("not-acceptable", "")
		}}})
	a := h.Online("a@example.com/1")
	h.Online("b@example.com/1")
	a.Says("<message to='b@example.com' id='m'/>")
	if len(heard) != 1 || heard[0] == nil {
		t.Errorf("it hears %v", heard)
	}
}

// hearing is a Keeping of which nothing counts but what it hears.
type hearing struct{ hears func(error) }

func (hearing) Write(*storage.Tx, storage.ID) error { return nil }
func (k hearing) Written(_ storage.ID, err error)   { k.hears(err) }
func (hearing) Undo(*storage.Tx, storage.ID) error  { return nil }

// TestAHookFails: neither the sender nor who leaves waits for ever.
func TestAHookFails(t *testing.T) {
	c := newCrossing(t)
	c.f.fails = true
	c.says("m", bridged)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.from.Sender.Settle(&c.rd)
		c.to.Leaves()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("they wait yet")
	}
}

// TestStoppingWritesWhatIsOnItsWay: Land.
func TestStoppingWritesWhatIsOnItsWay(t *testing.T) {
	c := newCrossing(t)
	c.says("1", bridged)
	provisional := c.to.Sender.Held()[0]
	c.Router.Land(context.Background())
	c.written("1")
	ids, _ := c.f.rows(t)
	if row := c.Router.Row(provisional); row != ids["1"] {
		t.Errorf("it stands under %d, not %d", row, ids["1"])
	}
	c.says("2", bridged) // is written first from now on
	c.from.Sender.Settle(&c.rd)
	c.written("1", "2")
}

// road is a way out of the house that says when it is told to what has arrived.
type road struct {
	f      *bridge
	prompt bool

	mu   sync.Mutex
	ids  []storage.ID
	gone []storage.ID
}

func (w *road) Keep(st *xmpp.Stanza) router.Keeping { return bridging{w.f, st.ID} }
func (w *road) Prompt() bool                        { return w.prompt }

func (w *road) Gone(id storage.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = append(w.gone, id)
}

func (w *road) Carry(_ *router.Round, _ *xmpp.Stanza, id storage.ID) *xmpp.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, id)
	return nil
}

// TestTheWayOutIsBridged, too: what another server has soon is not written.
func TestTheWayOutIsBridged(t *testing.T) {
	c := newCrossing(t)
	w := &road{f: c.f, prompt: true}
	c.Router.SetWays(func(_, _ string) (router.Way, *xmpp.Error) { return w, nil })
	c.sends("<message to='x@elsewhere.example' id='1'/>")
	if len(w.ids) != 1 || !router.Provisional(w.ids[0]) || c.from.Sender.Flying() != 1 {
		t.Fatalf("%v left, %d are in flight", w.ids, c.from.Sender.Flying())
	}
	if rows := c.Router.Through(w.ids); len(rows) != 0 || c.from.Sender.Flying() != 0 {
		t.Fatalf("%v were written, %d are in flight", rows, c.from.Sender.Flying())
	}
	c.sends("<message to='x@elsewhere.example' id='2'/>")
	c.from.Sender.Settle(&c.rd)
	c.written("2")
	ids, _ := c.f.rows(t)
	if rows := c.Router.Through(w.ids); !slices.Equal(rows, []storage.ID{ids["2"]}) {
		t.Errorf("%v is no use any more, of %v", rows, ids)
	}
	w.prompt = false
	c.sends("<message to='x@elsewhere.example' id='3'/>")
	c.from.Sender.Settle(&c.rd)
	c.Barrier()
	if ids, _ = c.f.rows(t); w.ids[2] != ids["3"] {
		t.Errorf("it left as %v, of %v", w.ids, ids)
	}
}

// TestCrossings has many talk at once, of whom some have clients that say late what they
// have, while the disk fails now and then. What is settled is where it was to go, or on the disk,
// or was refused; each sender's messages come once, and in order; and nothing is held or waits in the
// end that is not written.
func TestCrossings(t *testing.T) {
	const people, messages = 8, 400
	f := &bridge{}
	h := routertest.New(t, f.feature(), ping.New())
	all := make([]*passenger, people)
	for i := range all {
		p := &passenger{t: t, name: fmt.Sprintf("p%d@example.com", i), last: map[string]int{}}
		h.Exists(jid(t, p.name))
		p.Peer = available(t, h, jid(t, p.name+"/1"))
		p.Session.Tap(p.hears)
		all[i] = p
	}
	h.Router.Wait(context.Background())
	h.Barrier()
	full := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(full)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if n%5 == 0 {
				storagetest.Fill(t, h.Store, 1)
				time.Sleep(2 * time.Millisecond)
				storagetest.Free(t, h.Store)
			}
		}
	}()
	var wg sync.WaitGroup
	for i, p := range all {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		if p.late = i%3 == 1; p.late {
			p.Session.Silent()
			wg.Go(func() { p.acknowledges(messages) })
		}
		wg.Go(func() { p.talks(rnd, all, messages) })
	}
	wg.Wait()
	close(stop)
	<-full
	for _, p := range all {
		p.Session.Acknowledge()
	}
	h.Barrier()
	ids, _ := f.rows(t)
	taken := map[storage.ID]bool{}
	for _, id := range f.took() {
		if taken[id] {
			t.Errorf("%d was taken twice", id)
		}
		taken[id] = true
	}
	for message, id := range ids {
		if !taken[id] {
			t.Errorf("%s is written as %d, and was never taken", message, id)
		}
	}
	for _, p := range all {
		if n := p.Sender.Flying(); n != 0 || len(p.Sender.Held()) != 0 {
			t.Errorf("%s has %d in flight, and %v is held", p.name, n, p.Sender.Held())
		}
	}
	t.Logf("%d of %d were written", len(ids), people*messages)
}

// TestNothingIsHeldInTheEnd: whoever talks, leaves without a word, is replaced, turns away or
// refuses what it is given, while the disk fails now and then.
func TestNothingIsHeldInTheEnd(t *testing.T) {
	f := &bridge{}
	h := routertest.New(t, f.feature(), ping.New())
	for i := range 4 {
		h.Exists(jid(t, fmt.Sprintf("p%d@example.com", i)))
	}
	var wg sync.WaitGroup
	for i := range 4 {
		rnd := rand.New(rand.NewPCG(11, uint64(i)))
		wg.Go(func() {
			for range 12 {
				comesAndGoes(t, h, jid(t, fmt.Sprintf("p%d@example.com/1", i)), rnd)
			}
		})
	}
	for n := range 20 {
		time.Sleep(10 * time.Millisecond)
		if n%4 == 0 {
			storagetest.Fill(t, h.Store, 1)
			time.Sleep(2 * time.Millisecond)
			storagetest.Free(t, h.Store)
		}
	}
	wg.Wait()
	h.Router.Wait(context.Background())
	h.Barrier()
	if n := h.Router.Crossing(); n != 0 {
		t.Errorf("%d messages are known yet", n)
	}
	for i := range 4 {
		h.Router.WithAccountInMemory(jid(t, fmt.Sprintf("p%d@example.com", i)), func(a *router.Account) {
			if n := a.Pins(); n != 1 { // ours
				t.Errorf("%s is pinned by %d", a.JID, n-1)
			}
		})
	}
}

// comesAndGoes has somebody come, talk, and go in one of many ways.
func comesAndGoes(t *testing.T, h *routertest.House, me xmpp.JID, rnd *rand.Rand) {
	p, err := h.Bind(me)
	if err != nil {
		t.Error(err)
		return
	}
	p.Session.Tap(func(*xmpp.Stanza) {})
	if rnd.IntN(2) == 0 {
		p.Session.Silent()
	}
	var rd router.Round
	p.Sender.Send(context.Background(), &rd, stanza(t, "<presence/>"))
	for n := range 60 {
		what := []string{bridged, bridged, bridged, kept, ""}[rnd.IntN(5)]
		xml := fmt.Sprintf("<message to='p%d@example.com' id='%s-%d'>%s</message>", rnd.IntN(4), fmt.Sprint(rnd.Uint64()), n, what)
		if err := p.Sender.Send(context.Background(), &rd, stanza(t, xml)); err != nil {
			t.Error(err)
		}
		rd.Flush()
		switch rnd.IntN(30) {
		case 0:
			p.Session.Attend(router.Inactive)
		case 1:
			p.Session.Acknowledge()
		case 2:
			p.Session.Close()
		case 3:
			time.Sleep(time.Millisecond)
		}
	}
	if rnd.IntN(2) == 0 { // a newer one takes its place first
		defer comesAndGoesAtOnce(t, h, me)()
	}
	p.Session.Close()
	p.Sender.Leave("")
}

// comesAndGoesAtOnce has a newer session come, and returns what has it go.
func comesAndGoesAtOnce(t *testing.T, h *routertest.House, me xmpp.JID) func() {
	p, err := h.Bind(me)
	if err != nil {
		t.Error(err)
		return func() {}
	}
	return func() { p.Sender.Leave("") }
}

// A passenger is somebody who says numbered messages to others.
type passenger struct {
	*routertest.Peer
	t    *testing.T
	name string
	late bool

	mu   sync.Mutex
	last map[string]int // from whom -> the last number that came
}

func (p *passenger) hears(st *xmpp.Stanza) {
	var n int
	if _, err := fmt.Sscanf(st.ID, "n%d", &n); err != nil || st.Type == "error" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	from := st.From.Bare().String()
	if n <= p.last[from] {
		p.t.Errorf("%s: %s has sent %d, and then comes %d", p.name, from, p.last[from], n)
	}
	p.last[from] = n
}

func (p *passenger) acknowledges(n int) {
	for range n {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		p.Session.Acknowledge()
	}
}

func (p *passenger) talks(rnd *rand.Rand, all []*passenger, messages int) {
	var rd router.Round
	for n := 1; n <= messages; n++ {
		what := []string{bridged, bridged, bridged, kept, ""}[rnd.IntN(5)]
		to := all[rnd.IntN(len(all))]
		xml := fmt.Sprintf("<message to='%s' id='n%d-%s'>%s</message>", to.name, n, p.name, what)
		if err := p.Sender.Send(context.Background(), &rd, stanza(p.t, xml)); err != nil {
			p.t.Error(err)
		}
		if rnd.IntN(20) == 0 {
			rd.Flush()
		}
		if rnd.IntN(50) == 0 {
			p.Sender.Settle(&rd)
			if n := p.Sender.Flying(); n != 0 {
				p.t.Errorf("%d are in flight behind Settle", n)
			}
		}
	}
	p.Sender.Settle(&rd)
}
