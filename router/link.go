package router

import (
	"context"
	"sync"

	"parley/xmpp"
)

// How far all senders of one link may run ahead of the commits together: stanzas and bytes.
const (
	maxLinkAhead      = 4096
	maxLinkAheadBytes = 8 << 20
)

// A Link is what a stream speaks through that carries the stanzas of many senders: another
// server's, or a component's. What one sender says stays in order; senders do not wait for
// each other. One goroutine, the stream's reader, calls Deliver.
type Link struct {
	r     *Router
	spare *window // for the next sender; the reader's

	mu      sync.Mutex           // a leaf
	moved   sync.Cond            // something was settled
	lanes   map[xmpp.JID]*window // of bare senders with something in flight
	bytes   int
	given   uint64   // stanzas that came, of every kind
	line    []flight // messages in the order in which they began, from the first that is not settled
	first   uint64   // the number of line[0]; numbers begin with 0
	waiting []waiter // in order
}

// flight is one message that has begun.
type flight struct {
	p    *Passage // nil when it is settled
	size int
	n    uint64 // its number among the stanzas that came, from 1
}

// NewLink returns what a stream of many senders speaks through.
func (r *Router) NewLink() *Link {
	l := &Link{r: r, lanes: map[xmpp.JID]*window{}}
	l.moved.L = &l.mu
	return l
}

// Deliver carries a stanza that has come. The door has seen to it that its sender may be
// who it says, and that 'to' is a domain that the stream is for. It waits for no peer, but
// may wait for commits. What the stanza did wrong is answered.
//
// A message for the house itself may hold one that is to be sent as an account of the house
// would send it: then a feature unwraps it (Feature.Unwrap), and that one goes its way, from
// the bare JID of the account.
func (l *Link) Deliver(ctx context.Context, rd *Round, st *xmpp.Stanza) {
	as := Passage{r: l.r, Stanza: st}
	if st.Kind == xmpp.Message && st.To.Local() == "" && l.r.Serves(st.To.Domain()) {
		if err := l.r.unwrap(ctx, &as); err != nil {
			l.r.Bounce(rd, st, err)
			l.Answered()
			return
		}
		st = as.Stanza
	}
	bare := st.From.Bare()
	w := l.lane(bare)
	if st.Kind != xmpp.Message {
		if w != nil {
			w.settle(rd)
		}
		if st.Kind != xmpp.Presence || !l.r.inTurn(st) {
			l.r.deliver(ctx, rd, st, false)
		}
		return
	}
	if w == nil {
		if w = l.spare; w == nil {
			w = new(window)
			w.open(nil, l)
		}
		l.spare = w
	}
	w.carry(ctx, rd, as)
}

// lane counts a stanza, and returns the window of its sender, who has something in flight;
// nil for any other.
func (l *Link) lane(bare xmpp.JID) *window {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given++
	return l.lanes[bare]
}

// Answered counts a stanza that the door has answered by itself: Deliver does not get it.
func (l *Link) Answered() {
	l.mu.Lock()
	l.given++
	l.mu.Unlock()
}

// Settle waits until everything that came is settled.
func (l *Link) Settle(rd *Round) {
	rd.Flush()
	l.land()
	l.mu.Lock()
	for len(l.line) > 0 {
		l.moved.Wait()
	}
	l.mu.Unlock()
}

// room waits until a message of n bytes may run ahead.
func (l *Link) room(rd *Round, n int) {
	full := func() bool {
		return len(l.line) > 0 && (len(l.line) >= maxLinkAhead || l.bytes+n > maxLinkAheadBytes)
	}
	l.mu.Lock()
	if full() {
		l.mu.Unlock()
		rd.Flush()
		l.land()
		l.mu.Lock()
		for full() {
			l.moved.Wait()
		}
	}
	l.mu.Unlock()
}

// land has what was handed over and is in flight be written.
func (l *Link) land() {
	var list []*crossing
	l.mu.Lock()
	for _, f := range l.line {
		if f.p != nil && f.p.x != nil {
			list = append(list, f.p.x)
		}
	}
	l.mu.Unlock()
	l.r.crossings.land(list)
}

// began notes a message that is in flight now. Only the reader's.
func (l *Link) began(p *Passage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.place = l.first + uint64(len(l.line))
	l.line = append(l.line, flight{p, p.size, l.given})
	l.bytes += p.size
	p.win.inLink++
	l.lanes[p.Stanza.From.Bare()] = p.win
	if p.win == l.spare {
		l.spare = nil
	}
}

// settled is called once for each message that began.
func (l *Link) settled(w *window, p *Passage) {
	l.mu.Lock()
	if i := p.place - l.first; i < uint64(len(l.line)) {
		l.line[i].p = nil
		l.bytes -= l.line[i].size
	}
	for len(l.line) > 0 && l.line[0].p == nil {
		l.line = l.line[1:]
		l.first++
	}
	if len(l.line) == 0 {
		l.line = nil
	}
	if w.inLink--; w.inLink == 0 {
		delete(l.lanes, p.Stanza.From.Bare())
	}
	var list []waiter
	for len(l.waiting) > 0 && l.waiting[0].n <= l.first {
		list = append(list, l.waiting[0])
		l.waiting = l.waiting[1:]
	}
	l.moved.Broadcast()
	l.mu.Unlock()
	for _, waits := range list {
		waits.then()
	}
}

// Flying returns how many stanzas came from the first message on that is not settled, that
// one included: all before it are, and what they leave behind is committed. Those of other
// senders behind it may be settled, but who counts (XEP-0198 §4) speaks of the first ones.
// Only the reader's, or when that has ended.
func (l *Link) Flying() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) == 0 {
		return 0
	}
	return int(l.given - l.line[0].n + 1)
}

// WhenSettled calls then once, when all that is in flight now is settled: at once, or on the
// goroutine that settles the last of it. then does not wait.
func (l *Link) WhenSettled(then func()) {
	l.mu.Lock()
	if n := len(l.line); n > 0 {
		l.waiting = append(l.waiting, waiter{l.first + uint64(n), then})
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	then()
}
