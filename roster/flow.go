package roster

import (
	"context"
	"errors"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// An entry is what an account has of a contact: an item, if it is listed, and a request,
// if one waits for an answer.
type entry struct {
	item      Item
	listed    bool
	requested bool
}

func (e entry) state() state { return stateOf(e.item.Subscription, e.item.Ask, e.requested) }

// entry reads what there is of a contact. It is read and written in turns of the account
// only, so it stays as it is until the turn is over.
func (f *feature) entry(t *router.Turn, a *router.Account, jid xmpp.JID) (e entry, err error) {
	t.Flush() // who waits, flushes
	err = f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		if e.item, e.listed, err = item(tx, a.ID, jid); err != nil {
			return err
		}
		if !e.listed {
			e.item = Item{JID: jid, Subscription: "none", Groups: []string{}}
		}
		e.requested, err = requested(tx, a.ID, jid)
		return err
	})
	return e, err
}

// A change is where a stanza leads. shown says that the user's clients are to be told.
type change struct {
	next     state
	approved bool
	request  *xmpp.Stanza // to be kept
	shown    bool
}

// commit writes a change, and changes memory after it. version is that of the push, 0
// where there is nothing to be pushed.
func (f *feature) commit(t *router.Turn, a *router.Account, e entry, c change) (it Item, version int64, err error) {
	it = e.item
	it.Subscription, it.Ask, it.Approved = c.next.subscription(), c.next.ask(), c.approved
	visible := it.Subscription != e.item.Subscription || it.Ask != e.item.Ask || it.Approved != e.item.Approved
	lists := visible || e.listed && c.shown
	err = t.Write(context.Background(), func(tx *storage.Tx) (err error) {
		version = 0
		if lists {
			if version, err = f.place(tx, a.ID, it, !e.listed); err != nil {
				return err
			}
		}
		switch {
		case c.request != nil:
			return request(tx, a.ID, it.JID, c.request)
		case e.requested && !c.next.pendingIn():
			return unrequest(tx, a.ID, it.JID)
		}
		return nil
	})
	if err == nil {
		f.note(a, it.JID, c.next)
	}
	return it, version, err
}

// outgoing is the turn of a stanza that the user sends (RFC 6121 §A.2).
func (f *feature) outgoing(t *router.Turn, a *router.Account, st *xmpp.Stanza) error {
	v, _ := verbOf(st.Type)
	if v == subscribe && weight(st) > maxRequest {
		return xmpp.Refuse("policy-violation", "the request is too large")
	}
	e, err := f.entry(t, a, st.To)
	if err != nil {
		return err
	}
	was := e.state()
	shared, _ := f.shared.list(a.JID).find(st.To)
	if nothingToAsk(v, e, shared) {
		return f.already(t, a, v, st)
	}
	r := outbound[v][was]
	c := change{next: r.next, approved: e.item.Approved || r.act == approve, shown: true}
	if v == unsubscribed {
		c.approved = false
	}
	var it Item
	var version int64
	if r.next != was || c.approved != e.item.Approved {
		if it, version, err = f.commit(t, a, e, c); err != nil {
			return err
		}
	}
	if version != 0 { // before anything that comes back
		f.push(t, a, version, it)
	}
	if was.seenByContact() && !r.next.seenByContact() && !shared.seen {
		f.hide(t, a, st.To)
	}
	if r.act == pass {
		f.router.Deliver(&t.Round, st)
	}
	if !was.seenByContact() && r.next.seenByContact() && !f.router.Serves(st.To.Domain()) {
		f.reveal(t, a, st.To, nil) // one of this house asks for it, behind the approval
	}
	f.admit(t, a, st.To, was, r.next, shared.seen)
	return nil
}

// incoming is the turn of a stanza that a contact sends (RFC 6121 §A.3).
func (f *feature) incoming(t *router.Turn, a *router.Account, st *xmpp.Stanza) {
	if st.Type == "probe" {
		f.probed(t, a, st)
		return
	}
	v, ok := verbOf(st.Type)
	if name := st.To.Resource(); name != "" && v != subscribe {
		if _, there := a.Resource(name); !there {
			return // RFC 6121 §8.5.3.2.2
		}
	}
	st = st.Readdressed(a.JID, st.From.Bare()) // RFC 6121 §3.1.3
	if !ok || st.From == a.JID {
		return
	}
	if err := f.receive(t, a, st, v); errors.Is(err, errManyRequests) {
		f.log.Debug("a subscription request was not kept", "account", a.JID.String(), "error", err)
	} else if err != nil {
		f.log.Error("a subscription stanza was lost", "account", a.JID.String(), "type", st.Type, "error", err)
	}
}

func (f *feature) receive(t *router.Turn, a *router.Account, st *xmpp.Stanza, v verb) error {
	e, err := f.entry(t, a, st.From)
	if err != nil {
		return err
	}
	was := e.state()
	shared, _ := f.shared.list(a.JID).find(st.From)
	if v == subscribe && shared.seen { // a group has answered already
		f.router.Deliver(&t.Round, presenceOf("subscribed", st.ID, a.JID, st.From))
		return nil
	}
	r := inbound[v][was]
	if v == subscribe && e.item.Approved {
		r = inboundApproved[was]
	}
	var it Item
	var version int64
	if r.next != was {
		c := change{next: r.next, approved: e.item.Approved}
		if r.next.pendingIn() && !e.requested {
			c.request = keepable(st)
		}
		if it, version, err = f.commit(t, a, e, c); err != nil {
			return err
		}
	}
	if !(v == unsubscribe && shared.seen || v == unsubscribed && shared.sees) { // it ends nothing
		f.tell(t, a, st, v, r.act)
	}
	// The stanza comes before the push (RFC 6121 §3.1.6, §3.2.3, §3.3.3).
	if version != 0 {
		f.push(t, a, version, it)
	}
	f.follow(t, a, st, was, r)
	return nil
}

// tell delivers the stanza itself: a request to the available resources (RFC 6121
// §3.1.3), all else to those that know the roster.
func (f *feature) tell(t *router.Turn, a *router.Account, st *xmpp.Stanza, v verb, act act) {
	if act != pass && act != release {
		return
	}
	for _, res := range a.Resources() {
		if v == subscribe && res.Available() || v != subscribe && res.Interest {
			t.Push(res.Session, st)
		}
	}
}

// follow does what follows from a contact's stanza, behind the push.
func (f *feature) follow(t *router.Turn, a *router.Account, st *xmpp.Stanza, was state, r row) {
	contact := st.From
	local := f.router.Serves(contact.Domain())
	shared, _ := f.shared.list(a.JID).find(contact)
	if was.seenByContact() && !r.next.seenByContact() && !shared.seen { // RFC 6121 §3.3.3
		f.hide(t, a, contact)
	}
	switch {
	case r.act == accept:
		f.router.Deliver(&t.Round, presenceOf("subscribed", st.ID, a.JID, contact))
		if !local && !was.seenByContact() {
			f.reveal(t, a, contact, nil)
		}
	case r.act == release && !local:
		// The acknowledgement keeps two servers in step. In this house both sides have
		// changed by now, and it could only end what the contact has asked for since.
		f.router.Deliver(&t.Round, presenceOf("unsubscribed", st.ID, a.JID, contact))
	}
	if local && !was.seesContact() && r.next.seesContact() {
		f.ask(t, a, contact, nil) // RFC 6121 §3.1.6: the contact's presence, behind the push
	}
	f.admit(t, a, contact, was, r.next, shared.seen)
}

// keepable is a request as it is kept: whole (RFC 6121 §3.1.3), unless it is larger than
// anybody's words need.
func keepable(st *xmpp.Stanza) *xmpp.Stanza {
	if weight(st) <= maxRequest {
		return st
	}
	return presenceOf("subscribe", "", st.From, st.To)
}

// weight is how many bytes a request has, but for its addresses: an id or an unknown
// attribute may be as long as any text.
func weight(st *xmpp.Stanza) int {
	return st.Len() + len(st.Lang) - len(st.To.String()) - len(st.From.String())
}

// presenceOf makes a presence stanza without content.
func presenceOf(typ, id string, from, to xmpp.JID) *xmpp.Stanza {
	st := xmpp.NewStanza(xmpp.Presence, nil)
	st.Type, st.ID, st.From, st.To = typ, id, from, to
	return st
}

// sever ends both subscriptions of a contact that is taken out of the roster
// (RFC 6121 §2.5.2). A request that has not been answered is taken back.
func (f *feature) sever(t *router.Turn, a *router.Account, it Item) {
	s := stateOf(it.Subscription, it.Ask, false)
	shared, _ := f.shared.list(a.JID).find(it.JID)
	if s.seenByContact() && !shared.seen {
		f.hide(t, a, it.JID)
	}
	f.admit(t, a, it.JID, s, none, shared.seen)
	if s.seesContact() || s.pendingOut() {
		f.router.Deliver(&t.Round, presenceOf("unsubscribe", "", a.JID, it.JID))
	}
	if s.seenByContact() {
		f.router.Deliver(&t.Round, presenceOf("unsubscribed", "", a.JID, it.JID))
	}
}

// leaving ends all subscriptions of an account that is removed, and refuses what it was
// asked for (XEP-0077 §3.2).
func (f *feature) leaving(t *router.Turn, a *router.Account) error {
	announce := f.shared.left(a.JID)
	f.upToDate(t, a, available(a))
	announce()
	var list []Item
	var asking []*xmpp.Stanza
	err := t.Write(context.Background(), func(tx *storage.Tx) (err error) {
		if list, err = items(tx, a.ID); err != nil {
			return err
		}
		if asking, err = requests(tx, a.ID); err != nil {
			return err
		}
		return forget(tx, a.ID)
	})
	if err != nil {
		return err
	}
	for _, it := range list {
		f.sever(t, a, it)
	}
	for _, st := range asking {
		f.router.Deliver(&t.Round, presenceOf("unsubscribed", "", a.JID, st.From))
	}
	a.SetData(f, contacts{})
	return nil
}
