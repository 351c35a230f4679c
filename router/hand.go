package router

import (
	"slices"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// What waits until some device has taken it is handed to sessions with its archive id. Each
// sender knows what its session was handed and has not acknowledged; who keeps messages
// knows which of them nobody has taken.

// Hand is Round.Push for a message that waits until some device has taken it, or a copy of
// one. The session calls Took when its client has acknowledged it.
func (s *Sender) Hand(rd *Round, st *xmpp.Stanza, id storage.ID) error {
	s.holds(id)
	err := rd.hand(s.session, st, id)
	if err != nil {
		s.release(id)
	}
	return err
}

// Took is called by the session when its client has acknowledged messages that it was
// handed. It never waits; anyone may call it who holds no lock. What a session has that is
// none for messages of the account (RFC 6121 §8.5.2.1.1) still waits for the others.
func (s *Sender) Took(handed []storage.ID) {
	rows := s.r.Through(handed)
	ids, copies := rows, s.onlyCopies(rows)
	if res, ok := s.account.Resource(s.jid.Resource()); ok && len(copies) > 0 && !res.due() {
		s.hasCopies(copies)
		ids = slices.DeleteFunc(slices.Clone(ids), func(id storage.ID) bool { return slices.Contains(copies, id) })
	}
	if len(ids) > 0 {
		s.took(ids)
	}
	s.release(handed...)
	if slices.ContainsFunc(handed, Provisional) {
		s.release(rows...)
	}
}

// holds notes that the session is handed what stands under an id.
func (s *Sender) holds(id storage.ID) {
	s.mu.Lock()
	s.held.add(id)
	s.mu.Unlock()
}

// land has all that the session was handed and that is not written yet be written, and waits
// for that.
func (s *Sender) land(rd *Round) {
	if held := s.provisional(); len(held) > 0 {
		rd.Flush()
		s.r.crossings.await(held)
	}
}

// land has all be written that the sessions of the account were handed: there is one more now,
// and what comes first is given to that, too, before what comes then (see crosses).
func (a *Account) land(t *Turn) {
	for _, res := range a.Resources() {
		res.sender.land(&t.Round)
	}
}

// provisional returns the provisional ids of what the session holds.
func (s *Sender) provisional() []storage.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.held) && Provisional(s.held[n]) {
		n++
	}
	return slices.Clone(s.held[:n])
}

// onlyCopies returns which of these the session was shown a copy of, while it was none for
// messages of the account.
func (s *Sender) onlyCopies(ids []storage.ID) (list []storage.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.shown.has(id) {
			list = append(list, id)
		}
	}
	return list
}

// handCopy is Hand for a copy that is shown to a session while it is none for messages of
// the account.
func (s *Sender) handCopy(rd *Round, st *xmpp.Stanza, id storage.ID) error {
	s.mu.Lock()
	s.shown.add(id)
	s.mu.Unlock()
	return s.Hand(rd, st, id)
}

func (s *Sender) took(ids []storage.ID) {
	for _, f := range s.r.features {
		if f.Took != nil {
			f.Took(s.account, ids)
		}
	}
}

func (s *Sender) release(ids ...storage.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.held.remove(id)
		s.shown.remove(id)
	}
}

// Holds reports whether the session was handed a message and has not acknowledged it.
func (s *Sender) Holds(id storage.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held.has(id)
}

// Held returns what the session was handed and has not acknowledged, in the order of the ids.
func (s *Sender) Held() []storage.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}

// Unsure says that the session's stream is over, and that what came of it since that time
// may not have been acknowledged to its client, which may send it again in another stream. The
// session says so before it is ended, and before another one of its account can be bound.
func (s *Sender) Unsure(since time.Time) {
	for _, f := range s.r.features {
		if f.Unsure != nil {
			f.Unsure(s.account, since)
		}
	}
}

// Lost says that the client's connection is gone, and the session waits for it to come back.
func (s *Sender) Lost() {
	for _, f := range s.r.features {
		if f.Lost != nil {
			f.Lost(s.account, s)
		}
	}
}

// Began returns when the session was bound.
func (s *Sender) Began() time.Time { return s.began }

// Flying returns how many messages the client has sent from the first one on that is not
// settled yet: all before it are.
func (s *Sender) Flying() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.line)
}

// WhenSettled calls then once, when all that is in flight now is settled: at once, or on
// the goroutine that settles the last of it. then does not wait.
func (s *Sender) WhenSettled(then func()) {
	s.mu.Lock()
	if s.flying > 0 {
		s.waiting = append(s.waiting, waiter{s.begun, then})
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	then()
}
