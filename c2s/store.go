package c2s

import (
	"bytes"
	"encoding/json"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// schema is what is kept of sessions between two runs of the server: each one that may be
// resumed, and what its client has not acknowledged, in order.
var schema = storage.Schema{Name: "sessions", Steps: []string{`
create table session (
	key blob primary key,
	waits_until integer not null,
	lasts integer not null,
	taken integer not null,
	acked integer not null,
	told integer not null,
	state blob not null
) without rowid;
create table session_queue (
	key blob not null,
	place integer not null,
	id integer not null,
	stanza blob not null,
	primary key (key, place)
) without rowid;
`}}

// savedSession is one of them. The key is resumeKey, the state a router.Saved as JSON.
type savedSession struct {
	key   resumeKey
	until int64 // Unix seconds
	lasts int64 // seconds
	taken uint32
	acked uint32
	told  int // of the queue, how many were on a stream
	state []byte
	queue []savedStanza
}

// savedStanza is one stanza, with its id if it waits until some device has taken it.
type savedStanza struct {
	id     storage.ID
	stanza []byte
}

// saveAll writes sessions.
func saveAll(tx *storage.Tx, list []savedSession) error {
	for _, s := range list {
		err := tx.Exec(`insert into session (key, waits_until, lasts, taken, acked, told, state) values ($1, $2, $3, $4, $5, $6, $7)`,
			s.key[:], s.until, s.lasts, int64(s.taken), int64(s.acked), s.told, s.state)
		if err != nil {
			return err
		}
		for i, q := range s.queue {
			err := tx.Exec(`insert into session_queue (key, place, id, stanza) values ($1, $2, $3, $4)`, s.key[:], i, q.id, q.stanza)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// takeAll reads all sessions and removes them: what happens to them from now on is not in
// the tables.
func takeAll(tx *storage.Tx) (list []savedSession, err error) {
	at := map[resumeKey]int{}
	err = tx.Each(`select key, waits_until, lasts, taken, acked, told, state from session order by waits_until, key`, nil, func(r *storage.Row) error {
		s := savedSession{until: r.Int(1), lasts: r.Int(2), taken: uint32(r.Int(3)), acked: uint32(r.Int(4)), told: int(r.Int(5)), state: r.Bytes(6)}
		copy(s.key[:], r.Bytes(0))
		at[s.key] = len(list)
		list = append(list, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tx.Each(`select key, id, stanza from session_queue order by key, place`, nil, func(r *storage.Row) error {
		var key resumeKey
		copy(key[:], r.Bytes(0))
		if i, ok := at[key]; ok {
			list[i].queue = append(list[i].queue, savedStanza{r.ID(1), r.Bytes(2)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, forgetAll(tx)
}

// forgetAll removes all sessions.
func forgetAll(tx *storage.Tx) error {
	if err := tx.Exec(`delete from session_queue`); err != nil {
		return err
	}
	return tx.Exec(`delete from session`)
}

// expireAll has the sessions of an account end when they are restored.
func expireAll(tx *storage.Tx, bare xmpp.JID) (n int, err error) {
	var keys [][]byte
	err = tx.Each(`select key, state from session`, nil, func(r *storage.Row) error {
		var state router.Saved
		if json.Unmarshal(r.Bytes(1), &state) != nil {
			return nil // Restore says so
		}
		if full, err := xmpp.ParseJID(state.JID); err == nil && full.Bare() == bare {
			keys = append(keys, bytes.Clone(r.Bytes(0)))
		}
		return nil
	})
	for _, key := range keys {
		if err == nil {
			err = tx.Exec(`update session set waits_until = 0 where key = $1`, key)
		}
	}
	return len(keys), err
}

// forget is called where an account is removed. While the server stands still nobody hears
// what that changes for others, so that no session is what it was.
func forget(tx *storage.Tx, _ int64, _ xmpp.JID) error { return forgetAll(tx) }
