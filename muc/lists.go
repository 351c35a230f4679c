package muc

import (
	"slices"
	"strings"

	"parley/xmpp"
)

// lists are who is what to a room, by bare address or domain (XEP-0045 §5.2).
type lists struct {
	by    map[xmpp.JID]entry
	nicks map[string]xmpp.JID // reserved, by key

	absentees *absentees // made of these; nil: it is to be made
}

// An entry is one line of the lists.
type entry struct {
	aff    affiliation
	nick   string // reserved (XEP-0045 §7.10)
	reason string
	notify level // of what a member is told who is not there
}

func (l *lists) init() {
	l.by, l.nicks, l.absentees = map[xmpp.JID]entry{}, map[string]xmpp.JID{}, nil
}

// of returns what somebody is to the room: by the bare address, or by its domain.
func (l *lists) of(j xmpp.JID) affiliation {
	if e, ok := l.by[j.Bare()]; ok {
		return e.aff
	}
	if e, ok := l.by[j.Host()]; ok {
		return e.aff
	}
	return none
}

func (l *lists) set(j xmpp.JID, e entry) {
	l.absentees = nil
	if was := l.by[j]; was.nick != "" {
		delete(l.nicks, key(was.nick))
	}
	if e.aff == none && e.nick == "" {
		delete(l.by, j)
		return
	}
	l.by[j] = e
	if e.nick != "" {
		l.nicks[key(e.nick)] = j
	}
}

// reservedBy returns who has reserved a nickname; the zero JID where nobody has.
func (l *lists) reservedBy(nick string) xmpp.JID { return l.nicks[key(nick)] }

// with returns who has an affiliation, in the order of the addresses.
func (l *lists) with(a affiliation) (list []xmpp.JID) {
	for j, e := range l.by {
		if e.aff == a {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
	return list
}
