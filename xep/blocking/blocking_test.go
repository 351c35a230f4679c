package blocking_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/blocking"
	"parley/xep/mam"
	"parley/xmpp"
)

const (
	juliet  = "juliet@example.com/desk"
	romeo   = "romeo@example.com/desk"
	getList = `<iq id='g' type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>`
	refused = `<message id='m' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`
	full    = `<iq id='s' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`
)

func set(verb string, jids ...string) string {
	s := "<iq id='s' type='set'><" + verb + " xmlns='urn:xmpp:blocking'>"
	for _, j := range jids {
		s += "<item jid='" + j + "'/>"
	}
	return s + "</" + verb + "></iq>"
}

func message(to string) string { return `<message id='m' to='` + to + `'><body>x</body></message>` }

func features() []router.Feature {
	return []router.Feature{blocking.New(), mam.New(func() mam.Limits { return mam.Limits{} })}
}

// TestSurvivesARestart blocks, restarts, and writes to somebody who is away: the list is
// there although its owner has not come.
func TestSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	house := func(t *testing.T) *routertest.House {
		h := routertest.NewWith(t, routertest.Config{Features: features(), Storage: storage.Config{Dir: dir}})
		h.Exists(xmpp.MustJID("juliet@example.com")) // the same numbers each time
		return h
	}
	t.Run("before", func(t *testing.T) {
		house(t).Connected(juliet).Does(set("block", "romeo@example.com", "example.net"))
	})
	t.Run("after", func(t *testing.T) {
		h := house(t)
		r := h.Online(romeo)
		r.Sends(message("juliet@example.com"))
		r.Gets(refused)
		a := h.Connected(juliet)
		a.Sends(getList)
		a.Gets(`<iq id='g' type='result'><blocklist xmlns='urn:xmpp:blocking'><item jid='example.net'/><item jid='romeo@example.com'/></blocklist></iq>`)
	})
}

func TestLimits(t *testing.T) {
	h := routertest.New(t, blocking.New())
	a := h.Connected(juliet)
	var jids []string
	for i := range 2000 {
		jids = append(jids, fmt.Sprintf("u%d@y", i))
	}
	a.Does(set("block", jids...))
	a.Does(set("block", jids[:10]...)) // are there already
	a.Sends(set("block", "one@more"))
	a.Gets(full)
	a.Sends(set("block", append(jids, "one@more")...))
	a.Gets(full)
	a.Does(set("unblock", jids[0]))
	a.Does(set("block", "one@more"))
	a.Does(set("unblock"))
	long := "@y/" + strings.Repeat("x", 1000)
	for i := range 130 {
		a.Does(set("block", fmt.Sprint("u", i)+long))
	}
	a.Sends(set("block", "z@y", "z"+long))
	a.Gets(full)
	a.Does(set("block", "z@y"))
}

// TestMalformed: what is no request changes nothing.
func TestMalformed(t *testing.T) {
	h := routertest.New(t, blocking.New())
	a := h.Connected(juliet)
	a.Does(set("block", "romeo@example.com"))
	for _, c := range []struct{ request, condition string }{
		{set("block"), "bad-request"},
		{set("block", ""), "jid-malformed"},
		{set("block", "@"), "jid-malformed"},
		{set("block", "tybalt@example.com", "a@b@c"), "jid-malformed"},
		{set("block", "tybalt@example.com", "juliet@EXAMPLE.com/x"), "not-allowed"},
		{set("unblock", "a b@c"), "jid-malformed"},
		{"<iq id='s' type='set'><unblock xmlns='urn:xmpp:blocking'><all/></unblock></iq>", "bad-request"},
		{"<iq id='s' type='set'><block xmlns='urn:xmpp:blocking'><item xmlns='other' jid='a@b'/></block></iq>", "bad-request"},
	} {
		a.Sends(c.request)
		a.Gets(`<iq id='s' type='error'><error type='*'><` + c.condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	}
	a.Sends(getList)
	a.Gets(`<iq id='g' type='result'><blocklist xmlns='urn:xmpp:blocking'><item jid='romeo@example.com'/></blocklist></iq>`)
}

// TestWhatIsNotOnDiskIsNotInForce fails the commit of a block.
func TestWhatIsNotOnDiskIsNotInForce(t *testing.T) {
	h := routertest.New(t, blocking.New())
	a, r := h.Online(juliet), h.Online(romeo)
	a.Sends(`<iq id='s' type='set'><unblock xmlns='urn:xmpp:blocking'><x xmlns='y'/></unblock></iq>`)
	a.Gets(`<iq id='s' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	a.Does(set("block", "tybalt@example.com"))
	h.Disk.FullEvery(1)
	a.Sends(set("block", "romeo@example.com"))
	a.Gets(`<iq id='s' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	a.Sends(set("unblock"))
	a.Gets(`<iq id='s' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	h.Disk.FullEvery(0)
	r.Sends(message("juliet@example.com"))
	a.Gets(`<message id='m'><body>x</body></message>`)
	a.Sends(getList)
	a.Gets(`<iq id='g' type='result'><blocklist xmlns='urn:xmpp:blocking'><item jid='tybalt@example.com'/></blocklist></iq>`)
}

// TestADeviceThatComesAgainHasToAsk for the pushes, and has none of the older session's.
func TestADeviceThatComesAgainHasToAsk(t *testing.T) {
	h := routertest.New(t, blocking.New())
	a := h.Connected(juliet)
	a.Does(getList)
	b := h.Connected(juliet)
	a.IsEnded("conflict")
	b.Sends(set("block", "romeo@example.com"))
	b.Gets(`<iq id='s' type='result'/>`)
	b.GetsNothing()
}

func TestForgotten(t *testing.T) {
	f := blocking.New()
	h := routertest.New(t, f)
	a := h.Connected(juliet)
	a.Does(set("block", "romeo@example.com"))
	bare := a.JID().Bare()
	id := h.Dir.Add(bare)
	if err := h.Store.Write(context.Background(), func(tx *storage.Tx) error { return f.Forget(tx, id, bare) }); err != nil {
		t.Fatal(err)
	}
	h.Router.Forget(bare, xmpp.EndStream("not-authorized", ""))
	h.Settle()
	b := h.Connected(juliet)
	b.Sends(getList)
	b.Gets(`<iq id='g' type='result'><blocklist xmlns='urn:xmpp:blocking'/></iq>`)
}

// TestTogether blocks and unblocks while others write: every message comes or is refused,
// exactly once, and at the end the list in memory is the one on disk.
func TestTogether(t *testing.T) {
	h := routertest.New(t, features()...)
	a := h.Online(juliet)
	var mu sync.Mutex
	came, bounced := 0, 0
	a.Peer().Session.Tap(func(st *xmpp.Stanza) {
		if st.Kind == xmpp.Message {
			mu.Lock()
			came++
			mu.Unlock()
		}
	})
	const writers, messages = 4, 100
	var all sync.WaitGroup
	for i := range writers {
		jid := xmpp.MustJID(fmt.Sprintf("romeo@example.com/%d", i))
		h.Exists(jid.Bare())
		p, err := h.Bind(jid)
		if err != nil {
			t.Fatal(err)
		}
		p.Session.Tap(func(st *xmpp.Stanza) {
			if st.Kind == xmpp.Message {
				mu.Lock()
				bounced++
				mu.Unlock()
			}
		})
		all.Go(func() {
			var rd router.Round
			defer p.Sender.Leave("")
			for range messages {
				if err := say(&rd, p, message("juliet@example.com")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	phone, err := h.Bind(xmpp.MustJID("juliet@example.com/phone"))
	if err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		var rd router.Round
		defer phone.Sender.Leave("")
		for i := range 51 {
			if err := say(&rd, phone, set([]string{"block", "unblock"}[i%2], "romeo@example.com")); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	h.Settle()
	if came+bounced != writers*messages {
		t.Errorf("%d came and %d were refused of %d", came, bounced, writers*messages)
	}
	r := h.Online(romeo)
	r.Sends(message("juliet@example.com"))
	r.Gets(refused)
}

func say(rd *router.Round, p *routertest.Peer, xml string) error {
	st, err := xmpp.ParseStanza(xml)
	if err == nil {
		err = p.Sender.Send(context.Background(), rd, st)
	}
	rd.Flush()
	return err
}

// TestTheRouteCostsNothing sends messages between users who block others: a message still
// makes no garbage but its own head.
func TestTheRouteCostsNothing(t *testing.T) {
	h := routertest.New(t, blocking.New())
	a, r := h.Online(juliet), h.Online(romeo)
	for _, who := range []*routertest.Actor{a, r} {
		who.Does(set("block", "tybalt@example.com", "example.net", "example.org/x"))
		who.Peer().Session.Tap(func(*xmpp.Stanza) {})
	}
	st, err := xmpp.ParseStanza(message("juliet@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	var rd router.Round
	n := testing.AllocsPerRun(1000, func() {
		c := *st
		if err := r.Peer().Sender.Send(context.Background(), &rd, &c); err != nil {
			t.Error(err)
		}
		rd.Flush()
	})
	if n > 1 {
		t.Errorf("a message makes %v allocations", n)
	}
}

// TestWhoIsShownPresenceTwiceHearsOnce blocks a subscriber who was sent directed presence
// as well, and a stranger, and blocks them once more.
func TestWhoIsShownPresenceTwiceHearsOnce(t *testing.T) {
	h := routertest.New(t, append(features(), roster.New())...)
	a, r, s := h.Online(juliet), h.Online(romeo), h.Online("tybalt@example.net/desk")
	r.Sends(`<presence to='juliet@example.com' type='subscribe'/>`)
	a.Sends(`<presence to='romeo@example.com' type='subscribed'/>`)
	a.Sends(`<presence to='romeo@example.com'/>`)
	a.Sends(`<presence to='tybalt@example.net/desk'/>`)
	for _, who := range []*routertest.Actor{a, r, s} {
		who.Forgets()
	}
	for range 2 {
		a.Sends(set("block", "romeo@example.com", "example.net"))
		a.Gets(`<iq id='s' type='result'/>`)
	}
	for _, who := range []*routertest.Actor{r, s} {
		who.Gets(`<presence from='juliet@example.com/desk' type='unavailable'/>`)
		who.GetsNothing()
	}
	a.Sends(set("block", "romeo@example.com/desk"))
	a.Forgets()
	a.Sends(set("unblock", "romeo@example.com/desk")) // the bare JID is blocked yet
	a.Gets(`<iq id='s' type='result'/>`)
	r.GetsNothing()
	a.Leaves()
	r.GetsNothing()
	s.GetsNothing()
}

// TestErrorsOfTheBlocked: who is blocked gets as many errors for messages as for messages to
// nobody, together, so that their want tells nothing either.
func TestErrorsOfTheBlocked(t *testing.T) {
	h := routertest.New(t, blocking.New(), mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Router.SetUnknownErrors(2)
	juliet, romeo := h.Online("juliet@example.com/x"), h.Online("romeo@example.com/y")
	juliet.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.com'/></block></iq>")
	juliet.Forgets()
	romeo.Forgets()
	for n, to := range []string{"juliet", "nobody", "juliet", "nobody", "juliet"} {
		romeo.Sends("<message type='chat' id='m' to='" + to + "@example.com'><body>?</body></message>")
		if n < 2 {
			romeo.Gets("<message type='error' id='m' from='" + to + "@example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
		}
		romeo.GetsNothing()
	}
	juliet.GetsNothing()
}
