package vcard

import "parley/storage"

var schema = storage.Schema{Name: "vcard", Steps: []string{`
create table vcard (
	owner integer primary key,
	xml blob not null
);
`, `
alter table vcard add column photo text;
`}}

// load reads a vCard; empty where there is none.
func load(tx *storage.Tx, owner int64) (card []byte, err error) {
	_, err = tx.One(`select xml from vcard where owner = $1`, []any{owner}, &card)
	return card, err
}

// photo reads the hash of a vCard's photo, "" where it has none. found is false where there
// never was a vCard. For one that was kept before there were hashes card is the vCard.
func photo(tx *storage.Tx, owner int64) (hash string, card []byte, found bool, err error) {
	found, err = tx.One(`select coalesce(photo, ''), case when photo is null then xml end from vcard where owner = $1`,
		[]any{owner}, &hash, &card)
	return hash, card, found, err
}

// put keeps a vCard, and its photo's hash, in place of the last one. An empty vCard says
// that there was one.
func put(tx *storage.Tx, owner int64, card []byte, photo string) error {
	return tx.Exec(`insert into vcard (owner, xml, photo) values ($1, $2, $3)
		on conflict (owner) do update set xml = excluded.xml, photo = excluded.photo`, owner, card, photo)
}

// hashed keeps the hash of a photo that has none yet.
func hashed(tx *storage.Tx, owner int64, photo string) error {
	return tx.Exec(`update vcard set photo = $2 where owner = $1 and photo is null`, owner, photo)
}

// remove forgets a vCard.
func remove(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from vcard where owner = $1`, owner)
}
