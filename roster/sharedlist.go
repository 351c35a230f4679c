package roster

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"parley/xmpp"
)

// A sharedList is what the shared groups put into a roster: one list for all who are shown
// the same groups and are in the same ones, so they are in it themselves. It never changes.
// The nil list is empty.
type sharedList struct {
	people   []Person // all of the snapshot, which contacts point into
	contacts []sharedContact
	groups   [][]string // the sets of group names that contacts have
	sum      digest

	text  atomic.Pointer[sharedText]
	moved atomic.Pointer[movement]
}

// A sharedContact is one contact of such a list, ordered by address.
type sharedContact struct {
	who    int32  // index in people
	groups uint16 // index in groups
	sees   bool   // the user is subscribed to the contact
	seen   bool   // the contact is subscribed to the user
}

// subscription is the attribute that says so (RFC 6121 §2.1.2.5).
func (c sharedContact) subscription() string { return subscription(c.sees, c.seen) }

func subscription(sees, seen bool) string {
	switch {
	case sees && seen:
		return "both"
	case sees:
		return "to"
	case seen:
		return "from"
	}
	return "none"
}

func (l *sharedList) len() int {
	if l == nil {
		return 0
	}
	return len(l.contacts)
}

// like reports whether two lists say the same.
func (l *sharedList) like(other *sharedList) bool {
	return l == other || l.len() == other.len() && (l.len() == 0 || l.sum == other.sum)
}

func (l *sharedList) jid(i int) xmpp.JID { return l.people[l.contacts[i].who].JID }

// find returns what the list says of an address; the zero contact where it says nothing.
func (l *sharedList) find(jid xmpp.JID) (c sharedContact, found bool) {
	i, found := l.search(jid)
	if found {
		c = l.contacts[i]
	}
	return c, found
}

func (l *sharedList) search(jid xmpp.JID) (int, bool) {
	if l == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(l.contacts, jid, func(c sharedContact, j xmpp.JID) int {
		return strings.Compare(l.people[c.who].JID.String(), j.String())
	})
}

// merged returns a contact as clients are shown it: what the user has of it, if it is
// listed, and what the groups say. found is false where there is neither.
func (l *sharedList) merged(it Item, listed bool) (Item, bool) {
	c, shared := l.find(it.JID)
	if !shared {
		return it, listed
	}
	if !listed {
		it = Item{JID: it.JID, Subscription: "none"}
	}
	own := stateOf(it.Subscription, it.Ask, false)
	sees := own.seesContact() || c.sees
	it.Subscription = subscription(sees, own.seenByContact() || c.seen)
	if sees {
		it.Ask = ""
	}
	if it.Name == "" {
		it.Name = l.people[c.who].Name
	}
	it.Groups = append(slices.Clone(l.groups[c.groups]), l.ownGroups(it)...)
	return it, true
}

// ownGroups are the groups of an item without those that it has from here.
func (l *sharedList) ownGroups(it Item) []string {
	own := []string{}
	c, shared := l.find(it.JID)
	for _, g := range it.Groups {
		if !shared || !slices.Contains(l.groups[c.groups], g) {
			own = append(own, g)
		}
	}
	return own
}

// own returns an item as the user means it: what a client repeats of a shared contact is
// not the user's own, and changes with the groups.
func (l *sharedList) own(it Item) Item {
	if c, shared := l.find(it.JID); shared {
		it.Groups = l.ownGroups(it)
		if it.Name == l.people[c.who].Name {
			it.Name = ""
		}
	}
	return it
}

// A digest is the sum of a hash of each contact: who is taken out is subtracted.
type digest [2]uint64

// digest is that of one contact.
func (l *sharedList) digest(c sharedContact) digest {
	p := l.people[c.who]
	text := make([]byte, 0, 256)
	for _, s := range []string{p.JID.String(), p.Name, c.subscription()} {
		text = append(append(text, s...), 0)
	}
	for _, g := range l.groups[c.groups] {
		text = append(append(text, g...), 0)
	}
	sum := sha256.Sum256(text)
	return digest{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}
}

// seal computes the digest of the list.
func (l *sharedList) seal() *sharedList {
	for _, c := range l.contacts {
		d := l.digest(c)
		l.sum[0] += d[0]
		l.sum[1] += d[1]
	}
	return l
}

// version names the content of a list for one user, who does not see themselves: the same
// for the same content, also after a restart, and "" where there is nobody else.
func (l *sharedList) version(user xmpp.JID) string {
	c, self := l.find(user)
	if l.len() == 0 || self && l.len() == 1 {
		return ""
	}
	sum := l.sum
	if self {
		d := l.digest(c)
		sum[0] -= d[0]
		sum[1] -= d[1]
	}
	return fmt.Sprintf("%016x%016x", sum[0], sum[1])
}

// A sharedText is a list as it is sent, and where each contact ends in it.
type sharedText struct {
	xml  []byte
	ends []int32
}

// written returns the list as it is sent. It is kept until drop.
func (l *sharedList) written() *sharedText {
	if t := l.text.Load(); t != nil {
		return t
	}
	t := &sharedText{ends: make([]int32, 0, len(l.contacts))}
	for _, c := range l.contacts {
		var b xmpp.Builder
		Item{JID: l.people[c.who].JID, Name: l.people[c.who].Name, Subscription: c.subscription(), Groups: l.groups[c.groups]}.write(&b)
		t.xml = append(t.xml, b.Payload()...)
		t.ends = append(t.ends, int32(len(t.xml)))
	}
	l.text.Store(t)
	return t
}

// between returns the contacts from the i-th to before the j-th as they are sent.
func (t *sharedText) between(i, j int) xmpp.Payload {
	from, to := int32(0), int32(0)
	if i > 0 {
		from = t.ends[i-1]
	}
	if j > 0 {
		to = t.ends[j-1]
	}
	return t.xml[from:max(from, to)]
}

// A shift is a contact that is not the same in two lists.
type shift struct {
	jid      xmpp.JID
	was, now sharedContact
}

// A movement is how a list came from another.
type movement struct {
	from   *sharedList
	shifts []shift
}

// since returns what is not as in an older list, ordered by address. Many accounts have the
// same two lists, so the last answer is kept.
func (l *sharedList) since(old *sharedList) []shift {
	if l.like(old) {
		return nil
	}
	if l != nil {
		if m := l.moved.Load(); m != nil && m.from == old {
			return m.shifts
		}
	}
	var shifts []shift
	for i, j := 0, 0; i < old.len() || j < l.len(); {
		order := 0
		switch {
		case i >= old.len():
			order = 1
		case j >= l.len():
			order = -1
		default:
			order = strings.Compare(old.jid(i).String(), l.jid(j).String())
		}
		switch {
		case order < 0:
			shifts = append(shifts, shift{jid: old.jid(i), was: old.contacts[i]})
			i++
		case order > 0:
			shifts = append(shifts, shift{jid: l.jid(j), now: l.contacts[j]})
			j++
		default:
			if !l.same(j, old, i) {
				shifts = append(shifts, shift{l.jid(j), old.contacts[i], l.contacts[j]})
			}
			i++
			j++
		}
	}
	if l != nil {
		l.moved.Store(&movement{old, shifts})
	}
	return shifts
}

func (l *sharedList) same(j int, old *sharedList, i int) bool {
	a, b := l.contacts[j], old.contacts[i]
	return a.sees == b.sees && a.seen == b.seen && l.people[a.who].Name == old.people[b.who].Name &&
		slices.Equal(l.groups[a.groups], old.groups[b.groups])
}
