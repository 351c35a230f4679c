package c2s

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// askEvery is how often, at most, a client without stream management is asked whether it
// has what it was handed.
const askEvery = time.Second

// maxUnread is how many messages such a client may leave unacknowledged. What is older is
// taken for read: it answers nothing, or would have been asked.
const maxUnread = 1024

// A ledger is what a client was handed and has not acknowledged, where there is no stream
// management: a ping behind it asks, and the answer to that says that it has it.
type ledger struct {
	mu    sync.Mutex // a leaf
	ids   []storage.ID
	asked int   // how many of them the ping under way is behind; 0: none is
	last  int64 // when the last one was sent, Unix nanoseconds
}

// add notes a message and reports whether the client is to be asked now.
func (l *ledger) add(id storage.ID, now time.Time) (ask bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
	return l.ask(now)
}

// ask reports whether it is time to ask the client, and notes that it is asked then. The
// lock is held.
func (l *ledger) ask(now time.Time) bool {
	if l.asked > 0 || len(l.ids) == 0 || now.UnixNano()-l.last < int64(askEvery) {
		return false
	}
	l.asked, l.last = len(l.ids), now.UnixNano()
	return true
}

// due reports whether the client is to be asked for what add has put off.
func (l *ledger) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ask(now)
}

// answered returns what the ping was behind.
func (l *ledger) answered() []storage.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.ids[:l.asked:l.asked]
	if l.ids = l.ids[l.asked:]; len(l.ids) == 0 {
		l.ids = nil
	}
	l.asked = 0
	return took
}

// overflow returns the oldest of those that are too many.
func (l *ledger) overflow() []storage.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.ids) - maxUnread
	if n <= 0 {
		return nil
	}
	over := l.ids[:n:n]
	l.ids = l.ids[n:]
	l.asked = max(0, l.asked-n)
	return over
}

// track is Hand for a client without stream management.
func (s *session) track(id storage.ID) {
	if s.unread.add(id, time.Now()) {
		s.askRead()
	}
	if over := s.unread.overflow(); over != nil && s.ready.Load() {
		s.sender.Took(over)
	}
}

// askRead asks the client, behind what it was handed, whether it is there.
func (s *session) askRead() {
	if !s.ready.Load() {
		return
	}
	var rd router.Round // whoever hands over flushes
	var b xmpp.Builder
	s.sender.Ask(&rd, "get", "read-"+strings.ToLower(rand.Text()[:12]), b.Open("urn:xmpp:ping", "ping").Payload(),
		func(*xmpp.Stanza) { s.sender.Took(s.unread.answered()) })
}
