package s2s

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A pair is a domain of this house (or of a component of it) and one of elsewhere. What
// streams are authorised for is pairs.
type pair struct{ local, remote string }

// An item is a stanza on its way to another domain.
type item struct {
	st   *xmpp.Stanza
	id   storage.ID // of its row in the outbox; 0: none
	size int        // bytes, about
	seq  uint64     // its place among those of its route
	at   time.Time  // when it was sent
}

// state is what a route does.
type state uint8

const (
	resting    state = iota // nothing is tried
	connecting              // a goroutine sees to a stream
	joined                  // there is a stream
)

// A route is the way from a domain of this house to another one: one queue, in order, and
// the stream that it leaves by. It implements router.Way.
type route struct {
	s    *Server
	pair pair

	denied atomic.Bool // by the rules since it is there

	mu      sync.Mutex // a leaf
	state   state
	queue   []item      // what is not handed to a stream
	bytes   int         // of queue
	link    *link       // set while joined
	seq     uint64      // of the last item
	joining *link       // the stream that is being joined; nil when it has ended meanwhile
	abort   func()      // gives up opening a stream; nil: none is being opened
	barren  int         // streams in a row by which nothing has arrived
	moved   atomic.Bool // something has arrived since there is a stream
	answers atomic.Bool // the domain has answered a ping
	fails   int         // attempts that failed in a row
	retryAt time.Time
	wake    chan struct{} // closed to try at once; nil unless somebody waits
	failure *failure      // of the last attempt; nil: none failed since there was a stream
	resume  []*resumption // of lost streams
	away    absence
	used    time.Time
	removed bool // nobody finds it any more
}

// Keep implements router.Way: all messages are written, but those that are to be kept
// nowhere (XEP-0334 §4.3).
func (r *route) Keep(st *xmpp.Stanza) router.Keeping {
	if st.Has("urn:xmpp:hints", "no-store") {
		return nil
	}
	return &leaving{r.pair, st}
}

// Prompt implements router.Way: a server with stream management says what it has.
func (r *route) Prompt() bool {
	r.mu.Lock()
	l := r.link
	waits := len(r.queue) > 0
	r.mu.Unlock()
	return l != nil && !waits && l.acknowledges()
}

// Gone implements router.Way.
func (r *route) Gone(id storage.ID) { r.s.outbox.gone([]storage.ID{id}) }

// Carry implements router.Way.
func (r *route) Carry(rd *router.Round, st *xmpp.Stanza, id storage.ID) *xmpp.Error {
	it := item{st: st, id: id, size: st.Len(), at: time.Now()}
	for tried := (*link)(nil); ; {
		r.mu.Lock()
		if r.removed {
			r.mu.Unlock()
			r = r.s.route(r.pair)
			continue
		}
		r.used = it.at
		l := r.link
		if l == nil || l == tried || len(r.queue) > 0 { // what tried has not delivered comes before it
			err := r.take(it)
			start := err == nil && r.starts()
			r.mu.Unlock()
			if start {
				r.s.work(r.connect)
			}
			return err
		}
		r.mu.Unlock()
		if l.full(it.size) {
			return r.crowded()
		}
		switch err := l.push(r, it); {
		case err == nil:
			rd.Touch(l)
			return nil
		case err != errOver:
			return err
		}
		tried = l
	}
}

// take puts an item into the queue. The lock is held.
func (r *route) take(it item) *xmpp.Error {
	set := r.s.settings.Load()
	switch {
	case r.s.door.stopping.Load() && it.id == 0:
		return xmpp.Refuse("remote-server-timeout", "this server is being stopped")
	case r.bytes+it.size > set.QueueBytes || len(r.queue) >= set.QueueStanzas:
		return r.crowded()
	case r.failure != nil && it.at.Before(r.retryAt) && !waits(it.st): // it was tried a moment ago
		if r.remember(it) || it.st.Kind == xmpp.Presence && it.st.Type != "" {
			return nil
		}
		return r.failure.answer()
	}
	r.outdated(it.st)
	r.seq++
	it.seq = r.seq
	r.queue = append(r.queue, it)
	r.bytes += it.size
	return nil
}

func (r *route) crowded() *xmpp.Error {
	return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too much waits for " + r.pair.remote}
}

// waits reports whether a stanza is worth keeping until its domain is reached: messages, and
// what is said once of subscriptions. Who asks something wants to know; of presence the last
// is remembered (absence).
func waits(st *xmpp.Stanza) bool {
	switch st.Kind {
	case xmpp.Message:
		return true
	case xmpp.Presence:
		return st.Type != "" && st.Type != "unavailable" && st.Type != "probe" && st.Type != "error"
	}
	return false
}

// starts reports whether a goroutine is to be made that sees to a stream. The lock is held.
func (r *route) starts() bool {
	if r.state != resting || !r.wanted() || r.s.door.stopping.Load() {
		return false
	}
	r.state = connecting
	return true
}

// wanted reports whether a stream is of any use. The lock is held.
func (r *route) wanted() bool {
	back := r.mine(time.Now())
	awaited := back != nil && back.bidi // by the other side, which cannot come itself
	return len(r.queue) > 0 || awaited || len(r.away.latest) > 0 || r.away.looks
}

// connect sees to a stream until there is one or nothing waits for it.
func (r *route) connect(ctx context.Context) {
	for r.pause(ctx) {
		r.giveUp(r.tooOld())
		if r.rests() {
			return
		}
		l, err := r.s.reach(ctx, r.pair)
		if err == nil && r.join(l) {
			return
		}
		if err == nil {
			continue // it has ended already
		}
		if ctx.Err() != nil {
			break // this server is being stopped
		}
		if !r.failed(err) {
			return
		}
	}
	r.rest()
}

// pause waits until the next attempt; false: the server is stopped.
func (r *route) pause(ctx context.Context) bool {
	next, wake := r.schedule()
	for ctx.Err() == nil {
		left := time.Until(next)
		if left <= 0 {
			return true
		}
		select {
		case <-ctx.Done():
		case <-wake:
			next, wake = r.schedule()
		case <-time.After(min(left, ageEvery)):
			r.giveUp(r.tooOld())
		}
	}
	return false
}

// schedule returns when the next attempt is made, and what is closed where that may change.
func (r *route) schedule() (next time.Time, wake chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake = make(chan struct{})
	return r.next(time.Now()), r.wake
}

// ageEvery is how often what waits is looked at for its age.
const ageEvery = 10 * time.Second

// rest notes that nobody sees to a stream any more.
func (r *route) rest() {
	r.mu.Lock()
	r.state = resting
	r.mu.Unlock()
}

// rests notes that nobody sees to a stream, where none is wanted any more.
func (r *route) rests() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted() {
		return false
	}
	r.state = resting
	return true
}

// hurry has a route be tried at once whose domain has shown that it is there; but the other
// side keeps its time to resume a stream.
func (r *route) hurry() {
	r.mu.Lock()
	r.retryAt, r.fails = time.Time{}, 0
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
	r.mu.Unlock()
}

// carried is hurry where there is a stream now that may carry it: opening another one is given
// up, unless a lost one is to be resumed by it.
func (r *route) carried() {
	r.mu.Lock()
	if r.abort != nil && r.mine(time.Now()) == nil {
		r.abort()
	}
	r.mu.Unlock()
	r.hurry()
}

// join hands what waits to a stream and attaches the route to it. Nothing overtakes: what is
// sent meanwhile stands in the queue until that is empty. It returns false where the stream
// is over.
func (r *route) join(l *link) bool {
	r.mu.Lock()
	r.joining = l
	r.mu.Unlock()
	if !l.attach(r) {
		if l.ended() {
			<-l.parted // what is left of it is known by then
		}
		return false
	}
	r.moved.Store(false)
	for {
		list, state := r.takeAll(l)
		switch state {
		case joined:
			l.Flush()
			r.mu.Lock()
			back := r.comes()
			r.mu.Unlock()
			if back {
				r.s.cfg.Router.Distant(r.pair.local, r.pair.remote, true)
			}
			return true
		case resting: // all is in the queue
			return false
		}
		if left := r.handAll(l, list); len(left) > 0 {
			<-l.parted // what it had taken is in the queue by then
			r.putBack(left)
			return false
		}
		l.Flush()
	}
}

// takeAll takes what waits, to be handed to a stream; where nothing does, the stream is joined.
func (r *route) takeAll(l *link) ([]item, state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joining != l || r.waited(time.Now()) { // it, or one that had what is here, was lost just now
		return nil, resting
	}
	r.resume = nil // what is handed to this stream is no part of another one's count
	list := r.queue
	r.queue, r.bytes = nil, 0
	if len(list) == 0 {
		list = r.remembered()
	}
	if len(list) == 0 {
		r.link, r.joining, r.state, r.fails, r.failure, r.retryAt = l, nil, joined, 0, nil, time.Time{}
		return nil, joined
	}
	for i := range list {
		r.seq++
		list[i].seq = r.seq
	}
	return list, connecting
}

// handAll gives a stream what waited, and returns what it did not take because it is over.
func (r *route) handAll(l *link, list []item) (left []item) {
	for i, it := range list {
		switch err := l.push(r, it); {
		case err == nil:
		case err == errOver:
			return list[i:]
		default:
			r.refuse([]item{it}, err)
		}
	}
	return nil
}

// idsOf returns under which ids items stand in the outbox.
func idsOf(list []item) (ids []storage.ID) {
	for _, it := range list {
		if it.id != 0 {
			ids = append(ids, it.id)
		}
	}
	return ids
}

// putBack puts items into the queue that a stream has not taken: behind what it had taken, and
// before what was sent meanwhile.
func (r *route) putBack(list []item) {
	r.mu.Lock()
	last := list[len(list)-1].seq
	n := 0
	for n < len(r.queue) && r.queue[n].seq <= last {
		n++
	}
	r.requeue(slices.Insert(r.queue, n, list...))
	r.mu.Unlock()
}

// lost is called when a stream has ended, with what the other side may not have of what this
// route has handed to it. It is sent again, in front of all else.
func (r *route) lost(l *link, left []item, back *resumption, broken bool) {
	r.mu.Lock()
	switch {
	case r.link == l:
		r.link, r.state = nil, resting
		r.away.looks = broken // its users may have gone with it
	case r.link != nil && len(left) == 0: // it never had to do with it
		r.mu.Unlock()
		return
	case r.joining == l:
		r.joining = nil
	}
	r.slow(len(left) > 0)
	if back != nil && (len(left) > 0 || back.bidi) {
		r.mayResume(back)
	}
	r.requeue(append(left, r.queue...))
	start := r.starts()
	r.mu.Unlock()
	if start {
		r.s.work(r.connect)
	}
}

// requeue replaces the queue. The lock is held.
func (r *route) requeue(list []item) {
	r.queue, r.bytes = list, 0
	for _, it := range list {
		r.bytes += it.size
	}
}

// idle reports whether the route may be forgotten: nothing waits, and nothing was sent for
// a while.
func (r *route) idle(before time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != resting || r.wanted() || r.away.told || r.used.After(before) || r.retryAt.After(time.Now()) {
		return false
	}
	r.removed = true
	return true
}
