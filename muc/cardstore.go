package muc

import (
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// cardOf reads the vCard of a room; nil where it has none.
func cardOf(tx *storage.Tx, id storage.ID) (xmpp.Payload, error) {
	var card string
	_, err := tx.One(`select card from room_card where room = $1`, []any{id}, &card)
	return xmpp.Payload(card), err
}

// setCard keeps the vCard of a room, and the hashes of its pictures; an empty one is removed.
func setCard(tx *storage.Tx, id storage.ID, card xmpp.Payload, photos []string) error {
	if err := tx.Exec(`update room set photos = $2 where id = $1`, id, strings.Join(photos, " ")); err != nil {
		return err
	}
	if len(card) == 0 {
		return tx.Exec(`delete from room_card where room = $1`, id)
	}
	return tx.Exec(`insert into room_card (room, card) values ($1, $2) on conflict (room) do update set card = excluded.card`, id, string(card))
}
