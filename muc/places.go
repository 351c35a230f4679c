package muc

import (
	"slices"

	"parley/xmpp"
)

// place notes in which rooms a session is.
func (s *Service) place(full xmpp.JID, at xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seated[full] = append(s.seated[full], at)
}

// displace is the reverse of place.
func (s *Service) displace(full xmpp.JID, room xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.seated[full]
	for i, at := range list {
		if at.Bare() == room {
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(s.seated, full)
		return
	}
	s.seated[full] = list
}

// moved notes the new address of a session in a room.
func (s *Service) moved(full xmpp.JID, to xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.seated[full] {
		if at.Bare() == to.Bare() {
			s.seated[full][i] = to
		}
	}
}

// Seats implements router.Service.
func (s *Service) Seats(session, at xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.seated[session], at)
}
