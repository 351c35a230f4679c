package mam_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tables counts bodies, rows, and the rows that are in no archive.
func tables(t *testing.T, h *routertest.House) (bodies, kept, hidden int64) {
	t.Helper()
	h.Settle()
	err := h.Store.Read(t.Context(), func(tx *storage.Tx) error {
		if _, err := tx.One(`select count(*) from body`, nil, &bodies); err != nil {
			return err
		}
		_, err := tx.One(`select count(*), count(*) filter (where flags & 4) from kept`, nil, &kept, &hidden)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bodies, kept, hidden
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

// passing is a message that may be kept until it is taken, and no longer (XEP-0334 §4.1).
const passing = `<no-permanent-store xmlns='urn:xmpp:hints'/>`

func writesPassing(romeo *routertest.Actor, n int) {
	for i := range n {
		romeo.Sends(fmt.Sprintf(`<message to='juliet@example.com' type='chat' id='%d'><body>%d</body>%s</message>`, i, i, passing))
	}
}

// TestTaken: what the client has acknowledged does not come again; what it has not does, in
// order, with the same stamp and the same id.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	h := house(t, &mam.Limits{}, storage.Config{Dir: dir})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	const n = 1203
	writes(romeo, n)
	if bodies, kept, _ := tables(t, h); bodies != n || kept != 2*n {
		t.Fatalf("%d bodies, %d kept", bodies, kept)
	}
	mute := h.Connected("juliet@example.com/mute")
	mute.Peer().Session.Silent()
	mute.Says("<presence/>")
	var stamps, ids []string
	for st := mute.Hears(); st != nil; st = mute.Hears() {
		if st.Kind == xmpp.Message {
			if want := fmt.Sprint(len(stamps)); st.ID != want {
				t.Fatalf("%s comes in the place of %s", st.ID, want)
			}
			stamps = append(stamps, st.Child("urn:xmpp:delay", "delay").Attr("stamp"))
			ids = append(ids, st.Child("urn:xmpp:sid:0", "stanza-id").Attr("id"))
		}
	}
	mute.Leaves() // without a word
	if len(stamps) != n {
		t.Fatalf("%d were given out", len(stamps))
	}
	juliet := h.Online("juliet@example.com/balcony")
	for i := range n {
		juliet.Gets(fmt.Sprintf(`<message type='chat' id='%d'><body>%d</body><delay xmlns='urn:xmpp:delay' from='example.com' stamp='%s'/>
			<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='%s'/></message>`, i, i, stamps[i], ids[i]))
	}
	juliet.GetsNothing()
	juliet.Leaves()
	h.Router.Stop(t.Context())
	h.Store.Close(t.Context())

	h = house(t, &mam.Limits{}, storage.Config{Dir: dir})
	h.Exists(xmpp.MustJID("romeo@example.com"))
	juliet = h.Online("juliet@example.com/balcony")
	juliet.GetsNothing()
	if bodies, kept, _ := tables(t, h); bodies != n || kept != 2*n {
		t.Errorf("%d bodies, %d kept after they were taken", bodies, kept)
	}
}

// TestPassing: what may not be archived is kept until it is taken, without an id.
func TestPassing(t *testing.T) {
	h := house(t, &mam.Limits{}, storage.Config{})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	writesPassing(romeo, 3)
	if bodies, kept, hidden := tables(t, h); bodies != 3 || kept != 3 || hidden != 3 {
		t.Fatalf("%d bodies, %d kept, %d hidden", bodies, kept, hidden)
	}
	juliet := h.Online("juliet@example.com/balcony")
	for i := range 3 {
		juliet.Gets(fmt.Sprintf(`<message type='chat' id='%d'><body>%d</body>%s<delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'/></message>`, i, i, passing))
	}
	writesPassing(romeo, 1)
	juliet.Gets(`<message type='chat' id='0'><body>0</body>` + passing + `</message>`)
	routertest.Eventually(t, "nothing is left of what was taken", func() bool {
		bodies, kept, _ := tables(t, h)
		return bodies+kept == 0
	})
}

// TestExpiry: what has waited too long waits no more; it is deleted if it is in no archive.
func TestExpiry(t *testing.T) {
	for _, inUse := range []bool{true, false} {
		lim := &mam.Limits{Expiry: time.Hour}
		now := time.Now().Add(-2 * time.Hour)
		dir := t.TempDir()
		h := house(t, lim, storage.Config{Dir: dir, Now: func() time.Time { return now }})
		romeo := h.Online("romeo@example.com/desk")
		h.Exists(xmpp.MustJID("juliet@example.com"))
		writes(romeo, 10)
		writesPassing(romeo, 600)
		now = time.Now()
		romeo.Sends(`<message to='juliet@example.com' type='chat'><body>fresh</body></message>`)
		if !inUse {
			h.Router.Stop(t.Context())
			h.Store.Close(t.Context())
			h = house(t, lim, storage.Config{Dir: dir})
			h.Exists(xmpp.MustJID("romeo@example.com"))
		}
		lim.Expiry = 0
		if err := tidy(h); err != nil {
			t.Fatal(err)
		}
		if _, kept, hidden := tables(t, h); kept != 622 || hidden != 600 {
			t.Errorf("without a limit %d are kept, %d hidden", kept, hidden)
		}
		lim.Expiry = time.Hour
		if err := tidy(h); err != nil {
			t.Fatal(err)
		}
		if bodies, kept, hidden := tables(t, h); bodies != 11 || kept != 22 || hidden != 0 {
			t.Errorf("%d bodies, %d kept, %d hidden", bodies, kept, hidden)
		}
		juliet := h.Online("juliet@example.com/x")
		juliet.Gets(`<message type='chat'><body>fresh</body>…</message>`)
		juliet.GetsNothing()
	}
}

func tidy(h *routertest.House) error {
	h.Router.Tidy(context.Background())
	h.Settle()
	return nil
}

// TestOffered: what a session that is gone had been handed and did not acknowledge is
// offered to the others, but not to who has it already (XEP-0198 §5).
func TestOffered(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }), carbons.New())
	romeo := h.Online("romeo@example.com/desk")
	desk, phone := h.Online("juliet@example.com/desk"), h.Online("juliet@example.com/phone")
	desk.Forgets()
	desk.Peer().Session.Silent()
	romeo.Sends(`<message to='juliet@example.com/desk' type='chat' id='1'><body>1</body></message>`)
	phone.GetsNothing()
	phone.Does(`<iq id='e' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>`)
	romeo.Sends(`<message to='juliet@example.com/desk' type='chat' id='2'><body>2</body></message>`)
	phone.Gets(`<message type='chat'><received xmlns='urn:xmpp:carbons:2'>…</received></message>`)
	romeo.Sends(`<message to='juliet@example.com' type='chat' id='3'><body>3</body></message>`)
	phone.Gets(`<message type='chat' id='3'><body>3</body></message>`)
	desk.Leaves()
	phone.Gets(`<message type='chat' id='1'><body>1</body><delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'/></message>`)
	phone.GetsNothing()
	h.Online("juliet@example.com/desk").GetsNothing()
}

// TestOwnIDs: each account sees the id that a message has in its own archive, and no other.
func TestOwnIDs(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }), carbons.New())
	desk, phone := h.Online("romeo@example.com/desk"), h.Connected("romeo@example.com/phone")
	phone.Does(`<iq id='e' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>`)
	juliet := h.Online("juliet@example.com/x")
	forged := `<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='false'/><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='false'/>`
	desk.Sends(`<message to='juliet@example.com' type='chat' id='1'><body>1</body><origin-id xmlns='urn:xmpp:sid:0' id='o'/>` + forged + `</message>`)
	juliet.Gets(`<message type='chat' id='1'><body>1</body><origin-id xmlns='urn:xmpp:sid:0' id='o'/><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='*'/></message>`)
	phone.Gets(`<message type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>
		<message xmlns='jabber:client' to='juliet@example.com' from='romeo@example.com/desk' type='chat' id='1'><body>1</body>
		<origin-id xmlns='urn:xmpp:sid:0' id='o'/><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='*'/></message></forwarded></sent></message>`)
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

// TestTakenIsNotWritten: where the disk has no room for what was taken, that is written
// later.
func TestTakenIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	h := house(t, &mam.Limits{}, storage.Config{Dir: dir})
	romeo := h.Online("romeo@example.com/desk")
	h.Exists(xmpp.MustJID("juliet@example.com"))
	writes(romeo, 3)
	writesPassing(romeo, 3)
	h.Disk.FullEvery(1)
	juliet := h.Online("juliet@example.com/balcony")
	for i := range 6 {
		juliet.Gets(fmt.Sprintf(`<message type='chat' id='%d'>…</message>`, i%3))
	}
	juliet.Leaves()
	time.Sleep(700 * time.Millisecond) // it was tried once
	h.Disk.FullEvery(0)
	routertest.Eventually(t, "it is written", func() bool {
		_, _, hidden := tables(t, h)
		return hidden == 0
	})
	juliet = h.Online("juliet@example.com/balcony")
	juliet.GetsNothing()
}

// TestUnkeptBehindWhatWaits: what is kept nowhere comes to a device that is just being given what
// waited for it, and behind that.
func TestUnkeptBehindWhatWaits(t *testing.T) {
	h := house(t, &mam.Limits{}, storage.Config{})
	romeo, juliet := h.Online("romeo@example.com/r"), h.Connected("juliet@example.com/j")
	tybalt := h.Connected("tybalt@example.com/t") // nothing of what he says is in flight
	h.Connected("nurse@example.com/n")
	writes(romeo, 1)
	h.Settle()
	romeo.Forgets()
	says := func(a *routertest.Actor, xml string) { // and waits for nothing
		t.Helper()
		st, err := xmpp.ParseStanza(xml)
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		if err := a.Peer().Sender.Send(t.Context(), &rd, st); err != nil {
			t.Fatal(err)
		}
		rd.Flush()
	}
	h.Disk.Slow(time.Second)
	says(romeo, `<message to='nurse@example.com' type='chat'><body>Soon</body></message>`) // the line is busy
	var comes sync.WaitGroup
	comes.Go(func() { says(juliet, "<presence/>") })
	routertest.Eventually(t, "juliet is there, and what waits is not given to her yet", func() (is bool) {
		h.Router.WithAccountInMemory(juliet.JID().Bare(), func(a *router.Account) {
			res, _ := a.Resource("j")
			is = res.Available() && !res.Ready
		})
		return is
	})
	for _, xml := range []string{
		`<message to='juliet@example.com' type='headline'><body>News</body></message>`,
		`<message to='juliet@example.com' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
		`<message to='juliet@example.com/gone' type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/></message>`,
		`<message to='juliet@example.com/gone' type='headline'><body>is for one who is not there</body></message>`,
	} {
		says(tybalt, xml)
	}
	comes.Wait()
	h.Settle()
	h.Disk.Slow(0)
	var got []string
	for st := juliet.Hears(); st != nil; st = juliet.Hears() {
		if st.Kind == xmpp.Message {
			got = append(got, st.Child("", "body").Text()+st.Payload().Name().Local)
		}
	}
	if d := cmp.Diff([]string{"0body", "Newsbody", "composing", "paused"}, got); d != "" {
		t.Error(d)
	}
}
