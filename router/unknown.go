package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// unknown bounds how often a sender is told that an address does not exist: the error is
// the one difference between nobody and somebody that the house shows, and it must not
// serve to find out who is there by trying names (RFC 6121 §8.5.1, RFC 6120 §13.11).
type unknown struct {
	most atomic.Int64 // errors in a minute for one sender; 0: any number

	mu      sync.Mutex // a leaf
	senders *simplelru.LRU[string, minute]
}

// minute counts within the minute that begins at start.
type minute struct {
	start time.Time
	n     int64
}

// unknownSenders is how many senders are remembered; those who have been silent for
// longest are forgotten.
const unknownSenders = 10_000

func (u *unknown) init(most int) {
	u.most.Store(int64(most))
	u.senders, _ = simplelru.NewLRU[string, minute](unknownSenders, nil) // fails for sizes below one only
}

// tell reports whether a sender may be told once more.
func (u *unknown) tell(sender string, now time.Time) bool {
	most := u.most.Load()
	if most == 0 {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	w, _ := u.senders.Get(sender)
	if now.Sub(w.start) >= time.Minute {
		w = minute{start: now}
	}
	w.n++
	u.senders.Add(sender, w)
	return w.n <= most
}

// told reports whether the sender of a message to nobody gets an error: always where one
// would come of somebody who is away too, for it says nothing then, and its absence would.
// Senders of this house count by account, all others by domain: a domain has as many
// accounts as it likes.
func (p *Passage) told() bool {
	if !p.asked {
		p.asked, p.untold = true, !p.mayTell()
	}
	return !p.untold
}

func (p *Passage) mayTell() bool {
	if fateOf(p.Stanza.Type, p.Stanza.To.Resource(), true, nil) == refuse {
		return true
	}
	from := p.Stanza.From
	sender := from.Domain()
	if p.Sender != nil || p.r.Serves(sender) {
		sender = from.Bare().String()
	}
	if p.r.unknown.tell(sender, time.Now()) {
		return true
	}
	p.r.stats.Unknown.Add(1)
	return false
}
