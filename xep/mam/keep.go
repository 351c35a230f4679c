package mam

import (
	"hash/fnv"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// keepSent names what is to be written for a message that is for nobody of this house: the
// sender's own row. One that is refused with an error is not kept.
func (f *feature) keepSent(p *router.Passage) *xmpp.Error {
	if f.resent(p) {
		p.Swallow()
		return nil
	}
	if p.Recipient != nil || p.WillBeRefused() || worthOf(p.Stanza) != archived || !f.archives(p.Sender, p.Stanza.To) {
		return nil
	}
	k := &keeping{f: f, row: p.Stanza.AppendNS(nil, xmpp.NSClient), st: p.Stanza}
	k.rows[0] = row{account: p.Sender, tray: f.trays.Of(p.Sender), peer: p.Stanza.To, flags: outgoing | readable(p.Stanza)}
	p.Keep(k)
	p.Stamp(p.Sender)
	return nil
}

// keep names what is to be written for a message: the recipient's row, which waits until a
// device has taken it, and the sender's.
func (f *feature) keep(p *router.Passage) *xmpp.Error {
	if p.Swallowed() {
		return nil
	}
	w := worthOf(p.Stanza)
	returned := p.Returned() != nil && worthOf(p.Returned()) == archived
	if returned {
		w = archived
	}
	if w == nothing {
		p.Drop()
		return nil
	}
	if !returned && (p.WillBeRefused() || p.WillBeIgnored()) {
		return nil
	}
	st := p.Stanza
	k := &keeping{f: f, st: st, size: int32(st.Len())}
	to := &k.rows[0]
	*to = row{account: p.Recipient, tray: f.trays.Of(p.Recipient), peer: st.From, flags: incoming | readable(st)}
	self := p.Sender == p.Recipient
	if self {
		to.flags = incoming | outgoing
	}
	if w == archived && f.archives(p.Recipient, st.From) {
		p.Stamp(p.Recipient)
	} else {
		to.flags |= hidden
	}
	if !to.tray.reserve(int(k.size), p.WillWait(), f.limits()) {
		return xmpp.Refuse("service-unavailable", "too many messages wait for this user") // XEP-0160 §2
	}
	k.reserved = true
	if p.Sender != nil && !self && w == archived && !invites(st) && f.archives(p.Sender, st.To) {
		k.rows[1] = row{account: p.Sender, tray: f.trays.Of(p.Sender), peer: st.To, flags: outgoing | readable(st)}
		p.Stamp(p.Sender)
	}
	p.Wait()
	if k.rows[1].account == nil && to.flags&hidden != 0 && !self && !st.Has(nsRetract, "retract") {
		p.Bridge(k)
		return nil
	}
	k.row = st.AppendNS(nil, xmpp.NSClient)
	p.Keep(k)
	return nil
}

// readable is the flag of a message that is something to read.
func readable(st *xmpp.Stanza) flags {
	if content(st.Children) {
		return unread
	}
	return 0
}

// invites reports whether a message asks a room to invite somebody (XEP-0045 §7.8.2). It is
// a request to the room, which Gajim cannot read in an archive.
func invites(st *xmpp.Stanza) bool {
	return !st.Child(nsRoomUser, "x").Child(nsRoomUser, "invite").IsZero()
}

// row is one account's part in a message.
type row struct {
	account *router.Account
	tray    *tray
	peer    xmpp.JID // the other side
	flags   flags
}

// keeping is what is written for one message. It implements router.Keeping.
type keeping struct {
	f        *feature
	st       *xmpp.Stanza
	row      []byte // as it is stored; made when it is, where it may never be
	rows     [2]row // the second may be nobody's
	fresh    []peer // seen for the first time
	parts    []part // the rows as they are written
	size     int32  // of row, about, as long as it is not stored
	reserved bool
}

// Write implements router.Keeping.
func (k *keeping) Write(tx *storage.Tx, id storage.ID) error {
	var owners [2]int64
	for i := range k.rows {
		if k.rows[i].account != nil {
			owners[i] = k.rows[i].account.ID
		}
	}
	if k.row == nil {
		k.row = k.st.AppendNS(nil, xmpp.NSClient)
	}
	if err := addBody(tx, id, owners, k.row); err != nil {
		return err
	}
	k.fresh = k.fresh[:0]
	k.parts = k.parts[:0]
	for i := range k.rows {
		r := &k.rows[i]
		if r.account == nil {
			continue
		}
		number, err := k.peer(tx, r.peer)
		if err != nil {
			return err
		}
		p := part{r.account.ID, number, r.flags, resourceHash(r.peer)}
		if err := addKept(tx, id, p); err != nil {
			return err
		}
		k.parts = append(k.parts, p)
	}
	k.f.exchange.note(id, k.parts)
	return k.f.follow(tx, id, k.st, k.parts)
}

// peer returns the number of a peer. One that is in no row yet is remembered only when the
// transaction is committed.
func (k *keeping) peer(tx *storage.Tx, of xmpp.JID) (int64, error) {
	bare := of.Bare().String()
	if n := k.f.peers.get(bare); n != 0 {
		return n, nil
	}
	n, err := peerNumber(tx, bare)
	if err == nil {
		k.fresh = append(k.fresh, peer{bare, n})
	}
	return n, err
}

// Written implements router.Keeping.
func (k *keeping) Written(id storage.ID, err error) {
	first := &k.rows[0]
	if k.reserved {
		first.tray.unreserve(int(k.size))
	}
	if err != nil {
		return
	}
	k.f.exchange.written(id, k.parts)
	for _, p := range k.fresh {
		k.f.peers.add(p)
	}
	if first.flags&incoming != 0 {
		first.tray.add(pending{id: id, size: int32(len(k.row)), hidden: first.flags&hidden != 0})
	}
	for i := range k.rows {
		if r := &k.rows[i]; r.flags&(incoming|outgoing) == outgoing && r.tray.sent(id) {
			k.f.late.mark(r.account, r.tray)
		}
	}
}

// Undo implements router.Keeping.
func (k *keeping) Undo(tx *storage.Tx, id storage.ID) error {
	k.rows[0].tray.drop(id)
	k.f.exchange.doubt()
	for i := range k.rows {
		if a := k.rows[i].account; a != nil {
			if err := removeRow(tx, a.ID, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// resourceHash is by what a full address is looked up: a message that has it is then
// compared in full.
func resourceHash(j xmpp.JID) int64 {
	if j.Resource() == "" {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(j.Resource()))
	return int64(h.Sum32())
}
