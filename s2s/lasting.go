package s2s

import "time"

// maxLasting is how many streams may wait to be resumed.
const maxLasting = 10_000

// mayResume notes under which id a stream of another server may be resumed.
func (s *Server) mayResume(id string, l *link) {
	s.mu.Lock()
	if len(s.lasting) < maxLasting {
		s.lasting[id] = l
	}
	s.mu.Unlock()
}

// resumable returns the stream of that pair that may be resumed by an id.
func (s *Server) resumable(id string, p pair) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lasting[id]
	if l == nil || l.head != p { // it does not change any more: see enable
		return nil
	}
	return l
}

// notLasting has a stream not be resumed any more.
func (s *Server) notLasting(id string, l *link) {
	s.mu.Lock()
	if s.lasting[id] == l {
		delete(s.lasting, id)
	}
	s.mu.Unlock()
}

// A count is what had been handled of a stream of a pair when it ended.
type count struct {
	pair
	h  uint32
	at time.Time
}

// noteCount remembers it: the other side may not have heard the last acknowledgement.
func (s *Server) noteCount(id string, p pair, h uint32) {
	s.mu.Lock()
	if len(s.counts) < maxLasting {
		s.counts[id] = count{p, h, time.Now()}
	}
	s.mu.Unlock()
}

// countOf returns what had been handled of a stream of that pair.
func (s *Server) countOf(id string, p pair) (h uint32, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.counts[id]
	return c.h, c.pair == p && id != ""
}

// succeeds puts a stream in the place of the one that it resumes, which is returned; nil: there is none
// any more. Until it has gone on with that, who resumes in turn waits for it: it may be lost, too, before
// what came in the one before is settled and counted.
func (s *Server) succeeds(id string, l *link) (old *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old = s.lasting[id]; old != nil {
		s.lasting[id] = l
	}
	return old
}
