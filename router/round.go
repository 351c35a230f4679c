package router

import "parley/xmpp"

// A Round is a piece of work after which the sessions that it pushed to are written to,
// once each: who delivers, flushes. It belongs to one goroutine.
type Round struct {
	touched []Session
}

// Push queues st for s and notes that s is to be flushed.
func (rd *Round) Push(s Session, st *xmpp.Stanza) error {
	err := s.Push(st)
	if n := len(rd.touched); n == 0 || rd.touched[n-1] != s {
		rd.touched = append(rd.touched, s)
	}
	return err
}

// Flush writes to every session that was pushed to. It is called at the end of a round
// and before its goroutine waits for anything.
func (rd *Round) Flush() {
	for i, s := range rd.touched {
		s.Flush()
		rd.touched[i] = nil
	}
	if cap(rd.touched) > 4096 {
		rd.touched = nil
	}
	rd.touched = rd.touched[:0]
}

// Empty reports whether nothing waits to be flushed.
func (rd *Round) Empty() bool { return len(rd.touched) == 0 }
