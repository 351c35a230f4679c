package pubsub

import (
	"context"
	"slices"

	"parley/router"
	"parley/xmpp"
)

// tell tells everybody who is to hear of an event. It is called in the turn of the owner, behind
// the commit, so all hear of all events in one order.
func (k *ask) tell(t *router.Turn, v *view, e event) { k.s.tell(t, k.h, v, e) }

// tell is the same for who has no request. XEP-0163 §4 says who is told.
func (s *Service) tell(t *router.Turn, h *home, v *view, e event) {
	if !v.n.cfg.Deliver {
		return
	}
	var told map[xmpp.JID]bool // by full and by bare address
	if len(v.subs) > 0 {
		told = map[xmpp.JID]bool{}
	}
	s.interested(t, h, v, func(to target) {
		st := e.plain
		if to.trusted {
			st = e.replyTo
		}
		if s.give(t, h, to, st) && told != nil {
			told[to.full], told[to.full.Bare()] = true, true
		}
	})
	for _, sub := range v.subs {
		waits := sub.state == subPending && e.pending
		if waits || sub.state == subYes && !told[sub.jid] && s.stillMay(h, v, sub) {
			s.send(t, h, e.plain, sub.jid)
		}
	}
}

// stillMay reports whether a subscription is good for what it was made for.
func (s *Service) stillMay(h *home, v *view, sub subscription) bool {
	w := s.view(context.Background(), h, sub.jid, sub.jid.Bare() == h.jid)
	w.n, w.affs, w.subs = v.n, v.affs, v.subs
	return w.mayRead() == nil
}

// A target is a resource that has said what it is interested in.
type target struct {
	full    xmpp.JID
	session router.Session // nil where it is one of another house
	trusted bool           // it may see the presence of the owner
}

// interested calls each for the resources that are interested in a node and may have it: those
// of the owner, those of whom the owner's presence is shown to (XEP-0060 §9.1), and those that
// have shown themselves.
func (s *Service) interested(t *router.Turn, h *home, v *view, each func(target)) {
	local := func(c *router.Account) {
		for _, res := range c.Resources() {
			if r := s.reader(res.Session); r != nil && r.takes(h.jid, v.n.name) {
				each(target{res.JID(), res.Session, true})
			}
		}
	}
	if h.account == nil {
		return // who wants to hear of it has subscribed
	}
	local(h.account)
	s.router.Watchers(t, h.account, func(bare xmpp.JID) {
		if s.router.Serves(bare.Domain()) && s.reaches(h, v, bare, true) {
			s.router.WithAccountInMemory(bare, local)
		}
	})
	for _, g := range s.guestsOf(h.jid, v.n.name) {
		trusted := s.router.Trusted(context.Background(), h.account, g.full)
		if (!trusted || g.session == nil) && s.reaches(h, v, g.full.Bare(), trusted) {
			each(target{g.full, g.session, trusted})
		}
	}
}

// reaches reports whether somebody who is not the owner is told of what is published without
// having subscribed. trusted says that they see the owner's presence.
func (s *Service) reaches(h *home, v *view, bare xmpp.JID, trusted bool) bool {
	return s.admits(h, &v.n.cfg, v.affs[bare], bare, trusted)
}

func (s *Service) admits(h *home, c *config, aff string, bare xmpp.JID, trusted bool) bool {
	switch aff {
	case affPublisher, affMember:
		return trusted || c.Access == accessOpen
	case affOutcast, affPublishOnly:
		return false
	}
	switch c.Access {
	case accessOpen: // XEP-0060 §9.1.3: also who is a guest
		return true
	case accessPresence:
		return trusted
	case accessRoster:
		if !trusted {
			return false
		}
		groups, err := s.router.Groups(context.Background(), h.account, bare)
		return err == nil && slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(c.Groups, g) })
	}
	return false
}

// give sends a notification to one resource, unless one side bars the other (XEP-0163 §4.3.3).
func (s *Service) give(t *router.Turn, h *home, to target, st *xmpp.Stanza) bool {
	st = st.Readdressed(to.full, st.From)
	own := to.full.Bare() == h.jid
	if !own && !s.maySend(h, st) {
		return false
	}
	s.stats.Notifications.Add(1)
	if to.session == nil {
		s.router.Deliver(&t.Round, st)
		return true
	}
	if !own && s.barred(st) {
		return false
	}
	return t.Push(to.session, st) == nil
}

// barred reports whether somebody of this house does not want to hear from the owner.
func (s *Service) barred(st *xmpp.Stanza) (barred bool) {
	s.router.WithAccountInMemory(st.To.Bare(), func(c *router.Account) { barred = s.router.MayGet(c, st) != nil })
	return barred
}

// send sends a notification to an address that has subscribed: to a resource, or, as a headline
// goes, to all of somebody's who take messages (RFC 6121 §8.5.2.1.1).
func (s *Service) send(t *router.Turn, h *home, st *xmpp.Stanza, to xmpp.JID) {
	st = st.Readdressed(to, st.From)
	if !s.router.Serves(to.Domain()) {
		s.give(t, h, target{full: to}, st)
		return
	}
	if st.Type == "" && to.IsBare() && !s.here(to) { // a message that is no headline may wait
		s.give(t, h, target{full: to}, st)
		return
	}
	s.router.WithAccountInMemory(to.Bare(), func(c *router.Account) {
		for _, res := range c.Resources() {
			if to.Resource() == res.JID().Resource() || to.IsBare() && res.Available() && res.Priority >= 0 {
				if c != h.account && (!s.maySend(h, st) || s.router.MayGet(c, st) != nil) {
					return
				}
				s.stats.Notifications.Add(1)
				t.Push(res.Session, st)
			}
		}
	})
}

// inform tells somebody what their subscription has become (XEP-0060 §12.14): those who are
// here at once, before what follows from it; others also when they come.
func (s *Service) inform(t *router.Turn, h *home, n *node, sub subscription) {
	st := subscriptionEvent(n, sub)
	if s.here(sub.jid) {
		s.send(t, h, st, sub.jid)
		return
	}
	if st = st.Readdressed(sub.jid, n.address); s.maySend(h, st) {
		s.router.Deliver(&t.Round, st)
	}
}

// here reports whether somebody of this house, or that resource, takes messages now.
func (s *Service) here(jid xmpp.JID) (here bool) {
	s.router.WithAccountInMemory(jid.Bare(), func(c *router.Account) {
		here = slices.ContainsFunc(c.Resources(), func(res router.Resource) bool {
			return res.Available() && res.Priority >= 0 && (jid.IsBare() || res.JID() == jid)
		})
	})
	return here
}

// toOwners tells the owners of a node something, or has it wait for them.
func (s *Service) toOwners(t *router.Turn, h *home, n *node, st *xmpp.Stanza) {
	owners := []xmpp.JID{h.jid}
	if h.account == nil {
		owners = s.ownersOf(t, n)
	}
	for _, jid := range owners {
		if s.here(jid) {
			s.send(t, h, st, jid)
		} else {
			s.router.Deliver(&t.Round, st.Readdressed(jid, h.jid))
		}
	}
}

// askOwner asks the owners whether somebody may subscribe.
func (s *Service) askOwner(t *router.Turn, h *home, n *node, sub subscription) {
	s.toOwners(t, h, n, request(n, sub))
}
