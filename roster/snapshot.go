package roster

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"parley/xmpp"
)

// What the shared groups may hold.
const (
	maxPeople = 20000 // in all groups together; who comes after that by address is left out
	maxLists  = 256   // of different content that are remembered
	maxTexts  = 16    // of these, as they are sent
)

// A snapshot is the shared groups and their people at one time. Nothing of it changes but
// what is remembered.
type snapshot struct {
	groups []sharedGroup // ordered by name
	people []Person      // ordered by address
	lost   int           // people for whom there was no room

	mu    sync.Mutex             // a leaf
	lists map[string]*sharedList // by what their users have to do with which group
	texts []*sharedList          // those that were written last
}

type sharedGroup struct {
	name           string
	members, shown set
}

// A set is people and domains.
type set map[string]bool

func setOf(list []xmpp.JID) set {
	s := make(set, len(list))
	for _, j := range list {
		s[j.String()] = true
	}
	return s
}

func (s set) has(jid xmpp.JID) bool { return s[jid.Domain()] || s[jid.String()] }

// newSnapshot makes a snapshot; people need no order.
func newSnapshot(groups []SharedGroup, people []Person) *snapshot {
	s := &snapshot{lists: map[string]*sharedList{}}
	for _, g := range groups {
		s.groups = append(s.groups, sharedGroup{g.Name, setOf(g.Members), setOf(g.ShownTo)})
	}
	slices.SortFunc(s.groups, func(a, b sharedGroup) int { return cmp.Compare(a.name, b.name) })
	people = slices.DeleteFunc(people, func(p Person) bool { return !s.concerns(p.JID) })
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	s.people = slices.CompactFunc(people, func(a, b Person) bool { return a.JID == b.JID })
	s.bound()
	return s
}

func (s *snapshot) bound() {
	if n := len(s.people) - maxPeople; n > 0 {
		s.people, s.lost = s.people[:maxPeople], n
	}
}

// domains are those whose people are wanted.
func domains(groups []SharedGroup) []string {
	var list []string
	for _, g := range groups {
		for _, j := range slices.Concat(g.Members, g.ShownTo) {
			list = append(list, j.Domain())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// concerns reports whether any group names an address.
func (s *snapshot) concerns(jid xmpp.JID) bool {
	return slices.ContainsFunc(s.groups, func(g sharedGroup) bool { return g.members.has(jid) || g.shown.has(jid) })
}

func (s *snapshot) find(jid xmpp.JID) (int, bool) {
	return slices.BinarySearchFunc(s.people, jid, func(p Person, j xmpp.JID) int {
		return strings.Compare(p.JID.String(), j.String())
	})
}

// with returns the snapshot with one person more, or under another name.
func (s *snapshot) with(p Person) *snapshot {
	i, found := s.find(p.JID)
	if !s.concerns(p.JID) || found && s.people[i] == p {
		return s
	}
	people := make([]Person, 0, len(s.people)+1)
	people = append(people, s.people[:i]...)
	people = append(people, p)
	if found {
		i++
	}
	next := &snapshot{groups: s.groups, people: append(people, s.people[i:]...), lists: map[string]*sharedList{}}
	next.bound()
	return next
}

// without returns the snapshot with one person less.
func (s *snapshot) without(jid xmpp.JID) *snapshot {
	i, found := s.find(jid)
	if !found {
		return s
	}
	people := slices.Concat(s.people[:i], s.people[i+1:])
	return &snapshot{groups: s.groups, people: people, lists: map[string]*sharedList{}}
}

// What somebody has to do with a group.
const (
	isMember  = 1 << iota // is in it
	isShownIt             // has it in the roster
)

// list returns what the groups put into somebody's roster; nil where that is nothing.
func (s *snapshot) list(jid xmpp.JID) *sharedList {
	if len(s.groups) == 0 {
		return nil
	}
	if _, found := s.find(jid); !found {
		return nil
	}
	parts := make([]byte, len(s.groups))
	for i, g := range s.groups {
		if g.members.has(jid) {
			parts[i] |= isMember
		}
		if g.shown.has(jid) {
			parts[i] |= isShownIt
		}
	}
	s.mu.Lock()
	l := s.lists[string(parts)]
	s.mu.Unlock()
	if l != nil {
		return l
	}
	l = s.build(parts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.lists[string(parts)]; first != nil {
		return first
	}
	if len(s.lists) >= maxLists {
		clear(s.lists)
	}
	s.lists[string(parts)] = l
	return l
}

// build makes the list of all who have these parts in the groups.
func (s *snapshot) build(parts []byte) *sharedList {
	l := &sharedList{people: s.people}
	known := map[string]uint16{}
	mask := make([]byte, len(parts))
	for who := range s.people {
		c := sharedContact{who: int32(who)}
		jid := s.people[who].JID
		for i, g := range s.groups {
			sees := parts[i]&isShownIt != 0 && g.members.has(jid)
			c.sees = c.sees || sees
			c.seen = c.seen || parts[i]&isMember != 0 && g.shown.has(jid)
			mask[i] = 0
			if sees {
				mask[i] = 1
			}
		}
		if !c.sees && !c.seen {
			continue
		}
		n, ok := known[string(mask)]
		if !ok {
			n = uint16(len(l.groups))
			known[string(mask)] = n
			l.groups = append(l.groups, s.names(mask))
		}
		c.groups = n
		l.contacts = append(l.contacts, c)
	}
	return l.seal()
}

func (s *snapshot) names(mask []byte) []string {
	var list []string
	for i, m := range mask {
		if m != 0 {
			list = append(list, s.groups[i].name)
		}
	}
	return list
}

// written returns a list as it is sent, and forgets the texts of those that were not
// wanted for longest.
func (s *snapshot) written(l *sharedList) *sharedText {
	text := l.written()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.texts, l) {
		if len(s.texts) >= maxTexts {
			s.texts[0].text.Store(nil)
			s.texts = append(s.texts[:0], s.texts[1:]...)
		}
		s.texts = append(s.texts, l)
	}
	return text
}
