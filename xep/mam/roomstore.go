package mam

import (
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// roomTables makes way for archives of rooms, whose rows have a negative owner: the mark of
// exchanged moves.
const roomTables = `
update indexed set owner = -9223372036854775808 where owner = -1;
`

// lastWithin is how many rows of a room are looked at for those that are something to read.
const lastWithin = 2000

const (
	sqlLastTexts = `select k.id, k.flags, b.stanza from (
			select id, flags from kept where owner = $1 and id >= $2 order by id desc limit $4) k cross join body b
		where k.flags & 8 and b.id = k.id order by k.id desc limit $3`
	sqlTexts = `select count(*) from (select 1 from kept where owner = $1 and id > $2 and flags & 8 limit $3)`

	sqlSpeaker  = `select peer, resource from kept where owner = $1 and id = $2`
	sqlOldestOf = `select b.stanza from kept k cross join body b where k.owner = $1 and b.id = k.id order by k.id limit 1`
)

// speakerOf returns the words by which the index knows who has said a message of a room.
func speakerOf(tx *storage.Tx, archive int64, id storage.ID) (string, error) {
	s := stretch{span: span{owner: archive}, resource: anyResource}
	if _, err := tx.One(sqlSpeaker, []any{archive, id}, &s.peer, &s.resource); err != nil {
		return "", err
	}
	return s.nickWord() + " " + s.whoWord(), nil
}

// lastTexts reads the newest n messages of a room that are something to read, from an id on.
func lastTexts(tx *storage.Tx, archive int64, from storage.ID, n int) (list []Kept, err error) {
	err = tx.Each(sqlLastTexts, []any{archive, from, n, lastWithin}, rowTo(func(r entry) bool {
		list = append(list, keptOf(r))
		return true
	}))
	slices.Reverse(list)
	return list, err
}

// roomOf returns the room whose archive it is, as its oldest message says; zero where it has
// none.
func roomOf(tx *storage.Tx, archive int64) (room xmpp.JID, err error) {
	var stanza []byte
	found, err := tx.One(sqlOldestOf, []any{archive}, &stanza)
	if err != nil || !found {
		return room, err
	}
	st, err := xmpp.ParseStanzaBytes(stanza)
	if err != nil {
		return room, nil // nobody can read it; the defaults hold
	}
	return st.From.Bare(), nil
}
