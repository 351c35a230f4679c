package pubsub

import (
	"fmt"
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
)

// online is how many contacts are there.
const online = 500

// audience has a publisher with contacts who are there, and of whom some are interested.
func audience(tb testing.TB, interested int) (w *world, p *routertest.Peer, heard *int) {
	w = newWorld(tb, routertest.Config{}, Limits{})
	juliet := w.Online("juliet@example.com/x")
	heard = new(int)
	w.interested(tb, "prover@example.net/x", "n").Leaves()
	w.interested(tb, "prover@example.net/x", "other").Leaves()
	for i := range online {
		bare := xmpp.MustJID(fmt.Sprintf("r%d@example.com", i))
		w.Exists(bare)
		q, err := w.Bind(xmpp.MustJID(bare.String() + "/x"))
		if err != nil {
			tb.Fatal(err)
		}
		q.Session.Tap(func(st *xmpp.Stanza) {
			if st.Kind == xmpp.Message {
				*heard++
			}
		})
		say(tb, q, `<presence type='subscribe' to='juliet@example.com'/>`)
		node := "other"
		if i < interested {
			node = "n"
		}
		say(tb, q, `<presence>`+shown(tb, node)+`</presence>`)
		tb.Cleanup(func() { q.Sender.Leave("") })
	}
	w.Settle()
	for i := range online {
		say(tb, juliet.Peer(), fmt.Sprintf(`<presence type='subscribed' to='r%d@example.com'/>`, i))
	}
	w.Settle()
	p = juliet.Peer()
	p.Session.Tap(func(*xmpp.Stanza) {})
	return w, p, heard
}

// BenchmarkPublish is a publication with 500 contacts online, of whom none or all are interested,
// and the write that it waits for.
func BenchmarkPublish(b *testing.B) {
	for name, n := range map[string]int{"none": 0, "all": online} {
		b.Run(name, func(b *testing.B) {
			_, p, heard := audience(b, n)
			xml := publishes("n", "1", "text", "")
			say(b, p, xml)
			*heard = 0
			b.ReportAllocs()
			for b.Loop() {
				say(b, p, xml)
			}
			if *heard != b.N*n {
				b.Errorf("%d notifications of %d publications", *heard, b.N)
			}
		})
	}
}

// TestNotificationsShareTheirBody looks that what is published is not copied for each who hears
// of it, and that who is not interested costs next to nothing.
func TestNotificationsShareTheirBody(t *testing.T) {
	_, p, heard := audience(t, online)
	xml := publishes("n", "1", "text", "")
	say(t, p, xml)
	*heard = 0
	all := testing.AllocsPerRun(10, func() { say(t, p, xml) })
	if *heard != 11*online {
		t.Fatalf("%d notifications", *heard)
	}
	_, p, _ = audience(t, 0)
	say(t, p, xml)
	none := testing.AllocsPerRun(10, func() { say(t, p, xml) })
	t.Logf("%v allocations with %d readers, %v with none", all, online, none)
	if each := (all - none) / online; each > 3 || none > 500 {
		t.Errorf("%v allocations for each who hears, %v for a publication that nobody hears", each, none)
	}
}

// BenchmarkComing is somebody coming who sees 500 others, all away, of whom each has published
// something that the newcomer is interested in: until it has heard of all.
func BenchmarkComing(b *testing.B) {
	w := newWorld(b, routertest.Config{}, Limits{})
	juliet := w.Online("juliet@example.com/x")
	w.interested(b, "prover@example.net/x", "n").Leaves()
	for i := range online {
		bare := xmpp.MustJID(fmt.Sprintf("r%d@example.com", i))
		w.Exists(bare)
		q, err := w.Bind(xmpp.MustJID(bare.String() + "/x"))
		if err != nil {
			b.Fatal(err)
		}
		q.Session.Tap(func(*xmpp.Stanza) {})
		say(b, juliet.Peer(), `<presence type='subscribe' to='`+bare.String()+`'/>`)
		say(b, q, `<presence type='subscribed' to='juliet@example.com'/>`)
		say(b, q, publishes("n", "1", "text", ""))
		q.Sender.Leave("")
	}
	w.Settle()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p, err := w.Bind(xmpp.MustJID(fmt.Sprintf("juliet@example.com/c%d", i)))
		if err != nil {
			b.Fatal(err)
		}
		n, all := 0, make(chan struct{})
		p.Session.Tap(func(st *xmpp.Stanza) {
			if st.Kind == xmpp.Message {
				if n++; n == online {
					close(all)
				}
			}
		})
		say(b, p, `<presence>`+shown(b, "n")+`</presence>`)
		<-all
		p.Sender.Leave("")
	}
}
