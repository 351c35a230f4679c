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
		l.buf = l.smOut.ask(l.buf, len(l.sent), l.spoke)
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
// the system has taken, where nobody answers for it. The lock is held.
func (l *link) left() []storage.ID {
	if l.smOut != nil || len(l.sent) == 0 {
		return nil
	}
	backlog, _ := l.t.Backlog()
	if uint64(backlog) >= l.written {
		return nil
	}
	for taken := l.written - uint64(backlog); l.handed < len(l.sent) && l.sent[l.handed].end <= taken; l.handed++ {
		l.stalled = time.Now()
	}
	switch {
	case l.handed == 0:
		return nil
	case l.durable > 0 && !l.mute:
		if !l.over {
			l.inquire()
		}
		return nil
	}
	n := l.handed
	l.handed = 0
	return l.arrived(n)
}

// undelivered is what is to be sent again when the stream has ended. Without stream management
// these are the messages that nobody answers for, and what the system has not taken: what is
// said once is not said twice. The lock is held.
func (l *link) undelivered() []sent {
	if l.smOut != nil {
		return l.sent
	}
	var list []sent
	for i, x := range l.sent {
		if i >= l.handed || x.id != 0 {
			list = append(list, x)
		}
	}
	return list
}

// arrived takes out the first n stanzas and returns those that stand in the outbox. The lock
// is held.
func (l *link) arrived(n int) (ids []storage.ID) {
	for i := range l.sent[:n] {
		l.bytes -= l.sent[i].size
		l.sent[i].r.moved.Store(true)
		if id := l.sent[i].id; id != 0 {
			ids = append(ids, id)
			l.durable--
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
