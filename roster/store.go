package roster

import (
	"encoding/json"

	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "roster", Steps: []string{`
create table roster_item (
	owner integer not null,
	jid text not null,
	name text not null,
	subscription text not null,
	ask text not null,
	approved integer not null,
	groups text not null,
	primary key (owner, jid)
) without rowid;
create table roster_version (
	owner integer primary key,
	version integer not null
);
`}}

// items reads a roster, ordered by address.
func items(tx *storage.Tx, owner int64) (list []Item, err error) {
	err = tx.Each(`select jid, name, subscription, ask, approved, groups from roster_item
		where owner = $1 order by jid`, []any{owner}, func(r *storage.Row) error {
		it, err := read(r)
		list = append(list, it)
		return err
	})
	return list, err
}

// item reads one item; found is false where there is none.
func item(tx *storage.Tx, owner int64, jid xmpp.JID) (it Item, found bool, err error) {
	err = tx.Each(`select jid, name, subscription, ask, approved, groups from roster_item
		where owner = $1 and jid = $2`, []any{owner, jid.String()}, func(r *storage.Row) (err error) {
		it, err = read(r)
		found = true
		return err
	})
	return it, found, err
}

func read(r *storage.Row) (it Item, err error) {
	if it.JID, err = xmpp.ParseJID(r.Text(0)); err != nil {
		return it, err
	}
	it.Name, it.Subscription, it.Ask, it.Approved = r.Text(1), r.Text(2), r.Text(3), r.Int(4) != 0
	return it, json.Unmarshal([]byte(r.Text(5)), &it.Groups)
}

// count returns how many items a roster has.
func count(tx *storage.Tx, owner int64) (n int64, err error) {
	err = tx.Each(`select count(*) from roster_item where owner = $1`, []any{owner}, func(r *storage.Row) error {
		n = r.Int(0)
		return nil
	})
	return n, err
}

// put writes an item and returns the roster's new version.
func put(tx *storage.Tx, owner int64, it Item) (version int64, err error) {
	groups, err := json.Marshal(it.Groups)
	if err != nil {
		return 0, err
	}
	approved := int64(0)
	if it.Approved {
		approved = 1
	}
	err = tx.Exec(`insert into roster_item (owner, jid, name, subscription, ask, approved, groups)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (owner, jid) do update set name = excluded.name, subscription = excluded.subscription,
			ask = excluded.ask, approved = excluded.approved, groups = excluded.groups`,
		owner, it.JID.String(), it.Name, it.Subscription, it.Ask, approved, string(groups))
	if err != nil {
		return 0, err
	}
	return advance(tx, owner)
}

// remove deletes an item and returns the roster's new version.
func remove(tx *storage.Tx, owner int64, jid xmpp.JID) (version int64, err error) {
	if err := tx.Exec(`delete from roster_item where owner = $1 and jid = $2`, owner, jid.String()); err != nil {
		return 0, err
	}
	return advance(tx, owner)
}

// advance makes a new version.
func advance(tx *storage.Tx, owner int64) (version int64, err error) {
	err = tx.Each(`insert into roster_version (owner, version) values ($1, 1)
		on conflict (owner) do update set version = version + 1 returning version`, []any{owner}, func(r *storage.Row) error {
		version = r.Int(0)
		return nil
	})
	return version, err
}

// current returns the version of a roster; 0 before the first change.
func current(tx *storage.Tx, owner int64) (version int64, err error) {
	err = tx.Each(`select version from roster_version where owner = $1`, []any{owner}, func(r *storage.Row) error {
		version = r.Int(0)
		return nil
	})
	return version, err
}

// forget removes a roster. The number of an account is never used again.
func forget(tx *storage.Tx, owner int64) error {
	if err := tx.Exec(`delete from roster_item where owner = $1`, owner); err != nil {
		return err
	}
	return tx.Exec(`delete from roster_version where owner = $1`, owner)
}
