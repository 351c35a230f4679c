package s2s

import (
	"time"

	"parley/storage"
)

// Flush implements router.Flusher.
func (l *link) Flush() {
	l.mu.Lock()
	if l.writing || l.over {
		l.mu.Unlock()
		return
	}
	if l.smOut != nil {
		l.buf = l.smOut.ask(l.buf, len(l.sent))
	}
	for len(l.buf) > 0 && !l.over {
		out := l.buf
		l.buf, l.writing = nil, true
		l.queued += uint64(len(out))
		l.mu.Unlock()
		err := l.t.Write(out)
		l.mu.Lock()
		l.writing = false
		if err != nil {
			l.queued += uint64(len(l.buf))
			l.buf = nil
			break // the reader finds the connection lost
		}
		l.written = l.queued
	}
	over, gone := l.over, l.left()
	l.mu.Unlock()
	l.s.outbox.gone(gone)
	if over { // it has ended while this was written
		l.part()
	}
}

// left takes out what has arrived as far as anybody can know without stream management: what
// the system has taken. The lock is held.
func (l *link) left() []storage.ID {
	most := len(l.sent)
	if l.smOut != nil {
		most = l.smOut.before
	}
	if most == 0 {
		return nil
	}
	backlog, _ := l.t.Backlog()
	if uint64(backlog) >= l.written {
		return nil
	}
	n := 0
	for taken := l.written - uint64(backlog); n < most && l.sent[n].end <= taken; n++ {
	}
	if n == 0 {
		return nil
	}
	if l.smOut != nil {
		l.smOut.before -= n
	}
	return l.arrived(n)
}

// arrived takes out the first n stanzas and returns those that stand in the outbox. The lock
// is held.
func (l *link) arrived(n int) (ids []storage.ID) {
	for i := range l.sent[:n] {
		l.bytes -= l.sent[i].size
		l.sent[i].r.moved.Store(true)
		if id := l.sent[i].id; id != 0 {
			ids = append(ids, id)
		}
	}
	clear(l.sent[:n])
	l.sent = l.sent[n:]
	l.stalled = time.Now()
	if len(l.sent) == 0 {
		l.sent = nil
	}
	return ids
}
