package mam_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

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
// before what is said then; and so it is where the same device comes again.
func TestAnotherDeviceComesMeanwhile(t *testing.T) {
	for _, device := range []string{"laptop", "phone"} {
		t.Run(device, func(t *testing.T) {
			w := newWalk(t)
			w.says(2)
			second := w.comes("juliet@example.com/" + device)
			w.says(2)
			w.first.Leaves()
			w.heard(second)
		})
	}
}

// TestDevicesComeAndGo has romeo talk while devices of juliet come, take the place of older ones,
// and leave, and say sooner or later what they have: each sees his messages in order, and each
// message is seen.
func TestDevicesComeAndGo(t *testing.T) {
	for seed := range uint64(12) {
		w := newWalk(t)
		rnd := rand.New(rand.NewPCG(seed, 9))
		seen := map[int]bool{}
		said := make(chan struct{})
		go func() {
			defer close(said)
			for range 300 {
				w.says(1)
				if w.n%7 == 0 {
					time.Sleep(300 * time.Microsecond)
				}
			}
			w.romeo.Sender.Settle(&w.rd)
		}()
		devices := []*visitor{{Peer: w.first, t: t}}
		for n, ends := 0, false; !ends; n++ {
			select {
			case <-said:
				ends = true
			default:
			}
			i := rnd.IntN(len(devices))
			switch d := devices[i]; rnd.IntN(4) {
			case 0:
				if len(devices) < 3 {
					p, err := w.Bind(xmpp.MustJID(fmt.Sprintf("juliet@example.com/%d", rnd.IntN(3))))
					if err != nil {
						t.Fatal(err)
					}
					p.Session.Silent()
					var rd router.Round
					st, _ := xmpp.ParseStanza("<presence/>")
					p.Sender.Send(context.Background(), &rd, st) // may be replaced already
					rd.Flush()
					devices = append(devices, &visitor{Peer: p, t: t})
				}
			case 1:
				if len(devices) > 1 {
					d.Session.Close()
					routertest.Eventually(t, "all has left", func() bool { return d.Session.Waiting() == 0 })
					d.sees(seen)
					d.Sender.Leave("")
					devices = append(devices[:i:i], devices[i+1:]...)
				}
			default:
				d.sees(seen)
				d.Session.Acknowledge()
			}
			time.Sleep(time.Duration(rnd.IntN(400)) * time.Microsecond)
		}
		w.Settle()
		last := w.comes("juliet@example.com/last")
		for _, d := range append(devices, &visitor{Peer: last, t: t}) {
			d.sees(seen)
		}
		w.Settle()
		for n := 1; n <= w.n; n++ {
			if !seen[n] {
				t.Errorf("seed %d: nobody has seen %d", seed, n)
			}
		}
	}
}

// A visitor is a device of hers, and the last message that it has seen.
type visitor struct {
	*routertest.Peer
	t    *testing.T
	last int
}

// sees has it see what has come.
func (v *visitor) sees(seen map[int]bool) {
	for st := v.Session.Next(); st != nil; st = v.Session.Next() {
		n, err := strconv.Atoi(st.ID)
		if st.Kind != xmpp.Message || err != nil {
			continue
		}
		if n <= v.last {
			v.t.Errorf("%d comes behind %d", n, v.last)
		}
		v.last, seen[n] = n, true
	}
}
