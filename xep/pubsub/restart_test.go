package pubsub

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// TestItemsExpire: what is too old is not there, and is deleted some time (XEP-0060 §16.4.4).
func TestItemsExpire(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1e9)
	w := newWorld(t, routertest.Config{Storage: storage.Config{Now: func() time.Time { return time.Unix(clock.Load(), 0) }}}, Limits{})
	juliet := w.Online("juliet@example.com/x")
	juliet.Does(publishes("n", "1", "one", options("item_expire", "60", "max_items", "max")))
	clock.Add(40)
	juliet.Does(publishes("n", "2", "two", ""))
	items := func(want string) {
		t.Helper()
		juliet.Sends(ask1("get", nsPubsub, `<items node='n'/>`))
		juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsPubsub + `'><items node='n'>` + want + `</items></pubsub></iq>`)
	}
	items(`<item id='1'><x xmlns='urn:x'>one</x></item><item id='2'><x xmlns='urn:x'>two</x></item>`)
	clock.Add(40)
	items(`<item id='2'><x xmlns='urn:x'>two</x></item>`)
	w.Router.Tidy(context.Background())
	if n := w.count(t, `select 100 * (select count(*) from pubsub_item) + items from pubsub_node`); n != 101 {
		t.Errorf("%d items and in the tally", n)
	}
	clock.Add(40)
	w.Router.Tidy(context.Background())
	if n := w.count(t, `select 100 * (select count(*) from pubsub_item) + 10 * bytes + items from pubsub_node`); n != 0 {
		t.Errorf("%d items and in the tally", n)
	}
	desk := w.interested(t, "juliet@example.com/desk", "n")
	desk.GetsNothing()
}

// TestRestart: what was published is there, and who was interested and resumes is not told again
// what it has heard.
func TestRestart(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	house := func(t *testing.T) *world {
		return newWorld(t, routertest.Config{Storage: storage.Config{Dir: dir}, Dir: accounts}, Limits{})
	}
	var saved router.Saved
	t.Run("before", func(t *testing.T) {
		w := house(t)
		juliet := w.Online("juliet@example.com/x")
		juliet.Does(publishes("n", "1", "one", ""))
		reader := w.Connected("juliet@example.com/reader")
		reader.Says(`<presence>` + shown(t, "n") + `</presence>`)
		for st := reader.Hears(); st != nil; st = reader.Hears() {
			if st.Kind == xmpp.IQ {
				reader.Says(xmpp.Result(st, xmpp.Payload(`<query xmlns='`+xmpp.NSInfo+`'>`+info("n")+`</query>`)).String())
			}
		}
		var ok bool
		if saved, ok = reader.Peer().Sender.Save(); !ok {
			t.Fatal("the session cannot be saved")
		}
	})
	t.Run("after", func(t *testing.T) {
		w := house(t)
		var session *routertest.Session
		sender, err := w.Router.Restore(context.Background(), saved, nil, func(j xmpp.JID) router.Session {
			session = routertest.NewSession(j)
			return session
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Settle()
		if session.Heard() {
			t.Errorf("it heard %s once more", session.Next())
		}
		juliet := w.Connected("juliet@example.com/x")
		juliet.Does(publishes("n", "1", "two", ""))
		st := session.Next()
		for st != nil && st.Kind == xmpp.Presence {
			st = session.Next()
		}
		if st == nil {
			t.Fatal("it heard nothing")
		}
		if why := routertest.Match(published("n", "1", "two", false), st); why != "" {
			t.Errorf("%s: %s", st, why)
		}
		sender.Leave("")
	})
}

// TestForget: nothing is left of an account that is removed, nor of what it has to do with others'
// nodes.
func TestForget(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet, tybalt := w.Online("juliet@example.com/x"), w.Online("tybalt@example.com/x")
	for _, a := range []*routertest.Actor{juliet, tybalt} {
		a.Does(publishes("n", "1", "one", options("access_model", "open")))
		a.Does(ask1("set", nsOwner, `<affiliations node='n'><affiliation jid='romeo@example.com' affiliation='member'/></affiliations>`))
	}
	tybalt.Does(ask1("set", nsOwner, `<affiliations node='n'><affiliation jid='juliet@example.com' affiliation='member'/></affiliations>`))
	juliet.Sends(`<iq type='set' id='s' to='tybalt@example.com'><pubsub xmlns='` + nsPubsub + `'><subscribe node='n' jid='juliet@example.com/x'/></pubsub></iq>`)
	juliet.Forgets()
	id := w.Dir.Add(xmpp.MustJID("juliet@example.com"))
	err := w.Store.Write(context.Background(), func(tx *storage.Tx) error { return forget(tx, id, xmpp.MustJID("juliet@example.com")) })
	if err != nil {
		t.Fatal(err)
	}
	for q, want := range map[string]int64{
		`select count(*) from pubsub_node`: 1, `select count(*) from pubsub_item`: 1,
		`select count(*) from pubsub_affiliation`: 1, `select count(*) from pubsub_subscription`: 0,
	} {
		if n := w.count(t, q); n != want {
			t.Errorf("%s: %d", q, n)
		}
	}
}
