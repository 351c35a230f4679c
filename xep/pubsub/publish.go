package pubsub

import (
	"crypto/rand"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// publish publishes an item (XEP-0060 §7.1). A node that is not there is made by that, for its
// owner (§7.1.4).
func (k *ask) publish() (xmpp.Payload, error) {
	if err := k.named(); err != nil {
		return nil, err
	}
	it, given, err := k.published()
	if err != nil {
		return nil, err
	}
	options, asked, err := submitted(k.pubsub.Child(nsPubsub, "publish-options"), formOptions)
	if err != nil {
		return nil, err
	}
	if !asked {
		options = xmpp.Form{}
	}
	if k.h == nil {
		return nil, forbidden()
	}
	err = k.turn(func(t *router.Turn) error { return k.publication(t, &it, given, options) })
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub").Open("", "publish", "node", k.name)
	if it.id != "" {
		b.Open("", "item", "id", it.id).Close()
	}
	return b.Payload(), nil
}

// published reads the item of a publication; given is false where there is none.
func (k *ask) published() (it item, given bool, err error) {
	n := 0
	for e := range k.action.Children {
		if !e.Is(nsPubsub, "item") {
			continue
		}
		if n++; n > 1 { // XEP-0060 §7.1.1: no more than one
			return it, false, fault("", "bad-request", "invalid-payload", "one item at a time")
		}
		it.id, given = e.Attr("id"), true
		payloads := 0
		for c := range e.Children {
			payloads++
			it.payload = c.Payload()
		}
		if payloads > 1 { // XEP-0060 §7.1.3.6
			return it, true, invalidPayload()
		}
	}
	if len(it.id) > maxName {
		return it, given, xmpp.Refuse("not-acceptable", "the id of the item is too long")
	}
	it.publisher = k.from
	return it, given, nil
}

// publication is the turn of a publication.
func (k *ask) publication(t *router.Turn, it *item, given bool, options xmpp.Form) error {
	v, err := k.lookAll()
	if err != nil {
		return err
	}
	if err := k.prepare(v, options); err != nil {
		return err
	}
	limits := k.rules().Limits
	if err := fits(v.n, it, given, limits); err != nil {
		return err
	}
	var gone []string
	var e *edit
	if v.n.cfg.Persist {
		if it.id == "" {
			it.id = v.n.nextID()
		}
		if gone, e, err = k.keep(t, v.n, it, limits); err != nil {
			return err
		}
	} else if v.n.id == 0 {
		if err := t.Write(k.ctx, func(tx *storage.Tx) error { return create(tx, v.n) }); err != nil {
			return err
		}
	}
	k.s.stats.Published.Add(1)
	if len(gone) > 0 && v.n.cfg.Retract && v.n.cfg.Full == fullRetract && v.n.cfg.MaxItems != 1 { // XEP-0060 §7.1.2.5
		k.tell(t, v, retracted(v.n, gone))
	}
	var items []item
	if given {
		items = append(items, *it)
	}
	k.tell(t, v, k.s.event(v.n, items, false))
	e.settle(t)
	return nil
}

// prepare finds out whether who asks may publish, and what the node is like that is to be made
// where there is none.
func (k *ask) prepare(v *view, options xmpp.Form) error {
	limits := k.rules()
	if v.n == nil || v.n.moved != "" {
		switch {
		case k.h.account == nil: // XEP-0060 §7.1.3.3
			return v.there()
		case !k.owner:
			return forbidden() // also where there is no such account: it says nothing
		}
		cfg, err := limits.made(k.defaults(k.name), options)
		if err != nil {
			return err
		}
		if v.n, err = k.newNode(k.name, cfg); err != nil {
			return err
		}
		v.affs, v.subs = nil, nil
		return nil
	}
	if !v.mayPublish() {
		return forbidden() // XEP-0060 §7.1.3.1
	}
	if !limits.meets(v.n.cfg, options) {
		return preconditionNot()
	}
	return nil
}

// newNode is a node that is to be written.
func (k *ask) newNode(name string, cfg config) (*node, error) {
	if len(cfg.encode()) > maxConfig {
		return nil, xmpp.Refuse("not-acceptable", "the configuration is too large")
	}
	var nodes int64
	err := k.read(func(tx *storage.Tx) (err error) {
		nodes, _, err = usage(tx, k.id())
		return err
	})
	if err == nil && k.h.account == nil {
		err = k.roomForOwner()
	}
	if err == nil && nodes >= int64(k.rules().Nodes) {
		err = k.s.over("there are too many nodes")
	}
	return &node{owner: k.id(), name: name, address: k.h.jid, cfg: cfg, creator: k.from.Bare()}, err
}

// over refuses what is over a limit.
func (s *Service) over(text string) *xmpp.Error {
	s.stats.Refused.Add(1)
	return xmpp.Refuse("resource-constraint", text)
}

// fits looks whether what is published is what the node is for (XEP-0060 §4.3, §7.1.3).
func fits(n *node, it *item, given bool, l Limits) error {
	most := l.Payload
	if n.cfg.MaxPayload > 0 {
		most = min(most, n.cfg.MaxPayload)
	}
	switch {
	case !given && (n.cfg.Persist || n.cfg.Payloads): // XEP-0060 §7.1.3.7
		return itemRequired()
	case given && !n.cfg.Persist && !n.cfg.Payloads:
		return fault("", "bad-request", "item-forbidden", "")
	case given && n.cfg.Payloads && len(it.payload) == 0:
		return fault("", "bad-request", "payload-required", "")
	case len(it.payload) > most: // XEP-0060 §7.1.3.5
		return fault("", "not-acceptable", "payload-too-big", "")
	}
	return nil
}

// nextID makes an id for an item that has none. In a node of one item it is always the same, so
// that a new item takes the place of the last (XEP-0060 §12.21), also where events are held
// back for a client that nobody looks at.
func (n *node) nextID() string {
	if n.cfg.MaxItems == 1 {
		return "current"
	}
	return strings.ToLower(rand.Text())
}

// room returns how many items a node may have.
func (n *node) room(l Limits) int64 {
	if n.cfg.MaxItems == 0 {
		return int64(l.Items)
	}
	return int64(min(n.cfg.MaxItems, l.Items))
}

// A change is what becomes of a node by a publication.
type change struct {
	items, bytes int64 // by which it grows
	surplus      int64 // the oldest items that go
}

// keep writes an item, and the node if it is new, with what follows from it. It returns the ids
// of the items that had to make room.
func (k *ask) keep(t *router.Turn, n *node, it *item, l Limits) (gone []string, e *edit, err error) {
	var c change
	err = k.read(func(tx *storage.Tx) (err error) {
		c, err = k.s.weigh(tx, n, it, l)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	fresh := n.id == 0
	e, err = k.write(t, n.name, func(tx *storage.Tx) (err error) {
		if fresh {
			if err := create(tx, n); err != nil {
				return err
			}
		}
		made := *it
		gone, err = place(tx, n, &made, c)
		return err
	}, func() []string { return append(gone[:len(gone):len(gone)], it.id) })
	return gone, e, err
}

// place writes an item, and takes out the oldest ones where there are too many.
func place(tx *storage.Tx, n *node, it *item, c change) (gone []string, err error) {
	if err := put(tx, n.id, it); err != nil {
		return nil, err
	}
	items, bytes := c.items, c.bytes
	if c.surplus > 0 {
		var freed int64
		if gone, freed, err = surplus(tx, n.id, it.id, c.surplus); err != nil {
			return nil, err
		}
		if err := drop(tx, n.id, gone...); err != nil {
			return nil, err
		}
		items, bytes = items-int64(len(gone)), bytes-freed
	}
	return gone, tally(tx, n.id, items, bytes)
}

// weigh finds out what a publication changes, and whether there is room for it.
func (s *Service) weigh(tx *storage.Tx, n *node, it *item, l Limits) (c change, err error) {
	var was int64
	var found bool
	if n.id != 0 {
		if was, it.created, found, err = size(tx, n.id, it.id); err != nil {
			return c, err
		}
	}
	c = change{items: 1, bytes: int64(len(it.payload)) - was}
	if found {
		c.items = 0
	}
	c.surplus = n.items + c.items - n.room(l)
	_, total, err := usage(tx, n.owner)
	switch {
	case err != nil:
	case c.surplus > 0 && n.cfg.Full == fullReject: // XEP-0060 §7.1.3.4
		err = fault("", "conflict", "node-full", "")
	case c.bytes > 0 && total+c.bytes > int64(l.Bytes):
		err = s.over("there is no room for more items")
	}
	return c, err
}

// retract deletes an item (XEP-0060 §7.2).
func (k *ask) retract() (xmpp.Payload, error) {
	if err := k.named(); err != nil {
		return nil, err
	}
	id := k.action.Child(nsPubsub, "item").Attr("id")
	if id == "" {
		return nil, itemRequired()
	}
	if k.h == nil {
		return nil, forbidden()
	}
	return nil, k.turn(func(t *router.Turn) error { return k.retraction(t, id) })
}

// retraction is the turn of a retraction.
func (k *ask) retraction(t *router.Turn, id string) error {
	v, err := k.lookAll()
	if err != nil {
		return err
	}
	if k.h.account != nil && !k.owner && (v.n == nil || v.n.moved != "") {
		return forbidden()
	}
	if err := v.there(); err != nil {
		return err
	}
	var it item
	var found bool
	err = k.read(func(tx *storage.Tx) (err error) {
		it, found, err = one(tx, v.n, id)
		return err
	})
	switch {
	case err != nil:
		return err
	case v.aff() != affOwner && !(found && v.mayPublish() && it.publisher.Bare() == v.bare): // XEP-0060 §7.2.3.1
		return forbidden()
	case !v.n.cfg.Persist: // XEP-0060 §7.2.3.5
		return unsupported("persistent-items")
	case !found: // XEP-0060 §7.2.3.2
		return noNode()
	}
	e, err := k.write(t, v.n.name, func(tx *storage.Tx) error { return takeOut(tx, v.n, it) }, func() []string { return []string{id} })
	if err != nil {
		return err
	}
	notify, said := truth(k.action.Attr("notify"))
	if said && notify || !said && v.n.cfg.Retract { // XEP-0060 §7.2.2.1
		k.tell(t, v, retracted(v.n, []string{id}))
	}
	e.settle(t)
	return nil
}

// takeOut deletes an item that is there.
func takeOut(tx *storage.Tx, n *node, it item) error {
	if err := drop(tx, n.id, it.id); err != nil {
		return err
	}
	return tally(tx, n.id, -1, -int64(len(it.payload)))
}
