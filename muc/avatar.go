package muc

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsVCard is the namespace of vCards (XEP-0054). That of a room has its picture (XEP-0486).
const nsVCard = "vcard-temp"

// cardGet gives the vCard of the room to anybody (XEP-0486 §3.4).
func (t *turn) cardGet(q request) (xmpp.Payload, error) {
	svc, id := t.s, t.id
	return nil, svc.beside(q.st, func(ctx context.Context, _ *router.Round) (card xmpp.Payload, err error) {
		err = svc.store.Read(ctx, func(tx *storage.Tx) error {
			card, err = cardOf(tx, id)
			return err
		})
		if len(card) == 0 {
			var b xmpp.Builder
			card = b.Open(nsVCard, "vCard").Payload()
		}
		return card, err
	})
}

// cardSet gives the room a vCard in place of the one that it has; an empty one takes that away
// (XEP-0486 §3.2). Owners may.
func (t *turn) cardSet(q request) (xmpp.Payload, error) {
	card := q.payload.Payload()
	switch {
	case q.aff < owner:
		return nil, xmpp.Refuse("forbidden", "owners say what the room looks like")
	case len(card) > t.settings().AvatarBytes:
		t.s.stats.Refused.Add(1)
		return nil, xmpp.Refuse("policy-violation", "the vCard is too large")
	}
	photos, err := photoHashes(q.payload)
	if err != nil {
		return nil, err
	}
	if q.payload.First().IsZero() {
		card = nil
	}
	if err := t.write(func(tx *storage.Tx) error { return setCard(tx, t.id, card, photos) }); err != nil {
		return nil, err
	}
	t.room.photos = photos
	q.after(func() { t.changed(statusConfig) })
	return nil, nil
}

// photoHashes returns the hashes of the pictures in a vCard (XEP-0486 §5.1, XEP-0153 §4.5).
func photoHashes(card xmpp.Element) (list []string, err error) {
	for e := range card.Children {
		if !e.Is(nsVCard, "PHOTO") || e.Child(nsVCard, "BINVAL").IsZero() {
			continue
		}
		image, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(e.ChildText(nsVCard, "BINVAL")), "")) // XEP-0153 §4.6: white space does not count
		if err != nil {
			return nil, wrong("a picture cannot be read")
		}
		if len(image) > 0 {
			sum := sha1.Sum(image)
			list = append(list, hex.EncodeToString(sum[:]))
		}
	}
	return list, nil
}

// photoField says which picture the room has (XEP-0486 §3.3).
func (t *turn) photoField() xmpp.Field {
	return xmpp.Field{Var: "muc#roominfo_avatarhash", Type: "text-multi", Label: "Hash of the picture", Values: t.photos}
}

// card is the vCard of the domain of rooms: clients ask it whether there are any (XEP-0486 §3.1).
func (s *Service) card(*xmpp.Stanza) (xmpp.Payload, error) {
	var b xmpp.Builder
	return b.Open(nsVCard, "vCard").Leaf("", "FN", "Rooms").Payload(), nil
}
