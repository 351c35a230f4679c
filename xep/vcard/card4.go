package vcard

import (
	"bytes"

	"parley/router"
	"parley/xmpp"
)

// Namespace and node of vCard4 (XEP-0292 §3, §4.1).
const (
	ns4   = "urn:ietf:params:xml:ns:vcard-4.0"
	node4 = "urn:xmpp:vcard4"
)

// idCard is the id of a vCard4 that was made of a vCard.
const idCard = "current"

// last reads the vCard4 that was published last; the zero Element where there is none.
func (h *holder) last() (card xmpp.Element, id string, err error) {
	p, found, err := h.e.Last(node4)
	if err != nil || !found {
		return card, idCard, err
	}
	if card = element(p.Payload); !card.Is(ns4, "vcard") {
		card = xmpp.Element{}
	}
	return card, p.ID, nil
}

// takeCard has the vCard say what the vCard4 says, as far as both have words for it (XEP-0292
// §11). What was the same in both goes from the vCard, which everybody may read, when the vCard4
// goes or is not for everybody any more.
func (h *holder) takeCard() error {
	now, _, err := h.last()
	if err != nil {
		return err
	}
	public, err := h.e.Public(node4)
	if err != nil {
		return err
	}
	if err := h.read(); err != nil {
		return err
	}
	from := h.from | fromCard
	if !public || now.IsZero() {
		if h.from&fromCard == 0 {
			return nil
		}
		now, from = xmpp.Element{}, h.from&^fromCard
	}
	card := merge(temp, element(h.card), now)
	if len(card) > h.f.limit() {
		return xmpp.Refuse("policy-violation", "the vCard is too large")
	}
	return h.write(card, from)
}

// publishCard has the vCard4 say what the vCard says, as far as both have words for it. One
// that is not for everybody is another one, and stays. It reports whether both are the same.
func (h *holder) publishCard(now xmpp.Element) (same bool, err error) {
	was, id, err := h.last()
	if err != nil {
		return false, err
	}
	public, err := h.e.Public(node4)
	if err != nil || !was.IsZero() && !public {
		return false, err
	}
	card := merge(four, was, now)
	switch {
	case bytes.Equal(card, was.Payload()):
		return public, nil
	case !element(card).First().IsZero():
		err = h.e.Publish(node4, router.Publication{ID: id, Payload: card}, router.Everybody)
	case !was.IsZero():
		err = h.e.Retract(node4, id)
	}
	if err != nil {
		return false, err
	}
	return h.e.Public(node4)
}

// A side is one of the two formats.
type side int

const (
	temp side = iota // vcard-temp
	four             // vCard4
)

// merge returns a card of one format as it was, with what one of the other format says: what
// only the first has words for stays, and so does what both say alike.
func merge(s side, was, other xmpp.Element) xmpp.Payload {
	props := properties()
	from := four
	if s == four {
		from = temp
	}
	same, all := make([]bool, len(props)), true
	for i, p := range props {
		same[i] = equal(p.all(s, was), p.all(from, other))
		all = all && same[i]
	}
	if all && !was.IsZero() {
		return was.Payload()
	}
	var b xmpp.Builder
	if s == temp {
		b.Open(ns, "vCard")
	} else {
		b.Open(ns4, "vcard")
	}
	written := make([]bool, len(props))
	write := func(i int) {
		if written[i] {
			return
		}
		written[i] = true
		for _, v := range props[i].all(from, other) {
			props[i].write(s, &b, v)
		}
	}
	for e := range was.Children {
		i := propertyOf(props, s, e)
		switch {
		case i < 0, same[i], len(props[i].read(s, e)) == 0 && !props[i].blank(e):
			b.Raw(e.Payload())
		default:
			write(i)
		}
	}
	for i := range props {
		if !same[i] {
			write(i)
		}
	}
	return b.Payload()
}
