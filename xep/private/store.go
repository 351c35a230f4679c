package private

import (
	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "private", Steps: []string{`
create table private_element (
	owner integer not null,
	space text not null,
	local text not null,
	xml blob not null,
	primary key (owner, space, local)
) without rowid;
`, `
create table private_unconverted (
	owner integer primary key
);
insert into private_unconverted (owner) select owner from private_element where space = 'storage:bookmarks' and local = 'storage';
`}}

// load reads what is kept under a name; nil where there is nothing.
func load(tx *storage.Tx, owner int64, name xmpp.Name) (xml []byte, err error) {
	_, err = tx.One(`select xml from private_element where owner = $1 and space = $2 and local = $3`,
		[]any{owner, name.Space, name.Local}, &xml)
	return xml, err
}

// put keeps e in place of what was there under its name.
func put(tx *storage.Tx, owner int64, e element) error {
	return tx.Exec(`insert into private_element (owner, space, local, xml) values ($1, $2, $3, $4)
		on conflict (owner, space, local) do update set xml = excluded.xml`,
		owner, e.name.Space, e.name.Local, []byte(e.xml))
}

// total returns how many names an account has and the bytes that it takes, names included.
func total(tx *storage.Tx, owner int64) (elements, bytes int64, err error) {
	_, err = tx.One(`select count(*), coalesce(sum(length(xml) + length(space) + length(local)), 0)
		from private_element where owner = $1`, []any{owner}, &elements, &bytes)
	return elements, bytes, err
}

// remove removes what is kept under a name.
func remove(tx *storage.Tx, owner int64, name xmpp.Name) error {
	return tx.Exec(`delete from private_element where owner = $1 and space = $2 and local = $3`, owner, name.Space, name.Local)
}

// isUnconverted reports whether an account has bookmarks from before they were converted.
func isUnconverted(tx *storage.Tx, owner int64) (due bool, err error) {
	var n int64
	return tx.One(`select owner from private_unconverted where owner = $1`, []any{owner}, &n)
}

// convertedAll notes that an account's bookmarks are the same everywhere.
func convertedAll(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from private_unconverted where owner = $1`, owner)
}

// forget removes all that is kept for an account.
func forget(tx *storage.Tx, owner int64) error {
	if err := convertedAll(tx, owner); err != nil {
		return err
	}
	return tx.Exec(`delete from private_element where owner = $1`, owner)
}
