package mam

import (
	"errors"

	"parley/storage"
	"parley/xmpp"
)

// schema is what is kept of messages: bodies once, in the order of their ids, beside them
// whose they are, and one row an account that says up to which id some device of it has
// taken them, and how much is behind that. What is kept for nothing but that is deleted
// when it was taken.
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
create table peer (id integer primary key, jid text not null unique); -- bare JIDs of others
alter table body rename to body_before;
create table body (
	id integer primary key,
	one integer not null, -- one, two: owners of kept rows, 0 for none
	two integer not null,
	stanza blob not null  -- with xmlns='jabber:client', without a stanza-id
);
insert into body select b.id, k.owner, 0, b.stanza from body_before b join kept k on k.id = b.id;
drop table body_before;
alter table kept rename to kept_before;
create table kept (
	owner integer not null,
	id integer not null,
	peer integer not null,     -- of the other side's bare JID; 0: unknown
	flags integer not null,    -- 1 incoming, 2 outgoing, 4 hidden, 8 counts as unread, 16 tombstone
	resource integer not null, -- 32-bit FNV-1a hash of the other side's resourcepart, 0 for a bare address
	n integer not null,        -- how many visible rows the owner has had up to this one
	m integer not null,        -- the same within (owner, peer)
	primary key (owner, id)
) without rowid;
insert into kept select owner, id, 0, 5, 0, 0, 0 from kept_before;
drop table kept_before;
create index kept_peer on kept (owner, peer, id, flags, resource);
create table taken_now (owner integer primary key, upto integer not null, missed blob not null);
insert into taken_now select owner, upto, x'' from taken;
drop table taken;
alter table taken_now rename to taken;
`, readingTables}}

// A mark says what of an account's messages was taken and what is due.
type mark struct {
	upto     storage.ID // all up to it were taken
	messages int64      // those behind it
	bytes    int64      // that they have
}

// marked reads the mark of an account.
func marked(tx *storage.Tx, owner int64) (m mark, err error) {
	if _, err = tx.One(`select upto from taken where owner = $1`, []any{owner}, &m.upto); err != nil {
		return m, err
	}
	_, err = tx.One(`select count(*), coalesce(sum(length(stanza)), 0) from kept join body on body.id = kept.id
		where owner = $1 and kept.id > $2`, []any{owner, m.upto}, &m.messages, &m.bytes)
	return m, err
}

// add keeps one message.
func add(tx *storage.Tx, owner int64, id storage.ID, stanza []byte) error {
	if err := tx.Exec(`insert into body (id, one, two, stanza) values ($1, $2, 0, $3)`, id, owner, stanza); err != nil {
		return err
	}
	if err := tx.Exec(`insert into kept (owner, id, peer, flags, resource, n, m) values ($1, $2, 0, 5, 0, 0, 0)`, owner, id); err != nil {
		return err
	}
	return tx.Exec(`insert into taken (owner, upto, missed) values ($1, 0, x'') on conflict (owner) do nothing`, owner)
}

// waiting is one message that waits.
type waiting struct {
	id     storage.ID
	stanza []byte
}

// parse reads the stanza.
func (w waiting) parse() (*xmpp.Stanza, error) { return xmpp.ParseStanzaBytes(w.stanza) }

// page reads up to n messages that are due, behind an id.
func page(tx *storage.Tx, owner int64, after storage.ID, n int) (list []waiting, err error) {
	m, err := marked(tx, owner)
	if err != nil || m.messages == 0 {
		return nil, err
	}
	err = tx.Each(`select kept.id, stanza from kept join body on body.id = kept.id
		where owner = $1 and kept.id > $2 order by kept.id limit $3`, []any{owner, max(after, m.upto), n}, func(r *storage.Row) error {
		list = append(list, waiting{r.ID(0), r.Bytes(1)})
		return nil
	})
	return list, err
}

// one reads one message that is due; found is false where it is not.
func one(tx *storage.Tx, owner int64, id storage.ID) (w waiting, found bool, err error) {
	list, err := page(tx, owner, id-1, 1)
	if err != nil || len(list) == 0 || list[0].id != id {
		return w, false, err
	}
	return list[0], true, nil
}

// take notes that an account has taken its messages up to an id.
func take(tx *storage.Tx, owner int64, upto storage.ID) error {
	return tx.Exec(`update taken set upto = $2 where owner = $1 and upto < $2`, owner, upto)
}

// sweep deletes up to n messages that their owner has taken, and reports whether there
// may be more.
func sweep(tx *storage.Tx, owner int64, n int) (more bool, err error) {
	m, err := marked(tx, owner)
	if err != nil {
		return false, err
	}
	return prune(tx, owner, m.upto, n)
}

// prune deletes up to n messages of an account, up to an id.
func prune(tx *storage.Tx, owner int64, upto storage.ID, n int) (more bool, err error) {
	err = tx.Exec(`delete from body where id in (
		select id from kept where owner = $1 and id <= $2 order by id limit $3)`, owner, upto, n)
	if err != nil {
		return false, err
	}
	gone := tx.Changes()
	err = tx.Exec(`delete from kept where owner = $1 and id in (
		select id from kept where owner = $1 and id <= $2 order by id limit $3)`, owner, upto, n)
	return gone == int64(n), err
}

// errNotDue says that a message is none that waits.
var errNotDue = errors.New("no such message waits")

// drop takes single messages out of those that are due; all of them, or none and
// errNotDue.
func drop(tx *storage.Tx, owner int64, ids ...storage.ID) error {
	for _, id := range ids {
		_, found, err := one(tx, owner, id)
		if err != nil {
			return err
		}
		if !found {
			return errNotDue
		}
		if err := tx.Exec(`delete from body where id = $1`, id); err != nil {
			return err
		}
		if err := tx.Exec(`delete from kept where owner = $1 and id = $2`, owner, id); err != nil {
			return err
		}
	}
	return nil
}

// expire takes up to n of the due messages that are older than an id out, of whomsoever,
// behind that owner, and returns how many, and the owner to go on behind: 0 at the end.
func expire(tx *storage.Tx, before storage.ID, behind int64, n int) (gone int, next int64, err error) {
	var list []int64
	err = tx.Each(`select owner from taken where owner > $1 order by owner limit $2`, []any{behind, n}, func(r *storage.Row) error {
		list = append(list, r.Int(0))
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	for _, owner := range list {
		g, err := expireOf(tx, owner, before, n-gone)
		if err != nil {
			return 0, 0, err
		}
		if gone += g; gone >= n {
			return gone, owner - 1, nil // there may be more of this one
		}
		next = owner
	}
	if len(list) < n {
		next = 0
	}
	return gone, next, nil
}

// expireOf does it for one owner. What a crash left of messages that were taken goes too.
func expireOf(tx *storage.Tx, owner int64, before storage.ID, n int) (gone int, err error) {
	if _, err := sweep(tx, owner, n); err != nil {
		return 0, err
	}
	m, err := marked(tx, owner)
	if err != nil || m.messages == 0 {
		return 0, err
	}
	last := storage.ID(0)
	err = tx.Each(`select id from kept where owner = $1 and id > $2 and id < $3 order by id limit $4`,
		[]any{owner, m.upto, before, n}, func(r *storage.Row) error {
			gone++
			last = r.ID(0)
			return nil
		})
	if err != nil || gone == 0 {
		return 0, err
	}
	if err := take(tx, owner, last); err != nil {
		return 0, err
	}
	_, err = sweep(tx, owner, n)
	return gone, err
}

// forget removes everything that waits for an account.
func forget(tx *storage.Tx, owner int64) error {
	for _, q := range []string{
		`delete from body where id in (select id from kept where owner = $1)`,
		`delete from kept where owner = $1`,
		`delete from taken where owner = $1`,
	} {
		if err := tx.Exec(q, owner); err != nil {
			return err
		}
	}
	return nil
}
