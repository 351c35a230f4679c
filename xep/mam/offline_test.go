package mam_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tables counts the rows of what is kept, and reads the mark of the one account.
func tables(t *testing.T, h *routertest.House) (bodies, kept, messages, bytes int64) {
	t.Helper()
	h.Settle()
	err := h.Store.Read(t.Context(), func(tx *storage.Tx) error {
		if _, err := tx.One(`select count(*) from body`, nil, &bodies); err != nil {
			return err
		}
		if _, err := tx.One(`select count(*) from kept`, nil, &kept); err != nil {
			return err
		}
		_, err := tx.One(`select count(*), coalesce(sum(length(stanza)), 0) from kept join body on body.id = kept.id
			join taken on taken.owner = kept.owner where kept.id > upto`, nil, &messages, &bytes)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bodies, kept, messages, bytes
}

func house(t *testing.T, lim *mam.Limits, store storage.Config) *routertest.House {
	return routertest.NewWith(t, routertest.Config{
		Features: []router.Feature{mam.New(func() mam.Limits { return *lim })},
		Storage:  store,
	})
}

func writes(romeo *routertest.Actor, n int) {
	for i := range n {
		romeo.Sends(fmt.Sprintf(`<message to='juliet@example.com' type='chat' id='%d'><body>%d</body></message>`, i, i))
	}
}

// TestTaken: what the client has answered for is deleted, also where it is more than the
// writer deletes in one go; what it has not is due, in order, with the same stamp.
func TestTaken(t *testing.T) {
	h := house(t, &mam.Limits{}, storage.Config{})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	const n = 1203
	writes(romeo, n)
	if bodies, kept, messages, _ := tables(t, h); bodies != n || kept != n || messages != n {
		t.Fatalf("%d bodies, %d kept, %d counted", bodies, kept, messages)
	}
	mute := h.Connected("juliet@example.com/mute")
	mute.Says("<presence/>")
	var stamps []string
	for st := mute.Hears(); st != nil; st = mute.Hears() {
		if st.Has("urn:xmpp:delay", "delay") {
			if want := fmt.Sprint(len(stamps)); st.ID != want {
				t.Fatalf("%s comes in the place of %s", st.ID, want)
			}
			stamps = append(stamps, st.Child("urn:xmpp:delay", "delay").Attr("stamp"))
		}
	}
	mute.Leaves() // without a word
	if _, kept, messages, _ := tables(t, h); len(stamps) != n || kept != n || messages != n {
		t.Fatalf("%d were given out; %d kept, %d counted", len(stamps), kept, messages)
	}
	juliet := h.Online("juliet@example.com/balcony")
	for i := range n {
		juliet.Gets(fmt.Sprintf(`<message type='chat' id='%d'><body>%d</body><delay xmlns='urn:xmpp:delay' from='example.com' stamp='%s'/></message>`, i, i, stamps[i]))
	}
	juliet.GetsNothing() // and answers the ping
	routertest.Eventually(t, "nothing is left of what was taken", func() bool {
		bodies, kept, messages, bytes := tables(t, h)
		return bodies+kept+messages+bytes == 0
	})
	juliet.Leaves()
	writes(romeo, 1)
	if bodies, kept, messages, bytes := tables(t, h); bodies != 1 || kept != 1 || messages != 1 || bytes < 50 {
		t.Errorf("%d bodies, %d kept, %d counted with %d bytes after all was taken", bodies, kept, messages, bytes)
	}
}

// TestExpiry: what has waited too long is deleted, and nothing else.
func TestExpiry(t *testing.T) {
	lim := &mam.Limits{Expiry: time.Hour}
	now := time.Now().Add(-2 * time.Hour)
	h := house(t, lim, storage.Config{Now: func() time.Time { return now }})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	writes(romeo, 1100)
	now = time.Now()
	romeo.Sends(`<message to='juliet@example.com' type='chat'><body>fresh</body></message>`)
	lim.Expiry = 0
	h.Router.Tidy(t.Context())
	if _, kept, messages, _ := tables(t, h); kept != 1101 || messages != 1101 {
		t.Errorf("without a limit %d are kept and %d counted", kept, messages)
	}
	lim.Expiry = time.Hour
	h.Router.Tidy(t.Context())
	if bodies, kept, messages, bytes := tables(t, h); bodies != 1 || kept != 1 || messages != 1 || bytes > 200 {
		t.Errorf("%d bodies, %d kept, %d counted with %d bytes", bodies, kept, messages, bytes)
	}
	juliet := h.Online("juliet@example.com/x")
	juliet.Gets(`<message type='chat'><body>fresh</body>…</message>`)
	juliet.GetsNothing()
}

// TestOlderDatabase: what an earlier version kept is there.
func TestOlderDatabase(t *testing.T) {
	f := mam.New(func() mam.Limits { return mam.Limits{} })
	dir := t.TempDir()
	was := f
	was.Schema.Steps = f.Schema.Steps[:1]
	h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{{Name: "before", Schema: was.Schema}}, Storage: storage.Config{Dir: dir}})
	err := h.Store.Write(t.Context(), func(tx *storage.Tx) error {
		for i, q := range []string{
			`insert into body values ($1, '<message xmlns="jabber:client" from="romeo@example.com/x" to="juliet@example.com" type="chat"><body>old</body></message>')`,
			`insert into due values (1, $1)`,
			`insert into due_total values (1, 1, $1)`,
		} {
			if err := tx.Exec(q, 100); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Store.Close(t.Context())
	h = routertest.NewWith(t, routertest.Config{Features: []router.Feature{f}, Storage: storage.Config{Dir: dir}})
	juliet := h.Online("juliet@example.com/balcony")
	juliet.Gets(`<message type='chat'><body>old</body>…</message>`)
}

// TestTakenIsNotWritten: where the disk has no room for what was taken it comes again,
// with its stamp.
func TestTakenIsNotWritten(t *testing.T) {
	h := house(t, &mam.Limits{}, storage.Config{})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	writes(romeo, 3)
	for full := range 2 {
		juliet := h.Connected("juliet@example.com/balcony")
		juliet.Says("<presence/>")
		h.Disk.FullEvery(1 - full)
		for i := range 3 {
			juliet.Gets(fmt.Sprintf(`<message type='chat' id='%d'>…</message>`, i))
		}
		juliet.Forgets() // and answers the ping
		h.Settle()
		h.Disk.FullEvery(0)
		juliet.Leaves()
	}
	if _, kept, messages, _ := tables(t, h); kept+messages != 0 {
		t.Errorf("%d kept, %d counted", kept, messages)
	}
}
