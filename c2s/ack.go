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

// How often a client without stream management is asked whether it has what it was handed:
// so many times at once, and in the long run once in this time.
const (
	asksAtOnce = 10
	askEvery   = time.Second
)

// hastyEvery is how often a client is asked at most where it was handed what nobody has written
// (router.Provisional): what it is sure to have in time never will be.
const hastyEvery = 40 * time.Millisecond

// maxUnread is how many messages such a client may leave unacknowledged. What is older is
// taken for read: it answers nothing, or would have been asked.
const maxUnread = 1024

// A ledger is what a client was handed and has not acknowledged, where there is no stream
// management: a ping behind it asks, and the answer to that says that it has it.
type ledger struct {
	mu    sync.Mutex // a leaf
	ids   []storage.ID
	asked int   // how many of them the ping under way is behind; 0: none is
	full  int64 // when the client may be asked as often as at all, Unix nanoseconds
	timed bool  // later will be called
	hasty bool  // there is something to ask for that nobody has written
	soon  bool  // later will be called soon for that
	last  int64 // when the client was last asked, Unix nanoseconds
	want  bool  // something may have to be asked for
}

// add notes a message, and returns the oldest if there are too many.
func (l *ledger) add(id storage.ID) (over []storage.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
	l.want, l.hasty = true, l.hasty || router.Provisional(id)
	if n := len(l.ids) - maxUnread; n > 0 {
		over, l.ids = l.ids[:n:n], l.ids[n:]
		l.asked = max(0, l.asked-n)
	}
	return over
}

// due reports whether the client is to be asked now, and notes that it is. Where it is only
// too early, later is called when it is not.
func (l *ledger) due(later func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.want || len(l.ids) == 0 || l.asked > 0 {
		return false
	}
	l.want = false
	now := time.Now().UnixNano()
	l.full = max(l.full, now)
	early := time.Duration(l.full-now) - (asksAtOnce-1)*askEvery
	if l.hasty {
		early = min(early, time.Duration(l.last-now)+hastyEvery)
	}
	if early > 0 {
		if !l.timed || l.hasty && !l.soon {
			l.timed, l.soon = true, l.hasty
			time.AfterFunc(early, later)
		}
		return false
	}
	l.full = min(l.full+int64(askEvery), now+asksAtOnce*int64(askEvery))
	l.last, l.hasty = now, false
	l.asked = len(l.ids)
	return true
}

// again has it looked once more whether the client is to be asked.
func (l *ledger) again() {
	l.mu.Lock()
	l.timed, l.soon, l.want = false, false, true
	l.mu.Unlock()
}

// answered returns what the ping was behind.
func (l *ledger) answered() []storage.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.ids[:l.asked:l.asked]
	if l.ids = l.ids[l.asked:]; len(l.ids) == 0 {
		l.ids = nil
	}
	l.asked, l.want = 0, true
	return took
}

// track is Hand for a client without stream management. It is asked behind all that is
// flushed with the message.
func (s *session) track(id storage.ID) {
	if over := s.unread.add(id); over != nil && s.ready.Load() {
		s.sender.Took(over)
	}
	s.asks.Store(true)
}

// askRead asks the client, behind what it was handed, whether it is there.
func (s *session) askRead() {
	if !s.ready.Load() || !s.asks.Swap(false) || !s.unread.due(s.askAgain) {
		return
	}
	var rd router.Round // whoever hands over flushes
	var b xmpp.Builder
	s.sender.Ask(&rd, "get", "read-"+strings.ToLower(rand.Text()[:12]), b.Open("urn:xmpp:ping", "ping").Payload(),
		func(*xmpp.Stanza) {
			s.sender.Took(s.unread.answered())
			s.asks.Store(true)
			s.Flush()
		})
}

func (s *session) askAgain() {
	s.unread.again()
	s.asks.Store(true)
	s.Flush()
}
