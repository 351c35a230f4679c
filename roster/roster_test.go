package roster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// fill writes items into a roster, as many as n, by the hundred a commit.
func (s *stage) fill(user string, n int, make func(int) Item) {
	s.t.Helper()
	id := s.Dir.Add(xmpp.MustJID(user))
	for i := 0; i < n; i += 100 {
		err := s.Store.Write(context.Background(), func(tx *storage.Tx) error {
			for j := i; j < min(n, i+100); j++ {
				if _, err := put(tx, id, make(j)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestRestart: requests and subscriptions are there after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	start := func() *stage {
		h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{New()}, Storage: storage.Config{Dir: dir}})
		h.Exists(xmpp.MustJID("juliet@example.com"))
		h.Exists(xmpp.MustJID("romeo@example.com"))
		return &stage{h, t}
	}
	stop := func(s *stage) {
		s.Settle()
		if err := s.Store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := start()
	romeo := s.Online("romeo@example.com/a")
	romeo.Sends("<presence type='subscribe' id='r' to='juliet@example.com'><status>Hear me</status></presence>")
	romeo.Leaves()
	stop(s)
	s = start()
	juliet := s.Online("juliet@example.com/b")
	juliet.Gets("<presence type='subscribe' id='r' from='romeo@example.com' to='juliet@example.com'><status>Hear me</status></presence>")
	juliet.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	juliet.Leaves()
	stop(s)
	s = start()
	romeo = s.Online("romeo@example.com/a")
	juliet = s.Online("juliet@example.com/b")
	juliet.GetsNothing()
	romeo.Gets("<presence from='juliet@example.com/b' to='romeo@example.com'/>")
}

// TestRequestLimits: what a request may weigh, and how many wait.
func TestRequestLimits(t *testing.T) {
	s := newStage(t)
	s.Exists(xmpp.MustJID("juliet@example.com"))
	romeo := s.Online("romeo@example.com/a")
	large := "<status>" + strings.Repeat("x", maxRequest) + "</status>"
	for _, name := range []string{"juliet", "nobody"} {
		romeo.Sends("<presence type='subscribe' id='1' to='" + name + "@example.com'>" + large + "</presence>")
		romeo.Gets("<presence type='error' id='1'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></presence>")
		if got, _ := s.state("romeo@example.com", name+"@example.com"); got != none {
			t.Errorf("the state is %d", got)
		}
	}
	var rd router.Round
	st, err := xmpp.ParseStanza("<presence type='subscribe' from='far@elsewhere.example' to='juliet@example.com'>" + large + "</presence>")
	if err != nil {
		t.Fatal(err)
	}
	s.Router.Deliver(&rd, st)
	for i := range maxRequests {
		s.comes(fmt.Sprintf("u%d@elsewhere.example", i), "juliet@example.com", subscribe)
	}
	juliet := s.Online("juliet@example.com/b")
	n, whole := 0, 0
	for st := juliet.Hears(); st != nil; st = juliet.Hears() {
		if st.Type == "subscribe" {
			n++
			whole += len(st.Body())
		}
	}
	if n != maxRequests || whole != 0 {
		t.Errorf("%d requests with %d bytes", n, whole)
	}
}

// TestRosterIsFull: also a request or a pre-approval finds no room for an item.
func TestRosterIsFull(t *testing.T) {
	s := newStage(t)
	romeo := s.Online("romeo@example.com/a")
	s.fill("romeo@example.com", DefaultLimits().Items, func(i int) Item {
		return Item{JID: xmpp.MustJID(fmt.Sprintf("c%d@example.com", i)), Subscription: "none"}
	})
	for _, say := range []string{
		"<presence type='subscribe' to='x@example.com'/>", "<presence type='subscribed' to='x@example.com'/>",
	} {
		romeo.Sends(say)
		romeo.Gets("<presence type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></presence>")
	}
	romeo.Sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='x@example.com'/></query></iq>")
	romeo.Gets("<iq type='error' id='1'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>")
	romeo.Sends("<presence type='subscribe' to='c0@example.com'/>")
	romeo.GetsNothing()
	if got, _ := s.state("romeo@example.com", "c0@example.com"); got != nonePendingOut {
		t.Errorf("the state is %d", got)
	}
}

// TestFloor: who knows a version from before the removals that are remembered is given
// all, not less.
func TestFloor(t *testing.T) {
	s := newStage(t)
	romeo := s.Connected("romeo@example.com/a")
	s.fill("romeo@example.com", 2*maxGone+50, func(i int) Item {
		return Item{JID: xmpp.MustJID(fmt.Sprintf("c%d@example.com", i)), Subscription: "none"}
	})
	const first = 2*maxGone + 51 // the version of the first removal
	for i := range maxGone + 5 {
		romeo.Does(fmt.Sprintf("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='c%d@example.com' subscription='remove'/></query></iq>", i))
	}
	for version, all := range map[int]bool{first + 3: true, first + 4: false, first + 100: false} {
		romeo.Forgets()
		romeo.Sends(fmt.Sprintf("<iq type='get' id='v'><query xmlns='jabber:iq:roster' ver='%d'/></iq>", version))
		st := romeo.Hears()
		if st == nil || st.PayloadCount() > 0 != all {
			t.Errorf("version %d gets %v", version, st)
		}
		n := 0
		for st := romeo.Hears(); st != nil; st = romeo.Hears() {
			n++
		}
		if want := first + maxGone + 4 - version; !all && n != want {
			t.Errorf("version %d gets %d pushes instead of %d", version, n, want)
		}
	}
}

// TestOutOfStep: a subscription that only one side knows of is put right when that user
// comes (RFC 6121 §4.3.2), and when the user asks again (§3.1.3).
func TestOutOfStep(t *testing.T) {
	s := newStage(t)
	s.fill("juliet@example.com", 1, func(int) Item { return Item{JID: xmpp.MustJID("tybalt@example.com"), Subscription: "from"} })
	s.Online("juliet@example.com/b")
	s.fill("romeo@example.com", 1, func(int) Item { return Item{JID: xmpp.MustJID("juliet@example.com"), Subscription: "to"} })
	s.Online("romeo@example.com/a")
	if got, _ := s.state("romeo@example.com", "juliet@example.com"); got != none {
		t.Errorf("the state is %d", got)
	}
	s.Online("tybalt@example.com/c").Sends("<presence type='subscribe' to='juliet@example.com'/>")
	if got, _ := s.state("tybalt@example.com", "juliet@example.com"); got != to {
		t.Errorf("the state is %d", got)
	}
}

// TestDiskFull: a change that cannot be written is refused and has not happened.
func TestDiskFull(t *testing.T) {
	s := newStage(t)
	juliet := s.Online("juliet@example.com/b")
	romeo := s.Online("romeo@example.com/a")
	s.Disk.FullEvery(1)
	romeo.Sends("<presence type='subscribe' id='1' to='juliet@example.com'/>")
	romeo.Gets("<presence type='error' id='1'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></presence>")
	juliet.GetsNothing()
	s.Disk.FullEvery(0)
	romeo.Sends("<presence type='subscribe' id='2' to='juliet@example.com'/>")
	juliet.Gets("<presence type='subscribe' id='2'/>")
}

// TestAtOnce has users change everything between them at the same time, also under the
// race detector. Nothing breaks, and a removal by both leaves nothing behind.
func TestAtOnce(t *testing.T) {
	s := newStage(t)
	names := []string{"a@example.com", "b@example.com", "c@example.com"}
	var wg sync.WaitGroup
	for _, user := range names {
		for res := range 2 {
			s.Exists(xmpp.MustJID(user))
			p, err := s.Bind(xmpp.MustJID(fmt.Sprintf("%s/%d", user, res)))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { racing(t, p, names) })
		}
	}
	wg.Wait()
	s.Settle()
	for _, user := range names {
		a := s.Connected(user + "/z")
		for _, contact := range names {
			a.Sends("<presence type='unsubscribed' to='" + contact + "'/>")
			a.Sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='" + contact + "' subscription='remove'/></query></iq>")
		}
	}
	for _, user := range names {
		for _, contact := range names {
			if got, _ := s.state(user, contact); got.seesContact() || got.seenByContact() || got.pendingOut() {
				t.Errorf("%s has %s in state %d", user, contact, got)
			}
		}
	}
	if n := s.Router.Stats().Panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

func racing(t *testing.T, p *routertest.Peer, names []string) {
	var rd router.Round
	say := func(xml string) {
		st, err := xmpp.ParseStanza(xml)
		if err == nil {
			err = p.Sender.Send(context.Background(), &rd, st)
		}
		if err != nil {
			t.Errorf("%s: %v", xml, err)
		}
		rd.Flush()
	}
	for i := range 40 {
		say("<presence/>")
		say("<iq type='get' id='1'><query xmlns='jabber:iq:roster' ver='3'/></iq>")
		for _, name := range names {
			say(fmt.Sprintf("<presence type='%s' to='%s'/>", verb(i%verbs), name))
			say("<iq type='get' id='1' to='" + name + "/0'><query xmlns='jabber:iq:version'/></iq>")
			say("<iq type='get' id='1' to='" + name + "'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
			say("<presence type='probe' to='" + name + "'/>")
		}
		if i%5 == 4 {
			say("<presence type='unavailable'/>")
		}
	}
	p.Sender.Leave("")
}
