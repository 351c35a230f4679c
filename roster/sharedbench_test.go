package roster

import (
	"context"
	"fmt"
	"testing"

	"parley/router"
	"parley/xmpp"
)

// staff is a company in which n people share one group, and here of them are online.
func staff(t testing.TB, n, here int) *company {
	c := newCompany(t)
	for i := range n {
		c.Dir.Add(xmpp.MustJID(employee(i)))
	}
	c.has("All: example.com")
	for i := range here {
		p, err := c.Bind(xmpp.MustJID(employee(i) + "/a"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Sender.Leave("") })
		p.Session.Tap(func(*xmpp.Stanza) {})
		var rd router.Round
		if err := p.Sender.Send(context.Background(), &rd, xmpp.NewStanza(xmpp.Presence, nil)); err != nil {
			t.Fatal(err)
		}
	}
	c.Settle()
	return c
}

func employee(i int) string { return fmt.Sprintf("e%05d@example.com", i) }

// BenchmarkSharedLogin is a session that gets its roster, and no presence.
func BenchmarkSharedLogin(b *testing.B) {
	for _, n := range []int{0, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := staff(b, n, 0)
			ask, err := xmpp.ParseStanza(rosterGet)
			if err != nil {
				b.Fatal(err)
			}
			size := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				who := employee(i % max(n, 1))
				c.Dir.Add(xmpp.MustJID(who))
				p, err := c.Bind(xmpp.MustJID(who + "/a"))
				if err != nil {
					b.Fatal(err)
				}
				p.Session.Tap(func(st *xmpp.Stanza) { size = st.Len() })
				var rd router.Round
				again := *ask
				if err := p.Sender.Send(context.Background(), &rd, &again); err != nil {
					b.Fatal(err)
				}
				rd.Flush()
				p.Sender.Leave("")
			}
			b.ReportMetric(float64(size), "bytes/roster")
		})
	}
}

// BenchmarkSharedPresence is a change of presence where 100 of 10000 are online.
func BenchmarkSharedPresence(b *testing.B) {
	c := staff(b, 10000, 100)
	p, err := c.Bind(xmpp.MustJID(employee(5000) + "/a"))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Sender.Leave("")
	p.Session.Tap(func(*xmpp.Stanza) {})
	var rd router.Round
	st := xmpp.NewStanza(xmpp.Presence, nil)
	b.ReportAllocs()
	for b.Loop() {
		again := *st
		if err := p.Sender.Send(context.Background(), &rd, &again); err != nil {
			b.Fatal(err)
		}
		rd.Flush()
	}
}

// BenchmarkSharedJoin is an account that comes to 10000, of whom 100 are online and told.
func BenchmarkSharedJoin(b *testing.B) {
	c := staff(b, 10000, 100)
	for i := 0; b.Loop(); i++ {
		c.Exists(xmpp.MustJID(fmt.Sprintf("new%d@example.com", i)))
	}
}

// TestSharedPresenceCost: what a change of presence makes is for those who are online, not
// for those who have an account.
func TestSharedPresenceCost(t *testing.T) {
	const here = 50
	c := staff(t, 5000, here)
	p, err := c.Bind(xmpp.MustJID(employee(4000) + "/a"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Sender.Leave("")
	p.Session.Tap(func(*xmpp.Stanza) {})
	var rd router.Round
	st := xmpp.NewStanza(xmpp.Presence, nil)
	got := testing.AllocsPerRun(50, func() {
		again := *st
		if err := p.Sender.Send(context.Background(), &rd, &again); err != nil {
			t.Error(err)
		}
	})
	if got > here+40 {
		t.Errorf("%v allocations for %d who are online", got, here)
	}
}

// TestSharedListIsOne: those who see the same groups have one list.
func TestSharedListIsOne(t *testing.T) {
	c := staff(t, 300, 0)
	one := c.feature.shared.list(xmpp.MustJID(employee(1)))
	if one.len() != 300 || c.feature.shared.list(xmpp.MustJID(employee(2))) != one {
		t.Errorf("two lists for one group, the first of %d", one.len())
	}
}
