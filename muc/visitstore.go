package muc

import (
	"parley/storage"
	"parley/xmpp"
)

// setVisit keeps that a member has been in a room until now.
func setVisit(tx *storage.Tx, id storage.ID, bare xmpp.JID) error {
	return tx.Exec(`insert into room_visit (jid, room, at) values ($1, $2, $3) on conflict (jid, room) do update set at = excluded.at`,
		bare.String(), id, tx.NextID())
}

func forgetVisit(tx *storage.Tx, id storage.ID, bare xmpp.JID) error {
	return tx.Exec(`delete from room_visit where jid = $1 and room = $2`, bare.String(), id)
}

// A concern is a room that somebody belongs to.
type concern struct {
	jid   xmpp.JID
	id    storage.ID
	since storage.ID // when the room was left last; 0: it never was
}

// concernsOf reads up to most rooms of a domain that somebody is a member of or more, by the
// address or by its domain.
func concernsOf(tx *storage.Tx, bare xmpp.JID, domain string, most int) (list []concern, err error) {
	err = tx.Each(`select room.jid, room.id, coalesce(room_visit.at, 0)
		from room join room_list as own on own.room = room.id left join room_visit on room_visit.jid = $1 and room_visit.room = room.id
		where own.jid in ($1, $2) and own.affiliation >= $3 and room.domain = $4 and not room.locked
			and not exists (select 1 from room_list as other where other.room = room.id and other.jid = $1 and own.jid <> $1)
		order by room.jid limit $5`,
		[]any{bare.String(), bare.Domain(), int64(member), domain, most}, func(r *storage.Row) error {
			j, err := xmpp.ParseJID(r.Text(0))
			list = append(list, concern{j, r.ID(1), r.ID(2)})
			return err
		})
	return list, err
}
