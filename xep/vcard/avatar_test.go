package vcard_test

import (
	"context"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/vcard"
	"parley/xmpp"
)

// The image is "abc"; its hash is that of FIPS 180's first example.
const (
	image = `<PHOTO><TYPE>image/png</TYPE><BINVAL>YWJj</BINVAL></PHOTO>`
	hash  = `a9993e364706816aba3e25717850c26c9cd0d89d`
	away  = `<presence><show>away</show></presence>`
)

// shows wants an actor's presence to be shown with a photo's hash, or without any if that
// is "no".
func shows(t testing.TB, h *routertest.House, a *routertest.Actor, want string) {
	t.Helper()
	res, ok := resource(h, a)
	x := res.Presence.Child("vcard-temp:x:update", "x")
	if want == "no" {
		if !ok || !x.IsZero() {
			t.Errorf("it shows %s", res.Presence)
		}
		return
	}
	if photo := x.Child("", "photo"); !ok || photo.IsZero() || photo.Text() != want {
		t.Errorf("it shows %s instead of %q", res.Presence, want)
	}
}

func resource(h *routertest.House, a *routertest.Actor) (res router.Resource, ok bool) {
	h.Router.WithAccountInMemory(a.JID().Bare(), func(acc *router.Account) { res, ok = acc.Resource(a.JID().Resource()) })
	return res, ok
}

func TestWhatIsAPhoto(t *testing.T) {
	for content, want := range map[string]string{
		image:                            hash,
		`<FN>Romeo</FN>` + image + image: hash,
		`<PHOTO><BINVAL>` + "\n  Y W\tJ\r\nj\n" + `</BINVAL></PHOTO>`: hash,
		`<PHOTO><BINVAL>YWJj!</BINVAL></PHOTO>`:                       "",
		`<PHOTO><BINVAL/></PHOTO>`:                                    "",
		`<PHOTO><EXTVAL>https://example.com/a.png</EXTVAL></PHOTO>`:   "",
		`<PHOTO xmlns='urn:other'><BINVAL>YWJj</BINVAL></PHOTO>`:      "",
		`<LOGO><BINVAL>YWJj</BINVAL></LOGO>`:                          "",
	} {
		h := routertest.New(t, feature())
		a := h.Connected(romeo)
		a.Does(set(content))
		a.Sends(away)
		shows(t, h, a, want)
	}
}

func TestPhotoSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	house := func(t *testing.T) *routertest.House {
		return routertest.NewWith(t, routertest.Config{Features: []router.Feature{feature()}, Storage: storage.Config{Dir: dir}})
	}
	t.Run("before", func(t *testing.T) {
		a := house(t).Connected(romeo)
		a.Does(set(image))
	})
	t.Run("with", func(t *testing.T) {
		h := house(t)
		a := h.Connected(romeo)
		a.Sends(away)
		shows(t, h, a, hash)
		a.Does(set(``))
	})
	t.Run("without", func(t *testing.T) {
		h := house(t)
		a := h.Connected(romeo)
		a.Sends(away)
		shows(t, h, a, "") // whoever knows the old one is told that there is none
		a.Forgets()
		a.Sends(get)
		a.Gets(`<iq id='g' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	})
}

// TestVCardsFromBeforePhotos has a database of the version that knew no hashes.
func TestVCardsFromBeforePhotos(t *testing.T) {
	dir := t.TempDir()
	old := feature()
	old.Schema.Steps = old.Schema.Steps[:1]
	t.Run("before", func(t *testing.T) {
		h := routertest.NewWith(t, routertest.Config{
			Features: []router.Feature{{Name: "vCards", Schema: old.Schema}}, Storage: storage.Config{Dir: dir},
		})
		err := h.Store.Write(context.Background(), func(tx *storage.Tx) error {
			card := `<v:vCard xmlns:v='vcard-temp'>` + strings.NewReplacer("</", "</v:", "<", "<v:").Replace(image) + `</v:vCard>`
			return tx.Exec(`insert into vcard (owner, xml) values ($1, $2)`, h.Dir.Add(xmpp.MustJID("romeo@example.com")), []byte(card))
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("after", func(t *testing.T) {
		h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{feature()}, Storage: storage.Config{Dir: dir}})
		a := h.Connected(romeo)
		a.Sends(away)
		shows(t, h, a, hash)
		h.Barrier()
		var kept string
		err := h.Store.Read(context.Background(), func(tx *storage.Tx) error {
			_, err := tx.One(`select photo from vcard`, nil, &kept)
			return err
		})
		if err != nil || kept != hash {
			t.Errorf("%q was kept, %v", kept, err)
		}
	})
}

// TestFailureChangesNothing has the disk refuse a new photo.
func TestFailureChangesNothing(t *testing.T) {
	h := routertest.New(t, feature())
	a := h.Connected(romeo)
	a.Sends(away)
	h.Disk.FullEvery(1)
	a.Sends(set(image))
	a.Gets(`<iq id='s' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	h.Disk.FullEvery(0)
	shows(t, h, a, "no")
	a.Does(set(image))
	shows(t, h, a, hash)
}

// TestPresenceWithoutVCardIsShared looks that nobody pays who has no vCard.
func TestPresenceWithoutVCardIsShared(t *testing.T) {
	f := vcard.New(func() []string { return nil })
	h := routertest.New(t, f)
	a := h.Connected(romeo)
	st, err := xmpp.ParseStanza(away)
	if err != nil {
		t.Fatal(err)
	}
	h.Router.WithAccountInMemory(a.JID().Bare(), func(acc *router.Account) {
		if n := testing.AllocsPerRun(100, func() {
			if f.Shown(acc, st) != st {
				t.Error("it is another one")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
