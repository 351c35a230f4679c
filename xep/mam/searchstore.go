package mam

import (
	"parley/storage"
)

const (
	sqlToIndex = `select b.id, b.stanza,
			case when exists (select 1 from kept where owner = b.one and id = b.id and flags & 4 = 0) then b.one else 0 end,
			case when exists (select 1 from kept where owner = b.two and id = b.id and flags & 4 = 0) then b.two else 0 end
		from body b where b.id > $1 order by b.id limit $2`
	sqlToIndexOf = `select b.id, b.stanza,
			case when exists (select 1 from kept where owner = b.one and id = b.id and flags & 4 = 0) then b.one else 0 end,
			case when exists (select 1 from kept where owner = b.two and id = b.id and flags & 4 = 0) then b.two else 0 end
		from kept k cross join body b where k.owner = $3 and k.id > $1 and k.flags & 4 = 0 and b.id = k.id
		order by k.id limit $2`
	sqlIndex   = `insert or replace into words (rowid, owners, name, text) values ($1, $2, $3, $4)`
	sqlUnindex = `delete from words where rowid = $1`
	sqlMark    = `select upto from indexed where owner = $1`
	sqlSetMark = `insert into indexed (owner, upto) values ($1, $2)
		on conflict (owner) do update set upto = excluded.upto`
)

// everybody is the owner under which the mark of the whole index stands.
const everybody = 0

// indexedUpTo returns up to which id the messages of an owner are in the index.
func indexedUpTo(tx *storage.Tx, owner int64) (upto storage.ID, err error) {
	if _, err = tx.One(sqlMark, []any{everybody}, &upto); err != nil || owner == everybody {
		return upto, err
	}
	var own storage.ID
	_, err = tx.One(sqlMark, []any{owner}, &own)
	return max(upto, own), err
}

// indexSome puts up to n messages that are not in the index into it, of an owner or of
// everybody, the oldest first, and returns how many.
func indexSome(tx *storage.Tx, owner int64, n int) (done int, err error) {
	upto, err := indexedUpTo(tx, owner)
	if err != nil {
		return 0, err
	}
	q, args := sqlToIndex, []any{upto, n}
	if owner != everybody {
		q, args = sqlToIndexOf, append(args, owner)
	}
	err = tx.Each(q, args, func(r *storage.Row) error {
		done++
		upto = r.ID(0)
		return index(tx, upto, r.Bytes(1), r.Int(2), r.Int(3))
	})
	if err != nil || done == 0 {
		return 0, err
	}
	return done, tx.Exec(sqlSetMark, owner, upto)
}

// index puts one message into the index, for the owners (0: none) in whose archive it is.
func index(tx *storage.Tx, id storage.ID, stanza []byte, one, two int64) error {
	if one == 0 && two == 0 {
		return nil
	}
	name, text := indexable(stanza)
	if one < 0 {
		speaker, err := speakerOf(tx, one, id)
		if err != nil {
			return err
		}
		name += " " + speaker
	}
	if name == "" && text == "" {
		return nil
	}
	return tx.Exec(sqlIndex, id, ownersOf(one, two), name, text)
}

// unindex takes a message out of the index, if it is there.
func unindex(tx *storage.Tx, id storage.ID) error { return tx.Exec(sqlUnindex, id) }

const (
	sqlSearch = `select k.id, k.flags, b.stanza from words w cross join kept k cross join body b
		where w.words match $1 and w.rowid >= $2 and w.rowid <= $3 and k.owner = $4 and k.id = w.rowid and k.flags & 4 = 0
		and ($6 = 0 or k.peer = $6) and ($7 < 0 or k.resource = $7) and b.id = k.id order by w.rowid limit $5`
	sqlSearchBack = `select k.id, k.flags, b.stanza from words w cross join kept k cross join body b
		where w.words match $1 and w.rowid >= $2 and w.rowid <= $3 and k.owner = $4 and k.id = w.rowid and k.flags & 4 = 0
		and ($6 = 0 or k.peer = $6) and ($7 < 0 or k.resource = $7) and b.id = k.id order by w.rowid desc limit $5`
	sqlHitCount = `select count(*) from (select 1 from words w cross join kept k
		where w.words match $1 and w.rowid >= $2 and w.rowid <= $3 and k.owner = $4 and k.id = w.rowid and k.flags & 4 = 0
		and ($6 = 0 or k.peer = $6) and ($7 < 0 or k.resource = $7) limit $5)`
	sqlHitAt = `select k.id from words w cross join kept k
		where w.words match $1 and w.rowid >= $2 and w.rowid <= $3 and k.owner = $4 and k.id = w.rowid and k.flags & 4 = 0
		and ($6 = 0 or k.peer = $6) and ($7 < 0 or k.resource = $7) order by w.rowid limit 1 offset $5`

	// What the index has of a room, the room has: nothing of it is hidden, and it alone has it.
	sqlRoomHitCount = `select count(*) from (select 1 from words where words match $1 and rowid >= $2 and rowid <= $3 limit $4)`
	sqlRoomHitAt    = `select rowid from words where words match $1 and rowid >= $2 and rowid <= $3 order by rowid limit 1 offset $4`
)

// hits calls each for up to n messages of a stretch that match, the oldest or the newest
// first.
func hits(tx *storage.Tx, s stretch, match string, back bool, n int, each func(entry) bool) error {
	q := sqlSearch
	if back {
		q = sqlSearchBack
	}
	return untilEnough(tx.Each(q, []any{match, s.lo, s.hi, s.owner, n, s.peer, s.resource}, rowTo(each)))
}

// countHits counts up to most of these.
func countHits(tx *storage.Tx, s stretch, match string, most int) (n int, err error) {
	if s.owner < 0 {
		_, err = tx.One(sqlRoomHitCount, []any{match, s.lo, s.hi, most}, &n)
		return n, err
	}
	_, err = tx.One(sqlHitCount, []any{match, s.lo, s.hi, s.owner, most, s.peer, s.resource}, &n)
	return n, err
}

// hitAt returns that of them which has so many before it; there is false behind the last.
func hitAt(tx *storage.Tx, s stretch, match string, index int) (id storage.ID, there bool, err error) {
	if s.owner < 0 {
		there, err = tx.One(sqlRoomHitAt, []any{match, s.lo, s.hi, index}, &id)
		return id, there, err
	}
	there, err = tx.One(sqlHitAt, []any{match, s.lo, s.hi, s.owner, index, s.peer, s.resource}, &id)
	return id, there, err
}

const (
	sqlNamed = `select w.rowid, k.flags, b.stanza from words w cross join kept k cross join body b
		where w.words match $1 and w.rowid < $2 and k.owner = $3 and k.id = w.rowid and k.peer = $4 and k.flags & 4 = 0
		and b.id = k.id order by w.rowid desc limit $5`
	sqlTail = `select e.id, e.flags, b.stanza from exchanged e cross join body b
		where e.owner = $1 and e.peer = $2 and e.id > $3 and e.id < $5 and b.id = e.id
		order by e.id desc limit $4`
)

// maxNamesakes is how many messages with the same name are looked at, and maxTail how many
// that are not yet in the index.
const (
	maxNamesakes = 16
	maxTail      = 100
)

// candidates calls each for messages of a conversation that may have that name, the newest
// first, until it says that it has enough: those that the index knows by it, and before
// them those that are not in the index yet.
func candidates(tx *storage.Tx, owner, peer int64, name string, before storage.ID, each func(entry) (more bool)) error {
	upto, err := indexedUpTo(tx, owner)
	if err != nil {
		return err
	}
	more := true
	err = tx.Each(sqlTail, []any{owner, peer, upto, maxTail, before}, rowTo(func(r entry) bool { more = each(r); return more }))
	if err != nil || !more {
		return untilEnough(err)
	}
	return untilEnough(tx.Each(sqlNamed, []any{matchName(owner, name), min(upto+1, before), owner, peer, maxNamesakes}, rowTo(each)))
}
