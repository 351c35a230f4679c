package vcard

import (
	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "vcard", Steps: []string{`
create table vcard (
	owner integer primary key,
	xml blob not null
);
`, `
alter table vcard add column photo text;
`, searchTable, `
alter table vcard add column converted integer not null default 0;
`}}

// photo reads the hash of a vCard's photo, "" where it has none. found is false where there
// never was a vCard. For one that was kept before there were hashes card is the vCard.
func photo(tx *storage.Tx, owner int64) (hash string, card []byte, from origin, found bool, err error) {
	var n int64
	found, err = tx.One(`select coalesce(photo, ''), case when photo is null then xml end, converted from vcard where owner = $1`,
		[]any{owner}, &hash, &card, &n)
	return hash, card, origin(n), found, err
}

// put keeps a vCard, its photo's hash, and what of it is the same elsewhere, in place of the
// last one. An empty vCard says that there was one.
func put(tx *storage.Tx, owner int64, card []byte, photo string, from origin) error {
	return tx.Exec(`insert into vcard (owner, xml, photo, converted) values ($1, $2, $3, $4)
		on conflict (owner) do update set xml = excluded.xml, photo = excluded.photo, converted = excluded.converted`,
		owner, card, photo, int64(from))
}

// mark notes what of a vCard is the same elsewhere.
func mark(tx *storage.Tx, owner int64, from origin) error {
	return tx.Exec(`update vcard set converted = $2 where owner = $1`, owner, int64(from))
}

// loadOrigin reads a vCard and what of it is the same elsewhere; found is false where there
// never was one.
func loadOrigin(tx *storage.Tx, owner int64) (card []byte, from origin, found bool, err error) {
	var n int64
	found, err = tx.One(`select xml, converted from vcard where owner = $1`, []any{owner}, &card, &n)
	return card, origin(n), found, err
}

// hashed keeps the hash of a photo that has none yet.
func hashed(tx *storage.Tx, owner int64, photo string) error {
	return tx.Exec(`update vcard set photo = $2 where owner = $1 and photo is null`, owner, photo)
}

// remove forgets a vCard.
func remove(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from vcard where owner = $1`, owner)
}

// searchTable has what a search looks at, a row for each vCard with a name or an address:
// as it is shown, and as it is compared.
const searchTable = `
create table vcard_search (
	owner integer primary key,
	host text not null,
	jid text not null,
	first text not null,
	last text not null,
	nick text not null,
	email text not null,
	first_folded text not null,
	last_folded text not null,
	nick_folded text not null,
	email_folded text not null
);
create index vcard_search_host on vcard_search (host, jid);
`

// index keeps what can be found of a vCard in step with it.
func index(tx *storage.Tx, owner int64, jid xmpp.JID, card xmpp.Element) error {
	e := entryOf(card)
	if e == (found{}) {
		return unindex(tx, owner)
	}
	return tx.Exec(`insert into vcard_search (owner, host, jid, first, last, nick, email,
			first_folded, last_folded, nick_folded, email_folded)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		on conflict (owner) do update set host = excluded.host, jid = excluded.jid,
			first = excluded.first, last = excluded.last, nick = excluded.nick, email = excluded.email,
			first_folded = excluded.first_folded, last_folded = excluded.last_folded,
			nick_folded = excluded.nick_folded, email_folded = excluded.email_folded`,
		owner, jid.Domain(), jid.String(), e.first, e.last, e.nick, e.email,
		folded(e.first), folded(e.last), folded(e.nick), folded(e.email))
}

func unindex(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from vcard_search where owner = $1`, owner)
}

// search finds people of a domain by patterns for first, last, nick and email, ordered by
// address.
func search(tx *storage.Tx, host string, patterns [4]string, limit int) (list []found, err error) {
	err = tx.Each(`select jid, first, last, nick, email from vcard_search
		where host = $1 and first_folded like $2 escape '\' and last_folded like $3 escape '\'
			and nick_folded like $4 escape '\' and email_folded like $5 escape '\'
		order by jid limit $6`, []any{host, patterns[0], patterns[1], patterns[2], patterns[3], limit}, func(r *storage.Row) error {
		list = append(list, found{r.Text(0), r.Text(1), r.Text(2), r.Text(3), r.Text(4)})
		return nil
	})
	return list, err
}

// removeAll forgets a vCard and what can be found of it.
func removeAll(tx *storage.Tx, owner int64) error {
	if err := unindex(tx, owner); err != nil {
		return err
	}
	return remove(tx, owner)
}
