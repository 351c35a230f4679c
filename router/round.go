package router

import (
	"parley/storage"
	"parley/xmpp"
)

// lookBack is how many sessions a Round compares with before it notes another.
const lookBack = 4

// A Round is a piece of work after which the sessions that it pushed to are written to,
// once each: who delivers, flushes. It belongs to one goroutine.
type Round struct {
	touched []Flusher
}

// A Flusher writes what is queued for a peer, as far as the socket takes it. It never waits.
type Flusher interface{ Flush() }

// Touch notes that something was queued for f, which is to be flushed.
func (rd *Round) Touch(f Flusher) {
	if !rd.justTouched(f) {
		rd.touched = append(rd.touched, f)
	}
}

// Push queues st for s and notes that s is to be flushed.
func (rd *Round) Push(s Session, st *xmpp.Stanza) error {
	err := s.Push(st)
	rd.Touch(s)
	return err
}

// hand is Push for a message that the session is to acknowledge.
func (rd *Round) hand(s Session, st *xmpp.Stanza, id storage.ID) error {
	err := s.Hand(st, id)
	rd.Touch(s)
	return err
}

// justTouched reports whether s is among the sessions noted last: those of somebody with
// a few devices are noted once, however many messages come. One that is noted twice is
// only asked twice whether it has something to write.
func (rd *Round) justTouched(s Flusher) bool {
	for i := len(rd.touched) - 1; i >= 0 && i >= len(rd.touched)-lookBack; i-- {
		if rd.touched[i] == s {
			return true
		}
	}
	return false
}

// Flush writes to everybody that was pushed to. It is called at the end of a round
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
