package s2s

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A brake slows down who guesses a component's secret: after a few handshakes that were wrong
// no other is looked at, but one each while. It counts for one address and one domain, so that
// nobody is kept out by what somebody else guesses elsewhere, or for another domain.
type brake struct {
	mu     sync.Mutex // a leaf
	scores *simplelru.LRU[guess, wrongs]
}

// guess is from where which component was tried.
type guess struct {
	from   netip.Prefix
	domain string
}

// wrongs counts wrong handshakes; it falls as time passes.
type wrongs struct {
	n  float64
	at time.Time
}

const (
	maxGuesses    = 10               // wrong handshakes at once
	forgiveGuess  = 10 * time.Second // for one of these
	brakesAtLeast = 10_000           // that are remembered; the oldest are forgotten first
)

func (b *brake) init() {
	b.scores, _ = simplelru.NewLRU[guess, wrongs](brakesAtLeast, nil) // fails for sizes below one only
}

// forget forgives all, when secrets have changed.
func (b *brake) forget() {
	b.mu.Lock()
	b.scores.Purge()
	b.mu.Unlock()
}

// may reports whether a handshake is looked at. One that is counts as wrong until it is right.
func (b *brake) may(g guess, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, _ := b.scores.Get(g)
	w.n = max(0, w.n-float64(now.Sub(w.at))/float64(forgiveGuess))
	w.at = now
	ok := w.n+1 <= maxGuesses
	if ok {
		w.n++
	}
	b.scores.Add(g, w)
	return ok
}

// right takes back what may has counted.
func (b *brake) right(g guess) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := b.scores.Peek(g); ok {
		w.n = max(0, w.n-1)
		b.scores.Add(g, w)
	}
}
