package roster

import (
	"context"
	"fmt"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// crowd is a user whom n contacts see, all of whom are there.
func crowd(t testing.TB, n int) (*stage, *routertest.Peer) {
	s := newStage(t)
	name := func(i int) string { return fmt.Sprintf("c%d@example.com", i) }
	s.fill("romeo@example.com", n, func(i int) Item { return Item{JID: xmpp.MustJID(name(i)), Subscription: "from"} })
	for i := range n {
		s.Exists(xmpp.MustJID(name(i)))
		p, err := s.Bind(xmpp.MustJID(name(i) + "/home"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Sender.Leave("") })
		var rd router.Round
		if err := p.Sender.Send(context.Background(), &rd, xmpp.NewStanza(xmpp.Presence, nil)); err != nil {
			t.Fatal(err)
		}
		p.Session.Tap(func(*xmpp.Stanza) {})
	}
	romeo := s.Online("romeo@example.com/a").Peer()
	romeo.Session.Tap(func(*xmpp.Stanza) {})
	return s, romeo
}

// TestBroadcastAllocates says how much garbage a change of presence makes: a head for each
// contact, and a few things once.
func TestBroadcastAllocates(t *testing.T) {
	const n = 100
	_, romeo := crowd(t, n)
	var rd router.Round
	st := xmpp.NewStanza(xmpp.Presence, nil)
	got := testing.AllocsPerRun(100, func() {
		again := *st
		if err := romeo.Sender.Send(context.Background(), &rd, &again); err != nil {
			t.Error(err)
		}
	})
	if got > n+30 {
		t.Errorf("%v allocations for %d contacts", got, n)
	}
}

func BenchmarkBroadcast(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, romeo := crowd(b, n)
			var rd router.Round
			st := xmpp.NewStanza(xmpp.Presence, nil)
			b.ReportAllocs()
			for b.Loop() {
				again := *st
				if err := romeo.Sender.Send(context.Background(), &rd, &again); err != nil {
					b.Fatal(err)
				}
				rd.Flush()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
		})
	}
}

// BenchmarkComing is a login with 100 contacts who are there, and the logout.
func BenchmarkComing(b *testing.B) {
	s, romeo := crowd(b, 100)
	romeo.Sender.Leave("")
	for b.Loop() {
		p, err := s.Bind(xmpp.MustJID("romeo@example.com/a"))
		if err != nil {
			b.Fatal(err)
		}
		var rd router.Round
		if err := p.Sender.Send(context.Background(), &rd, xmpp.NewStanza(xmpp.Presence, nil)); err != nil {
			b.Fatal(err)
		}
		p.Sender.Leave("")
	}
}
