package mam

import "parley/storage"

// readingTables is what reading an archive needs beside what is kept.
const readingTables = `
create table prefs (
	owner integer primary key,
	policy text not null,      -- always, roster, never, or empty: the server's
	retention integer          -- seconds; null: the server's
);
create table prefs_jid (
	owner integer not null,
	jid text not null,
	always integer not null,   -- 1: archive always, 0: never
	primary key (owner, jid)
) without rowid;
create table seen (
	owner integer not null,
	peer integer not null,
	id integer not null,       -- all up to it was displayed
	counted integer not null,  -- up to it the unread are counted
	unread integer not null,   -- how many these are
	primary key (owner, peer)
) without rowid;
create table measured (
	owner integer primary key,
	upto integer not null,     -- up to it the stanzas are measured
	bytes integer not null
);
create table leaving (
	owner integer primary key  -- an account that was removed, whose rows are to be deleted
);
create table indexed (
	owner integer primary key, -- 0: of all
	upto integer not null
);
create virtual table words using fts5 (
	owners,                    -- one word each: o and the number
	name,                      -- one word: a hash of who sent it and of its id
	text,
	content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
`

// A span is a part of one archive: the rows between two ids, both included, of everybody
// or of one peer.
type span struct {
	owner  int64
	peer   int64 // 0: everybody
	lo, hi storage.ID
}

func (s span) empty() bool { return s.lo > s.hi }

// An entry is one message of an archive.
type entry struct {
	id     storage.ID
	flags  flags
	stanza []byte
}

// The statements of pages, forwards and backwards, of all and of one peer.
const (
	sqlPage = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.id >= $2 and k.id <= $3 and k.flags & 4 = 0 and b.id = k.id order by k.id limit $4`
	sqlPageBack = `select k.id, k.flags, b.stanza from kept k cross join body b
		where k.owner = $1 and k.id >= $2 and k.id <= $3 and k.flags & 4 = 0 and b.id = k.id order by k.id desc limit $4`
	sqlPeerPage = `select e.id, e.flags, b.stanza from exchanged e cross join body b
		where e.owner = $1 and e.peer = $5 and e.id >= $2 and e.id <= $3
		and ($6 < 0 or e.resource = $6) and b.id = e.id order by e.id limit $4`
	sqlPeerPageBack = `select e.id, e.flags, b.stanza from exchanged e cross join body b
		where e.owner = $1 and e.peer = $5 and e.id >= $2 and e.id <= $3
		and ($6 < 0 or e.resource = $6) and b.id = e.id order by e.id desc limit $4`
)

// anyResource stands for no filter by resource.
const anyResource = int64(-1)

// rows calls each for up to n messages of a span, the oldest or the newest first, until it
// says that it has enough. resource is a hash, or anyResource; it is used with a peer only.
func rows(tx *storage.Tx, s span, resource int64, back bool, n int, each func(entry) (more bool)) error {
	q, args := sqlPage, []any{s.owner, s.lo, s.hi, n}
	switch {
	case s.peer != 0 && back:
		q, args = sqlPeerPageBack, append(args, s.peer, resource)
	case s.peer != 0:
		q, args = sqlPeerPage, append(args, s.peer, resource)
	case back:
		q = sqlPageBack
	}
	return untilEnough(tx.Each(q, args, rowTo(each)))
}

func rowTo(each func(entry) bool) func(*storage.Row) error {
	return func(r *storage.Row) error {
		if !each(entry{r.ID(0), flags(r.Int(1)), r.Bytes(2)}) {
			return errEnough
		}
		return nil
	}
}

// An edge is a row at one end of a span, and how many the archive, or the conversation,
// has had up to it.
type edge struct {
	id    storage.ID
	total int64
}

const (
	sqlFirst     = `select id, n from kept where owner = $1 and id >= $2 and id <= $3 and flags & 4 = 0 order by id limit 1`
	sqlLast      = `select id, n from kept where owner = $1 and id >= $2 and id <= $3 and flags & 4 = 0 order by id desc limit 1`
	sqlPeerFirst = `select id, m from exchanged where owner = $1 and peer = $4 and id >= $2 and id <= $3 order by id limit 1`
	sqlPeerLast  = `select id, m from exchanged where owner = $1 and peer = $4 and id >= $2 and id <= $3 order by id desc limit 1`
)

// first and last return the visible rows at the ends of a span.
func first(tx *storage.Tx, s span) (e edge, found bool, err error) {
	return edgeOf(tx, s, sqlFirst, sqlPeerFirst)
}

func last(tx *storage.Tx, s span) (e edge, found bool, err error) {
	return edgeOf(tx, s, sqlLast, sqlPeerLast)
}

func edgeOf(tx *storage.Tx, s span, all, peer string) (e edge, found bool, err error) {
	q, args := all, []any{s.owner, s.lo, s.hi}
	if s.peer != 0 {
		q, args = peer, append(args, s.peer)
	}
	found, err = tx.One(q, args, &e.id, &e.total)
	return e, found, err
}

const (
	// Hidden rows repeat the number before them, so they need not be left out.
	sqlUpTo     = `select n from kept where owner = $1 and id <= $2 order by id desc limit 1`
	sqlPeerUpTo = `select m from exchanged where owner = $1 and peer = $3 and id <= $2 order by id desc limit 1`
)

// totalUpTo returns how many rows there have been up to an id: of all, or of a peer.
func totalUpTo(tx *storage.Tx, s span, id storage.ID) (total int64, err error) {
	if s.peer != 0 {
		_, err = tx.One(sqlPeerUpTo, []any{s.owner, id, s.peer}, &total)
		return total, err
	}
	_, err = tx.One(sqlUpTo, []any{s.owner, id}, &total)
	return total, err
}

const sqlResource = `select id, resource from exchanged where owner = $1 and peer = $2 and id >= $3 and id <= $4
	order by id limit $5`

// eachOfResource calls each for the rows of a span whose resource has that hash, in order,
// by looking at every row; all is false where there are more than n to look at.
func eachOfResource(tx *storage.Tx, s span, resource int64, n int, each func(storage.ID)) (all bool, err error) {
	looked := 0
	err = tx.Each(sqlResource, []any{s.owner, s.peer, s.lo, s.hi, n + 1}, func(r *storage.Row) error {
		if looked++; looked <= n && r.Int(1) == resource {
			each(r.ID(0))
		}
		return nil
	})
	return looked <= n, err
}

const sqlOne = `select k.flags, k.peer, k.resource, b.stanza from kept k cross join body b
	where k.owner = $1 and k.id = $2 and k.flags & 4 = 0 and b.id = k.id`

// A found is one message that was asked for by its id.
type found struct {
	entry
	peer, resource int64
}

// byID reads one message of an archive; there is false where the archive does not have it.
func byID(tx *storage.Tx, owner int64, id storage.ID) (f found, there bool, err error) {
	var fl int64
	there, err = tx.One(sqlOne, []any{owner, id}, &fl, &f.peer, &f.resource, &f.stanza)
	f.id, f.flags = id, flags(fl)
	return f, there, err
}

const sqlHas = `select 1 from kept where owner = $1 and id = $2 and flags & 4 = 0`

// has reports whether an archive has a message.
func has(tx *storage.Tx, owner int64, id storage.ID) (bool, error) {
	return tx.One(sqlHas, []any{owner, id})
}

const sqlPeer = `select id from peer where jid = $1`

// peerOf returns the number of a bare JID, 0 where nobody has had anything to do with it.
func peerOf(tx *storage.Tx, bare string) (peer int64, err error) {
	_, err = tx.One(sqlPeer, []any{bare}, &peer)
	return peer, err
}
