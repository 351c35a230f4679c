package pubsub

import (
	"context"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A lastItem is the last item of a node, and who has to do with the node.
type lastItem struct {
	v  *view
	it item
}

// lastItems reads the last items of those nodes of an owner for which some says so, and which
// are sent to who comes online (XEP-0163 §4.3.4).
func (s *Service) lastItems(t *router.Turn, h *home, some func(name string) bool) (list []lastItem) {
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) error {
		list = nil
		all, err := nodesOf(tx, h.id)
		for _, n := range all {
			if err != nil {
				return err
			}
			if n.items == 0 || n.cfg.SendLast != lastPresence || !n.cfg.Deliver || !some(n.name) {
				continue
			}
			l := lastItem{v: &view{n: n}}
			found := false
			if l.it, found, err = last(tx, n); err == nil && found {
				err = l.v.around(tx)
				list = append(list, l)
			}
		}
		return err
	})
	if err != nil {
		s.log.Error("what was published last cannot be read", "account", h.jid.String(), "error", err)
	}
	return list
}

// offer gives a resource the last items of the nodes that it has come to be interested in, as
// far as it may have them. It is called in the turn of the owner.
func (s *Service) offer(t *router.Turn, h *home, to target, fresh func(name string) bool) {
	bare := to.full.Bare()
	own := bare == h.jid
	to.trusted = own || s.router.Trusted(context.Background(), h.account, bare)
	for _, l := range s.lastItems(t, h, fresh) {
		if own || s.reaches(h, l.v, bare, to.trusted) {
			s.giveLast(t, h, to, l)
		}
	}
}

func (s *Service) giveLast(t *router.Turn, h *home, to target, l lastItem) {
	e := s.event(l.v.n, []item{l.it}, true)
	st := e.plain
	if to.trusted {
		st = e.replyTo
	}
	s.give(t, h, to, st)
}

// welcome gives a new subscriber the last item of a node (XEP-0060 §6.1.7).
func (s *Service) welcome(t *router.Turn, h *home, n *node, to xmpp.JID) {
	if it, ok := s.lastOf(t, h, n); ok {
		s.send(t, h, s.event(n, []item{it}, true).plain, to)
	}
}

// lastOf reads the last item of one node.
func (s *Service) lastOf(t *router.Turn, h *home, n *node) (it item, ok bool) {
	if !n.cfg.Deliver {
		return it, false
	}
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		it, ok, err = last(tx, n)
		return err
	})
	if err != nil {
		s.log.Error("what was published last cannot be read", "account", h.jid.String(), "error", err)
	}
	return it, ok && err == nil
}

// reopened gives those the last item of a node who may have it since its configuration has
// changed (XEP-0060 §12.2).
func (s *Service) reopened(t *router.Turn, h *home, v *view, was *config) {
	if v.n.cfg.SendLast != lastPresence || sameAccess(&v.n.cfg, was) {
		return
	}
	it, ok := s.lastOf(t, h, v.n)
	if !ok {
		return
	}
	s.interested(t, h, v, func(to target) {
		bare := to.full.Bare()
		if bare != h.jid && !s.admits(h, was, v.affs[bare], bare, to.trusted) {
			s.giveLast(t, h, to, lastItem{v, it})
		}
	})
}

// admitted gives a new contact of the owner what was published last, and ends the subscriptions
// of one who is none any more to what was for contacts (XEP-0163 §7.1).
func (s *Service) admitted(t *router.Turn, a *router.Account, bare xmpp.JID, now bool) {
	h := of(a)
	if !now {
		s.expel(t, h, bare)
		return
	}
	if s.router.Serves(bare.Domain()) {
		s.router.WithAccountInMemory(bare, func(c *router.Account) {
			for _, res := range c.Resources() {
				if r := s.reader(res.Session); r != nil {
					s.offer(t, h, target{full: res.JID(), session: res.Session}, func(name string) bool { return r.takes(h.jid, name) })
				}
			}
		})
		return
	}
	for _, g := range s.guestsOf(h.jid, "") {
		if g.full.Bare() != bare {
			continue
		}
		to := target{full: g.full, trusted: true}
		for _, l := range s.lastItems(t, h, g.wants) {
			if l.v.n.cfg.Access != accessOpen && s.reaches(h, l.v, bare, true) { // what is open it has had
				s.giveLast(t, h, to, l)
			}
		}
	}
}

// expel ends subscriptions of somebody who may not see the owner's presence any more.
func (s *Service) expel(t *router.Turn, h *home, bare xmpp.JID) {
	type ended struct {
		n   *node
		sub subscription
	}
	var list []ended
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) error {
		list = nil
		all, err := nodesOf(tx, h.id)
		for _, n := range all {
			if n.cfg.Access != accessPresence && n.cfg.Access != accessRoster {
				continue
			}
			subs, err := subscriptions(tx, n.id)
			if err != nil {
				return err
			}
			for _, sub := range subs {
				if sub.jid.Bare() == bare {
					list = append(list, ended{n, subscription{sub.jid, sub.subid, subNone}})
				}
			}
		}
		return err
	})
	if err == nil && len(list) > 0 {
		err = t.Write(context.Background(), func(tx *storage.Tx) error {
			for _, e := range list {
				if err := subscribe(tx, e.n.id, e.sub); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		s.log.Error("subscriptions were not ended; what is published is not sent to them", "account", h.jid.String(), "error", err)
		return
	}
	for _, e := range list {
		s.inform(t, h, e.n, e.sub)
	}
}
