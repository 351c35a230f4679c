package router_test

import (
	"fmt"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestWhoExists: somebody who tries names is told of a few that they do not exist. From
// then on a message to nobody is like one to somebody who is away.
func TestWhoExists(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Router.SetUnknownErrors(3)
	h.Exists(xmpp.MustJID("juliet@example.com"))
	spy, friend := h.Online("spy@example.com/1"), h.Online("romeo@example.com/1")
	writes := func(a *routertest.Actor, to string) {
		a.Sends(fmt.Sprintf(`<message to='%s' type='chat' id='x'><body>?</body></message>`, to))
	}
	refused := `<message type='error' id='x'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`
	for n := range 3 {
		writes(spy, fmt.Sprintf("nobody%d@example.com", n))
		spy.Gets(refused)
	}
	for n := range 3 {
		writes(spy, fmt.Sprintf("other%d@example.com", n))
		writes(spy, "juliet@example.com")
		spy.GetsNothing()
	}
	again := h.Online("spy@example.com/2") // it is the account that counts
	writes(again, "nobody@example.net/x")
	again.GetsNothing()
	writes(friend, "nobody@example.com")
	friend.Gets(refused)
	var rd router.Round
	for n := range 5 { // senders of other domains count by domain
		st, err := xmpp.ParseStanza(fmt.Sprintf(`<message to='nobody@example.com' from='u%d@example.org/x' type='chat' xmlns='jabber:client'><body>?</body></message>`, n))
		if err != nil {
			t.Fatal(err)
		}
		h.Router.Deliver(&rd, st)
	}
	if n := h.Router.Stats().Unknown.Load(); n != 3+1+2 {
		t.Errorf("%d were dropped", n)
	}
	h.Router.SetUnknownErrors(0)
	writes(spy, "nobody@example.com")
	spy.Gets(refused)
	juliet := h.Online("juliet@example.com/1")
	for range 3 {
		juliet.Gets(`<message type='chat'>…</message>`)
	}
	juliet.GetsNothing()
}
