package c2s_test

import (
	"testing"

	"parley/c2s"
	"parley/router"
	"parley/xmpp/xmpptest"
)

// TestVia: operators see how clients come, of each and of all.
func TestVia(t *testing.T) {
	h := open(t, nil)
	polling := xmpptest.Options{Addr: h.web, Host: host, TLS: h.trust(host), BOSH: "https://" + host + c2s.BOSHPath}
	h.account("juliet")
	for _, o := range []xmpptest.Options{h.options(), h.webOptions(), polling} {
		c := xmpptest.Dial(t, o)
		c.Login(xmpptest.Login{User: "juliet", Password: password})
	}
	seen := map[string]int{}
	h.router.EachSession(func(_ *router.Account, res router.Resource) {
		_, _, _, via := res.Session.(interface {
			Describe() (conn, address, tls, via string)
		}).Describe()
		seen[via]++
	})
	s := h.Stats()
	if len(seen) != 3 || seen["tcp"] != 1 || seen["websocket"] != 1 || seen["bosh"] != 1 {
		t.Errorf("they came by %v", seen)
	}
	if s.Open.Load() != 3 || s.WebSockets.Load() != 1 || s.BOSH.Load() != 1 {
		t.Errorf("%d connections, %d WebSockets, %d of BOSH", s.Open.Load(), s.WebSockets.Load(), s.BOSH.Load())
	}
	h.stop()
	if s.Open.Load() != 0 || s.WebSockets.Load() != 0 || s.BOSH.Load() != 0 {
		t.Errorf("behind the end: %d connections, %d WebSockets, %d of BOSH", s.Open.Load(), s.WebSockets.Load(), s.BOSH.Load())
	}
}
