package roster

import (
	"context"
	"strconv"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// get answers with the whole roster, or with nothing where the client has a version from
// which the changes are known, and these are fewer than the items; then each changed item
// is pushed behind the answer (RFC 6121 §2.2, §2.6.3).
//
// The resource is interested from now on (§2.1.6): in the turn in which the roster or the
// changes are read, so that nothing slips between these and the first push.
func (f *feature) get(ctx context.Context, q *router.Request) (p xmpp.Payload, err error) {
	ver, versioned := q.Payload.LookupAttr("ver")
	versioned = versioned && q.Sender != nil // changes are pushed to sessions alone
	err = q.Turn(func(t *router.Turn) error {
		shared := f.upToDate(t, q.Account, available(q.Account))
		have := int64(-1)
		if versioned {
			have = versionFrom(ver, shared, q.Account.JID)
		}
		var list []Item
		var version int64
		var changes bool
		t.Flush() // who waits, flushes
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
			if version, changes, err = known(tx, q.Account.ID, have, int64(shared.len())); err != nil || changes {
				return err
			}
			list, err = items(tx, q.Account.ID)
			return err
		})
		switch {
		case err != nil:
			return err
		case changes && have != version:
			q.After(func(*router.Round) { f.catchUp(ctx, q, have, shared) })
			return nil
		case !changes:
			p = f.whole(q.Account.JID, version, list, shared)
		}
		if q.Sender != nil {
			q.Account.SetInterest(q.Sender)
		}
		return nil
	})
	return p, err
}

// versionOf reads a version that a client has; -1 where it is none of ours.
func versionOf(ver string) int64 {
	n, err := strconv.ParseInt(ver, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != ver {
		return -1
	}
	return n
}

// known returns the version of a roster, and whether what has changed since another is
// known and less to send than all, of which shared items are not on the disk.
func known(tx *storage.Tx, owner, have, shared int64) (version int64, changes bool, err error) {
	version, floor, err := current(tx, owner)
	if err != nil || have < floor || have > version {
		return version, false, err
	}
	if have == version {
		return version, true, nil
	}
	list, err := since(tx, owner, have)
	if err != nil {
		return version, false, err
	}
	n, _, err := total(tx, owner)
	return version, int64(len(list)) < n+shared, err
}

// catchUp pushes to one session what has changed since the version that it has, each item
// as it is now, in the order of the changes. was is the shared part that the client knows.
func (f *feature) catchUp(ctx context.Context, q *router.Request, have int64, was *sharedList) {
	err := q.Turn(func(t *router.Turn) error {
		now := f.upToDate(t, q.Account, available(q.Account))
		version := have
		var list []revision
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
			list, err = since(tx, q.Account.ID, have)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range list {
			version = r.version
			t.Push(q.Sender.Session(), pushOf(q.From(), verOf(version, was, q.Account.JID), now.shown(r.item)))
		}
		shifts := others(now.since(was), q.Account.JID)
		_, own, err := f.ownOf(t, q.Account, shifts)
		if err != nil {
			return err
		}
		q.Account.SetInterest(q.Sender)
		f.pushShifts(t, q.Account, []router.Session{q.Sender.Session()}, version, own, was, now, shifts)
		return nil
	})
	if err != nil { // the client keeps its version, and asks again when it comes next
		f.log.Error("changes of a roster were not pushed", "account", q.Account.JID.String(), "error", err)
	}
}
