package mam

import (
	"parley/storage"
	"parley/xmpp"
)

// A Membership is a room that an account belongs to, whether it is in it or not: a conversation
// of its inbox.
type Membership struct {
	Room    xmpp.JID
	Archive int64
	Since   storage.ID                 // what was said before is not unread
	View    func(stanza []byte) []byte // what the account may see of a message; nil: all
}

// Follow has those rooms be in the inbox of an account (XEP-0430) that of returns, which runs in
// a transaction that only reads. It is called before the first stanza.
func (k *Keeper) Follow(of func(tx *storage.Tx, bare xmpp.JID) ([]Membership, error)) {
	k.f.memberships = of
}

// Seen notes that an account has read the archive of a room up to a message. That only moves on
// (XEP-0333 §5).
func (k *Keeper) Seen(tx *storage.Tx, account, archive int64, id storage.ID) error {
	return displayed(tx, account, archive, id)
}

// maxUnread is how many messages of a room are counted at a time: what nobody has read for
// longer is not counted further back.
const maxUnread = 10_000

const sqlNewest = `select id from kept where owner = $1 order by id desc limit 1`

// roomConversations reads the conversations of an account that are rooms. In seen their peer is
// the number of the archive, which is below zero.
func (f *feature) roomConversations(tx *storage.Tx, bare xmpp.JID) (list []conversation, err error) {
	if f.memberships == nil {
		return nil, nil
	}
	rooms, err := f.memberships(tx, bare)
	for i := 0; i < len(rooms) && err == nil; i++ {
		c := conversation{peer: rooms[i].Archive, room: &rooms[i]}
		var some bool
		if some, err = tx.One(sqlNewest, []any{c.peer}, &c.last); some {
			list = append(list, c)
		}
	}
	return list, err
}

// withRooms adds rooms to conversations, with what is unread in them. A room may be among these
// already, by what it or its occupants have said to the account alone: that is one conversation,
// as it has one address, and who has read the room has read what came before (XEP-0430 §4).
func (in *inbox) withRooms(tx *storage.Tx, owner int64, all, rooms []conversation) ([]conversation, error) {
	if len(rooms) == 0 {
		return all, nil
	}
	at := make(map[int64]int, len(all))
	for i, c := range all {
		at[c.peer] = i
	}
	for _, c := range rooms {
		if err := c.countRoom(tx, owner); err != nil {
			return nil, err
		}
		in.note(c)
		peer, err := peerOf(tx, c.room.Room.String())
		if err != nil {
			return nil, err
		}
		i, there := at[peer]
		if !there {
			all = append(all, c)
			continue
		}
		if err := c.absorb(tx, owner, all[i]); err != nil {
			return nil, err
		}
		all[i] = c
	}
	return all, nil
}

// absorb adds to a room what was said to the account alone.
func (c *conversation) absorb(tx *storage.Tx, owner int64, alone conversation) error {
	if _, err := tx.One(sqlSeen, []any{owner, alone.peer}, &alone.seen, new(storage.ID), new(int)); err != nil {
		return err
	}
	if err := alone.countBehind(tx, owner, max(alone.seen, c.seen), 0); err != nil {
		return err
	}
	c.unread += alone.unread
	if alone.last > c.last {
		c.last, c.alone = alone.last, alone.peer
	}
	return nil
}

// countRoom counts what was not read of a room. It looks at what came since it was counted last.
func (c *conversation) countRoom(tx *storage.Tx, owner int64) error {
	var counted storage.ID
	var before int
	if _, err := tx.One(sqlSeen, []any{owner, c.peer}, &c.seen, &counted, &before); err != nil {
		return err
	}
	if counted < c.room.Since {
		counted, before = c.room.Since, 0
	}
	n := 0
	if _, err := tx.One(sqlTexts, []any{c.peer, counted, maxUnread}, &n); err != nil {
		return err
	}
	c.looked, c.unread = n, min(before+n, maxUnread)
	return nil
}

// lastSaid returns the newest message of a room that is something to read, or else the newest
// one, as the account may see it.
func (c *conversation) lastSaid(tx *storage.Tx) (e entry, err error) {
	list, err := lastTexts(tx, c.peer, 0, 1)
	if err != nil {
		return e, err
	}
	if len(list) > 0 {
		e = entry{id: list[0].ID, stanza: list[0].Stanza}
	} else {
		m, _, err := byID(tx, c.peer, c.last)
		if err != nil {
			return e, err
		}
		e = m.entry
	}
	if c.room.View != nil {
		e.stanza = c.room.View(e.stanza)
	}
	return e, nil
}

const (
	// A message that was counted is about to be no more, or not to be unread.
	sqlRecountRoom = `update seen set counted = id, unread = 0 where peer = $1 and peer < 0 and counted >= $2 and unread > 0`
	sqlForgetRoom  = `delete from seen where peer = $1 and peer < 0`
)

// seenOfRooms has what is kept of a room for its members be found by the room.
const seenOfRooms = `
create index seen_room on seen (peer) where peer < 0;
`
