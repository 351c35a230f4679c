package router_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xmpp"
)

// gate is a feature that keeps every message that says so and holds the writer until it is
// opened.
func gate(open chan struct{}) router.Feature {
	return router.Feature{Name: "gate", Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
		if p.Stanza.Has("test", "keep") {
			p.Keep(routertest.Keeping(func(*storage.Tx, storage.ID) error { <-open; return nil }))
		}
		return nil
	}}}
}

// ahead sends messages from a goroutine until they stop going out, and returns how many
// went; done is closed when the last of all is sent.
func ahead(t *testing.T, p *routertest.Peer, rd *router.Round, xml string, all int) (went int, done chan struct{}) {
	var mu sync.Mutex
	n := 0
	done = make(chan struct{})
	go func() {
		defer close(done)
		for range all {
			mustSend(t, p, rd, xml)
			mu.Lock()
			n++
			mu.Unlock()
		}
		p.Sender.Settle(rd)
	}()
	for last, same := -1, 0; same < 20; time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		mu.Unlock()
		went = last
	}
	return went, done
}

func TestOnlySoManyMessagesRunAhead(t *testing.T) {
	for _, c := range []struct {
		size, all, want int
	}{{100, 100, 64}, {200 << 10, 8, 5}, {2 << 20, 3, 1}} {
		open := make(chan struct{})
		h := routertest.New(t, gate(open))
		romeo := h.Online("romeo@example.com/desk")
		juliet := h.Online("juliet@example.com/balcony")
		var rd router.Round
		xml := `<message to='juliet@example.com'><body>` + strings.Repeat("x", c.size) + `</body><keep xmlns='test'/></message>`
		went, done := ahead(t, romeo.Peer(), &rd, xml, c.all)
		if went != c.want {
			t.Errorf("%d messages of %d bytes went ahead of their commits, not %d", went, c.size, c.want)
		}
		close(open)
		<-done
		h.Settle()
		for range c.all {
			if juliet.Hears() == nil {
				t.Fatal("a message is missing")
			}
		}
	}
}

// TestOthersWaitForWhatIsInFlight: presence, IQ and what is answered at once begin when
// everything before them is settled, and who waits has flushed.
func TestOthersWaitForWhatIsInFlight(t *testing.T) {
	for _, next := range []string{
		`<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>`,
		`<presence to='juliet@example.com'/>`,
		`<presence type='nonsense'/>`,
		`<iq type='get' id='p'/>`,
	} {
		open := make(chan struct{})
		h := routertest.New(t, gate(open), ping.New())
		romeo, juliet, nurse := h.Online("romeo@example.com/desk"), h.Online("juliet@example.com/x"), h.Online("nurse@example.com/x")
		var rd router.Round
		mustSend(t, romeo.Peer(), &rd, `<message to='nurse@example.com'><body>at once</body></message>`)
		if nurse.Peer().Session.Waiting() != 1 {
			t.Error("a message with nothing to write is not handed over at once")
		}
		mustSend(t, romeo.Peer(), &rd, `<message to='juliet@example.com'><body>kept</body><keep xmlns='test'/></message>`)
		mustSend(t, romeo.Peer(), &rd, `<message to='nurse@example.com'><body>behind</body></message>`)
		sent := make(chan struct{})
		go func() { mustSend(t, romeo.Peer(), &rd, next); close(sent) }()
		routertest.Eventually(t, "who waits, flushes", func() bool { return nurse.Peer().Session.Waiting() == 0 })
		select {
		case <-sent:
			t.Errorf("%s did not wait", next)
		case <-time.After(20 * time.Millisecond):
		}
		nurse.Gets(`<message><body>at once</body></message>`)
		nurse.GetsNothing()
		juliet.GetsNothing()
		close(open)
		<-sent
		rd.Flush()
		h.Settle()
		juliet.Gets(`<message><body>kept</body>…</message>`)
		nurse.Gets(`<message><body>behind</body></message>`)
	}
}

// TestReadersWaitForTheHousesQueue: its limit is in bytes, and no sender's own.
func TestReadersWaitForTheHousesQueue(t *testing.T) {
	open := make(chan struct{})
	h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{gate(open)}, Storage: storage.Config{QueueBytes: 1000}})
	romeo, nurse, juliet := h.Online("romeo@example.com/x"), h.Online("nurse@example.com/x"), h.Online("juliet@example.com/x")
	xml := `<message to='juliet@example.com'><body>` + strings.Repeat("x", 1000) + `</body><keep xmlns='test'/></message>`
	var rd router.Round
	mustSend(t, romeo.Peer(), &rd, xml)
	sent := make(chan struct{})
	go func() {
		var rd router.Round
		mustSend(t, nurse.Peer(), &rd, xml)
		close(sent)
	}()
	select {
	case <-sent:
		t.Error("more waits in the house's queue than it may hold")
	case <-time.After(20 * time.Millisecond):
	}
	close(open)
	<-sent
	h.Settle()
	for range 2 {
		juliet.Gets(`<message>…</message>`)
	}
}

// TestSessionsThatTakeNothing: a message is for those that still take it, and waits where
// nobody does.
func TestSessionsThatTakeNothing(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }))
	romeo := h.Online("romeo@example.com/desk")
	slow, phone := h.Online("juliet@example.com/slow"), h.Online("juliet@example.com/phone")
	slow.Peer().Session.Close()
	romeo.Sends(`<message to='juliet@example.com' type='chat'><body>1</body></message>`)
	phone.Gets(`<message type='chat'><body>1</body></message>`)
	romeo.Sends(`<message to='juliet@example.com/slow' type='chat'><body>2</body></message>`)
	phone.Gets(`<message type='chat'><body>2</body></message>`)
	phone.Peer().Session.Close()
	romeo.Sends(`<message to='juliet@example.com' type='chat'><body>3</body></message>`)
	romeo.Sends(`<message to='juliet@example.com' type='headline'><body>now</body></message>`)
	romeo.Sends(`<message to='juliet@example.com/phone' id='4'><body>4</body></message>`)
	romeo.Gets(`<message id='4' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	romeo.GetsNothing()
	tablet := h.Online("juliet@example.com/tablet")
	tablet.Gets(`<message type='chat'><body>3</body>…</message>`)
	tablet.GetsNothing()
}

// TestMessagesWhileOneComes: a resource that is just being given what has waited gets the
// messages that others of the account get meanwhile too, behind that.
func TestMessagesWhileOneComes(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }))
	romeo, phone := h.Online("romeo@example.com/desk"), h.Online("juliet@example.com/phone")
	h.Exists(xmpp.MustJID("tybalt@example.com"))
	for round := range 20 {
		tablet := h.Connected("juliet@example.com/tablet")
		h.Disk.Slow(3 * time.Millisecond)
		var rd router.Round
		mustSend(t, romeo.Peer(), &rd, `<message to='tybalt@example.com' type='chat'><body>the disk has something to do</body></message>`)
		came := make(chan struct{})
		go func() {
			defer close(came)
			var rd router.Round
			mustSend(t, tablet.Peer(), &rd, "<presence/>")
			rd.Flush()
		}()
		const n = 50
		available := 0 // from this one on
		for i := range n {
			if res, _ := phone.Peer().Sender.Account().Resource("tablet"); !res.Available() {
				available = i + 1
			}
			mustSend(t, romeo.Peer(), &rd, fmt.Sprintf(`<message to='juliet@example.com' type='chat' id='%d'><body>%d</body></message>`, i, i))
			time.Sleep(100 * time.Microsecond)
		}
		rd.Flush()
		<-came
		h.Disk.Slow(0)
		h.Settle()
		next := n
		for st := tablet.Hears(); st != nil; st = tablet.Hears() {
			var i int
			fmt.Sscan(st.ID, &i)
			if next == n && i <= available {
				next = i
			}
			if i != next {
				t.Fatalf("round %d: message %d comes in the place of %d", round, i, next)
			}
			next++
		}
		if next != n && available < n {
			t.Fatalf("round %d: the last message was %d", round, next-1)
		}
		for i := range n {
			phone.Gets(fmt.Sprintf(`<message type='chat' id='%d'>…</message>`, i))
		}
		tablet.Leaves()
		phone.Forgets()
	}
}

func TestTooMuchWaits(t *testing.T) {
	for _, lim := range []mam.Limits{{Messages: 2}, {Bytes: 500}} {
		h := routertest.New(t, mam.New(func() mam.Limits { return lim }))
		romeo := h.Online("romeo@example.com/desk")
		h.Exists(jid(t, "juliet@example.com"))
		for range 2 {
			romeo.Sends(`<message to='juliet@example.com' type='chat'><body>fits</body></message>`)
			romeo.GetsNothing()
		}
		romeo.Sends(`<message to='juliet@example.com' type='chat' id='x'><body>` + strings.Repeat("y", 300) + `</body></message>`)
		romeo.Gets(`<message type='error' id='x'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>`)
		juliet := h.Online("juliet@example.com/x")
		for range 2 {
			juliet.Gets(`<message type='chat'><body>fits</body>…</message>`)
		}
		juliet.GetsNothing() // and by answering the ping has made room
		juliet.Leaves()
		romeo.Sends(`<message to='juliet@example.com' type='chat'><body>fits again</body></message>`)
		romeo.GetsNothing()
	}
}

func TestTooManyResources(t *testing.T) {
	h := routertest.NewWith(t, routertest.Config{MaxResources: 2})
	one := h.Online("romeo@example.com/1")
	h.Online("romeo@example.com/2")
	_, err := h.Bind(jid(t, "romeo@example.com/3"))
	if refused, ok := err.(*xmpp.Error); !ok || refused.Condition != "resource-constraint" || !strings.Contains(string(refused.App), "resource-limit-exceeded") {
		t.Errorf("a third resource: %v", err)
	}
	again := h.Online("romeo@example.com/1") // takes the place of the first
	one.IsEnded("conflict")
	again.IsEnded("")
	if n := h.Router.Sessions(); n != 2 {
		t.Errorf("%d sessions", n)
	}
	if _, err := h.Bind(jid(t, "nobody@example.com/3")); err == nil {
		t.Error("an account that does not exist has a session")
	}
}

// TestInboxIsBounded: who asks from outside is refused first; the account's own wait.
func TestInboxIsBounded(t *testing.T) {
	h := routertest.New(t, roster.New())
	romeo, tybalt := h.Online("romeo@example.com/desk"), h.Online("tybalt@example.com/desk")
	romeo.Forgets()
	tybalt.Forgets()
	hold, held := make(chan struct{}), make(chan struct{})
	a := romeo.Peer().Sender.Account()
	var once sync.Once
	turns := 0
	for err := error(nil); err == nil; turns++ {
		err = a.Post(func(*router.Turn) { once.Do(func() { close(held); <-hold }) })
		if turns == 0 {
			<-held
		}
	}
	if turns != 1+1024+1 {
		t.Errorf("%d turns were taken", turns-1)
	}
	var rd router.Round
	st, err := xmpp.ParseStanza(`<presence id='s' type='subscribe' from='tybalt@example.com' to='romeo@example.com'/>`)
	if err != nil {
		t.Fatal(err)
	}
	h.Router.Deliver(&rd, st)
	rd.Flush()
	tybalt.Gets(`<presence type='error' id='s'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`)
	done := make(chan struct{})
	go func() {
		var rd router.Round
		mustSend(t, romeo.Peer(), &rd, `<presence id='p'><show>away</show></presence>`)
		mustSend(t, romeo.Peer(), &rd, `<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>`)
		rd.Flush()
		close(done)
	}()
	time.Sleep(5 * time.Millisecond)
	close(hold)
	<-done
	romeo.Gets(`<presence id='p'><show>away</show></presence>`)
	romeo.Gets(`<iq type='result' id='q'>…</iq>`)
	h.Router.Forget(jid(t, "romeo@example.com"), xmpp.EndStream("not-authorized", ""))
	romeo.IsEnded("not-authorized")
}

// TestRemovedWhileLookedUp: what was read before an account was removed is not remembered.
func TestRemovedWhileLookedUp(t *testing.T) {
	h := routertest.New(t)
	bare := jid(t, "juliet@example.com")
	old := h.Dir.Add(bare)
	once := true
	h.Dir.OnLookup(func(j xmpp.JID) {
		if j == bare && once {
			once = false
			h.Dir.Remove(bare)
			h.Router.Forget(bare, xmpp.EndStream("not-authorized", ""))
		}
	})
	ask := func() (id int64) {
		h.Router.WithAccount(context.Background(), bare, func(a *router.Account) error {
			if a != nil {
				id = a.ID
			}
			return nil
		})
		return id
	}
	if id := ask(); id != 0 {
		t.Errorf("the account is %d, and removed", id)
	}
	if h.Dir.Add(bare); ask() <= old {
		t.Errorf("the new account has the number of the old one")
	}
}

// TestIdleAccountsAreForgotten, and those in use are not.
func TestIdleAccountsAreForgotten(t *testing.T) {
	h := routertest.New(t)
	romeo := h.Online("romeo@example.com/desk")
	own := romeo.Peer().Sender.Account()
	in := func() (n int) {
		for i := range 40000 {
			h.Router.WithAccountInMemory(jid(t, fmt.Sprintf("user%d@example.com", i)), func(*router.Account) { n++ })
		}
		return n
	}
	for i := range 40000 {
		bare := jid(t, fmt.Sprintf("user%d@example.com", i))
		h.Exists(bare)
		h.Router.WithAccount(context.Background(), bare, func(*router.Account) error { return nil })
	}
	if n := in(); n > 64*256 || n < 1000 {
		t.Errorf("%d idle accounts are remembered", n)
	}
	h.Router.WithAccount(context.Background(), own.JID, func(a *router.Account) error {
		if a != own {
			t.Error("an account in use was forgotten")
		}
		return nil
	})
}

// TestChurn has many bind, speak and leave at once, often with the same resource.
func TestChurn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("churn", func(t *testing.T) {
		h := routertest.New(t, roster.New(), mam.New(func() mam.Limits { return mam.Limits{} }), ping.New())
		for i := range 4 {
			h.Exists(jid(t, fmt.Sprintf("u%d@example.com", i)))
		}
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 60 {
					p, err := h.Bind(jid(t, fmt.Sprintf("u%d@example.com/%d", g%4, (g+i)%5)))
					if err != nil {
						t.Errorf("Bind: %v", err)
						return
					}
					var rd router.Round
					for _, xml := range []string{`<presence/>`, fmt.Sprintf(`<presence to='u%d@example.com'/>`, i%4),
						fmt.Sprintf(`<message type='chat' to='u%d@example.com'><body>x</body></message>`, i%4),
						`<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>`} {
						st, _ := xmpp.ParseStanza(xml)
						if err := p.Sender.Send(context.Background(), &rd, st); err != nil { // a newer session has come
							if end, ok := err.(*xmpp.StreamError); !ok || end.Condition != "conflict" {
								t.Errorf("Send: %v", err)
							}
							break
						}
					}
					rd.Flush()
					p.Sender.Leave("")
				}
			})
		}
		wg.Wait()
		if n := h.Router.Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		for i := range 4 {
			h.Router.WithAccount(context.Background(), jid(t, fmt.Sprintf("u%d@example.com", i)), func(a *router.Account) error {
				if n := len(a.Resources()); n != 0 {
					t.Errorf("%d resources are left", n)
				}
				return nil
			})
		}
		h.Router.Wait(context.Background())
	})
}
