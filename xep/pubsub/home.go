package pubsub

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

// A home is where nodes are: an account, or a service with a domain of its own.
type home struct {
	id      int64    // the owner's number in the tables
	jid     xmpp.JID // where it is asked, and what its notifications come from
	account *router.Account
}

// of is the home of an account's nodes.
func of(a *router.Account) *home { return &home{id: a.ID, jid: a.JID, account: a} }

// maySend reports whether the owner lets st be sent.
func (s *Service) maySend(h *home, st *xmpp.Stanza) bool {
	return h.account == nil || s.router.MaySend(h.account, st) == nil
}

// amongOwners is the view of the nodes of a service: who sees the presence of one of a node's
// owners, or is in certain groups of theirs, is what a contact is to an account.
func (s *Service) amongOwners(ctx context.Context, v *view) {
	v.knows = func() bool { return true }
	each := func(fn func(*router.Account) bool) bool {
		for jid, aff := range v.affs {
			found := false
			if aff != affOwner || !s.router.Serves(jid.Domain()) {
				continue
			}
			err := s.router.WithAccount(ctx, jid, func(a *router.Account) error {
				found = a != nil && fn(a)
				return nil
			})
			if found && err == nil {
				return true
			}
		}
		return false
	}
	v.trusted = once(func() bool {
		return each(func(a *router.Account) bool { return s.router.Trusted(ctx, a, v.bare) })
	})
	v.groups = once(func() (list []string) {
		each(func(a *router.Account) bool {
			list = append(list, s.groupsOf(ctx, a, v.bare)...)
			return false
		})
		return list
	})
}
