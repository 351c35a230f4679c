package router_test

import (
	"slices"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestEverybody: each account that is wanted takes one turn, and nobody else.
func TestEverybody(t *testing.T) {
	h := routertest.New(t)
	for _, who := range []string{"a@example.com/1", "a@example.com/2", "b@example.com/1", "c@example.net/1"} {
		h.Connected(who)
	}
	var mu sync.Mutex
	var turns []string
	h.Router.Everybody(func(a *router.Account) bool { return a.JID.Domain() == "example.com" }, func(_ *router.Turn, a *router.Account) {
		mu.Lock()
		defer mu.Unlock()
		turns = append(turns, a.JID.String())
	})
	h.Settle()
	slices.Sort(turns)
	if !slices.Equal(turns, []string{"a@example.com", "b@example.com"}) {
		t.Errorf("turns were taken by %v", turns)
	}
}

// TestJoined: who makes an account tells the features.
func TestJoined(t *testing.T) {
	var joined []xmpp.JID
	h := routertest.New(t, router.Feature{Name: "deaf"}, router.Feature{Name: "watch", Joined: func(j xmpp.JID) { joined = append(joined, j) }})
	h.Exists(xmpp.MustJID("a@example.com"))
	h.Exists(xmpp.MustJID("a@example.com"))
	if len(joined) != 1 || joined[0] != xmpp.MustJID("a@example.com") {
		t.Errorf("joined are %v", joined)
	}
}
