package mam

import (
	"context"
	"math"

	"parley/storage"
	"parley/xmpp"
)

// How much is done in one piece of the store's work, so that others have their turn.
const (
	ownersAtOnce  = 100
	oldAtOnce     = 200
	measureAtOnce = 2000
)

// retain deletes what is older, or more, than archives may have, the oldest first and a
// little at a time (XEP-0313 §3.2), and what is left of accounts and rooms that were
// removed.
func (f *feature) retain(ctx context.Context) error {
	if err := f.sweep(ctx); err != nil {
		return err
	}
	gone := 0
	for behind := int64(math.MinInt64); ; {
		var list []int64
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
			list, err = owners(tx, behind, ownersAtOnce)
			return err
		})
		if err != nil {
			return err
		}
		for _, owner := range list {
			n, err := f.retainOf(ctx, owner)
			if gone += n; err != nil {
				return err
			}
			behind = owner
		}
		if len(list) < ownersAtOnce {
			break
		}
	}
	if gone > 0 {
		f.log.Info("messages that archives keep no longer were deleted", "messages", gone)
	}
	return nil
}

// sweep deletes the messages of removed accounts and rooms.
func (f *feature) sweep(ctx context.Context) error {
	for {
		if more, err := f.sweepSome(ctx); err != nil || !more {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// sweepSome is one piece of it.
func (f *feature) sweepSome(ctx context.Context) (more bool, err error) {
	err = f.store.Write(ctx, func(tx *storage.Tx) (err error) {
		var owner int64
		if more, err = nextLeaving(tx, &owner); err != nil || !more {
			return err
		}
		f.shrinks(owner)
		return removeLeft(tx, owner, oldAtOnce)
	})
	return more, err
}

// shrinks notes that rows of an owner are deleted, in the transaction that does it. Those of
// rooms are in no exchange.
func (f *feature) shrinks(owner int64) {
	f.shrunk.Add(1)
	if owner > 0 {
		f.exchange.doubt()
	}
}

// A verdict says what of an archive is to go.
type verdict struct {
	before storage.ID // what is older
	bytes  int64      // and more, until so many bytes are gone
	until  storage.ID // but nothing from here on: it waits for its owner
}

// spares reports whether a message stays, behind others that had so many bytes.
func (v verdict) spares(id storage.ID, freed int64) bool {
	return id >= v.until || id >= v.before && freed >= v.bytes
}

// retainOf does it for one archive, and returns how many messages it has deleted.
func (f *feature) retainOf(ctx context.Context, owner int64) (gone int, err error) {
	a := f.archiveOf(ctx, owner)
	size := int64(0)
	if a.Bytes > 0 {
		if size, err = f.measure(ctx, owner); err != nil {
			return 0, err
		}
	}
	var v verdict
	var oldest edge
	err = f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		if v, err = f.judge(tx, owner, a); err == nil {
			oldest, _, err = first(tx, span{owner: owner, hi: 1<<63 - 1})
		}
		return err
	})
	if a.Bytes > 0 {
		v.bytes = max(0, size-a.Bytes)
	}
	if err != nil || oldest.id >= v.until || oldest.id >= v.before && v.bytes == 0 {
		return 0, err
	}
	for freed := int64(0); ; {
		n, bytes := 0, int64(0)
		err := f.store.Write(ctx, func(tx *storage.Tx) (err error) {
			f.shrinks(owner)
			n, bytes, err = removeOldest(tx, owner, v, freed, oldAtOnce)
			return err
		})
		if gone, freed = gone+n, freed+bytes; err != nil || n < oldAtOnce {
			return gone, err
		}
		if err := pause(ctx); err != nil {
			return gone, err
		}
	}
}

// judge finds out what is too old, and what is too much.
func (f *feature) judge(tx *storage.Tx, owner int64, a Archive) (v verdict, err error) {
	keep, said, err := readRetention(tx, owner)
	if err != nil {
		return v, err
	}
	if !said {
		keep = a.Retention
	}
	now := tx.Now()
	if keep > 0 {
		v.before = storage.IDAt(now.Add(-keep))
	}
	if a.Messages > 0 {
		if v.before, err = tooMany(tx, owner, a.Messages, v.before); err != nil {
			return v, err
		}
	}
	if v.until = 1<<63 - 1; owner < 0 { // nothing waits for a room
		return v, nil
	}
	expired := storage.ID(0)
	if e := f.limits().Expiry; e > 0 {
		expired = storage.IDAt(now.Add(-e))
	}
	id, waits, err := firstWaiting(tx, owner, expired)
	if waits {
		v.until = id
	}
	return v, err
}

// tooMany returns the first message that is not one too many, or before if that is later.
func tooMany(tx *storage.Tx, owner, most int64, before storage.ID) (storage.ID, error) {
	s := stretch{span: span{owner: owner, hi: 1<<63 - 1}, resource: anyResource}
	begin, found, err := first(tx, s.span)
	if err != nil || !found {
		return before, err
	}
	end, _, err := last(tx, s.span)
	if err != nil || end.total-begin.total < most {
		return before, err
	}
	id, _, err := s.search(tx, begin, end.total-most+1)
	return max(id, before), err
}

// measure returns how many bytes the messages of an archive have. Each is looked at once.
func (f *feature) measure(ctx context.Context, owner int64) (bytes int64, err error) {
	more := false
	err = f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		bytes, more, err = measured(tx, owner)
		return err
	})
	for err == nil && more {
		err = f.store.Write(ctx, func(tx *storage.Tx) (err error) {
			bytes, more, err = measure(tx, owner, measureAtOnce)
			return err
		})
		if err == nil && more {
			err = pause(ctx)
		}
	}
	return bytes, err
}

// archiveOf returns what holds for the archive of the account, or the room, with that number.
func (f *feature) archiveOf(ctx context.Context, owner int64) Archive {
	if owner < 0 {
		var room xmpp.JID
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) { room, err = roomOf(tx, owner); return err })
		if err != nil {
			room = xmpp.JID{}
		}
		return f.archive(room)
	}
	bare, found, err := f.router.Address(ctx, owner)
	if err != nil || !found {
		return f.archive(xmpp.JID{})
	}
	return f.archive(bare)
}
