package carbons_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xmpp"
)

func chat(to, id string) string {
	return fmt.Sprintf("<message to='%s' id='%s' type='chat'><body>x</body></message>", to, id)
}

// TestOneBody wants the copies of one message to share what they contain: it is written
// once, however many devices there are.
func TestOneBody(t *testing.T) {
	h := routertest.New(t, carbons.New())
	juliet := h.Online("juliet@example.com/balcony")
	romeo := []*routertest.Actor{h.Online("romeo@example.com/0"), h.Online("romeo@example.com/1"), h.Online("romeo@example.com/2")}
	for _, d := range romeo {
		d.Forgets()
		d.Does(enable)
	}
	juliet.Sends(chat("romeo@example.com/0", "1"))
	romeo[0].Gets(`<message id='1' type='chat'><body>x</body></message>`)
	carbon := `<message type='chat'><received xmlns='urn:xmpp:carbons:2'>…</received></message>`
	a, b := romeo[1].Gets(carbon), romeo[2].Gets(carbon)
	if &a.Body()[0] != &b.Body()[0] {
		t.Error("two copies have two bodies")
	}
}

// TestNobodyIsFoundByCopies has somebody write to many addresses: once the server says no
// more which of them exist (limits.unknown_address_errors), copies must not say it either.
func TestNobodyIsFoundByCopies(t *testing.T) {
	h := routertest.New(t, carbons.New(), mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Router.SetUnknownErrors(2)
	h.Exists(xmpp.MustJID("juliet@example.com"))
	desk, phone := h.Online("romeo@example.com/desk"), h.Connected("romeo@example.com/phone")
	phone.Does(enable)
	for i := range 2 {
		desk.Sends(chat("nobody@example.com", fmt.Sprint(i)))
		desk.Gets(fmt.Sprintf(`<message id='%d' type='error'>…</message>`, i))
		phone.GetsNothing()
	}
	for _, to := range []string{"juliet@example.com", "nobody@example.com", "nurse@example.com/x"} {
		desk.Sends(chat(to, "n"))
		desk.GetsNothing()
		phone.Gets(`<message type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='romeo@example.com/desk' to='` +
			to + `' id='n' type='chat'><body>x</body></message></forwarded></sent></message>`)
	}
}

// TestWhoIsGivenWhatWaitsNeedsNoCopy holds a device in the moment in which it is given what
// waits: a message that is kept then is among that.
func TestWhoIsGivenWhatWaitsNeedsNoCopy(t *testing.T) {
	var ready []func(*router.Round)
	holds := router.Feature{Name: "holds", Due: func(_ *router.Turn, _ *router.Account, _ router.Resource, then func(*router.Round)) {
		ready = append(ready, then)
	}}
	h := routertest.New(t, holds, carbons.New(), mam.New(func() mam.Limits { return mam.Limits{} }))
	phone, tablet := h.Connected("romeo@example.com/phone"), h.Connected("romeo@example.com/tablet")
	phone.Does(enable)
	tablet.Does(enable)
	phone.Comes("<presence/>")
	juliet := h.Connected("juliet@example.com/balcony")
	carbon := `<message type='chat'><received xmlns='urn:xmpp:carbons:2'>…</received></message>`
	juliet.Sends(chat("romeo@example.com", "kept"))
	phone.GetsNothing()
	tablet.Gets(carbon)
	juliet.Sends(`<message to='romeo@example.com' id='not' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>`)
	phone.Gets(`<message id='not' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>`) // it is not kept
	phone.GetsNothing()
	tablet.Gets(carbon)
	ready[0](new(router.Round))
	juliet.Sends(chat("romeo@example.com", "handed over"))
	phone.Gets(`<message id='handed over' type='chat'><body>x</body></message>`)
	tablet.Gets(carbon)
}

// TestCopiesKeepTheOrder has a message wait in the middle of others because the session that
// it was for has just ended: it goes through the store's line once more, and what the other
// device is shown stays in the order in which it was said.
func TestCopiesKeepTheOrder(t *testing.T) {
	h := newHouse(t)
	desk, phone := h.Online("romeo@example.com/desk").Peer(), h.Connected("romeo@example.com/phone")
	phone.Does(enable)
	juliet, nurse := h.Online("juliet@example.com/x"), h.Online("nurse@example.com/x")
	h.Exists(xmpp.MustJID("friar@example.com"))
	hold := make(chan struct{})
	h.Store.Keep(0, func(*storage.Tx) error { <-hold; return nil }, nil)
	var rd router.Round
	for i, to := range []string{"friar", "juliet", "nurse", "juliet", "friar", "nurse"} {
		st, err := xmpp.ParseStanza(chat(to+"@example.com", fmt.Sprint(i)))
		if err == nil {
			err = desk.Sender.Send(t.Context(), &rd, st)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	juliet.Peer().Session.Close()
	close(hold)
	desk.Sender.Settle(&rd)
	h.Settle()
	var shown, heard string
	for st := phone.Hears(); st != nil; st = phone.Hears() {
		id, _ := unwrap(t, st)
		shown += id
	}
	for st := nurse.Hears(); st != nil; st = nurse.Hears() {
		heard += st.ID
	}
	if shown != "012345" || heard != "25" {
		t.Errorf("the other device is shown %s, the nurse hears %s", shown, heard)
	}
}

// TestWhatCopiesCost says how much garbage the copies of a message make: none
// for an account of which no device wants any; for one, the carbon's body, its index and
// its heads, however many devices there are.
func TestWhatCopiesCost(t *testing.T) {
	for want, limit := range map[int]float64{0: 1, 1: 7, 3: 9} {
		r := newRoute(t, want)
		n := testing.AllocsPerRun(1000, func() {
			r.send(t)
			r.rd.Flush()
		})
		t.Logf("%d devices want copies: %v allocations", want, n)
		if n > limit {
			t.Errorf("%d devices want copies: %v allocations, more than %v", want, n, limit)
		}
	}
}

// route is a sender with some devices that want copies.
type route struct {
	romeo *routertest.Peer
	rd    router.Round
	st    *xmpp.Stanza
}

func newRoute(t testing.TB, copies int) *route {
	h := routertest.New(t, carbons.New())
	r := &route{romeo: h.Online("romeo@example.com/desk").Peer()}
	peers := []*routertest.Peer{r.romeo, h.Online("juliet@example.com/balcony").Peer()}
	for i := range copies {
		d := h.Connected(fmt.Sprint("romeo@example.com/", i))
		d.Does(enable)
		peers = append(peers, d.Peer())
	}
	for _, p := range peers {
		p.Session.Tap(func(*xmpp.Stanza) {})
	}
	var err error
	r.st, err = xmpp.ParseStanza(`<message to='juliet@example.com' type='chat' id='1'><body>` + strings.Repeat("x", 200) + `</body></message>`)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *route) send(t testing.TB) {
	st := *r.st
	if err := r.romeo.Sender.Send(context.Background(), &r.rd, &st); err != nil {
		t.Error(err)
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprint(n, "copies"), func(b *testing.B) {
			r := newRoute(b, n)
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				r.send(b)
				if i%64 == 0 {
					r.rd.Flush()
				}
			}
		})
	}
}
