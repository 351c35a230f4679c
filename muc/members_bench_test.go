package muc_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// society is a world whose room has n members, each with an account, and a node if phones.
func society(t testing.TB, n int, phones bool) *world {
	t.Helper()
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.rooms.Configure(xmpp.MustJID(verona), map[string]string{"membersonly": "0"}) // nobody is invited
	w.found()
	for i := 0; i < n; i += 500 {
		var items strings.Builder
		for k := i; k < min(i+500, n); k++ {
			w.Dir.Add(xmpp.MustJID(fmt.Sprintf("user%d@example.com", k)))
			fmt.Fprintf(&items, "<item affiliation='member' jid='user%d@example.com' nick='User %d'/>", k, k)
		}
		w.romeo.Sends("<iq to='" + verona + "' id='a' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>" + items.String() + "</query></iq>")
		w.romeo.Forgets()
	}
	w.rooms.Configure(xmpp.MustJID(verona), map[string]string{"membersonly": "1"})
	if !phones {
		w.romeo.Forgets()
		return w
	}
	err := w.Store.Write(t.Context(), func(tx *storage.Tx) error {
		for k := range n {
			id, _, _ := w.Dir.Lookup(t.Context(), xmpp.MustJID(fmt.Sprintf("user%d@example.com", k)))
			if err := tx.Exec(`insert into push_node (owner, jid, node, resource, options) values ($1, 'app@example.com/server', 'n', 'phone', x'')`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.romeo.Leaves()
	w.app.Leaves()
	w.Router.Stop(t.Context())
	w.Store.Close(t.Context())
	w = worldWith(t, dir, w.Dir)
	w.app.Peer().Session.Tap(func(*xmpp.Stanza) {})
	w.romeo.Forgets()
	return w
}

// TestMembersCostLittle: a message in a room of thousands of members allocates no more than in a
// room of a few, also where each has a phone that has just been told.
func TestMembersCostLittle(t *testing.T) {
	costs := func(n int) float64 {
		w := society(t, n, true)
		w.says("the first is told")
		for range n / 500 { // so many at a time
			w.pass(time.Second)
			w.Settle()
		}
		if told := w.rooms.Stats().Told.Load(); told != int64(n) {
			t.Fatalf("%d of %d are told", told, n)
		}
		var before, after runtime.MemStats
		const most = 50
		runtime.ReadMemStats(&before)
		for range most {
			w.says("hello everybody")
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / most
	}
	few, many := costs(5), costs(2000)
	t.Logf("%.0f allocations among 5, %.0f among 2,000", few, many)
	if many > few+200 {
		t.Errorf("%.0f allocations among 2,000 members, %.0f among 5", many, few)
	}
}

// BenchmarkMembers says something in a room with so many members who are not there, and waits
// until that is told to all whom it is to be told to.
func BenchmarkMembers(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		for _, phones := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d/phones=%v", n, phones), func(b *testing.B) {
				w := society(b, n, phones)
				w.says("the first is told")
				for b.Loop() {
					w.romeo.Sends("<message to='" + verona + "' type='groupchat'><body>hello everybody, or user 7</body></message>")
					w.pass(200 * time.Millisecond)
					w.romeo.Forgets()
				}
			})
		}
	}
}

// BenchmarkReading says things in a room, where it is noted that who says them has read the room
// and where it is not, many in one commit.
func BenchmarkReading(b *testing.B) {
	for _, only := range []string{"0", "1"} {
		b.Run("membersonly="+only, func(b *testing.B) {
			w := newWorld(b, b.TempDir())
			w.found()
			w.rooms.Configure(xmpp.MustJID(verona), map[string]string{"membersonly": only})
			w.romeo.Peer().Session.Tap(func(*xmpp.Stanza) {})
			st, err := xmpp.ParseStanza("<message to='" + verona + "' type='groupchat'><body>hello everybody</body></message>")
			if err != nil {
				b.Fatal(err)
			}
			var rd router.Round
			for b.Loop() {
				for range 50 {
					w.romeo.Peer().Sender.Send(b.Context(), &rd, st)
				}
				rd.Flush()
				w.Settle()
				w.pass(10 * time.Second)
			}
		})
	}
}
