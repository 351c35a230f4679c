package pubsub

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// notify stands behind the name of a node among the features of who is interested in it
// (XEP-0060 §9.2).
const notify = "+notify"

// A reader is a resource of this house that has said what it is interested in.
type reader struct {
	session router.Session

	mu        sync.Mutex // a leaf
	interests []string
	waves     []*wave
}

// A wave brings a reader the last items of nodes that it has come to be interested in, of all
// whose presence it may see. Until an owner's turn has given them, what that owner publishes at
// these nodes is left to it.
type wave struct {
	fresh   []string
	pending map[xmpp.JID]bool // owners; true: something was left to the wave
}

// interests are the nodes that somebody with these features is interested in.
func interests(features []string) (names []string) {
	for _, f := range features {
		if name, ok := strings.CutSuffix(f, notify); ok && name != "" && len(names) < maxInterests {
			names = append(names, name)
		}
	}
	return names
}

// takes reports whether the reader is to be told now of what an owner has published at a node.
func (r *reader) takes(owner xmpp.JID, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.interests, name) {
		return false
	}
	for _, w := range r.waves {
		if _, pending := w.pending[owner]; pending && slices.Contains(w.fresh, name) {
			w.pending[owner] = true
			return false
		}
	}
	return true
}

// reader returns what a session is interested in, nil where that is not known.
func (s *Service) reader(session router.Session) *reader {
	r, _ := s.readers.Load(session)
	found, _ := r.(*reader)
	return found
}

// known learns what a resource is interested in, and sees to it that it hears what was published
// last at nodes that it was not interested in before (XEP-0163 §4.3.3).
func (s *Service) known(t *router.Turn, a *router.Account, res router.Resource, features []string) {
	names := interests(features)
	r := s.reader(res.Session)
	if r == nil {
		if len(names) == 0 {
			return
		}
		r = &reader{session: res.Session}
		s.readers.Store(res.Session, r)
	}
	r.mu.Lock()
	w := &wave{pending: map[xmpp.JID]bool{}}
	for _, name := range names {
		if !slices.Contains(r.interests, name) {
			w.fresh = append(w.fresh, name)
		}
	}
	r.mu.Unlock()
	if len(w.fresh) > 0 {
		s.router.Watched(t, a, func(bare xmpp.JID) {
			if s.router.Serves(bare.Domain()) {
				w.pending[bare] = false
			}
		})
	}
	r.mu.Lock()
	rolls := len(w.pending) > 0
	if r.interests = names; rolls {
		r.waves = append(r.waves, w)
	}
	r.mu.Unlock()
	if len(w.fresh) == 0 {
		return
	}
	to := target{full: res.JID(), session: res.Session}
	s.offer(t, of(a), to, func(name string) bool { return slices.Contains(w.fresh, name) })
	if rolls {
		s.router.Beside(func() { s.roll(a, r, w) })
	}
}

// presence forgets what a resource that goes was interested in.
func (s *Service) presence(_ *router.Turn, _ *router.Account, c router.PresenceChange) {
	if c.Went() {
		s.readers.Delete(c.Before.Session)
	}
}

// save keeps over a restart what a resource is interested in: it has had the last items.
func (s *Service) save(_ *router.Turn, _ *router.Account, res router.Resource) []byte {
	r := s.reader(res.Session)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b, _ := json.Marshal(r.interests) // strings
	return b
}

// restore is the reverse of save.
func (s *Service) restore(_ *router.Turn, _ *router.Account, res router.Resource, data []byte) error {
	var names []string
	if data == nil {
		return nil
	}
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	s.readers.Store(res.Session, &reader{session: res.Session, interests: names})
	return nil
}

// ownersARead is how many owners are looked up in one snapshot.
const ownersARead = 64

// roll has each owner that a reader waits for give it what it has.
func (s *Service) roll(a *router.Account, r *reader, w *wave) {
	s.lookers <- struct{}{}
	defer func() { <-s.lookers }()
	owners := r.pendingOf(w)
	for len(owners) > 0 && s.reader(r.session) == r {
		some := owners[:min(len(owners), ownersARead)]
		owners = owners[len(some):]
		have := s.publishers(some, w.fresh)
		for _, bare := range some {
			if have[bare] || r.missed(w, bare) {
				s.look(a, r, w, bare)
			}
		}
	}
	for _, bare := range owners { // nobody waits any more
		r.settled(w, bare)
	}
}

// pendingOf returns the owners that a wave waits for.
func (r *reader) pendingOf(w *wave) (owners []xmpp.JID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(w.pending))
}

// publishers returns those of some owners who have something at nodes of these names.
func (s *Service) publishers(owners []xmpp.JID, names []string) (have map[xmpp.JID]bool) {
	err := s.store.Read(context.Background(), func(tx *storage.Tx) error {
		have = map[xmpp.JID]bool{}
		for _, bare := range owners {
			err := namesOf(tx, bare, func(name string) { have[bare] = have[bare] || slices.Contains(names, name) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.Error("what contacts have published cannot be read", "error", err)
	}
	return have
}

// look has an owner take a turn in which the reader is given what the owner has for it.
func (s *Service) look(a *router.Account, r *reader, w *wave, bare xmpp.JID) {
	err := s.router.WithAccount(context.Background(), bare, func(c *router.Account) error {
		if c == nil {
			r.settled(w, bare)
			return nil
		}
		return c.Post(func(t *router.Turn) {
			r.settled(w, bare)
			if s.reader(r.session) == r {
				to := target{full: r.session.JID(), session: r.session}
				s.offer(t, of(c), to, func(name string) bool { return slices.Contains(w.fresh, name) })
			}
		})
	})
	if err != nil {
		r.settled(w, bare)
		s.log.Warn("a contact's last items were not sent", "contact", bare.String(), "to", a.JID.String(), "error", err)
	}
}

// settled says that an owner has given, or will not give, what it has.
func (r *reader) settled(w *wave, owner xmpp.JID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(w, owner)
}

// missed reports whether something was left to the wave that its owner did not have a moment
// ago. If not, the owner is settled.
func (r *reader) missed(w *wave, owner xmpp.JID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.pending[owner] {
		return true
	}
	r.settle(w, owner)
	return false
}

// settle is settled; the lock is held.
func (r *reader) settle(w *wave, owner xmpp.JID) {
	delete(w.pending, owner)
	if len(w.pending) == 0 {
		r.waves = slices.DeleteFunc(r.waves, func(other *wave) bool { return other == w })
	}
}
