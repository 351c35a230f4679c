package mam_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// old is an archive of messages an hour apart, the newest an hour old.
func old(t testing.TB, lim *mam.Limits, n int) (s *scene, id func(int) storage.ID) {
	s = playWith(t, lim)
	now := time.Now()
	id = func(i int) storage.ID { return storage.IDAt(now.Add(time.Duration(i-n) * time.Hour)) }
	fills(t, s.Store, func(k keeper) {
		for i := range n {
			k.said(s.owner, juliet, id(i), romeo, incoming|content, fmt.Sprint(i), "<body>"+strings.Repeat("x", 100)+"</body>")
		}
		k.takes(s.owner, id(n))
	})
	return s, id
}

// there returns the names of all that is in the archive, "first-last (count)".
func (s *scene) there() string {
	s.t.Helper()
	begin, answer := s.asks("set", form(rsm("<max>1</max>")))
	end, _ := s.asks("set", form(rsm("<max>1</max><before/>")))
	return names(begin) + "-" + names(end) + " (" + finOf(s.t, answer).count + ")"
}

func count(t testing.TB, s *storage.Store, q string, args ...any) (n int) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *storage.Tx) error { _, err := tx.One(q, args, &n); return err })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRetention: by age, by number and by size; what is said for one account counts more.
func TestRetention(t *testing.T) {
	hours := func(h int) *time.Duration { d := time.Duration(h)*time.Hour + time.Minute; return &d }
	never := time.Duration(0)
	for _, c := range []struct {
		what    string
		archive mam.Archive
		own     *time.Duration
		want    string
	}{
		{"nothing said", mam.Archive{}, nil, "0-999 (1000)"},
		{"age", mam.Archive{Retention: *hours(100)}, nil, "900-999 (100)"},
		{"age, all too young", mam.Archive{Retention: *hours(5000)}, nil, "0-999 (1000)"},
		{"age, all too old", mam.Archive{Retention: time.Minute}, nil, "- (0)"},
		{"number", mam.Archive{Messages: 10}, nil, "990-999 (10)"},
		{"number, enough room", mam.Archive{Messages: 1000}, nil, "0-999 (1000)"},
		{"one too many", mam.Archive{Messages: 999}, nil, "1-999 (999)"},
		{"age and number", mam.Archive{Messages: 500, Retention: *hours(100)}, nil, "900-999 (100)"},
		{"number and age", mam.Archive{Messages: 50, Retention: *hours(100)}, nil, "950-999 (50)"},
		{"the own is shorter", mam.Archive{Retention: *hours(100)}, hours(10), "990-999 (10)"},
		{"the own is longer", mam.Archive{Retention: *hours(100)}, hours(500), "500-999 (500)"},
		{"the own is for ever", mam.Archive{Retention: *hours(100)}, &never, "0-999 (1000)"},
	} {
		s, _ := old(t, &mam.Limits{Archive: func(host string) mam.Archive {
			if host != "example.com" {
				t.Errorf("%s: the archive of %q", c.what, host)
			}
			return c.archive
		}}, 1000)
		if c.own != nil {
			if err := mam.SetRetention(t.Context(), s.Store, s.owner, c.own); err != nil {
				t.Fatal(err)
			}
		}
		s.Router.Tidy(t.Context())
		if got := s.there(); got != c.want {
			t.Errorf("%s: %s instead of %s", c.what, got, c.want)
		}
		if bodies, rows := count(t, s.Store, `select count(*) from body`), count(t, s.Store, `select count(*) from kept`); bodies != rows {
			t.Errorf("%s: %d bodies, %d rows", c.what, bodies, rows)
		}
	}
}

// TestRetentionBySize: archives have no more bytes than they may, and each message is
// measured once.
func TestRetentionBySize(t *testing.T) {
	archive := mam.Archive{}
	s, id := old(t, &mam.Limits{Archive: func(string) mam.Archive { return archive }}, 3000)
	size := func() int { return count(t, s.Store, `select coalesce(sum(length(stanza)), 0) from body`) }
	one := size() / 3000
	archive.Bytes = int64(2000 * one)
	s.Router.Tidy(t.Context())
	if got := size(); int64(got) > archive.Bytes || int64(got) < archive.Bytes-int64(2*one) {
		t.Errorf("%d bytes of %d", got, archive.Bytes)
	}
	if got := count(t, s.Store, `select bytes from measured`); got != size() {
		t.Errorf("%d bytes are noted, there are %d", got, size())
	}
	fills(t, s.Store, func(k keeper) {
		for i := range 100 {
			k.said(s.owner, juliet, id(2999)+storage.ID(i)+1, romeo, incoming|content, "new", "<body>"+strings.Repeat("x", 100)+"</body>")
		}
		k.takes(s.owner, id(3000))
	})
	s.Router.Tidy(t.Context())
	if got := size(); int64(got) > archive.Bytes || int64(got) < archive.Bytes-int64(2*one) || count(t, s.Store, `select bytes from measured`) != got {
		t.Errorf("%d bytes of %d", got, archive.Bytes)
	}
	s.Exists(romeo.Bare())
	s.asks("set", form("", words+"x")) // from here on the index knows the message
	s.Online("romeo@example.net/orchard").Sends(`<message to='juliet@example.com/balcony' type='chat' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='2999'/></message>`)
	s.Router.Tidy(t.Context())
	got, want := count(t, s.Store, `select bytes from measured where owner = $1`, s.owner), count(t, s.Store, `select sum(length(stanza)) from body where one = $1`, s.owner)
	if graves := count(t, s.Store, `select count(*) from kept where flags & 16`); got != want || graves != 1 {
		t.Errorf("%d bytes are noted after %d retractions, there are %d", got, graves, want)
	}
}

// TestRetentionSparesWhatWaits: what nobody has taken stays until it may not wait longer,
// and with it everything behind it: there are no holes.
func TestRetentionSparesWhatWaits(t *testing.T) {
	lim := &mam.Limits{Archive: func(string) mam.Archive { return mam.Archive{Retention: time.Minute} }}
	for _, c := range []struct {
		what   string
		missed int
		upto   int
		expiry time.Duration
		want   string
	}{
		{"all was taken", -1, 100, 0, "- (0)"},
		{"the last ones wait", -1, 89, 0, "90-99 (10)"},
		{"one was missed", 40, 100, 0, "40-99 (60)"},
		{"nothing was taken", -1, -1, 0, "0-99 (100)"},
		{"that waited too long", 40, 89, 30*time.Hour + time.Minute, "90-99 (10)"},
		{"all waited too long", 40, -1, 30 * time.Minute, "- (0)"},
	} {
		lim.Expiry = c.expiry
		s, id := old(t, lim, 100)
		s.juliet.Leaves()
		s.Router.Forget(xmpp.MustJID("juliet@example.com"), nil)
		fills(t, s.Store, func(k keeper) {
			var missed []byte
			if c.missed >= 0 {
				missed = binary.AppendUvarint(nil, uint64(id(c.missed)))
			}
			k.takes(s.owner, id(c.upto), missed...)
		})
		s.Router.Tidy(t.Context())
		s.juliet = s.Connected("juliet@example.com/balcony")
		if got := s.there(); got != c.want {
			t.Errorf("%s: %s instead of %s", c.what, got, c.want)
		}
	}
}

// TestRetentionOfOne: what two archives have goes when the second lets go of it, from the
// index too.
func TestRetentionOfOne(t *testing.T) {
	var s *scene
	keep := map[string]time.Duration{}
	s = playWith(t, &mam.Limits{Archive: func(host string) mam.Archive { return mam.Archive{Retention: keep[host]} }})
	r := s.Online("romeo@example.net/desk")
	s.juliet.Comes("<presence/>")
	r.Sends("<message to='juliet@example.com' type='chat' id='1'><body>hello</body></message>")
	s.juliet.Forgets()
	s.asks("set", form("", words+"hello"))
	s.Settle()
	s.Router.Tidy(t.Context())
	have := func() string {
		return fmt.Sprint(count(t, s.Store, `select count(*) from kept`), count(t, s.Store, `select count(*) from body`), count(t, s.Store, `select count(*) from words where words match 'hello'`))
	}
	if got := have(); got != "2 1 1" {
		t.Fatalf("%s", got)
	}
	routertest.Eventually(t, "it was taken", func() bool { return count(t, s.Store, `select count(*) from taken where upto > 0`) > 0 })
	keep["example.com"] = time.Nanosecond
	s.Router.Tidy(t.Context())
	if got := have(); got != "1 1 1" {
		t.Errorf("%s", got)
	}
	keep["example.net"] = time.Nanosecond
	s.Router.Tidy(t.Context())
	if got := have(); got != "0 0 0" {
		t.Errorf("%s", got)
	}
}

// TestRemovedAccount: an account that is removed has no archive, at once; its messages are
// deleted soon, and those that others have too stay.
func TestRemovedAccount(t *testing.T) {
	s, id := old(t, &mam.Limits{}, 700)
	fills(t, s.Store, func(k keeper) {
		k.exec(`update body set two = 77 where id = $1`, id(5))
		k.row(77, id(5), juliet, outgoing)
	})
	var leave router.Feature
	for _, f := range s.Router.Features() {
		if f.Name == "message archive" {
			leave = f
		}
	}
	fills(t, s.Store, func(k keeper) {
		if err := leave.Forget(k.tx, s.owner, juliet.Bare()); err != nil {
			t.Error(err)
		}
	})
	s.Router.Tidy(t.Context())
	got := fmt.Sprint(count(t, s.Store, `select count(*) from kept`), count(t, s.Store, `select count(*) from body`), count(t, s.Store, `select count(*) from leaving`), count(t, s.Store, `select count(*) from taken`))
	if got != "1 1 0 0" {
		t.Errorf("%s", got)
	}
}
