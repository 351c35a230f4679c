package muc

import (
	"parley/storage"
	"parley/xmpp"
)

// setEntry keeps one line of the lists; one that says nothing is removed. A change of an
// affiliation makes a new version of the lists, and of such changes the last most are kept.
func setEntry(tx *storage.Tx, id storage.ID, j xmpp.JID, e entry, most int) (sp span, err error) {
	was := int64(none)
	if _, err = tx.One(`select affiliation from room_list where room = $1 and jid = $2`, []any{id, j.String()}, &was); err != nil {
		return sp, err
	}
	if err = putEntry(tx, id, j, e); err != nil || affiliation(was) == e.aff {
		return sp, err
	}
	if _, err = tx.One(`select version from room where id = $1`, []any{id}, &sp.since); err != nil {
		return sp, err
	}
	sp.until = tx.NextID()
	if err = addChange(tx, id, sp.until, affChange{j, affiliation(was), e.aff}); err != nil {
		return sp, err
	}
	if err = tx.Exec(`update room set version = $2 where id = $1`, id, sp.until); err != nil {
		return sp, err
	}
	if e.aff < member {
		if err = forgetVisit(tx, id, j); err != nil {
			return sp, err
		}
	}
	return sp, tx.Exec(`delete from room_change where room = $1 and version <=
		(select version from room_change where room = $1 order by version desc limit 1 offset $2)`, id, most)
}

func addChange(tx *storage.Tx, id, version storage.ID, c affChange) error {
	return tx.Exec(`insert into room_change (room, version, jid, was, affiliation) values ($1, $2, $3, $4, $5)`,
		id, version, c.jid.String(), int64(c.was), int64(c.now))
}

// listChangesSince reads what has changed behind a version, in order; nothing where that version
// is not among those that are kept.
func listChangesSince(tx *storage.Tx, id, since storage.ID) (list []affChange, err error) {
	known := false
	err = tx.Each(`select version, jid, was, affiliation from room_change where room = $1 and version >= $2 order by version`,
		[]any{id, since}, func(r *storage.Row) error {
			if r.ID(0) == since {
				known = true
				return nil
			}
			j, err := xmpp.ParseJID(r.Text(1))
			list = append(list, affChange{j, affiliation(r.Int(2)), affiliation(r.Int(3))})
			return err
		})
	if !known {
		return nil, err
	}
	return list, err
}

// putEntry is setEntry without a version.
func putEntry(tx *storage.Tx, id storage.ID, j xmpp.JID, e entry) error {
	if e.aff == none && e.nick == "" {
		return tx.Exec(`delete from room_list where room = $1 and jid = $2`, id, j.String())
	}
	return tx.Exec(`insert into room_list (room, jid, affiliation, nick, reason, since) values ($1, $2, $3, $4, $5, $6)
		on conflict (room, jid) do update set affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason,
			since = case when affiliation < $7 then excluded.since else since end`,
		id, j.String(), int64(e.aff), e.nick, e.reason, tx.NextID(), int64(member))
}

// forgetUser takes an address out of the lists of all rooms, and off all it wears there.
func forgetUser(tx *storage.Tx, j xmpp.JID, most int) error {
	var rooms []storage.ID
	err := tx.Each(`select room from room_list where jid = $1`, []any{j.String()}, func(r *storage.Row) error {
		rooms = append(rooms, r.ID(0))
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range rooms {
		if _, err := setEntry(tx, id, j, entry{aff: none}, most); err != nil {
			return err
		}
	}
	if err := tx.Exec(`delete from room_visit where jid = $1`, j.String()); err != nil {
		return err
	}
	return tx.Exec(`delete from room_wearer where jid = $1`, j.String())
}
