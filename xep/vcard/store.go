package vcard

import "parley/storage"

var schema = storage.Schema{Name: "vcard", Steps: []string{`
create table vcard (
	owner integer primary key,
	xml blob not null
);
`, searchTable}}

// load reads a vCard; nil where there is none.
func load(tx *storage.Tx, owner int64) (card []byte, err error) {
	_, err = tx.One(`select xml from vcard where owner = $1`, []any{owner}, &card)
	return card, err
}

// put keeps a vCard in place of the last one.
func put(tx *storage.Tx, owner int64, card []byte) error {
	return tx.Exec(`insert into vcard (owner, xml) values ($1, $2)
		on conflict (owner) do update set xml = excluded.xml`, owner, card)
}

// remove forgets a vCard.
func remove(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from vcard where owner = $1`, owner)
}
