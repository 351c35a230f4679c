package mam

import (
	"context"
	"encoding/binary"
	"time"

	"parley/storage"
)

const (
	sqlOwners = `with recursive o (owner) as (
			select (select owner from kept where owner > $1 order by owner limit 1)
			union all
			select (select owner from kept where owner > o.owner order by owner limit 1) from o where o.owner is not null
			limit $2)
		select owner from o where owner is not null`
	sqlFirstIn   = `select id from kept where owner = $1 and id > $2 and flags & 1 order by id limit 1`
	sqlMeasured  = `select upto, bytes from measured where owner = $1`
	sqlToMeasure = `select k.id, length(b.stanza) from kept k cross join body b
		where k.owner = $1 and k.id > $2 and k.flags & 4 = 0 and b.id = k.id order by k.id limit $3`
	sqlSetMeasured = `insert into measured (owner, upto, bytes) values ($1, $2, $3)
		on conflict (owner) do update set upto = excluded.upto, bytes = excluded.bytes`
	sqlLighter = `update measured set bytes = bytes - $3 where owner = $1 and upto >= $2`
	sqlOldest  = `select k.id, k.flags, length(b.stanza) from kept k cross join body b
		where k.owner = $1 and k.id < $2 and b.id = k.id order by k.id limit $3`
	sqlLeave       = `insert into leaving (owner) values ($1) on conflict (owner) do nothing`
	sqlLeft        = `delete from leaving where owner = $1`
	sqlLeaving     = `select owner from leaving order by owner limit 1`
	sqlForgetSize  = `delete from measured where owner = $1`
	sqlForgetMark  = `delete from indexed where owner = $1`
	sqlForgetTaken = `delete from taken where owner = $1`
)

// owners reads up to n owners of archives behind one.
func owners(tx *storage.Tx, behind int64, n int) (list []int64, err error) {
	err = tx.Each(sqlOwners, []any{behind, n}, func(r *storage.Row) error {
		list = append(list, r.Int(0))
		return nil
	})
	return list, err
}

// firstWaiting returns the first message of an owner that waits and is not older than an id;
// found is false where none does.
func firstWaiting(tx *storage.Tx, owner int64, before storage.ID) (id storage.ID, found bool, err error) {
	upto, missed, err := readMark(tx, owner)
	if err != nil {
		return 0, false, err
	}
	for at := storage.ID(0); len(missed) > 0; {
		d, n := binary.Uvarint(missed)
		if n <= 0 {
			return 0, false, errMark
		}
		if missed, at = missed[n:], at+storage.ID(d); at >= before {
			return at, true, nil
		}
	}
	found, err = tx.One(sqlFirstIn, []any{owner, max(upto, before-1)}, &id)
	return id, found, err
}

// measured returns how many bytes an archive had when it was measured last; more says that
// something has come since.
func measured(tx *storage.Tx, owner int64) (bytes int64, more bool, err error) {
	var upto storage.ID
	if _, err = tx.One(sqlMeasured, []any{owner}, &upto, &bytes); err != nil {
		return 0, false, err
	}
	end, _, err := last(tx, span{owner: owner, hi: 1<<63 - 1})
	return bytes, end.id > upto, err
}

// measure adds up to n messages that came since to the size of an archive, and returns it;
// more says that there are more.
func measure(tx *storage.Tx, owner int64, n int) (bytes int64, more bool, err error) {
	var upto storage.ID
	if _, err = tx.One(sqlMeasured, []any{owner}, &upto, &bytes); err != nil {
		return 0, false, err
	}
	looked := 0
	err = tx.Each(sqlToMeasure, []any{owner, upto, n}, func(r *storage.Row) error {
		looked++
		upto = r.ID(0)
		bytes += r.Int(1)
		return nil
	})
	if err != nil || looked == 0 {
		return bytes, false, err
	}
	return bytes, looked == n, tx.Exec(sqlSetMeasured, owner, upto, bytes)
}

// lighter takes bytes of one message off the size of an archive, if it was measured.
func lighter(tx *storage.Tx, owner int64, id storage.ID, bytes int64) error {
	return tx.Exec(sqlLighter, owner, id, bytes)
}

// removeOldest deletes up to n rows of an owner, the oldest first, until one is to stay
// behind others that had so many bytes. It returns how many there were, and their bytes.
func removeOldest(tx *storage.Tx, owner int64, v verdict, freed int64, n int) (gone int, bytes int64, err error) {
	type old struct {
		id    storage.ID
		flags flags
		bytes int64
	}
	var list []old
	err = tx.Each(sqlOldest, []any{owner, v.until, n}, func(r *storage.Row) error {
		list = append(list, old{r.ID(0), flags(r.Int(1)), r.Int(2)})
		return nil
	})
	for _, o := range list {
		if err != nil || v.spares(o.id, freed+bytes) {
			break
		}
		if o.flags&hidden == 0 {
			bytes += o.bytes
			err = lighter(tx, owner, o.id, o.bytes)
		}
		if err == nil && o.flags&(unread|outgoing) == unread && owner > 0 {
			err = recount(tx, owner, o.id)
		}
		if err == nil {
			err = removeRow(tx, owner, o.id)
		}
		gone++
	}
	if err == nil && owner < 0 && gone > 0 { // the oldest, so whoever has counted any has counted these
		err = recount(tx, owner, list[0].id)
	}
	return gone, bytes, err
}

// leave forgets what is kept of an archive beside its messages, and notes that these are to
// be deleted.
func leave(tx *storage.Tx, owner int64) error {
	for _, q := range []string{sqlForgetSeen, sqlForgetSize, sqlForgetMark, sqlForgetTaken, sqlLeave} {
		if err := tx.Exec(q, owner); err != nil {
			return err
		}
	}
	return forgetPrefs(tx, owner)
}

// nextLeaving finds an account or a room that was removed and may have messages yet.
func nextLeaving(tx *storage.Tx, owner *int64) (found bool, err error) {
	return tx.One(sqlLeaving, nil, owner)
}

// removeLeft deletes up to n messages of one of these. When none is left, it is forgotten.
func removeLeft(tx *storage.Tx, owner int64, n int) error {
	gone, _, err := removeOldest(tx, owner, verdict{before: 1<<63 - 1, until: 1<<63 - 1}, 0, n)
	if err != nil || gone == n {
		return err
	}
	return tx.Exec(sqlLeft, owner)
}

// Retention returns how long the messages of an account, or of a room by the number of its
// archive, are kept, if that was said for it; 0 is for ever.
func Retention(ctx context.Context, s *storage.Store, account int64) (keep time.Duration, said bool, err error) {
	err = s.Read(ctx, func(tx *storage.Tx) (err error) {
		keep, said, err = readRetention(tx, account)
		return err
	})
	return keep, said, err
}

// SetRetention says how long the messages of an account, or of a room by the number of its
// archive, are kept; 0 is for ever, nil as long
// as the server's configuration says. It is heeded when the server tidies up next.
func SetRetention(ctx context.Context, s *storage.Store, account int64, keep *time.Duration) error {
	return s.Write(ctx, func(tx *storage.Tx) error { return writeRetention(tx, account, keep) })
}
