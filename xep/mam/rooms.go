package mam

import (
	"context"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A Keeper keeps the archives of rooms (XEP-0313 §6.1.2), in the tables of those of accounts
// and with their queries. An archive has a number, which is negative and is never used for
// another room; who may read it, and when a message belongs into it, the room decides.
//
// What a method does in a transaction is there when that is committed, and there is nothing
// to be done behind it.
type Keeper struct {
	f       *feature
	feature router.Feature
}

// An Entry is a message as a room archives it.
type Entry struct {
	Archive int64
	From    xmpp.JID // who said it, as the room shows it: room/nick, or the room itself
	Who     xmpp.JID // whose real address that is, of which the bare part counts; may be zero
	// Stanza is what is kept: a <message/> in the namespace jabber:client that has From and no
	// 'to' (XEP-0313 §6.1.2). It may have the speaker's real address as <item jid=''/> of
	// muc#user: Question.View takes it off for who may not see it.
	Stanza []byte
	Text   bool // it is something to read: part of a discussion's history, and counted by Unread
}

// A Kept is a message of a room's archive.
type Kept struct {
	ID        storage.ID
	Stanza    []byte
	Tombstone bool // it was retracted, and Stanza stands in its place (Replace)
}

// Add puts a message into an archive and returns its id, which is drawn in tx; on the wire
// that is Opaque. A transaction may add many, of one room or of several.
func (k *Keeper) Add(tx *storage.Tx, e Entry) (storage.ID, error) {
	id := tx.NextID()
	return id, k.add(tx, id, e)
}

func (k *Keeper) add(tx *storage.Tx, id storage.ID, e Entry) error {
	p := part{owner: e.Archive, peer: numberOfNick(e.From), resource: numberOfWho(e.Who)}
	if e.Text {
		p.flags = unread
	}
	if err := addBody(tx, id, [2]int64{e.Archive, 0}, e.Stanza); err != nil {
		return err
	}
	k.f.index.wake() // it stands in the line behind this
	return addKept(tx, id, p)
}

// Worth reports whether a message to a room belongs into its archive, by the rule for those
// of accounts (docs/archive.md), and whether it is something to read.
func (k *Keeper) Worth(st *xmpp.Stanza) (keep, text bool) {
	c := *st
	c.Type = "chat"
	return worthOf(&c) == archived, content(st.Children)
}

// Opaque returns the name of a message on the wire: the id of its <stanza-id/> (XEP-0359 §3).
func (k *Keeper) Opaque(id storage.ID) string { return k.f.store.Opaque(id) }

// Find returns the message that has that name on the wire; found is false where the archive
// has none.
func (k *Keeper) Find(tx *storage.Tx, archive int64, name string) (m Kept, found bool, err error) {
	id, ok := k.f.store.FromOpaque(name)
	if !ok {
		return m, false, nil
	}
	r, found, err := byID(tx, archive, id)
	return keptOf(r.entry), found && err == nil, err
}

func keptOf(r entry) Kept { return Kept{r.id, r.stanza, r.flags&tombstone != 0} }

// Replace puts a tombstone in the place of a message (XEP-0424 §4, XEP-0425 §4), if the
// archive has that: what it said is gone from the database and is found no more. A tombstone
// is nothing to read.
func (k *Keeper) Replace(tx *storage.Tx, archive int64, id storage.ID, stone []byte) error {
	there, err := has(tx, archive, id)
	if err != nil || !there {
		return err
	}
	k.f.shrunk.Add(1)
	return bury(tx, id, stone)
}

// Last returns the newest n messages that are something to read and are not older than since
// (the zero time: however old), the oldest first. It looks at lastWithin rows, so there may
// be fewer where much was said that is nothing to read.
func (k *Keeper) Last(tx *storage.Tx, archive int64, n int, since time.Time) ([]Kept, error) {
	from := storage.ID(0)
	if !since.IsZero() {
		from = max(0, storage.IDAt(since))
	}
	return lastTexts(tx, archive, from, n)
}

// Unread counts the messages behind an id that are something to read, up to most.
func (k *Keeper) Unread(tx *storage.Tx, archive int64, after storage.ID, most int) (n int, err error) {
	_, err = tx.One(sqlTexts, []any{archive, after, most}, &n)
	return n, err
}

// Remove has an archive be no more. In tx it is only noted; its messages go a little at a time
// while little waits in the store's line, also behind a restart.
func (k *Keeper) Remove(tx *storage.Tx, archive int64) error {
	if err := leave(tx, archive); err != nil {
		return err
	}
	if err := tx.Exec(sqlForgetRoom, archive); err != nil {
		return err
	}
	k.f.sweeper.wake() // it stands in the line behind this
	return nil
}

// A Question is a request about the archive of a room, by somebody who may read it.
type Question struct {
	Archive int64
	Room    xmpp.JID
	Stanza  *xmpp.Stanza // the <iq/>
	// Real says that the asker may know the real addresses of the room's people, and so may
	// ask what one of them has said (XEP-0313 §4.1.1).
	Real bool
	// View returns what the asker may see of a message, which is never nil; without it that is
	// all that was kept.
	View func(stanza []byte) []byte
}

// Query answers a query (XEP-0313 §4) of type set: it delivers a page of results from the room
// to the asker, who may be anywhere, and returns the <fin/> that is the answer. It waits for
// storage only. An error is for the asker, or one of ours. The asker must be told the answer
// by the same goroutine, so that it comes behind the results.
func (k *Keeper) Query(ctx context.Context, rd *router.Round, q Question) (xmpp.Payload, error) {
	ask, err := parseQuery(q.Stanza.Payload())
	if err != nil {
		return nil, err
	}
	ask.room, ask.real = q.Room, q.Real
	p, err := k.f.pageOf(ctx, q.Archive, q.Room, ask, func(fn func(*storage.Tx) error) error {
		rd.Flush()
		return k.f.store.Write(ctx, fn)
	})
	if err != nil {
		return nil, err
	}
	k.f.eachResult(ask, p.rows, func(r entry) {
		if q.View != nil {
			r.stanza = q.View(r.stanza)
		}
		k.f.router.Deliver(rd, k.f.roomResult(q, ask.id, r))
	})
	return k.f.fin(p), nil
}

// Form answers a query of type get: which fields one of type set may have (XEP-0313 §4.1.5).
func (k *Keeper) Form() xmpp.Payload { return formOf(false) }

// Metadata answers a <metadata/> of type get: where the archive begins and ends (XEP-0313 §5).
func (k *Keeper) Metadata(ctx context.Context, archive int64) (xmpp.Payload, error) {
	return k.f.metadataOf(ctx, archive)
}
