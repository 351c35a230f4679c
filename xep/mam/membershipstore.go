package mam

import (
	"parley/storage"
	"parley/xmpp"
)

// maxUnread is how many messages of a room are counted at a time: what nobody has read for
// longer is not counted further back.
const maxUnread = 10_000

const (
	sqlNewest = `select id from kept where owner = $1 order by id desc limit 1`
	// A message that was counted is about to be no more, or not to be unread.
	sqlRecountRoom = `update seen set counted = id, unread = 0 where peer = $1 and peer < 0 and counted >= $2 and unread > 0`
	sqlForgetRoom  = `delete from seen where peer = $1 and peer < 0`
)

// seenOfRooms has what is kept of a room for its members be found by the room.
const seenOfRooms = `
create index seen_room on seen (peer) where peer < 0;
`

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
