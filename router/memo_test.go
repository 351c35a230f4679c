package router_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// remembrance keeps one word of each account, and can be told to fail.
type remembrance struct {
	words  router.Memo[string]
	others router.Memo[string]
	loads  atomic.Int64
	broken atomic.Bool
	panics atomic.Bool
	gate   atomic.Pointer[func()] // called once, between reading and remembering
}

func (d *remembrance) feature() router.Feature {
	return router.Feature{
		Name: "remembrance",
		Load: func(tx *storage.Tx, a *router.Account) error {
			d.loads.Add(1)
			if d.broken.Load() {
				return errors.New("no memory")
			}
			if d.panics.Load() {
				panic("no memory")
			}
			word := ""
			if _, err := tx.One(`select word from remembrance where owner = $1`, []any{a.ID}, &word); err != nil {
				return err
			}
			if gate := d.gate.Swap(nil); gate != nil {
				(*gate)()
			}
			d.words.Set(a, &word)
			return nil
		},
		Schema: storage.Schema{Name: "remembrance", Steps: []string{`create table remembrance (owner integer primary key, word text not null)`}},
	}
}

// write is a turn that changes the word of an account.
func (d *remembrance) write(a *router.Account, word string) (err error) {
	failed := a.Do(func(t *router.Turn) {
		err = t.Write(context.Background(), func(tx *storage.Tx) error {
			return tx.Exec(`insert into remembrance (owner, word) values ($1, $2) on conflict (owner) do update set word = excluded.word`, a.ID, word)
		})
		if err == nil {
			d.words.Set(a, &word)
		}
	})
	return errors.Join(failed, err)
}

func (d *remembrance) read(t *testing.T, h *routertest.House, bare xmpp.JID) (word string) {
	t.Helper()
	err := h.Router.WithAccount(context.Background(), bare, func(a *router.Account) error {
		word = *d.words.Of(a)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return word
}

func TestMemo(t *testing.T) {
	d := &remembrance{}
	h := routertest.New(t, d.feature())
	romeo := h.Connected("romeo@example.com/desk")
	a := romeo.Peer().Sender.Account()
	if d.others.Of(a) != nil || *d.words.Of(a) != "" {
		t.Error("something is remembered of a new account")
	}
	if err := d.write(a, "sighs"); err != nil {
		t.Fatal(err)
	}
	other := "other"
	a.Do(func(*router.Turn) { d.others.Set(a, &other) })
	if *d.words.Of(a) != "sighs" || *d.others.Of(a) != "other" {
		t.Error("one memo is in another's way")
	}
	if n := d.loads.Load(); n != 1 {
		t.Errorf("one account was loaded %d times", n)
	}
	if n := testing.AllocsPerRun(100, func() { d.words.Of(a) }); n != 0 {
		t.Errorf("a look makes %v allocations", n)
	}
}

// TestLoadFails lets nobody use an account of which it is not known what is to be
// remembered, and lets everybody again when it is.
func TestLoadFails(t *testing.T) {
	for _, how := range []func(*remembrance, bool){
		func(d *remembrance, now bool) { d.broken.Store(now) },
		func(d *remembrance, now bool) { d.panics.Store(now) },
	} {
		d := &remembrance{}
		h := routertest.New(t, d.feature())
		romeo := h.Connected("romeo@example.com/desk")
		h.Exists(xmpp.MustJID("juliet@example.com"))
		how(d, true)
		romeo.Sends(`<message id='1' to='juliet@example.com'><body>x</body></message>`)
		romeo.Gets(`<message id='1' type='error'><error type='wait'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
		if _, err := h.Bind(xmpp.MustJID("juliet@example.com/desk")); err == nil {
			t.Error("she comes, and her memos are empty")
		}
		how(d, false)
		h.Online("juliet@example.com/desk")
		romeo.Sends(`<message id='1' to='juliet@example.com/desk'><body>x</body></message>`)
		romeo.GetsNothing()
	}
}

// TestMemoIsNotStale has an account changed and forgotten while somebody else, who has
// read it before that, still loads it: what was changed last is what is remembered.
func TestMemoIsNotStale(t *testing.T) {
	d := &remembrance{}
	h := routertest.New(t, d.feature())
	ctx := context.Background()
	romeo := xmpp.MustJID("romeo@example.com")
	h.Exists(romeo)
	meanwhile := func() {
		err := h.Router.WithAccount(ctx, romeo, func(a *router.Account) error { return d.write(a, "new") })
		if err != nil {
			t.Error(err)
		}
		for i := range 20000 { // enough that every part of the map forgets whom nobody uses
			bare := xmpp.MustJID(fmt.Sprintf("x%d@example.com", i))
			h.Exists(bare)
			if err := h.Router.WithAccount(ctx, bare, func(*router.Account) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		h.Router.WithAccountInMemory(romeo, func(*router.Account) { t.Error("nothing was forgotten") })
	}
	d.gate.Store(&meanwhile)
	if got := d.read(t, h, romeo); got != "new" {
		t.Errorf("%q is remembered, and it was changed", got)
	}
}

// TestBar refuses what the features bar, both ways and of every kind; what panics bars.
func TestBar(t *testing.T) {
	bar := func(way string) func(*router.Account, *xmpp.Stanza) *xmpp.Error {
		return func(_ *router.Account, st *xmpp.Stanza) *xmpp.Error {
			switch st.ID {
			case way:
				return xmpp.Refuse("policy-violation", "")
			case way + " panics":
				panic(way)
			}
			return nil
		}
	}
	h := routertest.New(t, router.Feature{
		Name: "bar", Sent: router.Hooks{Bar: bar("sent")}, Arrived: router.Hooks{Bar: bar("arrived")},
		IQ: []router.IQ{router.Get(router.ToAccount, "test", "q", func(context.Context, *router.Request) (xmpp.Payload, error) { return nil, nil })},
	})
	romeo, juliet := h.Online("romeo@example.com/desk"), h.Online("juliet@example.com/desk")
	juliet.Sends(`<presence to='romeo@example.com'/>`)
	romeo.Gets(`<presence from='juliet@example.com/desk'/>`)
	iq := func(id, to string) string {
		return `<iq id='` + id + `' type='get' to='` + to + `'><q xmlns='test'/></iq>`
	}
	failed := func(kind, condition string) string {
		return `<` + kind + ` type='error'><error type='*'><` + condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></` + kind + `>`
	}
	for _, to := range []string{"juliet@example.com", "juliet@example.com/desk", "example.com"} {
		romeo.Sends(iq("sent", to))
		romeo.Gets(failed("iq", "policy-violation"))
		romeo.Sends(iq("sent panics", to))
		romeo.Gets(failed("iq", "internal-server-error"))
	}
	romeo.Sends(iq("arrived", "juliet@example.com"))
	romeo.Gets(failed("iq", "policy-violation"))
	romeo.Sends(iq("arrived", "juliet@example.com/desk"))
	romeo.Gets(failed("iq", "service-unavailable"))
	romeo.Sends(iq("other", "juliet@example.com"))
	romeo.Gets(`<iq id='other' type='result'/>`)
	romeo.Sends(`<presence id='sent' to='juliet@example.com' type='subscribe'/>`)
	romeo.Gets(failed("presence", "policy-violation"))
	romeo.Sends(`<presence id='sent' to='juliet@example.com' type='error'/>`)
	romeo.Sends(`<presence id='arrived' to='juliet@example.com'/>`)
	romeo.Sends(`<presence id='arrived panics' to='juliet@example.com' type='probe'/>`)
	romeo.GetsNothing()
	juliet.GetsNothing()
}
