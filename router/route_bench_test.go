package router_test

import (
	"context"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// route is one sender and a recipient with some devices, all of whom count what they get.
type route struct {
	house *routertest.House
	romeo *routertest.Peer
	rd    router.Round
	st    *xmpp.Stanza
}

func newRoute(t testing.TB, devices int, what string) *route {
	feature := (&archive{}).feature()
	if what == bridged {
		feature = (&bridge{}).feature()
	}
	r := &route{house: routertest.New(t, feature)}
	nothing := func(*xmpp.Stanza) {}
	romeo := r.house.Online("romeo@example.com/desk")
	r.romeo = romeo.Peer()
	r.romeo.Session.Tap(nothing)
	for i := range devices {
		r.house.Online("juliet@example.com/" + string(rune('a'+i))).Peer().Session.Tap(nothing)
	}
	body := "<body>" + strings.Repeat("x", 200) + "</body>" + what
	st, err := xmpp.ParseStanza(`<message to='juliet@example.com' type='chat' id='1'>` + body + `</message>`)
	if err != nil {
		t.Fatal(err)
	}
	r.st = st
	return r
}

// send sends the message as if it had come anew.
func (r *route) send() error {
	st := *r.st
	return r.romeo.Sender.Send(context.Background(), &r.rd, &st)
}

// TestRoutingAllocates says how much garbage a message makes on its way from Send to Push:
// its own head, which stands for the scanner's, and nothing else.
func TestRoutingAllocates(t *testing.T) {
	for devices := 1; devices <= 2; devices++ {
		r := newRoute(t, devices, "")
		n := testing.AllocsPerRun(1000, func() {
			if err := r.send(); err != nil {
				t.Error(err)
			}
			r.rd.Flush()
		})
		if n > 1 {
			t.Errorf("a message to %d devices makes %v allocations", devices, n)
		}
	}
}

// TestCrossingAllocates: what is handed over before it is written leaves behind, beside that,
// itself, and what the test's feature and session remember of it.
func TestCrossingAllocates(t *testing.T) {
	r := newRoute(t, 1, bridged)
	before := r.house.Disk.Commits()
	n := testing.AllocsPerRun(1000, func() {
		if err := r.send(); err != nil {
			t.Error(err)
		}
		r.rd.Flush()
	})
	if n > 9 {
		t.Errorf("a message that crosses makes %v allocations", n)
	}
	if n := r.house.Disk.Commits() - before; n > 0 {
		t.Errorf("%d commits", n)
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, c := range []struct {
		name    string
		devices int
		what    string
	}{{"to1", 1, ""}, {"to2", 2, ""}, {"kept", 1, kept}, {"kept2", 2, kept}, {"crossing", 1, bridged}} {
		b.Run(c.name, func(b *testing.B) {
			r := newRoute(b, c.devices, c.what)
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				if err := r.send(); err != nil {
					b.Fatal(err)
				}
				if n%64 == 0 { // as a reader does
					r.rd.Flush()
				}
			}
			r.romeo.Sender.Settle(&r.rd)
		})
	}
}
