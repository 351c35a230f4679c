package blocking

import (
	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "blocking", Steps: []string{`
create table blocked (
	owner integer not null,
	jid text not null,
	primary key (owner, jid)
) without rowid;
`}}

// items reads whom an account blocks.
func items(tx *storage.Tx, owner int64) (all []string, err error) {
	err = tx.Each(`select jid from blocked where owner = $1`, []any{owner}, func(r *storage.Row) error {
		all = append(all, r.Text(0))
		return nil
	})
	return all, err
}

// add puts addresses on the list.
func add(tx *storage.Tx, owner int64, jids []xmpp.JID) error {
	for _, j := range jids {
		err := tx.Exec(`insert into blocked (owner, jid) values ($1, $2) on conflict (owner, jid) do nothing`, owner, j.String())
		if err != nil {
			return err
		}
	}
	return nil
}

// remove takes addresses off the list.
func remove(tx *storage.Tx, owner int64, jids []xmpp.JID) error {
	for _, j := range jids {
		if err := tx.Exec(`delete from blocked where owner = $1 and jid = $2`, owner, j.String()); err != nil {
			return err
		}
	}
	return nil
}

// removeAll empties the list.
func removeAll(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from blocked where owner = $1`, owner)
}
