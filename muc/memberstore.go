package muc

import (
	"encoding/json"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

const sqlMemberships = `select r.jid, r.id, l.since, r.config from room_list l cross join room r
	where l.jid = $1 and l.affiliation >= $2 and r.id = l.room and not r.locked`

// memberships returns the rooms whose members an account's inbox has: those for members only
// that keep an archive and name the account itself.
func (s *Service) memberships(tx *storage.Tx, bare xmpp.JID) (list []mam.Membership, err error) {
	err = tx.Each(sqlMemberships, []any{bare.String(), int64(member)}, func(r *storage.Row) error {
		room, err := xmpp.ParseJID(r.Text(0))
		if err != nil || !s.Has(room.Domain()) {
			return err
		}
		var cfg RoomConfig
		if err := json.Unmarshal([]byte(r.Text(3)), &cfg); err != nil {
			return err
		}
		if !cfg.MembersOnly || !cfg.Archive {
			return nil
		}
		m := mam.Membership{Room: room, Archive: -int64(r.ID(1)), Since: r.ID(2)}
		if !cfg.NonAnonymous {
			m.View = viewWithoutReal
		}
		list = append(list, m)
		return nil
	})
	return list, err
}

// setLevel keeps of what a member is told.
func setLevel(tx *storage.Tx, id storage.ID, j xmpp.JID, l level) error {
	return tx.Exec(`update room_list set notify = $3 where room = $1 and jid = $2`, id, j.String(), int64(l))
}

// reads notes in the transaction that keeps a message how far its speaker has read the room: up
// to what one says oneself, or what one says was displayed (XEP-0333 §4.3, XEP-0430 §4).
func (t *turn) reads(tx *storage.Tx, m *saying) error {
	if m.account == 0 {
		return nil
	}
	keeper := t.s.cfg.Archives
	if m.text && m.id != 0 {
		return keeper.Seen(tx, m.account, t.archive(), m.id)
	}
	if m.displayed == "" {
		return nil
	}
	k, found, err := keeper.Find(tx, t.archive(), m.displayed)
	if err != nil || !found {
		return err
	}
	return keeper.Seen(tx, m.account, t.archive(), k.ID)
}
