package router

import (
	"slices"
	"strings"

	"parley/xmpp"
)

// Joined tells the features that an account has been made. Whoever makes one calls it, when
// the Directory knows of the account.
func (r *Router) Joined(bare xmpp.JID) {
	for _, f := range r.features {
		if f.Joined != nil {
			f.Joined(bare)
		}
	}
}

// Everybody has each account in memory for which some says so take a turn, one after the
// other, and does not wait for them: what concerns all leaves room between for what
// concerns one. An account that comes into memory meanwhile may be left out.
func (r *Router) Everybody(some func(*Account) bool, turn func(*Turn, *Account)) {
	r.working.add(1)
	go func() {
		defer r.working.add(-1)
		for i := range r.accounts.parts {
			for _, a := range r.accounts.parts[i].pinned(some) {
				a.inbox.insist(func(t *Turn) {
					if !a.gone.Load() {
						turn(t, a)
					}
				})
				a.pins.Add(-1)
			}
		}
	}()
}

// pinned returns the accounts of which some says so, in the order of their addresses.
func (p *accountPart) pinned(some func(*Account) bool) (list []*Account) {
	p.mu.Lock()
	for _, a := range p.m {
		list = append(list, a)
		a.pins.Add(1)
	}
	p.mu.Unlock()
	list = slices.DeleteFunc(list, func(a *Account) bool {
		if some(a) {
			return false
		}
		a.pins.Add(-1)
		return true
	})
	slices.SortFunc(list, func(a, b *Account) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return list
}
