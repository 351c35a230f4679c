package mam

import (
	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const (
	// One step of exchanged a conversation, however long they are.
	sqlConversations = `with recursive p (peer) as (
			select (select peer from exchanged where owner = $1 and peer > 0 order by peer limit 1)
			union all
			select (select peer from exchanged where owner = $1 and peer > p.peer order by peer limit 1) from p where p.peer is not null
			limit $2)
		select p.peer, (select id from exchanged where owner = $1 and peer = p.peer order by id desc limit 1)
		from p where p.peer is not null`
	sqlSeen      = `select id, counted, unread from seen where owner = $1 and peer = $2`
	sqlBehind    = `select flags from exchanged where owner = $1 and peer = $2 and id > $3 order by id desc`
	sqlPeerName  = `select jid from peer where id = $1`
	sqlLastWords = `select id from (select id, flags from exchanged where owner = $1 and peer = $2 order by id desc limit $3)
		where flags & 8 order by id desc limit 1`
	sqlDisplayed = `insert into seen (owner, peer, id, counted, unread) values ($1, $2, $3, $3, 0)
		on conflict (owner, peer) do update set id = excluded.id, counted = excluded.id, unread = 0 where seen.id < excluded.id`
	sqlCounted = `insert into seen (owner, peer, id, counted, unread) values ($1, $2, $3, $4, $5)
		on conflict (owner, peer) do update set counted = excluded.counted, unread = excluded.unread where seen.id = excluded.id`
	sqlRecount = `update seen set counted = id, unread = 0 where owner = $1
		and peer = (select peer from kept where owner = $1 and id = $2) and counted >= $2`
	sqlForgetSeen = `delete from seen where owner = $1`
)

// A conversation is an entry of an inbox.
type conversation struct {
	peer   int64
	last   storage.ID
	unread int
	looked int         // rows that were looked at to count them
	seen   storage.ID  // all up to it was displayed
	room   *Membership // nil: it is with somebody
	alone  int64       // of a room: the peer that it is as to the account alone, where that has been heard last
}

// conversations reads with whom an owner has exchanged messages, in no order.
func conversations(tx *storage.Tx, owner int64) (list []conversation, err error) {
	err = tx.Each(sqlConversations, []any{owner, maxConversations}, func(r *storage.Row) error {
		list = append(list, conversation{peer: r.Int(0), last: r.ID(1)})
		return nil
	})
	return list, err
}

// countUnread counts what was not read of a conversation: what has come since the last
// message that was displayed, or that the owner has written. It looks at what came since it
// was counted last.
func (c *conversation) countUnread(tx *storage.Tx, owner int64) error {
	var counted storage.ID
	var before int
	if _, err := tx.One(sqlSeen, []any{owner, c.peer}, &c.seen, &counted, &before); err != nil {
		return err
	}
	return c.countBehind(tx, owner, max(c.seen, counted), before)
}

// countBehind counts what came behind an id, where before were unread up to it.
func (c *conversation) countBehind(tx *storage.Tx, owner int64, id storage.ID, before int) error {
	err := untilEnough(tx.Each(sqlBehind, []any{owner, c.peer, id}, func(r *storage.Row) error {
		c.looked++
		switch fl := flags(r.Int(0)); {
		case fl&unread == 0:
		case fl&outgoing != 0:
			before = 0
			return errEnough
		default:
			c.unread++
		}
		return nil
	}))
	c.unread += before
	return err
}

// name returns whom a conversation is with: a bare JID.
func (c *conversation) name(tx *storage.Tx) (jid string, err error) {
	if c.room != nil {
		return c.room.Room.String(), nil
	}
	_, err = tx.One(sqlPeerName, []any{c.peer}, &jid)
	return jid, err
}

// lastWords returns the newest message of a conversation that says something, or else the
// newest one.
func (c *conversation) lastWords(tx *storage.Tx, owner int64) (e entry, err error) {
	peer := c.peer
	if c.room != nil && c.alone == 0 {
		return c.lastSaid(tx)
	}
	if c.alone != 0 {
		peer = c.alone
	}
	id := c.last
	if _, err = tx.One(sqlLastWords, []any{owner, peer, lastWordsWithin}, &id); err != nil {
		return e, err
	}
	f, _, err := byID(tx, owner, id)
	return f.entry, err
}

// displayed notes that all of a conversation up to an id was displayed. It only moves on.
func displayed(tx *storage.Tx, owner, peer int64, upto storage.ID) error {
	return tx.Exec(sqlDisplayed, owner, peer, upto)
}

// writeCount remembers how many were unread, so that they need not be counted again.
func writeCount(tx *storage.Tx, owner int64, c conversation) error {
	return tx.Exec(sqlCounted, owner, c.peer, c.seen, c.last, c.unread)
}

// recount has the unread of the conversation that a message is in be counted anew: it is
// about to be no more, or not to be unread. The row is there yet.
func recount(tx *storage.Tx, owner int64, id storage.ID) error {
	if owner < 0 {
		return tx.Exec(sqlRecountRoom, owner, id)
	}
	return tx.Exec(sqlRecount, owner, id)
}

// displayedWith notes that an account has displayed its conversation with somebody up to a
// message, if that is in it.
func (f *feature) displayedWith(e router.Edit, with xmpp.JID, id storage.ID) error {
	tx, owner := e.Tx(), e.Account().ID
	m, there, err := byID(tx, owner, id)
	if err != nil || !there {
		return err
	}
	peer, err := peerOf(tx, with.String())
	if err != nil || peer != m.peer {
		return err
	}
	return displayed(tx, owner, peer, id)
}

// displayedIn notes that an account has displayed a room, which it belongs to, up to a message.
func (f *feature) displayedIn(e router.Edit, room xmpp.JID, id storage.ID) error {
	if f.memberships == nil {
		return nil
	}
	tx, a := e.Tx(), e.Account()
	list, err := f.memberships(tx, a.JID)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Room != room {
			continue
		}
		if there, err := has(tx, m.Archive, id); err != nil || !there {
			return err
		}
		return displayed(tx, a.ID, m.Archive, id)
	}
	return nil
}
