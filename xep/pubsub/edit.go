package pubsub

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// An edit is a change of an account's nodes that no client has asked for in these words: what
// follows from another change (router.Edit).
type edit struct {
	s    *Service
	h    *home
	by   xmpp.JID
	tx   *storage.Tx
	then []func(*router.Turn)
	told []toTell
	kept int64 // items
}

// toTell is an event, and who has to do with its node.
type toTell struct {
	v *view
	e event
}

// write writes a change of a node and, for an account, what follows from it elsewhere, if anything
// follows this node. Who calls it tells of the change, and then settles the edit. ids is asked
// behind do which items it has changed; nil: any.
func (k *ask) write(t *router.Turn, name string, do func(*storage.Tx) error, ids func() []string) (e *edit, err error) {
	if k.h.account == nil || !k.s.router.Followed(name) {
		return nil, t.Write(k.ctx, do)
	}
	err = t.Write(k.ctx, func(tx *storage.Tx) error {
		e = &edit{s: k.s, h: k.h, by: k.from, tx: tx}
		if err := do(tx); err != nil {
			return err
		}
		return k.s.router.Published(e, name, ids())
	})
	return e, err
}

// anyItem is for changes of a node after which any of its items may be gone.
func anyItem() []string { return nil }

// edits is router.Feature.Edits.
func (s *Service) edits(ctx context.Context, t *router.Turn, a *router.Account, by xmpp.JID, do func(router.Edit) error) error {
	var e *edit
	err := t.Write(ctx, func(tx *storage.Tx) error {
		e = &edit{s: s, h: of(a), by: by, tx: tx}
		return do(e)
	})
	if err == nil {
		e.settle(t)
	}
	return err
}

// settle does what is due behind the commit. There may be no edit.
func (e *edit) settle(t *router.Turn) {
	if e == nil {
		return
	}
	for _, fn := range e.then {
		fn(t)
	}
	e.s.stats.Published.Add(e.kept)
	for _, x := range e.told {
		e.s.tell(t, e.h, x.v, x.e)
	}
}

// Tx implements router.Edit.
func (e *edit) Tx() *storage.Tx { return e.tx }

// Account implements router.Edit.
func (e *edit) Account() *router.Account { return e.h.account }

// By implements router.Edit.
func (e *edit) By() xmpp.JID { return e.by }

// Then implements router.Edit.
func (e *edit) Then(fn func(*router.Turn)) { e.then = append(e.then, fn) }

// find reads a node; nil where there is none, or not any more.
func (e *edit) find(name string) (*node, error) {
	n, err := find(e.tx, e.h.id, name)
	if err != nil || n != nil && n.moved != "" {
		return nil, err
	}
	return n, nil
}

// IDs implements router.Edit.
func (e *edit) IDs(name string) ([]string, error) {
	n, err := e.find(name)
	if n == nil {
		return nil, err
	}
	return names(e.tx, n, e.s.limits().Items)
}

// Item implements router.Edit.
func (e *edit) Item(name, id string) (p router.Publication, found bool, err error) {
	n, err := e.find(name)
	if n == nil {
		return p, false, err
	}
	it, found, err := one(e.tx, n, id)
	return router.Publication{ID: it.id, Payload: it.payload}, found, err
}

// Last implements router.Edit.
func (e *edit) Last(name string) (p router.Publication, found bool, err error) {
	n, err := e.find(name)
	if n == nil {
		return p, false, err
	}
	it, found, err := last(e.tx, n)
	return router.Publication{ID: it.id, Payload: it.payload}, found, err
}

// Public implements router.Edit.
func (e *edit) Public(name string) (bool, error) {
	n, err := e.find(name)
	return n != nil && n.cfg.Access == accessOpen, err
}

// ForContacts implements router.Edit.
func (e *edit) ForContacts(name string) (bool, error) {
	n, err := e.find(name)
	return n != nil && (n.cfg.Access == accessOpen || n.cfg.Access == accessPresence), err
}

// Publish implements router.Edit.
func (e *edit) Publish(name string, p router.Publication, to router.Audience) error {
	n, err := e.node(name, to)
	if err != nil || !n.cfg.Persist { // who has it so wants nothing to be kept there
		return err
	}
	it := item{id: p.ID, payload: p.Payload, publisher: e.by}
	limits := e.s.limits()
	if err := fits(n, &it, true, limits); err != nil {
		return err
	}
	c, err := e.s.weigh(e.tx, n, &it, limits)
	if err != nil {
		return err
	}
	gone, err := place(e.tx, n, &it, c)
	if err != nil {
		return err
	}
	e.kept++
	if len(gone) > 0 && n.cfg.Retract && n.cfg.Full == fullRetract && n.cfg.MaxItems != 1 { // XEP-0060 §7.1.2.5
		if err := e.tell(n, retracted(n, gone)); err != nil {
			return err
		}
	}
	return e.tell(n, e.s.event(n, []item{it}, false))
}

// node returns the node of that name, for whom it is meant: it is made if it is not there.
func (e *edit) node(name string, to router.Audience) (*node, error) {
	n, err := e.find(name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return e.make(name, to)
	}
	if to != router.Oneself || n.cfg.Access == accessWhitelist {
		return n, nil
	}
	n.cfg.Access = accessWhitelist // XEP-0411 §5
	if err := reconfigure(e.tx, n.id, n.cfg); err != nil || !n.cfg.Config {
		return n, err
	}
	return n, e.tell(n, e.s.rulesOf(e.h).configured(n))
}

// make makes a node.
func (e *edit) make(name string, to router.Audience) (*node, error) {
	nodes, _, err := usage(e.tx, e.h.id)
	if err == nil && nodes >= int64(e.s.limits().Nodes) {
		err = e.s.over("there are too many nodes")
	}
	if err != nil {
		return nil, err
	}
	n := &node{owner: e.h.id, name: name, address: e.h.jid, cfg: defaults(name), creator: e.by.Bare()}
	if n.cfg.Access = accessOpen; to == router.Oneself {
		n.cfg.Access = accessWhitelist
	}
	return n, create(e.tx, n)
}

// Retract implements router.Edit.
func (e *edit) Retract(name, id string) error {
	n, err := e.find(name)
	if n == nil {
		return err
	}
	it, found, err := one(e.tx, n, id)
	if err != nil || !found {
		return err
	}
	if err := takeOut(e.tx, n, it); err != nil || !n.cfg.Retract {
		return err
	}
	return e.tell(n, retracted(n, []string{id}))
}

// tell notes an event for who has to do with the node now.
func (e *edit) tell(n *node, ev event) error {
	v := &view{n: n}
	if err := v.around(e.tx); err != nil {
		return err
	}
	e.told = append(e.told, toTell{v, ev})
	return nil
}

var _ router.Edit = (*edit)(nil)

// sameAccess reports whether two configurations let the same people read.
func sameAccess(a, b *config) bool { return a.Access == b.Access && slices.Equal(a.Groups, b.Groups) }
