package offline

import (
	"parley/storage"
)

// schema is what is kept for absent users: bodies once, in the order of their ids, and
// beside them who is still to get which. The archive will use the same bodies.
var schema = storage.Schema{Name: "offline", Steps: []string{`
create table body (
	id integer primary key,
	stanza blob not null
);
create table due (
	owner integer not null,
	id integer not null,
	primary key (owner, id)
) without rowid;
create table due_total (
	owner integer primary key,
	messages integer not null,
	bytes integer not null
);
`}}

// total returns how many messages wait for an account and how many bytes they have.
func total(tx *storage.Tx, owner int64) (messages, bytes int64, err error) {
	err = tx.Each(`select messages, bytes from due_total where owner = $1`, []any{owner}, func(r *storage.Row) error {
		messages, bytes = r.Int(0), r.Int(1)
		return nil
	})
	return messages, bytes, err
}

// add keeps one message.
func add(tx *storage.Tx, owner int64, id storage.ID, stanza []byte) error {
	if err := tx.Exec(`insert into body (id, stanza) values ($1, $2)`, int64(id), stanza); err != nil {
		return err
	}
	if err := tx.Exec(`insert into due (owner, id) values ($1, $2)`, owner, int64(id)); err != nil {
		return err
	}
	return tx.Exec(`insert into due_total (owner, messages, bytes) values ($1, 1, $2)
		on conflict (owner) do update set messages = messages + 1, bytes = bytes + excluded.bytes`, owner, int64(len(stanza)))
}

// waiting is one message that waits.
type waiting struct {
	id     storage.ID
	stanza []byte
}

// page reads up to n messages that wait for an account, behind an id.
func page(tx *storage.Tx, owner int64, after storage.ID, n int) (list []waiting, err error) {
	err = tx.Each(`select due.id, stanza from due join body on body.id = due.id
		where owner = $1 and due.id > $2 order by due.id limit $3`, []any{owner, int64(after), int64(n)}, func(r *storage.Row) error {
		list = append(list, waiting{storage.ID(r.Int(0)), r.Bytes(1)})
		return nil
	})
	return list, err
}

// taken forgets what an account was given, up to an id.
func taken(tx *storage.Tx, owner int64, upto storage.ID) error {
	if err := tx.Exec(`delete from body where id in (select id from due where owner = $1 and id <= $2)`, owner, int64(upto)); err != nil {
		return err
	}
	if err := tx.Exec(`delete from due where owner = $1 and id <= $2`, owner, int64(upto)); err != nil {
		return err
	}
	return recount(tx, owner)
}

// takeBack forgets one message.
func takeBack(tx *storage.Tx, owner int64, id storage.ID) error {
	if err := tx.Exec(`delete from body where id in (select id from due where owner = $1 and id = $2)`, owner, int64(id)); err != nil {
		return err
	}
	if err := tx.Exec(`delete from due where owner = $1 and id = $2`, owner, int64(id)); err != nil {
		return err
	}
	return recount(tx, owner)
}

// recount sets the totals of an account by what is there.
func recount(tx *storage.Tx, owner int64) error {
	return tx.Exec(`insert into due_total (owner, messages, bytes)
		select $1, count(*), coalesce(sum(length(stanza)), 0) from due join body on body.id = due.id where owner = $1
		on conflict (owner) do update set messages = excluded.messages, bytes = excluded.bytes`, owner)
}

// forget removes everything that waits for an account.
func forget(tx *storage.Tx, owner int64) error {
	if err := taken(tx, owner, 1<<62); err != nil {
		return err
	}
	return tx.Exec(`delete from due_total where owner = $1`, owner)
}
