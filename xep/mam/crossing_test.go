package mam_test

import (
	"context"
	"fmt"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

// A walk is a house without archives, where romeo says something to juliet, whose first device
// never says what it has.
type walk struct {
	*routertest.House
	t     *testing.T
	romeo *routertest.Peer
	first *routertest.Peer
	rd    router.Round
	n     int
}

func newWalk(t *testing.T) *walk {
	h := routertest.New(t, mam.New(func() mam.Limits {
		return mam.Limits{Archive: func(string) mam.Archive { return mam.Archive{Default: mam.PolicyNever} }}
	}))
	w := &walk{House: h, t: t}
	w.romeo = w.comes("romeo@example.com/street")
	w.first = w.comes("juliet@example.com/phone")
	w.first.Session.Silent()
	return w
}

func (w *walk) comes(full string) *routertest.Peer {
	w.t.Helper()
	j := xmpp.MustJID(full)
	w.Exists(j.Bare())
	p, err := w.Bind(j)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Says("<presence/>")
	return p
}

// says has romeo say so many messages, and waits for nothing.
func (w *walk) says(n int) {
	w.t.Helper()
	for range n {
		w.n++
		st, err := xmpp.ParseStanza(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>x</body></message>", w.n))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.romeo.Sender.Send(context.Background(), &w.rd, st); err != nil {
			w.t.Fatal(err)
		}
	}
	w.rd.Flush()
}

// heard wants a device to have heard all that was said, in order, once.
func (w *walk) heard(p *routertest.Peer) {
	w.t.Helper()
	w.romeo.Sender.Settle(&w.rd)
	w.Settle()
	n := 0
	for st := p.Session.Next(); st != nil; st = p.Session.Next() {
		if st.Kind != xmpp.Message {
			continue
		}
		if n++; st.ID != fmt.Sprint(n) {
			w.t.Errorf("message %s comes instead of %d", st.ID, n)
		}
	}
	if n != w.n {
		w.t.Errorf("%d messages of %d came", n, w.n)
	}
}

// TestAnotherDeviceComesMeanwhile: what the first one has not acknowledged is given to it, too,
// before what is said then.
func TestAnotherDeviceComesMeanwhile(t *testing.T) {
	w := newWalk(t)
	w.says(2)
	second := w.comes("juliet@example.com/laptop")
	w.says(2)
	w.first.Leaves()
	w.heard(second)
}

// TestTheSameDeviceComesAgain: its older session has not said that it has something.
func TestTheSameDeviceComesAgain(t *testing.T) {
	w := newWalk(t)
	w.says(2)
	second := w.comes("juliet@example.com/phone")
	w.says(2)
	w.first.Leaves()
	w.heard(second)
}
