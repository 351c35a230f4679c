package blocking

import (
	"cmp"
	"maps"
	"slices"

	"parley/router"
	"parley/xmpp"
)

// A list is whom one account blocks. It does not change once it is the account's; a nil
// list blocks nobody.
type list struct {
	jids  map[xmpp.JID]bool
	bytes int              // of all addresses
	asked []router.Session // devices that hear of changes
}

// has reports whether an address is blocked (XEP-0191 §6): user@domain/resource and
// domain/resource block that one alone, user@domain blocks all resources, domain blocks
// itself and all that is at it.
func (l *list) has(j xmpp.JID) bool {
	if l == nil || len(l.jids) == 0 || j.IsZero() {
		return false
	}
	return l.jids[j] || l.jids[j.Bare()] || l.jids[j.Host()]
}

// keepsOut is has, but for those whom an account cannot block.
func (l *list) keepsOut(a *router.Account, peer xmpp.JID) bool {
	return l.has(peer) && peer.Bare() != a.JID && peer != a.JID.Host()
}

// copy returns a list that may be changed, without the devices that are gone.
func (l *list) copy(a *router.Account) *list {
	c := &list{jids: map[xmpp.JID]bool{}}
	if l == nil {
		return c
	}
	maps.Copy(c.jids, l.jids)
	c.bytes = l.bytes
	for _, res := range a.Resources() {
		if slices.Contains(l.asked, res.Session) {
			c.asked = append(c.asked, res.Session)
		}
	}
	return c
}

func (l *list) add(j xmpp.JID) {
	if !l.jids[j] {
		l.jids[j] = true
		l.bytes += len(j.String())
	}
}

func (l *list) remove(j xmpp.JID) {
	if l.jids[j] {
		delete(l.jids, j)
		l.bytes -= len(j.String())
	}
}

func (l *list) sorted() []xmpp.JID {
	return slices.SortedFunc(maps.Keys(l.jids), func(a, b xmpp.JID) int { return cmp.Compare(a.String(), b.String()) })
}
