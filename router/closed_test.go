package router_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestStoreIsClosed: who speaks when the store is closed already is told so, message by
// message, and nobody waits for ever.
func TestStoreIsClosed(t *testing.T) {
	f := &archive{}
	h := routertest.New(t, f.feature(), mam.New(func() mam.Limits { return mam.Limits{} }))
	var senders []*routertest.Peer
	backs := make([]*heard, 4)
	for i := range backs {
		p := h.Connected(fmt.Sprintf("from%d@example.com/x", i)).Peer()
		back := &heard{}
		backs[i], senders = back, append(senders, p)
		p.Session.Tap(func(st *xmpp.Stanza) { back.add(st.ID + " " + st.Type) })
	}
	late := h.Connected("juliet@example.com/late").Peer()
	if err := h.Store.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, p := range senders {
		wg.Go(func() {
			var rd router.Round
			for i := range 20 {
				mustSend(t, p, &rd, fmt.Sprintf(`<message to='juliet@example.com' id='%d'><body>x</body><keep xmlns='test'/></message>`, i))
			}
			p.Sender.Settle(&rd)
		})
	}
	var rd router.Round
	mustSend(t, late, &rd, `<presence/>`) // what waits for her cannot be read
	wg.Wait()
	for _, back := range backs {
		for i := range 20 {
			if !back.has(fmt.Sprintf("%d error", i)) {
				t.Errorf("message %d was not refused", i)
			}
		}
	}
}
