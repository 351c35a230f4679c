package mam

import (
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// roomTables is what archives of rooms need: their rows have a negative owner. What one has
// said there is found without exchanged: many share few pages of these indexes. The mark of
// exchanged moves out of the way of the first room.
const roomTables = `
update indexed set owner = -9223372036854775808 where owner = -1;
create index kept_nick on kept (owner, peer, id, flags) where owner < 0;
create index kept_who on kept (owner, resource, id, flags) where owner < 0;
`

// lastWithin is how many rows of a room are looked at for those that are something to read.
const lastWithin = 2000

const (
	sqlNickPage = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.owner < 0 and k.peer = $5 and k.id >= $2 and k.id <= $3 and b.id = k.id order by k.id limit $4`
	sqlNickPageBack = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.owner < 0 and k.peer = $5 and k.id >= $2 and k.id <= $3 and b.id = k.id order by k.id desc limit $4`
	sqlWhoPage = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.owner < 0 and k.resource = $5 and k.id >= $2 and k.id <= $3 and b.id = k.id order by k.id limit $4`
	sqlWhoPageBack = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.owner < 0 and k.resource = $5 and k.id >= $2 and k.id <= $3 and b.id = k.id order by k.id desc limit $4`
	sqlNickCount = `select count(*) from (select 1 from kept where owner = $1 and owner < 0 and peer = $5 and id >= $2 and id <= $3 limit $4)`
	sqlWhoCount  = `select count(*) from (select 1 from kept where owner = $1 and owner < 0 and resource = $5 and id >= $2 and id <= $3 limit $4)`
	sqlNickAt    = `select id from kept where owner = $1 and owner < 0 and peer = $5 and id >= $2 and id <= $3 order by id limit 1 offset $4`
	sqlWhoAt     = `select id from kept where owner = $1 and owner < 0 and resource = $5 and id >= $2 and id <= $3 order by id limit 1 offset $4`

	sqlLastTexts = `select k.id, k.flags, b.stanza from (
			select id, flags from kept where owner = $1 and id >= $2 order by id desc limit $4) k cross join body b
		where k.flags & 8 and b.id = k.id order by k.id desc limit $3`
	sqlTexts = `select count(*) from (select 1 from kept where owner = $1 and id > $2 and flags & 8 limit $3)`

	sqlOldestOf = `select b.stanza from kept k cross join body b where k.owner = $1 and b.id = k.id order by k.id limit 1`
)

// spokenPage is the query of a page of what one has said in a room, with the number of who.
func spokenPage(s span, resource int64, back bool) (q string, who int64) {
	switch {
	case s.peer != 0 && back:
		return sqlNickPageBack, s.peer
	case s.peer != 0:
		return sqlNickPage, s.peer
	case back:
		return sqlWhoPageBack, resource
	}
	return sqlWhoPage, resource
}

// countSpoken counts the rows of a room that are of one nick or one address, up to most.
func countSpoken(tx *storage.Tx, s span, resource int64, most int) (n int, err error) {
	q, who := sqlNickCount, s.peer
	if s.peer == 0 {
		q, who = sqlWhoCount, resource
	}
	_, err = tx.One(q, []any{s.owner, s.lo, s.hi, most, who}, &n)
	return n, err
}

// spokenAt returns that of these which has so many before it; there is false behind the last.
func spokenAt(tx *storage.Tx, s span, resource int64, index int) (id storage.ID, there bool, err error) {
	q, who := sqlNickAt, s.peer
	if s.peer == 0 {
		q, who = sqlWhoAt, resource
	}
	there, err = tx.One(q, []any{s.owner, s.lo, s.hi, index, who}, &id)
	return id, there, err
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
