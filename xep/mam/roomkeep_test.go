package mam_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestRoomRetention: by age, number and size as the domain of the rooms has it, and by what is
// said for one; an account beside has its own rules, and what waits for it holds up no room.
func TestRoomRetention(t *testing.T) {
	hours := func(h int) time.Duration { return time.Duration(h)*time.Hour + time.Minute }
	for _, c := range []struct {
		what    string
		archive mam.Archive
		own     time.Duration // of the room; below zero: none
		want    string        // what is left of the room, and of its neighbour
	}{
		{"nothing said", mam.Archive{}, -1, "500 500"},
		{"age", mam.Archive{Retention: hours(100)}, -1, "100 100"},
		{"number", mam.Archive{Messages: 10}, -1, "10 10"},
		{"size", mam.Archive{Bytes: 1}, -1, "0 0"},
		{"the own is shorter", mam.Archive{Retention: hours(100)}, hours(10), "10 100"},
		{"the own is longer", mam.Archive{Retention: hours(100)}, hours(200), "200 100"},
		{"the own is for ever", mam.Archive{Retention: hours(100)}, 0, "500 100"},
	} {
		asked := map[string]bool{}
		s := playRooms(t, mam.Limits{Archive: func(host string) mam.Archive {
			asked[host] = true
			if host == "conference.example.com" {
				return c.archive
			}
			return mam.Archive{}
		}})
		now := time.Now()
		fills(t, s.Store, func(k keeper) {
			for i := range 500 {
				id := storage.IDAt(now.Add(time.Duration(i-500) * time.Hour))
				k.said(s.owner, juliet, id, romeo, incoming|content, fmt.Sprint(i), "<body>x</body>")
				for archive := range int64(2) {
					e := spoken(veronas-archive, verona, "romeo", romeo, fmt.Sprint(i), "<body>x</body>")
					if err := mam.AddAt(s.keeper, k.tx, id+1+storage.ID(archive), e); err != nil {
						t.Error(err)
					}
				}
			}
		})
		if c.own >= 0 {
			if err := mam.SetRetention(t.Context(), s.Store, veronas, &c.own); err != nil {
				t.Fatal(err)
			}
		}
		s.Router.Tidy(t.Context())
		left := func(owner int64) int { return count(t, s.Store, `select count(*) from kept where owner = $1`, owner) }
		if got := fmt.Sprint(left(veronas), left(veronas-1)); got != c.want || left(s.owner) != 500 {
			t.Errorf("%s: %s, and %d of an account", c.what, got, left(s.owner))
		}
		if bodies, rows := count(t, s.Store, `select count(*) from body`), count(t, s.Store, `select count(*) from kept`); bodies != rows {
			t.Errorf("%s: %d bodies, %d rows", c.what, bodies, rows)
		}
		if len(asked) != 2 || !asked["conference.example.com"] || !asked["example.com"] {
			t.Errorf("%s: %v", c.what, asked)
		}
	}
}

// TestRemovedRoom: its messages go soon, without anybody tidying up; also those that a restart
// left. A room beside keeps its own.
func TestRemovedRoom(t *testing.T) {
	s := playRooms(t, mam.Limits{})
	var list []mam.Entry
	for i := range 1200 {
		list = append(list, spoken(veronas, verona, "romeo", romeo, fmt.Sprint(i), "<body>hello</body>"))
	}
	s.add(list...)
	s.add(spoken(veronas-1, xmpp.MustJID("mantua@conference.example.com"), "romeo", romeo, "stays", "<body>hello</body>"))
	d := time.Hour
	if err := mam.SetRetention(t.Context(), s.Store, veronas, &d); err != nil {
		t.Fatal(err)
	}
	err := s.Store.Write(t.Context(), func(tx *storage.Tx) error { return s.keeper.Remove(tx, veronas) })
	if err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "it is gone", func() bool {
		return count(t, s.Store, `select (select count(*) from kept) + (select count(*) from leaving)`) == 1
	})
	for table, want := range map[string]int{"body": 1, "kept": 1, "leaving": 0, "prefs": 0} {
		if got := count(t, s.Store, `select count(*) from `+table); got != want {
			t.Errorf("%s: %d rows", table, got)
		}
	}
	results, _, err := s.answers(wants(t, veronas-1, xmpp.MustJID("mantua@conference.example.com"), form("", words+"hello")), s.juliet)
	if err != nil || names(results) != "stays" || count(t, s.Store, `select count(*) from words where words match 'hello'`) != 1 {
		t.Errorf("%v, %v", results, err)
	}
}

// TestRemovedRoomAfterRestart: the rest of the work is done by the server's next life.
func TestRemovedRoomAfterRestart(t *testing.T) {
	dir := t.TempDir()
	live := func(fn func(*storage.Store, *mam.Keeper)) {
		t.Helper()
		k := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
		f := mam.Feature(k)
		s, err := storage.Open(t.Context(), storage.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}, f.Schema)
		if err != nil {
			t.Fatal(err)
		}
		router.New(router.Config{Store: s, Features: []router.Feature{f}, Log: slog.New(slog.DiscardHandler)})
		fn(s, k)
		f.Stop()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	live(func(s *storage.Store, k *mam.Keeper) {
		err := s.Write(t.Context(), func(tx *storage.Tx) error {
			for i := range 700 {
				if _, err := k.Add(tx, spoken(veronas, verona, "romeo", romeo, fmt.Sprint(i), "<body>hello</body>")); err != nil {
					return err
				}
			}
			return k.Remove(tx, veronas)
		})
		if err != nil {
			t.Error(err)
		}
	})
	left := 0
	live(func(s *storage.Store, _ *mam.Keeper) {
		left = count(t, s, `select count(*) from kept`)
		routertest.Eventually(t, "it is gone", func() bool {
			return count(t, s, `select (select count(*) from kept) + (select count(*) from body) + (select count(*) from leaving)`) == 0
		})
	})
	if left == 0 {
		t.Error("nothing was left for the second life")
	}
}

// TestRoomBesideAccounts: what an account exchanges by name is found as ever, though rooms are
// written between, and nothing of a room comes among conversations.
func TestRoomBesideAccounts(t *testing.T) {
	s := playRooms(t, mam.Limits{})
	s.juliet.Comes("<presence/>")
	r := s.Online("romeo@example.net/orchard")
	for i := range 20 {
		r.Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>a%d</body></message>", i, i))
		s.add(spoken(veronas, verona, "romeo", romeo, "room", "<body>a</body>"), spoken(-1<<62, verona, "juliet", juliet, "room", "<body>a</body>"))
	}
	s.Settle()
	s.juliet.Forgets()
	results, answer := s.asks("set", form("", "with=romeo@example.net"))
	if fin := finOf(t, answer); len(results) != 20 || fin.count != "20" {
		t.Errorf("%d results, %+v", len(results), fin)
	}
	entries, _ := s.asks("get", `<inbox xmlns='urn:xmpp:inbox:1'/>`)
	if len(entries) != 1 {
		t.Errorf("%d conversations", len(entries))
	}
	routertest.Eventually(t, "all is exchanged", func() bool {
		return count(t, s.Store, `select count(*) from exchanged`) == 40
	})
	if n := count(t, s.Store, `select count(*) from exchanged where owner < 0`); n != 0 {
		t.Errorf("%d rows of rooms", n)
	}
	if n := count(t, s.Store, `select count(*) from kept where owner < 0`); n != 40 {
		t.Errorf("%d rows of rooms", n)
	}
}

// TestRoomRolledBack: what a transaction that fails has added was never there.
func TestRoomRolledBack(t *testing.T) {
	s := playRooms(t, mam.Limits{})
	err := s.Store.Write(t.Context(), func(tx *storage.Tx) error {
		if _, err := s.keeper.Add(tx, spoken(veronas, verona, "romeo", romeo, "1", "<body>gone</body>")); err != nil {
			return err
		}
		return context.Canceled
	})
	if err == nil {
		t.Fatal("it has not failed")
	}
	s.add(spoken(veronas, verona, "romeo", romeo, "2", "<body>there</body>"))
	results, fin, err := s.answers(wants(t, veronas, verona, form("")), s.juliet)
	if err != nil || names(results) != "2" || fin.count != "1" {
		t.Errorf("%v %+v %v", results, fin, err)
	}
	results, _, err = s.answers(wants(t, veronas, verona, form("", words+"gone")), s.juliet)
	if err != nil || strings.Contains(names(results), "1") {
		t.Errorf("%v %v", results, err)
	}
}

// TestRoomsOfAnOldDatabase: the mark of exchanged does not stand for the first room.
func TestRoomsOfAnOldDatabase(t *testing.T) {
	cfg := storage.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	f := mam.New(func() mam.Limits { return mam.Limits{} })
	open := func(steps int) *storage.Store {
		t.Helper()
		s, err := storage.Open(t.Context(), cfg, storage.Schema{Name: f.Schema.Name, Steps: f.Schema.Steps[:steps]})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(5)
	fills(t, s, func(k keeper) {
		k.exec(`update indexed set upto = 4711 where owner = -1`)
		k.said(1, juliet, at(1), romeo, incoming, "1", "<body>x</body>")
	})
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s = open(len(f.Schema.Steps))
	defer s.Close(context.Background())
	if got := count(t, s, `select upto from indexed where owner < 0`); got != 4711 {
		t.Errorf("%d", got)
	}
	if got := count(t, s, `select count(*) from indexed where owner = -1`); got != 0 {
		t.Errorf("%d marks of the first room", got)
	}
	if got := count(t, s, `select count(*) from kept`); got != 1 {
		t.Errorf("%d rows", got)
	}
}

// TestRoomWorkBehind: what is added comes into the index of words, and what is removed goes,
// also when nothing else has had that looked after since the start.
func TestRoomWorkBehind(t *testing.T) {
	s := playRooms(t, mam.Limits{})
	time.Sleep(400 * time.Millisecond) // what the start has looked after is over
	s.add(spoken(veronas, verona, "romeo", romeo, "1", "<body>hello</body>"))
	routertest.Eventually(t, "it is in the index", func() bool {
		return count(t, s.Store, `select count(*) from words where words match 'hello'`) == 1
	})
	err := s.Store.Write(t.Context(), func(tx *storage.Tx) error { return s.keeper.Remove(tx, veronas) })
	if err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "it is gone", func() bool { return count(t, s.Store, `select count(*) from body`) == 0 })
}
