package announce_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/announce"
	"parley/xep/mam"
	"parley/xmpp"
)

const host = "example.com"

// people is announce.Accounts: users in the order of their numbers.
type people struct {
	mu    sync.Mutex
	n     int
	asked []string // behind whom
	hold  func()   // called before each page
}

func userNo(i int) xmpp.JID { return xmpp.MustJID(fmt.Sprintf("user%06d@%s", i, host)) }

func (p *people) Enabled(_ context.Context, _, after string, limit int) (list []xmpp.JID, next string, err error) {
	if p.hold != nil {
		p.hold()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, after)
	first := 0
	if after != "" {
		fmt.Sscanf(after, "user%d", &first)
		first++
	}
	for i := first; i < p.n && len(list) < limit; i++ {
		list = append(list, userNo(i))
	}
	if len(list) == limit {
		next = list[limit-1].Local()
	}
	return list, next, nil
}

// open builds a house in a directory, with n users who exist.
func open(t testing.TB, dir string, p *people) (*routertest.House, *announce.Announcer) {
	t.Helper()
	a := &announce.Announcer{}
	h := routertest.NewWith(t, routertest.Config{
		Features: []router.Feature{
			mam.New(func() mam.Limits { return mam.Limits{} }), counter(),
			announce.New(a, p, func(*router.Request) bool { return true }),
		},
		Storage: storage.Config{Dir: dir},
	})
	for i := range p.n {
		h.Exists(userNo(i))
	}
	return h, a
}

// counter counts the messages that have to wait, as they are committed.
func counter() router.Feature {
	return router.Feature{
		Name: "counter",
		Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			if p.WillWait() {
				p.Keep(routertest.Keeping(func(tx *storage.Tx, id storage.ID) error {
					return tx.Exec(`insert into counted_here (id) values ($1)`, int64(id))
				}))
			}
			return nil
		}},
		Schema: storage.Schema{Name: "counter", Steps: []string{`create table counted_here (id integer primary key);`}},
	}
}

// running carries out announcements until the end of the test, or until stop is called.
func running(t testing.TB, a *announce.Announcer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// count reads a number from the database.
func count(t testing.TB, h *routertest.House, query string) (n int64) {
	t.Helper()
	err := h.Store.Read(context.Background(), func(tx *storage.Tx) error {
		_, err := tx.One(query, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	waiting = `select count(*) from counted_here`
	runs    = `select count(*) from announcement`
)

// TestAll tells those who are there and those who are away, each once.
func TestAll(t *testing.T) {
	p := &people{n: 250}
	h, a := open(t, t.TempDir(), p)
	there := h.Online(userNo(7).String() + "/desk")
	running(t, a)
	if err := a.All(t.Context(), host, announce.Text{Subject: "News", Body: "One\nTwo"}, "test"); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the announcement is through", func() bool { return count(t, h, runs) == 0 })
	h.Settle()
	said := `<message from='example.com' type='normal'><subject>News</subject><body>One
		Two</body>`
	said = strings.Replace(said, "\n\t\t", "\n", 1)
	there.Gets(said + `</message>`)
	there.GetsNothing()
	if n := count(t, h, waiting); n != 249 {
		t.Errorf("%d messages wait", n)
	}
	late := h.Online(userNo(249).String() + "/desk")
	late.Gets(said + `<delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'/></message>`)
	late.GetsNothing()
}

// TestAllGoesOnAfterARestart stops in the middle: nobody is left out.
func TestAllGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	p := &people{n: 450}
	t.Run("before", func(t *testing.T) {
		h, a := open(t, dir, p)
		reached, stop := make(chan struct{}), make(chan struct{})
		pages := 0
		p.hold = func() {
			if pages++; pages == 3 {
				close(reached)
				<-stop
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); a.Run(ctx) }()
		if err := a.All(t.Context(), host, announce.Text{Body: "Hear!"}, "test"); err != nil {
			t.Fatal(err)
		}
		<-reached
		cancel()
		close(stop)
		<-ended
		if n := count(t, h, waiting); n < 200 || n >= 450 {
			t.Errorf("%d messages wait in the middle", n)
		}
	})
	p.hold = nil
	p.asked = nil
	t.Run("after", func(t *testing.T) {
		h, a := open(t, dir, p)
		running(t, a)
		routertest.Eventually(t, "the announcement is through", func() bool { return count(t, h, runs) == 0 })
		h.Settle()
		if n := count(t, h, waiting); n != 450 {
			t.Errorf("%d messages wait", n)
		}
		if p.asked[0] == "" {
			t.Error("it began from the first account again")
		}
	})
}

// TestAFullDiskHoldsItUp and it goes on when there is room.
func TestAFullDiskHoldsItUp(t *testing.T) {
	p := &people{n: 3}
	h, a := open(t, t.TempDir(), p)
	if err := a.All(t.Context(), host, announce.Text{Body: "Hear!"}, "test"); err != nil {
		t.Fatal(err)
	}
	h.Disk.FullEvery(1)
	if err := a.All(t.Context(), host, announce.Text{Body: "Hear!"}, "test"); err == nil {
		t.Error("an announcement that was not written down is acknowledged")
	}
	h.Disk.FullEvery(0)
	running(t, a)
	routertest.Eventually(t, "the announcement is through", func() bool { return count(t, h, runs) == 0 })
	h.Settle()
	if n := count(t, h, waiting); n != 3 {
		t.Errorf("%d messages wait", n)
	}
}

// TestOthersGetOn while an announcement is on its way: what they write is committed in
// between.
func TestOthersGetOn(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{n: 5000})
	running(t, a)
	if err := a.All(t.Context(), host, announce.Text{Body: "Hear!"}, "test"); err != nil {
		t.Fatal(err)
	}
	writes, longest := 0, time.Duration(0)
	for count(t, h, runs) > 0 {
		begin := time.Now()
		if err := h.Store.Write(t.Context(), func(*storage.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		writes++
		longest = max(longest, time.Since(begin))
	}
	t.Logf("%d writes, the longest took %s", writes, longest)
	if writes < 20 || longest > 10*time.Second {
		t.Errorf("%d writes, the longest took %s", writes, longest)
	}
}

// TestADomainThatIsGone is not announced to, and holds up nobody else.
func TestADomainThatIsGone(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{n: 3})
	for _, domain := range []string{"gone.example", host} {
		if err := a.All(t.Context(), domain, announce.Text{Body: "Hear!"}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	running(t, a)
	routertest.Eventually(t, "both are through", func() bool { return count(t, h, runs) == 0 })
	h.Settle()
	if n := count(t, h, waiting); n != 3 {
		t.Errorf("%d messages wait", n)
	}
}

func TestLimits(t *testing.T) {
	_, a := open(t, t.TempDir(), &people{})
	for name, text := range map[string]announce.Text{
		"nothing": {}, "blank": {Body: " \n\t"}, "long": {Body: strings.Repeat("x", 10_001)},
		"long subject": {Subject: strings.Repeat("x", 1024), Body: "x"}, "two lines of subject": {Subject: "a\nb", Body: "x"},
		"no UTF-8": {Body: "\xff"},
	} {
		_, online := a.Online(host, text, "test")
		_, set := a.SetMOTD(t.Context(), host, text, "test")
		for _, err := range []error{online, set, a.All(t.Context(), host, text, "test"), a.EditMOTD(t.Context(), host, text, "test")} {
			if e, ok := err.(*xmpp.Error); !ok || e.Condition != "not-acceptable" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for range 16 { // nobody carries them out
		if err := a.All(t.Context(), host, announce.Text{Body: "x"}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	err := a.All(t.Context(), host, announce.Text{Body: "x"}, "test")
	if e, ok := err.(*xmpp.Error); !ok || e.Condition != "resource-constraint" {
		t.Errorf("the 17th: %v", err)
	}
}

// TestCharactersThatXMLCannotCarry come from a command line.
func TestCharactersThatXMLCannotCarry(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{})
	juliet := h.Online("juliet@example.com/desk")
	if _, err := a.Online(host, announce.Text{Subject: "<&>", Body: "a\x00b\x1bc"}, "test"); err != nil {
		t.Fatal(err)
	}
	juliet.Gets("<message type='headline'><subject>&lt;&amp;&gt;</subject><body>a\uFFFDb\uFFFDc</body></message>")
}

func headline(body string) string {
	return `<message from='example.com' type='headline'><body>` + body + `</body></message>`
}

// TestMOTDSurvivesARestart with who has seen it.
func TestMOTDSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	const romeo, juliet = "romeo@example.com/desk", "juliet@example.com/desk"
	house := func(t *testing.T) (*routertest.House, *announce.Announcer) {
		h, a := open(t, dir, &people{})
		h.Exists(xmpp.MustJID("romeo@example.com")) // the same numbers each time
		h.Exists(xmpp.MustJID("juliet@example.com"))
		return h, a
	}
	t.Run("before", func(t *testing.T) {
		h, a := house(t)
		r := h.Online(romeo)
		if n, err := a.SetMOTD(t.Context(), host, announce.Text{Body: "first"}, "test"); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		h.Settle()
		r.Gets(headline("first"))
		r.GetsNothing() // and answers the ping
		h.Settle()
	})
	t.Run("after", func(t *testing.T) {
		h, a := house(t)
		r := h.Online(romeo)
		r.GetsNothing()
		j := h.Online(juliet)
		j.Gets(headline("first"))
		j.GetsNothing()
		if was, err := a.RemoveMOTD(t.Context(), host, "test"); !was || err != nil {
			t.Fatal(was, err)
		}
		if _, there := a.MOTD(host); there {
			t.Error("it is still there")
		}
		if n, err := a.SetMOTD(t.Context(), host, announce.Text{Body: "first"}, "test"); n != 2 || err != nil { // the same words, another message
			t.Fatal(n, err)
		}
		h.Settle()
		r.Gets(headline("first"))
		j.Gets(headline("first"))
	})
}

// TestMOTDThatDidNotCome was pushed to a client that never answered.
func TestMOTDThatDidNotCome(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{})
	if _, err := a.SetMOTD(t.Context(), host, announce.Text{Body: "hear"}, "test"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(*routertest.Actor){
		func(r *routertest.Actor) { r.Leaves() }, // lost
		func(r *routertest.Actor) { r.Says(`<presence type='unavailable'/>`); r.Leaves() },
	} {
		r := h.Online("romeo@example.com/desk")
		end(r) // it has not read what there is
	}
	r := h.Online("romeo@example.com/desk")
	r.Gets(headline("hear"))
	r.GetsNothing()
	h.Settle()
	r.Leaves()
	h.Online("romeo@example.com/phone").GetsNothing()
}

// TestMOTDToTheFirstDevice while its answer is on the way another one comes.
func TestMOTDToTheFirstDevice(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{})
	if _, err := a.SetMOTD(t.Context(), host, announce.Text{Body: "hear"}, "test"); err != nil {
		t.Fatal(err)
	}
	desk := h.Online("romeo@example.com/desk")
	h.Online("romeo@example.com/phone").GetsNothing()
	h.Online("romeo@example.net/desk").GetsNothing() // another domain has none
	desk.Gets(headline("hear"))
}

func TestForget(t *testing.T) {
	h, a := open(t, t.TempDir(), &people{})
	if _, err := a.SetMOTD(t.Context(), host, announce.Text{Body: "hear"}, "test"); err != nil {
		t.Fatal(err)
	}
	r := h.Online("romeo@example.com/desk")
	r.Gets(headline("hear"))
	r.GetsNothing()
	h.Settle()
	if n := count(t, h, `select count(*) from motd_seen`); n != 1 {
		t.Fatalf("%d accounts have seen it", n)
	}
	id := h.Dir.Add(r.JID().Bare())
	err := h.Store.Write(t.Context(), func(tx *storage.Tx) error {
		for _, f := range h.Router.Features() {
			if f.Forget != nil {
				if err := f.Forget(tx, id, r.JID().Bare()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if n := count(t, h, `select count(*) from motd_seen`); n != 0 || err != nil {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

// BenchmarkAll tells it to 10,000 accounts, all of whom are away.
func BenchmarkAll(b *testing.B) {
	const users = 10_000
	p := &people{n: users}
	h, a := open(b, b.TempDir(), p)
	running(b, a)
	for b.Loop() {
		if err := a.All(b.Context(), host, announce.Text{Body: "Hear!"}, "test"); err != nil {
			b.Fatal(err)
		}
		for count(b, h, runs) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportMetric(users*float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
}
