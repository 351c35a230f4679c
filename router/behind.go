package router

import (
	"parley/storage"
	"parley/xmpp"
)

// catchUp has messages stand behind what has waited for the session, until caughtUp.
func (s *Sender) catchUp() {
	s.mu.Lock()
	s.coming = true
	s.mu.Unlock()
}

// maxBehind is how many messages stand behind what has waited. It takes a moment to be
// given that; what comes beyond does not wait.
const maxBehind = 1024

// behind is a message that stands there, with its id if it waits until it is taken.
type behind struct {
	st *xmpp.Stanza
	id storage.ID
}

// later gives the session a message that others of its account have just been given, when
// it has been given what has waited.
func (s *Sender) later(rd *Round, st *xmpp.Stanza, id storage.ID) {
	s.mu.Lock()
	stands := s.coming && len(s.behind) < maxBehind
	if stands {
		s.behind = append(s.behind, behind{st, id})
		if id != 0 {
			s.held.add(id)
		}
	}
	s.mu.Unlock()
	if !stands {
		s.push(rd, st, id)
	}
}

// push is Hand where there is an id, and Push where there is none.
func (s *Sender) push(rd *Round, st *xmpp.Stanza, id storage.ID) {
	if id != 0 {
		s.Hand(rd, st, id)
		return
	}
	rd.Push(s.session, st)
}

// caughtUp gives the session the messages that stand behind what has waited.
func (s *Sender) caughtUp(rd *Round) {
	for {
		s.mu.Lock()
		list := s.behind
		s.behind = nil
		if len(list) == 0 {
			s.coming = false
		}
		s.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, b := range list {
			if b.id != 0 {
				s.release(b.id) // it is held again by being handed over
			}
			s.push(rd, b.st, b.id)
		}
	}
}
