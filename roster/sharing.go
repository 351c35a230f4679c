package roster

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"parley/router"
	"parley/xmpp"
)

// sharing keeps the shared groups as they are now, and who of their people is there.
type sharing struct {
	dir    Directory // nil: there are no shared groups
	log    *slog.Logger
	router *router.Router
	tell   func(*router.Turn, *router.Account) // brings an account up to date

	now atomic.Pointer[snapshot]

	mu      sync.Mutex // a leaf
	changes uint64     // of now
	there   map[xmpp.JID]struct{}
}

// start reads the groups, and listens for changes.
func (s *sharing) start() {
	s.there = map[xmpp.JID]struct{}{}
	s.now.Store(newSnapshot(nil, nil))
	if s.dir == nil {
		return
	}
	s.dir.Watch(s.changed)
	if err := s.read(); err != nil {
		s.log.Error("the shared groups cannot be read; there are none until the next reload", "error", err)
	}
}

// list returns what the groups put into somebody's roster.
func (s *sharing) list(jid xmpp.JID) *sharedList { return s.now.Load().list(jid) }

// changed takes over a change of the directory, and has everybody told who is connected.
func (s *sharing) changed(who xmpp.JID) {
	var err error
	if who.IsZero() {
		err = s.read()
	} else {
		err = s.readOne(who)
	}
	if err != nil {
		s.log.Error("a change of the shared groups was not taken over", "error", err)
	}
}

// joined is a new account.
func (s *sharing) joined(who xmpp.JID) {
	if s.now.Load().concerns(who) {
		s.changed(who)
	}
}

// read reads all of the directory. A person who comes or goes meanwhile is not missed.
func (s *sharing) read() error {
	for {
		s.mu.Lock()
		before := s.changes
		s.mu.Unlock()
		groups := s.dir.Groups()
		var people []Person
		for _, d := range domains(groups) {
			if err := s.dir.People(context.Background(), d, func(p Person) { people = append(people, p) }); err != nil {
				return err
			}
		}
		next := newSnapshot(groups, people)
		if s.replace(func(_ *snapshot, changes uint64) *snapshot {
			if changes != before {
				return nil
			}
			return next
		}) {
			return nil
		}
	}
}

func (s *sharing) readOne(who xmpp.JID) error {
	p, found, err := s.dir.Person(context.Background(), who)
	if err != nil {
		return err
	}
	s.replace(func(now *snapshot, _ uint64) *snapshot {
		if !found {
			return now.without(who)
		}
		return now.with(p)
	})
	return nil
}

// left is an account that is about to be removed. The caller shows that it goes, and calls
// announce then.
func (s *sharing) left(who xmpp.JID) (announce func()) {
	was := s.now.Load()
	s.swap(func(now *snapshot, _ uint64) *snapshot { return now.without(who) })
	if s.now.Load() == was {
		return func() {}
	}
	return s.announce
}

// replace puts another snapshot in place of the one that there is, unless next returns nil,
// and has everybody told whose list may have changed.
func (s *sharing) replace(next func(now *snapshot, changes uint64) *snapshot) bool {
	was := s.now.Load()
	ok := s.swap(next)
	if now := s.now.Load(); now != was && len(now.groups)+len(was.groups) > 0 {
		s.announce()
	}
	return ok
}

// announce has everybody who is connected take a turn that tells them.
func (s *sharing) announce() {
	s.router.Everybody(func(a *router.Account) bool {
		return len(a.Resources()) > 0 || a.Data(s) != nil
	}, s.tell)
}

// swap is replace, and tells nobody.
func (s *sharing) swap(next func(now *snapshot, changes uint64) *snapshot) bool {
	s.mu.Lock()
	was := s.now.Load()
	now := next(was, s.changes)
	if now == nil {
		s.mu.Unlock()
		return false
	}
	s.changes++
	s.now.Store(now)
	s.mu.Unlock()
	if now != was && now.lost > 0 {
		s.log.Warn("there are too many people in shared groups; some are left out", "limit", maxPeople, "left_out", now.lost)
	}
	return true
}

// told returns the list that an account's clients know of. Only its turns may ask.
func (s *sharing) told(a *router.Account) *sharedList {
	l, _ := a.Data(s).(*sharedList)
	return l
}

// note remembers what the clients have been told. Only in a turn of the account.
func (s *sharing) note(a *router.Account, l *sharedList) {
	switch {
	case l.len() > 0:
		if s.told(a) != l {
			a.SetData(s, l)
		}
	case a.Data(s) != nil:
		a.SetData(s, nil)
	}
}

// attend says whether somebody in shared groups is available.
func (s *sharing) attend(jid xmpp.JID, here bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if here {
		s.there[jid] = struct{}{}
	} else {
		delete(s.there, jid)
	}
}

func (s *sharing) attends(jid xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.there[jid]
	return here
}

// present calls each for everybody in a list who is available, but for the user: it walks
// the list, or those who are there, whatever is shorter.
func (s *sharing) present(l *sharedList, user xmpp.JID, each func(xmpp.JID, sharedContact)) {
	if l.len() == 0 {
		return
	}
	s.mu.Lock()
	few := len(s.there) < l.len()
	var here []xmpp.JID
	if few {
		here = slices.AppendSeq(make([]xmpp.JID, 0, len(s.there)), maps.Keys(s.there))
	}
	s.mu.Unlock()
	if few {
		for _, jid := range here {
			if c, found := l.find(jid); found && jid != user {
				each(jid, c)
			}
		}
		return
	}
	for i, c := range l.contacts {
		if jid := l.jid(i); jid != user && s.attends(jid) {
			each(jid, c)
		}
	}
}
