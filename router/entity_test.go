package router_test

import (
	"context"
	"fmt"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// An account in whose name somebody else has sent messages is not kept in memory by them:
// neither by those that arrive, nor by those that are kept, refused, or fail.
func TestMessagesInANameHoldNothing(t *testing.T) {
	loads := map[xmpp.JID]int{}
	inner := xmpp.JID{}
	keeps := false
	h := routertest.New(t, router.Feature{
		Name: "names",
		Load: func(_ *storage.Tx, a *router.Account) error { loads[a.JID]++; return nil },
		Unwrap: func(_ context.Context, st *xmpp.Stanza) (*xmpp.Stanza, *xmpp.Error) {
			to, err := xmpp.ParseJID(st.ID)
			if err != nil {
				return nil, nil
			}
			return st.Readdressed(to, inner), nil
		},
		Sent: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			if keeps {
				p.Keep(routertest.Keeping(func(*storage.Tx, storage.ID) error { return nil }))
			}
			return nil
		}},
	})
	juliet := xmpp.MustJID("juliet@example.com")
	h.Exists(juliet)
	romeo := h.Online("romeo@example.com/r")
	romeo.Forgets()
	g := h.Service("gw.example.org")
	g.Forgets()
	inner = juliet
	for _, k := range []bool{false, true} {
		keeps = k
		for _, to := range []string{"romeo@example.com", "romeo@example.com/r", "nobody@example.com", "x@gw.example.org", "x@nowhere.example"} {
			g.Says("<message from='gw.example.org' to='example.com' id='" + to + "'><body>x</body></message>")
		}
	}
	h.Settle()
	romeo.Forgets()
	for i := 0; i < 40_000 && loads[juliet] < 2; i++ { // until the accounts that nobody uses are forgotten
		bare := xmpp.MustJID(fmt.Sprintf("u%d@example.com", i))
		h.Dir.Add(bare)
		use := func(who xmpp.JID) {
			if err := h.Router.WithAccount(t.Context(), who, func(*router.Account) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		use(bare)
		if i%5000 == 4999 {
			use(juliet)
		}
	}
	if loads[juliet] < 2 {
		t.Error("the account is never forgotten")
	}
	inner = xmpp.MustJID("nobody@example.com")
	g.Forgets()
	g.Says("<message from='gw.example.org' to='example.com' id='romeo@example.com'><body>x</body></message>")
	g.Gets("<message type='error' from='example.com'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>")
}

// A request that is answered later is answered once, from whom was asked, and keeps nobody
// waiting.
func TestLater(t *testing.T) {
	var answer func(xmpp.Payload, error)
	h := routertest.New(t, router.Feature{Name: "later", IQ: []router.IQ{
		router.Get(router.ToServer, "urn:later", "q", func(_ context.Context, q *router.Request) (xmpp.Payload, error) {
			answer = q.Later()
			return nil, nil
		}),
		router.Get(router.ToServer, "urn:now", "q", func(_ context.Context, q *router.Request) (xmpp.Payload, error) {
			q.Later()(xmpp.Payload("<now xmlns='urn:now'/>"), nil)
			return nil, nil
		}),
	}})
	ann := h.Connected("ann@example.com/1")
	ann.Says("<iq to='example.com' type='get' id='1'><q xmlns='urn:later'/></iq>")
	ann.GetsNothing()
	ann.Says("<iq to='example.com' type='get' id='2'><q xmlns='urn:now'/></iq>")
	ann.Gets("<iq from='example.com' type='result' id='2'><now xmlns='urn:now'/></iq>")
	ann.GetsNothing()
	answer(nil, xmpp.Refuse("item-not-found", ""))
	ann.Gets("<iq from='example.com' type='error' id='1'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
	// Who has gone meanwhile hears nothing, and nobody else does.
	ann.Says("<iq to='example.com' type='get' id='3'><q xmlns='urn:later'/></iq>")
	ann.Leaves()
	again := h.Connected("ann@example.com/1")
	answer(nil, nil)
	again.GetsNothing()
}
