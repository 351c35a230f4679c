package mam

import (
	"time"

	"parley/storage"
	"parley/xmpp"
)

const (
	sqlPrefs     = `select policy, retention from prefs where owner = $1`
	sqlPrefsJIDs = `select jid, always from prefs_jid where owner = $1`
	sqlSetPolicy = `insert into prefs (owner, policy) values ($1, $2)
		on conflict (owner) do update set policy = excluded.policy`
	sqlSetRetention = `insert into prefs (owner, policy, retention) values ($1, '', $2)
		on conflict (owner) do update set retention = excluded.retention`
	sqlDropJIDs  = `delete from prefs_jid where owner = $1`
	sqlSetJID    = `insert into prefs_jid (owner, jid, always) values ($1, $2, $3)`
	sqlDropPrefs = `delete from prefs where owner = $1`
)

// readPrefs reads what a user has said; nil where nothing.
func readPrefs(tx *storage.Tx, owner int64) (p *preferences, err error) {
	var policy string
	found, err := tx.One(sqlPrefs, []any{owner}, &policy)
	if err != nil || !found || policy == "" {
		return nil, err
	}
	p = &preferences{policy: policy, jids: map[xmpp.JID]bool{}}
	err = tx.Each(sqlPrefsJIDs, []any{owner}, func(r *storage.Row) error {
		if j, err := xmpp.ParseJID(r.Text(0)); err == nil {
			p.jids[j] = r.Bool(1)
		}
		return nil
	})
	return p, err
}

// writePrefs writes what a user has said.
func writePrefs(tx *storage.Tx, owner int64, p *preferences) error {
	if err := tx.Exec(sqlSetPolicy, owner, p.policy); err != nil {
		return err
	}
	if err := tx.Exec(sqlDropJIDs, owner); err != nil {
		return err
	}
	for _, j := range p.sorted() {
		if err := tx.Exec(sqlSetJID, owner, j.String(), p.jids[j]); err != nil {
			return err
		}
	}
	return nil
}

// readRetention returns how long the messages of an account are kept, if that was said for
// it; 0 is for ever.
func readRetention(tx *storage.Tx, owner int64) (keep time.Duration, said bool, err error) {
	err = tx.Each(sqlPrefs, []any{owner}, func(r *storage.Row) error {
		keep, said = time.Duration(r.Int(1))*time.Second, !r.Null(1)
		return nil
	})
	return keep, said, err
}

// writeRetention writes it; nil: what the server has for all.
func writeRetention(tx *storage.Tx, owner int64, keep *time.Duration) error {
	var seconds any
	if keep != nil {
		seconds = int64(*keep / time.Second)
	}
	return tx.Exec(sqlSetRetention, owner, seconds)
}

func forgetPrefs(tx *storage.Tx, owner int64) error {
	if err := tx.Exec(sqlDropJIDs, owner); err != nil {
		return err
	}
	return tx.Exec(sqlDropPrefs, owner)
}
