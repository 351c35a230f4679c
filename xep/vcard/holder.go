package vcard

import (
	"bytes"

	"parley/router"
	"parley/xmpp"
)

// origin says what of a vCard is the same as at a node of the account: what is not to be read
// there any more goes from the vCard, too.
type origin int64

const (
	fromAvatar  origin = 1 << iota // the photo (XEP-0084)
	fromCard                       // what vCard4 has words for (XEP-0292)
	forContacts                    // the photo, which only who may see the presence may see
)

// A holder changes a vCard in a transaction in which what the account publishes changes too.
// What it writes in consequence it does not hear of again, so that nothing goes round in circles.
type holder struct {
	f       *feature
	e       router.Edit
	changed func(*router.Turn) // another photo: called behind the commit

	card xmpp.Payload // empty: none
	from origin
	had  bool // there is or was one
}

// read reads the vCard as it is.
func (h *holder) read() (err error) {
	h.card, h.from, h.had, err = loadOrigin(h.e.Tx(), h.e.Account().ID)
	return err
}

// element is a payload as an element; the zero Element for an empty one.
func element(p xmpp.Payload) xmpp.Element {
	if len(p) == 0 {
		return xmpp.Element{}
	}
	return xmpp.NewStanza(xmpp.IQ, p).Payload()
}

// write keeps a vCard in place of the last one. One without content is none.
func (h *holder) write(card xmpp.Payload, from origin) error {
	now := element(card)
	if now.First().IsZero() {
		card, from = xmpp.Payload{}, 0
	}
	if !h.had && len(card) == 0 && h.changed == nil || h.had && from == h.from && bytes.Equal(card, h.card) {
		return nil
	}
	a, tx, hash := h.e.Account(), h.e.Tx(), photoHash(now)
	if err := index(tx, a.ID, a.JID, now); err != nil {
		return err
	}
	if err := put(tx, a.ID, card, hash, from); err != nil {
		return err
	}
	h.card, h.from, h.had = card, from, true
	h.e.Then(func(t *router.Turn) {
		was := h.f.avatars.Of(a).photo()
		h.f.avatars.Set(a, &avatar{hash, from&forContacts != 0})
		switch {
		case was == hash:
		case h.changed != nil:
			h.changed(t)
		default:
			h.f.router.Reshow(t, a)
		}
	})
	return nil
}

// replace keeps a vCard as its owner has sent it, and publishes at the nodes what of it belongs
// there (XEP-0398 §3.2).
func (h *holder) replace(card xmpp.Payload) error {
	if err := h.read(); err != nil {
		return err
	}
	was, before := element(h.card), h.from
	if err := h.write(card, 0); err != nil {
		return err
	}
	now := element(h.card)
	if err := h.publishAvatar(photoHash(was), now); err != nil {
		return err
	}
	same, err := h.publishCard(now)
	if err != nil {
		return err
	}
	var from origin
	if same {
		from = fromCard
	}
	cur, _, err := h.current(false)
	if err != nil {
		return err
	}
	if cur != nil && cur.hash == photoHash(now) {
		open, err := h.all(h.e.Public)
		switch {
		case err != nil:
			return err
		case open:
			from |= fromAvatar
		case cur.hash == photoHash(was): // who edits the rest has not made it everybody's
			from |= before & (fromAvatar | forContacts)
		}
	}
	h.from = from
	a, hash := h.e.Account(), photoHash(now)
	if from&forContacts != 0 {
		h.e.Then(func(*router.Turn) { h.f.avatars.Set(a, &avatar{hash, true}) })
	}
	return mark(h.e.Tx(), a.ID, from)
}

// published has the vCard follow what the account has published.
func (f *feature) published() map[string]func(router.Edit, []string) error {
	avatar := func(node string) func(router.Edit, []string) error {
		return func(e router.Edit, _ []string) error { return (&holder{f: f, e: e}).takeAvatar(node) }
	}
	return map[string]func(router.Edit, []string) error{
		nodeData: avatar(nodeData), nodeMetadata: avatar(nodeMetadata),
		node4: func(e router.Edit, _ []string) error { return (&holder{f: f, e: e}).takeCard() },
	}
}
