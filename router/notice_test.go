package router_test

import (
	"context"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestNotify: a notice is given to accounts that exist, to all features in spite of one that
// panics in another notice, and not where the account bars who has spoken.
func TestNotify(t *testing.T) {
	romeo, juliet := xmpp.MustJID("romeo@example.com"), xmpp.MustJID("juliet@example.com")
	var got []xmpp.JID
	h := routertest.New(t, router.Feature{
		Name:  "tests",
		Heeds: func(account int64) bool { return account == 2 },
		Noticed: func(a *router.Account, n router.Notice) bool {
			if n.Mention {
				panic("in a notice")
			}
			got = append(got, a.JID)
			return a.JID == juliet
		},
		Arrived: router.Hooks{Bar: func(a *router.Account, st *xmpp.Stanza) *xmpp.Error {
			if st.To != a.JID || st.From.Resource() == "barred" {
				return xmpp.Refuse("service-unavailable", "")
			}
			return nil
		}},
	})
	h.Dir.Add(romeo)
	h.Dir.Add(juliet)
	if h.Router.Heeded(1) || !h.Router.Heeded(2) {
		t.Error("who heeds notices is asked wrongly")
	}
	if id, found, err := h.Router.Number(t.Context(), juliet); id != 2 || !found || err != nil {
		t.Error(id, found, err)
	}
	notify := func(to xmpp.JID, nick string, mention bool) bool {
		t.Helper()
		st := xmpp.NewStanza(xmpp.Message, nil)
		st.From = xmpp.MustJID("verona@conference.example.com/" + nick)
		told, err := h.Router.Notify(context.Background(), to, router.Notice{Stanza: st, Mention: mention})
		if err != nil {
			t.Error(err)
		}
		return told
	}
	switch {
	case notify(romeo, "x", false), !notify(juliet, "x", false):
		t.Error("whether an account was told is not what the feature says")
	case notify(juliet, "barred", false), notify(xmpp.MustJID("nobody@example.com"), "x", false), notify(juliet, "x", true):
		t.Error("nobody is told, and somebody was")
	case !notify(juliet, "x", false) || len(got) != 3:
		t.Error(got)
	}
	if n := h.Router.Stats().Panics.Load(); n != 1 {
		t.Errorf("%d panics", n)
	}
}
