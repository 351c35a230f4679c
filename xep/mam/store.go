package mam

import (
	"errors"
	"slices"

	"parley/storage"
)

// schema is what is kept of messages: bodies once, in the order of their ids; beside them a
// narrow row for each account that has the message, or for the room, whose number is negative;
// and one row an account that says what of it was taken. The first two steps are those of a time when messages were kept for who
// was absent only.
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
`, `
create table kept (
	owner integer not null,
	id integer not null,
	primary key (owner, id)
) without rowid;
create table taken (
	owner integer primary key,
	upto integer not null,
	messages integer not null,
	bytes integer not null
);
insert into kept select owner, id from due;
insert into taken select owner, 0, messages, bytes from due_total;
drop table due;
drop table due_total;
`, `
create table peer (id integer primary key, jid text not null unique);
alter table body rename to body_before;
create table body (id integer primary key, one integer not null, two integer not null, stanza blob not null);
insert into body select b.id, k.owner, 0, b.stanza from body_before b join kept k on k.id = b.id;
drop table body_before;
alter table kept rename to kept_before;
create table kept (
	owner integer not null,
	id integer not null,
	peer integer not null,
	flags integer not null,
	resource integer not null,
	n integer not null,
	m integer not null,
	primary key (owner, id)
) without rowid;
insert into kept select owner, id, 0, 5, 0, 0, 0 from kept_before;
drop table kept_before;
create index kept_peer on kept (owner, peer, id, flags, resource);
create index kept_hidden on kept (id, owner) where flags & 4;
create table taken_now (owner integer primary key, upto integer not null, missed blob not null);
insert into taken_now select owner, upto, x'' from taken;
drop table taken;
alter table taken_now rename to taken;
create table running (one integer primary key);
`, readingTables, exchangedTables, roomTables, seenOfRooms}}

// flags say what a message is for the account that has a row of it. They are on disk.
type flags int64

const (
	incoming  flags = 1 << iota // it is for the account
	outgoing                    // the account has sent it; to itself: both
	hidden                      // it waits, and is not in the archive
	unread                      // incoming, and something to read
	tombstone                   // it was retracted (XEP-0424)
)

// addBody stores a message, with the accounts that have a row of it.
func addBody(tx *storage.Tx, id storage.ID, owners [2]int64, stanza []byte) error {
	return tx.Exec(`insert into body (id, one, two, stanza) values ($1, $2, $3, $4)`, id, owners[0], owners[1], stanza)
}

const sqlAddKept = `insert into kept (owner, id, peer, flags, resource, n) values ($1, $2, $3, $4, $5,
	coalesce((select n from kept where owner = $1 order by id desc limit 1), 0) + $6)`

// addKept adds an account's row. n counts its visible rows, so that a range is counted by
// its ends, as m in exchanged counts those of one peer. (Two rows at once cost three times
// as much: the engine puts them aside before it adds the first.)
func addKept(tx *storage.Tx, id storage.ID, p part) error {
	visible := 1
	if p.flags&hidden != 0 {
		visible = 0
	}
	return tx.Exec(sqlAddKept, p.owner, id, p.peer, int64(p.flags), p.resource, visible)
}

// peerNumber returns the number of a bare address, which is drawn if it has none.
func peerNumber(tx *storage.Tx, bare string) (n int64, err error) {
	found, err := tx.One(`select id from peer where jid = $1`, []any{bare}, &n)
	if err != nil || found {
		return n, err
	}
	_, err = tx.One(`insert into peer (jid) values ($1) returning id`, []any{bare}, &n)
	return n, err
}

// removeRow deletes an account's row, and the message if no other account has it. If the row
// is to be seen, the exchange is told (doubt).
func removeRow(tx *storage.Tx, owner int64, id storage.ID) error {
	if err := tx.Exec(sqlUnexchange, owner, id); err != nil {
		return err
	}
	if err := tx.Exec(`delete from kept where owner = $1 and id = $2`, owner, id); err != nil {
		return err
	}
	err := tx.Exec(`delete from body where id = $1 and not exists (
		select 1 from kept where id = $1 and owner in (body.one, body.two))`, id)
	if err != nil || tx.Changes() == 0 {
		return err
	}
	return unindex(tx, id)
}

// removeHidden deletes up to n rows that are in no archive and older than an id, of
// whomsoever, and returns how many there were.
func removeHidden(tx *storage.Tx, before storage.ID, n int) (gone int, err error) {
	type place struct {
		owner int64
		id    storage.ID
	}
	var list []place
	err = tx.Each(`select owner, id from kept where flags & 4 and id < $1 order by id limit $2`, []any{before, n}, func(r *storage.Row) error {
		list = append(list, place{r.Int(0), r.ID(1)})
		return nil
	})
	for _, p := range list {
		if err == nil {
			err = removeRow(tx, p.owner, p.id)
		}
	}
	return len(list), err
}

// A message is one row of an account, with what it says.
type message struct {
	id     storage.ID
	flags  flags
	stanza []byte
}

// one reads one message of an account.
func one(tx *storage.Tx, owner int64, id storage.ID) (m message, found bool, err error) {
	err = tx.Each(`select flags, stanza from kept join body on body.id = kept.id where owner = $1 and kept.id = $2`,
		[]any{owner, id}, func(r *storage.Row) error {
			m, found = message{id, flags(r.Int(0)), r.Bytes(1)}, true
			return nil
		})
	return m, found, err
}

var errMark = errors.New("what an account has taken cannot be read")

// readMark reads up to where an account has taken its messages, and what it has not of
// these.
func readMark(tx *storage.Tx, owner int64) (upto storage.ID, missed []byte, err error) {
	_, err = tx.One(`select upto, missed from taken where owner = $1`, []any{owner}, &upto, &missed)
	return upto, missed, err
}

// writeMark writes it, and deletes the hidden rows that were taken.
func writeMark(tx *storage.Tx, m mark) error {
	missed := m.missed
	if missed == nil {
		missed = []byte{}
	}
	err := tx.Exec(`insert into taken (owner, upto, missed) values ($1, $2, $3)
		on conflict (owner) do update set upto = excluded.upto, missed = excluded.missed`, m.owner, m.upto, missed)
	for _, id := range m.gone {
		if err == nil {
			err = removeRow(tx, m.owner, id)
		}
	}
	return err
}

// waiting reads what a tray has to know of one message.
func waiting(tx *storage.Tx, owner int64, id storage.ID) (p pending, found bool, err error) {
	err = tx.Each(`select flags, length(stanza) from kept join body on body.id = kept.id where owner = $1 and kept.id = $2`,
		[]any{owner, id}, func(r *storage.Row) error {
			p, found = pending{id, int32(r.Int(1)), flags(r.Int(0))&hidden != 0}, true
			return nil
		})
	return p, found, err
}

// behind reads the rows behind a mark; in says that a row is for the account.
func behind(tx *storage.Tx, owner int64, upto storage.ID, each func(p pending, in bool)) error {
	return tx.Each(`select kept.id, flags, length(stanza) from kept join body on body.id = kept.id
		where owner = $1 and kept.id > $2 order by kept.id`, []any{owner, upto}, func(r *storage.Row) error {
		fl := flags(r.Int(1))
		each(pending{r.ID(0), int32(r.Int(2)), fl&hidden != 0}, fl&incoming != 0)
		return nil
	})
}

// arrivedBehind reads the messages for an account behind an id.
func arrivedBehind(tx *storage.Tx, owner int64, after storage.ID) (list []message, err error) {
	err = tx.Each(`select kept.id, flags, stanza from kept join body on body.id = kept.id
		where owner = $1 and kept.id > $2 and flags & 1 order by kept.id`, []any{owner, after}, func(r *storage.Row) error {
		list = append(list, message{r.ID(0), flags(r.Int(1)), r.Bytes(2)})
		return nil
	})
	return list, err
}

// lastSent reads the last n messages that an account has sent, between two ids.
func lastSent(tx *storage.Tx, owner int64, after, before storage.ID, n int) (list []message, err error) {
	err = tx.Each(`select kept.id, flags, stanza from kept join body on body.id = kept.id
		where owner = $1 and kept.id > $2 and kept.id <= $3 and flags & 2 order by kept.id desc limit $4`,
		[]any{owner, after, before, n}, func(r *storage.Row) error {
			list = append(list, message{r.ID(0), flags(r.Int(1)), r.Bytes(2)})
			return nil
		})
	slices.Reverse(list)
	return list, err
}

// wasRunning says whether the server was stopped in good order: the table has a row while it
// runs.
func wasRunning(tx *storage.Tx) (was bool, err error) {
	var n int
	was, err = tx.One(`select 1 from running`, nil, &n)
	if err == nil && !was {
		err = tx.Exec(`insert into running (one) values (1)`)
	}
	return was, err
}

// runsNoMore notes that the server is being stopped in good order.
func runsNoMore(tx *storage.Tx) error { return tx.Exec(`delete from running`) }
