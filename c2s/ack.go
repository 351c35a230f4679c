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

// maxUnread is how many messages such a client may leave unacknowledged. What is older is
// taken for read: it answers nothing, or would have been asked.
const maxUnread = 1024

// A ledger is what a client was handed and has not acknowledged, where there is no stream
// management: a ping behind it asks, and the answer to that says that it has it.
type ledger struct {
	mu    sync.Mutex // a leaf
	ids   []storage.ID
	asked int       // how many of them the ping under way is behind; 0: none is
	full  time.Time // when the client may be asked as often as at all
	timer *time.Timer
}

// add notes a message, and returns the oldest if there are too many.
func (l *ledger) add(id storage.ID) (over []storage.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
	if n := len(l.ids) - maxUnread; n > 0 {
		over, l.ids = l.ids[:n:n], l.ids[n:]
		l.asked = max(0, l.asked-n)
	}
	return over
}

// due reports whether the client is to be asked now, and notes that it is. Where it is only
// too early, later is called when it is not.
func (l *ledger) due(now time.Time, later func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ids) == 0 || l.asked > 0 {
		return false
	}
	if l.full.Before(now) {
		l.full = now
	}
	if early := l.full.Sub(now) - (asksAtOnce-1)*askEvery; early > 0 {
		if l.timer == nil {
			l.timer = time.AfterFunc(early, later)
		}
		return false
	}
	l.full = l.full.Add(askEvery)
	l.asked, l.timer = len(l.ids), nil
	return true
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

// Hand implements router.Session. The client is asked for it behind all that is flushed
// with it.
func (c *conn) Hand(st *xmpp.Stanza, id storage.ID) error {
	err := c.Push(st)
	if err != nil {
		return err
	}
	if over := c.unread.add(id); over != nil && c.bound.Load() {
		c.sender.Took(over)
	}
	c.asks.Store(true)
	return nil
}

// ask asks the client, behind what it was handed, whether it is there.
func (c *conn) ask() {
	if !c.bound.Load() || !c.asks.Swap(false) || !c.unread.due(time.Now(), c.askLater) {
		return
	}
	var rd router.Round // whoever hands over flushes
	var b xmpp.Builder
	c.sender.Ask(&rd, "get", "read-"+strings.ToLower(rand.Text()[:12]), b.Open("urn:xmpp:ping", "ping").Payload(),
		func(*xmpp.Stanza) {
			c.sender.Took(c.unread.answered())
			c.asks.Store(true)
			c.Flush()
		})
}

func (c *conn) askLater() {
	c.unread.mu.Lock()
	c.unread.timer = nil
	c.unread.mu.Unlock()
	c.asks.Store(true)
	c.Flush()
}

// Attention implements router.Session.
func (c *conn) Attention() router.Attention { return router.Awake }
