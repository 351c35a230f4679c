package vcard

import (
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const nsUpdate = "vcard-temp:x:update"

// An avatar is what presence says of an account that has, or once had, a vCard: the SHA-1
// hash of its photo in hexadecimal digits (XEP-0153 §3.1), "" where there is no photo.
type avatar struct {
	hash     string
	contacts bool // it is for who may see the presence, and nobody else
}

// load remembers the avatar of an account that comes into use. A vCard that was kept before
// there were hashes gets one now.
func (f *feature) load(tx *storage.Tx, a *router.Account) error {
	hash, card, from, found, err := photo(tx, a.ID)
	if err != nil || !found {
		return err
	}
	if len(card) > 0 {
		hash = photoHash(xmpp.NewStanza(xmpp.IQ, card).Payload())
		f.store.Keep(64, func(tx *storage.Tx) error { return hashed(tx, a.ID, hash) }, func(err error) {
			if err != nil { // the next load tries again
				f.log.Warn("the hash of a photo was not kept", "account", a.JID.String(), "error", err)
			}
		})
	}
	f.avatars.Set(a, &avatar{hash, from&forContacts != 0})
	return nil
}

// photoHash returns the hash of the image in a vCard, "" where there is none that can be
// read (XEP-0153 §3.1, §4.5).
func photoHash(card xmpp.Element) string {
	image := decoded(card.Child(ns, "PHOTO").ChildText(ns, "BINVAL")) // XEP-0153 §4.6: white space is ignored
	if image == nil {
		return ""
	}
	return hashOf(image)
}

// shown puts the avatar into available presence, in place of what the client says of it
// unless that is right: only the server knows the vCard (XEP-0398 §4). A client that says
// that no image is to be shown is left alone. Who never had a vCard has nothing to say
// unless the client begins. Presence that is directed to somebody, as to a room, does not tell of
// a photo that is for contacts alone.
func (f *feature) shown(a *router.Account, st *xmpp.Stanza) *xmpp.Stanza {
	if st.Type != "" {
		return st
	}
	now := f.avatars.Of(a)
	if now == nil && !st.Has(nsUpdate, "x") {
		return st
	}
	hash := now.photo()
	if !st.To.IsZero() && now != nil && now.contacts {
		hash = ""
	}
	hash, there := due(st, hash)
	if there {
		return st
	}
	var b xmpp.Builder
	return st.Without(isUpdate).With(b.Open(nsUpdate, "x").Leaf("", "photo", hash).Payload())
}

// due returns the hash that presence is to have where the photo has this one, and whether
// it has that and says nothing else.
func due(st *xmpp.Stanza, hash string) (want string, there bool) {
	n := 0
	var photo xmpp.Element
	for e := range st.Children {
		if isUpdate(e) {
			if n++; n == 1 {
				photo = e.Child("", "photo")
			}
		}
	}
	if photo.IsZero() {
		return hash, false
	}
	said := strings.TrimSpace(photo.Text())
	if said == "" {
		hash = ""
	}
	return hash, n == 1 && strings.EqualFold(said, hash)
}

func isUpdate(e xmpp.Element) bool { return e.Is(nsUpdate, "x") }

// photo returns the hash of an avatar, "" also for none.
func (v *avatar) photo() string {
	if v == nil {
		return ""
	}
	return v.hash
}

// announce shows the presence of an account again after its avatar has changed.
func (f *feature) announce(a *router.Account) {
	if err := a.Post(func(t *router.Turn) { f.router.Reshow(t, a) }); err != nil {
		f.log.Warn("a new photo was not announced", "account", a.JID.String(), "error", err)
	}
}
