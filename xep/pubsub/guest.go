package pubsub

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A guest is a resource that has shown its presence to an account: one of another house, or one
// of this house that has no subscription (XEP-0060 §9.1.3).
type guest struct {
	full      xmpp.JID
	session   router.Session // nil where it is one of another house
	said      *xmpp.Stanza   // of its presence, what it can do
	interests []string       // that it has had the last items of; changed in turns of the account
}

// wants reports whether the guest is interested in a node.
func (g guest) wants(name string) bool { return slices.Contains(g.interests, name) }

// guestsOf returns the guests of an account who are interested in a node; "" stands for any.
func (s *Service) guestsOf(owner xmpp.JID, name string) (list []guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests[owner] {
		if len(g.interests) > 0 && (name == "" || g.wants(name)) {
			list = append(list, *g)
		}
	}
	return list
}

// shows looks at presence for an account from elsewhere, and at anybody's who goes.
func (s *Service) shows(_ *router.Round, st *xmpp.Stanza) {
	switch {
	case st.Type == "unavailable":
		s.leaves(st.To, st.From)
	case st.From.Resource() != "" && !s.router.Serves(st.From.Domain()):
		s.arrives(st, nil)
	}
}

// shares looks at presence that a client of this house has sent to an account alone.
func (s *Service) shares(_ *router.Round, st *xmpp.Stanza) {
	s.router.WithAccountInMemory(st.From.Bare(), func(c *router.Account) {
		if res, ok := c.Resource(st.From.Resource()); ok && s.reader(res.Session) != nil {
			s.arrives(st, res.Session)
		}
	})
}

// arrives notes a guest. What it is interested in is found out beside, and what was published
// last at these nodes it is given then.
func (s *Service) arrives(st *xmpp.Stanza, session router.Session) {
	said := abilities(st)
	if said == nil && session == nil {
		return
	}
	g := &guest{full: st.From, session: session, said: said}
	s.mu.Lock()
	list := s.guests[st.To]
	was := list[st.From]
	switch {
	case was != nil && was.session == session && (session != nil || bytes.Equal(was.said.Body(), said.Body())):
		s.mu.Unlock()
		return // it has said so before
	case s.waiting >= maxWaiting, was == nil && (len(list) >= maxGuests || s.all >= maxAllGuests):
		s.mu.Unlock()
		s.stats.Guests.Add(1)
		return
	case was != nil:
		g.interests = was.interests
	default:
		s.all++
	}
	if list == nil {
		list = map[xmpp.JID]*guest{}
		s.guests[st.To] = list
	}
	list[st.From] = g
	s.waiting++
	s.mu.Unlock()
	s.router.Beside(func() { s.receive(st.To, g) })
}

// abilities is what of a presence says what its sender can do (XEP-0115, XEP-0390); nil where
// it does not.
func abilities(st *xmpp.Stanza) *xmpp.Stanza {
	var p xmpp.Payload
	for _, ns := range []string{"http://jabber.org/protocol/caps", "urn:xmpp:caps"} {
		if e := st.Child(ns, "c"); !e.IsZero() {
			p = append(p, e.Payload()...)
		}
	}
	if p == nil {
		return nil
	}
	out := xmpp.NewStanza(xmpp.Presence, p)
	out.From, out.To = st.From, st.To
	return out
}

// receive finds out whether there is such an account and what the guest is interested in.
func (s *Service) receive(owner xmpp.JID, g *guest) {
	s.lookers <- struct{}{}
	defer func() {
		<-s.lookers
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	err := s.router.WithAccount(context.Background(), owner, func(a *router.Account) error {
		if a == nil || g.session == nil && s.router.MayGet(a, g.said) != nil {
			s.leaves(owner, g.full)
			return nil
		}
		if g.session != nil {
			if r := s.reader(g.session); r != nil {
				r.mu.Lock()
				names := r.interests
				r.mu.Unlock()
				s.entertain(a, g, names)
			}
			return nil
		}
		a.Hold()
		if features, known := s.router.Capabilities(g.full, g.said); known {
			s.entertain(a, g, interests(features))
			a.Release()
			return nil
		}
		s.router.Inquire(a, g.said, func(features []string) { s.entertain(a, g, interests(features)) })
		a.Release()
		return nil
	})
	if err != nil {
		s.log.Warn("what somebody is interested in was not found out", "account", owner.String(), "error", err)
	}
}

// entertain has the owner take a turn in which the guest is given what was published last.
func (s *Service) entertain(a *router.Account, g *guest, names []string) {
	err := a.Post(func(t *router.Turn) {
		var fresh []string
		s.mu.Lock()
		there := s.guests[a.JID][g.full] == g
		if there {
			for _, name := range names {
				if !g.wants(name) {
					fresh = append(fresh, name)
				}
			}
			g.interests = names
		}
		s.mu.Unlock()
		if len(fresh) == 0 || g.session != nil && s.router.Trusted(context.Background(), a, g.full) {
			return // a contact of this house hears as one
		}
		s.offer(t, of(a), target{full: g.full, session: g.session}, func(name string) bool { return slices.Contains(fresh, name) })
	})
	if err != nil {
		s.log.Warn("the last items were not sent", "account", a.JID.String(), "to", g.full.String(), "error", err)
	}
}

// leaves forgets a guest.
func (s *Service) leaves(owner, full xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.guests[owner]
	if list[full] == nil {
		return
	}
	delete(list, full)
	s.all--
	if len(list) == 0 {
		delete(s.guests, owner)
	}
}

// distant forgets the guests of a domain that cannot be reached; it shows them again when it
// can.
func (s *Service) distant(local, remote string, reached bool) {
	if reached {
		return
	}
	s.mu.Lock()
	var gone []guest
	for owner, list := range s.guests {
		for full := range list {
			if owner.Domain() == local && full.Domain() == remote {
				gone = append(gone, guest{full: full, said: &xmpp.Stanza{To: owner}})
			}
		}
	}
	s.mu.Unlock()
	for _, g := range gone {
		s.leaves(g.said.To, g.full)
	}
}

// returned takes notifications that come back (XEP-0060 §12.4): no client of the account has
// sent them, so none hears of it. Where nobody will ever take them, nobody is told any more.
func (s *Service) returned(p *router.Passage) *xmpp.Error {
	st := p.Stanza
	if st.Type != "error" || !st.To.IsBare() || p.Recipient == nil || !strings.HasPrefix(st.ID, eventID) || st.From.Bare() == st.To {
		return nil
	}
	p.Swallow()
	if !bounced(st) {
		return nil
	}
	s.leaves(st.To, st.From)
	a := p.Recipient
	err := a.Post(func(t *router.Turn) {
		err := t.Write(context.Background(), func(tx *storage.Tx) error { return lose(tx, a.ID, st.From) })
		if err != nil {
			s.log.Warn("a subscription was not ended", "account", a.JID.String(), "error", err)
		}
	})
	if err != nil {
		s.log.Debug("a notification that has come back was not looked at", "account", a.JID.String(), "error", err)
	}
	return nil
}
