package muc

import (
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// read reads the hats of a room.
func (h *hats) read(tx *storage.Tx, id storage.ID) error {
	h.init()
	err := tx.Each(`select uri, title, hue from room_hat where room = $1`, []any{id}, func(r *storage.Row) error {
		h.all[r.Text(0)] = hat{r.Text(0), r.Text(1), r.Text(2)}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Each(`select jid, uri from room_wearer where room = $1 order by jid, uri`, []any{id}, func(r *storage.Row) error {
		who, err := xmpp.ParseJID(r.Text(0))
		if err == nil && !slices.Contains(h.worn[who], r.Text(1)) {
			h.worn[who] = append(h.worn[who], r.Text(1))
		}
		return err
	})
}

// setHat keeps a hat.
func setHat(tx *storage.Tx, id storage.ID, a hat) error {
	return tx.Exec(`insert into room_hat (room, uri, title, hue) values ($1, $2, $3, $4)
		on conflict (room, uri) do update set title = excluded.title, hue = excluded.hue`, id, a.uri, a.title, a.hue)
}

// removeHat removes a hat from the room and from all heads.
func removeHat(tx *storage.Tx, id storage.ID, uri string) error {
	if err := tx.Exec(`delete from room_wearer where room = $1 and uri = $2`, id, uri); err != nil {
		return err
	}
	return tx.Exec(`delete from room_hat where room = $1 and uri = $2`, id, uri)
}

// setWorn keeps that somebody wears a hat, or does not.
func setWorn(tx *storage.Tx, id storage.ID, who xmpp.JID, uri string, on bool) error {
	if !on {
		return tx.Exec(`delete from room_wearer where room = $1 and jid = $2 and uri = $3`, id, who.String(), uri)
	}
	return tx.Exec(`insert into room_wearer (room, jid, uri) values ($1, $2, $3) on conflict do nothing`, id, who.String(), uri)
}
