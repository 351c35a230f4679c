package muc

import "parley/xmpp"

// Hold has a room stand still until what it returns is closed; held is closed when it does.
func (s *Service) Hold(room xmpp.JID, held chan struct{}) (release chan struct{}) {
	release = make(chan struct{})
	s.later(room, func(*turn) {
		close(held)
		<-release
	})
	return release
}

// Waiting returns how much waits in a room.
func (s *Service) Waiting(room xmpp.JID) int {
	r := s.room(room)
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Seated returns who is in which room.
func (s *Service) Seated() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for full, at := range s.seated {
		for _, j := range at {
			list = append(list, full.String()+" in "+j.String())
		}
	}
	return list
}
