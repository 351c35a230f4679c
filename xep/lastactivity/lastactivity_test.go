package lastactivity_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/lastactivity"
	"parley/xmpp"
)

const (
	romeo     = "romeo@example.com/desk"
	ask       = `<iq id='q' to='romeo@example.com' type='get'><query xmlns='jabber:iq:last'/></iq>`
	forbidden = `<iq id='q' type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`
)

func said(seconds, status string) string {
	return `<iq id='q' type='result'><query xmlns='jabber:iq:last' seconds='` + seconds + `'>` + status + `</query></iq>`
}

// clock is a time that a test sets.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1e9+c.seconds.Load(), 0) }

// onlyJuliet may see everybody.
func onlyJuliet() router.Feature {
	return router.Feature{Name: "trust", Trusted: func(_ context.Context, _ *router.Account, asker xmpp.JID) bool {
		return asker == xmpp.MustJID("juliet@example.com")
	}}
}

func TestSinceTheLastResourceLeft(t *testing.T) {
	c := &clock{}
	h := routertest.New(t, lastactivity.New(c.now), onlyJuliet())
	h.Exists(xmpp.MustJID("romeo@example.com"))
	juliet, nurse := h.Online("juliet@example.com/desk"), h.Online("nurse@example.com/desk")
	juliet.Sends(ask) // never there yet
	juliet.Gets(`<iq id='q' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	desk, phone := h.Online(romeo), h.Online("romeo@example.com/phone")
	desk.Sends(`<presence type='unavailable'><status>to the phone</status></presence>`)
	c.seconds.Store(100)
	juliet.Sends(ask)
	juliet.Gets(said("0", ""))
	phone.Sends(`<presence type='unavailable'><status>Heading &lt;Home&gt;</status></presence>`)
	juliet.Sends(ask) // still connected
	juliet.Gets(said("0", ""))
	desk.Leaves()
	phone.Leaves()
	c.seconds.Store(100 + 903)
	juliet.Sends(ask)
	juliet.Gets(said("903", "Heading &lt;Home&gt;"))
	nurse.Sends(ask)
	nurse.Gets(forbidden)
	c.seconds.Store(0) // the clock was set back
	juliet.Sends(ask)
	juliet.Gets(said("0", "Heading &lt;Home&gt;"))
}

func TestLostConnection(t *testing.T) {
	c := &clock{}
	h := routertest.New(t, lastactivity.New(c.now), onlyJuliet())
	juliet := h.Online("juliet@example.com/desk")
	h.Online(romeo).Leaves()
	c.seconds.Store(7)
	juliet.Sends(ask)
	juliet.Gets(said("7", ""))
}

func TestLongStatusIsCut(t *testing.T) {
	c := &clock{}
	h := routertest.New(t, lastactivity.New(c.now), onlyJuliet())
	juliet, a := h.Online("juliet@example.com/desk"), h.Online(romeo)
	a.Sends(`<presence type='unavailable'><status>` + strings.Repeat("é", 5000) + `</status></presence>`)
	a.Leaves()
	juliet.Sends(ask)
	juliet.Gets(said("0", strings.Repeat("é", 1023)))
}

func TestNobodyIsTrustedByDefault(t *testing.T) {
	c := &clock{}
	h := routertest.New(t, lastactivity.New(c.now))
	juliet := h.Online("juliet@example.com/desk")
	h.Online(romeo)
	juliet.Sends(ask)
	juliet.Gets(forbidden)
}

func TestUptime(t *testing.T) {
	c := &clock{}
	h := routertest.New(t, lastactivity.New(c.now))
	a := h.Connected(romeo)
	c.seconds.Store(123456)
	a.Sends(`<iq id='q' to='example.com' type='get'><query xmlns='jabber:iq:last'/></iq>`)
	a.Gets(said("123456", ""))
}

func TestSurvivesARestart(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	house := func(t *testing.T) (*routertest.House, *routertest.Actor) {
		h := routertest.NewWith(t, routertest.Config{
			Features: []router.Feature{lastactivity.New(c.now), onlyJuliet()}, Storage: storage.Config{Dir: dir},
		})
		h.Exists(xmpp.MustJID("romeo@example.com")) // the same numbers each time
		return h, h.Online("juliet@example.com/desk")
	}
	t.Run("before", func(t *testing.T) {
		h, _ := house(t)
		h.Online(romeo).Leaves()
	})
	c.seconds.Store(60)
	t.Run("after", func(t *testing.T) {
		_, juliet := house(t)
		juliet.Sends(ask)
		juliet.Gets(said("60", ""))
	})
}

// TestNothingIsNotedOfARemovedAccount ends a session because its account is removed.
func TestNothingIsNotedOfARemovedAccount(t *testing.T) {
	c := &clock{}
	f := lastactivity.New(c.now)
	h := routertest.New(t, f)
	a := h.Online(romeo)
	bare := a.JID().Bare()
	id := h.Dir.Add(bare)
	h.Dir.Remove(bare)
	if err := h.Store.Write(context.Background(), func(tx *storage.Tx) error { return f.Forget(tx, id, bare) }); err != nil {
		t.Fatal(err)
	}
	h.Router.Forget(bare, xmpp.EndStream("not-authorized", ""))
	h.Settle()
	rows := 0
	err := h.Store.Read(context.Background(), func(tx *storage.Tx) error {
		_, err := tx.One(`select count(*) from last_activity`, nil, &rows)
		return err
	})
	if err != nil || rows != 0 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
}

// TestAbsent looks what is told in presence of who is not there, also after a restart.
func TestAbsent(t *testing.T) {
	const stamp = `<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2001-09-09T01:46:40.000Z'/>`
	dir, c := t.TempDir(), &clock{}
	house := func(t *testing.T) *routertest.House {
		return routertest.NewWith(t, routertest.Config{Features: []router.Feature{lastactivity.New(c.now)}, Storage: storage.Config{Dir: dir}})
	}
	tells := func(t *testing.T, h *routertest.House, want string) {
		t.Helper()
		err := h.Router.WithAccount(context.Background(), xmpp.MustJID("romeo@example.com"), func(a *router.Account) error {
			return a.Do(func(turn *router.Turn) {
				if got := string(h.Router.Absent(turn, a)); got != want {
					t.Errorf("%s instead of %s", got, want)
				}
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	t.Run("before", func(t *testing.T) {
		h := house(t)
		h.Exists(xmpp.MustJID("romeo@example.com"))
		tells(t, h, "") // never there yet
		h.Online(romeo).Sends(`<presence type='unavailable'><status>Home</status></presence>`)
		tells(t, h, stamp)
	})
	c.seconds.Store(60)
	t.Run("after", func(t *testing.T) {
		h := house(t)
		h.Exists(xmpp.MustJID("romeo@example.com"))
		tells(t, h, stamp)
		h.Router.SetLastActivity(true)
		tells(t, h, stamp+`<query xmlns='jabber:iq:last' seconds='60'>Home</query>`)
		h.Router.SetLastActivity(false)
		tells(t, h, stamp)
	})
}
