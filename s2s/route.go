package s2s

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
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

	mu      sync.Mutex // a leaf
	state   state
	queue   []item // what is not handed to a stream
	bytes   int    // of queue
	link    *link  // set while joined
	fails   int    // attempts that failed in a row
	retryAt time.Time
	wake    chan struct{} // closed to try at once; nil unless somebody waits
	failure *failure      // of the last attempt; nil: none failed since there was a stream
	resume  *resumption   // of a lost stream; nil: none
	used    time.Time
	removed bool // nobody finds it any more
}

// A failure is why there is no stream to a domain.
type failure struct {
	at        time.Time
	condition string // of the error for who has sent something
	text      string // in words that may be shown to anybody
	permanent bool   // trying again soon is of no use
	trail     *Trail
	cause     error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

// answer is what who has sent something is told.
func (f *failure) answer() *xmpp.Error { return xmpp.Refuse(f.condition, f.text) }

// Keep implements router.Way: all messages are written, but those that are to be kept
// nowhere (XEP-0334 §4.3).
func (r *route) Keep(st *xmpp.Stanza) router.Keeping {
	if st.Has("urn:xmpp:hints", "no-store") {
		return nil
	}
	return &leaving{r.pair, st}
}

// Carry implements router.Way.
func (r *route) Carry(rd *router.Round, st *xmpp.Stanza, id storage.ID) *xmpp.Error {
	it := item{st: st, id: id, size: st.Len(), at: time.Now()}
	for {
		r.mu.Lock()
		if r.removed {
			r.mu.Unlock()
			r = r.s.route(r.pair)
			continue
		}
		r.used = it.at
		if l := r.link; l != nil && len(r.queue) == 0 {
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
			r.mu.Lock()
		}
		err := r.take(it)
		start := err == nil && r.starts()
		r.mu.Unlock()
		if start {
			r.s.work(r.connect)
		}
		return err
	}
}

// take puts an item into the queue. The lock is held.
func (r *route) take(it item) *xmpp.Error {
	set := r.s.settings.Load()
	switch {
	case r.s.stopping.Load() && it.id == 0:
		return xmpp.Refuse("remote-server-timeout", "this server is being stopped")
	case r.bytes+it.size > set.QueueBytes || len(r.queue) >= set.QueueStanzas:
		return r.crowded()
	case r.failure != nil && it.at.Before(r.retryAt) && !waits(it.st): // it was tried a moment ago
		if it.st.Kind == xmpp.Presence {
			return nil // what nobody hears is not repeated
		}
		return r.failure.answer()
	}
	r.queue = append(r.queue, it)
	r.bytes += it.size
	return nil
}

func (r *route) crowded() *xmpp.Error {
	return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too much waits for " + r.pair.remote}
}

// waits reports whether a stanza is worth keeping until its domain is reached: messages, and
// what is said once of subscriptions. Who asks something wants to know, and the presence of a
// moment is of that moment.
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
	awaited := r.resume != nil && r.resume.link.out && r.resume.link.bidi // by the other side, which cannot come itself
	if r.state != resting || len(r.queue) == 0 && !awaited || r.s.stopping.Load() {
		return false
	}
	r.state = connecting
	return true
}

// connect sees to a stream until there is one or nothing waits for it.
func (r *route) connect(ctx context.Context) {
	for r.pause(ctx) {
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
	r.mu.Lock()
	d := time.Until(r.retryAt)
	if d <= 0 {
		r.mu.Unlock()
		return ctx.Err() == nil
	}
	wake := make(chan struct{})
	r.wake = wake
	r.mu.Unlock()
	for end := time.Now().Add(d); ; {
		step := min(time.Until(end), ageEvery)
		if step <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-wake:
			return true
		case <-time.After(step):
			r.giveUp(r.tooOld())
		}
	}
}

// ageEvery is how often what waits is looked at for its age.
const ageEvery = 10 * time.Second

// rest notes that nobody sees to a stream any more.
func (r *route) rest() {
	r.mu.Lock()
	r.state = resting
	r.mu.Unlock()
}

// hurry has a route be tried at once whose domain has shown that it is there; not while the
// other side may yet resume a stream that had its stanzas.
func (r *route) hurry() {
	r.mu.Lock()
	if r.resume != nil && !r.resume.link.out {
		r.mu.Unlock()
		return
	}
	r.retryAt, r.fails = time.Time{}, 0
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
	r.mu.Unlock()
}

// join hands what waits to a stream and attaches the route to it. Nothing overtakes: what is
// sent meanwhile stands in the queue until that is empty. It returns false where the stream
// is over.
func (r *route) join(l *link) bool {
	if !l.attach(r) {
		return false
	}
	for {
		r.mu.Lock()
		list := r.queue
		r.queue, r.bytes = nil, 0
		if len(list) == 0 {
			r.link, r.state, r.fails, r.failure, r.retryAt, r.resume = l, joined, 0, nil, time.Time{}, nil
			r.mu.Unlock()
			break
		}
		r.mu.Unlock()
		if left := r.handAll(l, list); len(left) > 0 {
			r.putBack(left)
			l.detach(r)
			return false
		}
		l.Flush()
	}
	l.Flush()
	if l.ended() { // it was, before link was set: nobody else notices
		r.lost(l, nil, nil)
	}
	return true
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

// putBack puts items in front of the queue.
func (r *route) putBack(list []item) {
	r.mu.Lock()
	r.queue = append(list[:len(list):len(list)], r.queue...)
	for _, it := range list {
		r.bytes += it.size
	}
	r.mu.Unlock()
}

// lost is called when a stream has ended, with what the other side may not have of what this
// route has handed to it. It is sent again, in front of all else.
func (r *route) lost(l *link, left []item, back *resumption) {
	r.mu.Lock()
	if r.link == l {
		r.link, r.state = nil, resting
	}
	if r.link != nil && len(left) == 0 {
		r.mu.Unlock()
		return
	}
	if back != nil && (len(left) > 0 || l.bidi) {
		r.resume = back
		if !l.out { // it is the other side's to resume
			r.retryAt = time.Now().Add(comesBack)
		}
	}
	r.queue = append(left, r.queue...)
	for _, it := range left {
		r.bytes += it.size
	}
	start := r.starts()
	r.mu.Unlock()
	if start {
		r.s.work(r.connect)
	}
}

// Backoff between attempts.
const (
	backoffFirst = 2 * time.Second
	backoffMost  = 5 * time.Minute
)

// failed notes that an attempt has failed and answers what is not worth waiting. It reports
// whether anything waits yet.
func (r *route) failed(err error) bool {
	f := asFailure(err)
	r.s.stats.Failed.Add(1)
	r.mu.Lock()
	r.fails++
	d := min(backoffFirst<<min(r.fails-1, 10), backoffMost)
	d = d*3/4 + rand.N(d/2)
	r.failure, r.retryAt = f, time.Now().Add(d)
	var keep, drop []item
	for i, it := range r.queue {
		sent := r.resume != nil && i < r.resume.n // and counted
		if f.permanent || !waits(it.st) && !sent {
			drop = append(drop, it)
		} else {
			keep = append(keep, it)
		}
	}
	r.requeue(keep)
	if len(drop) > 0 {
		r.resume = nil
	}
	r.mu.Unlock()
	r.s.log.Warn("a domain cannot be reached", "domain", r.pair.remote, "from", r.pair.local, "reason", f.text, "waiting", len(keep), "next", d.Round(time.Second), "path", f.trail.String())
	r.refuse(drop, f.answer())
	r.giveUp(r.tooOld())
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.state = resting
		return false
	}
	return true
}

// requeue replaces the queue. The lock is held.
func (r *route) requeue(list []item) {
	r.queue, r.bytes = list, 0
	for _, it := range list {
		r.bytes += it.size
	}
}

// tooOld takes out what has waited for too long.
func (r *route) tooOld() (old []item) {
	before := time.Now().Add(-r.s.settings.Load().GiveUp)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.queue) && r.queue[n].at.Before(before) {
		n++
	}
	if n > 0 {
		old = r.queue[:n:n]
		r.requeue(r.queue[n:])
		r.resume = nil
	}
	return old
}

// giveUp answers what has waited for too long.
func (r *route) giveUp(old []item) {
	if len(old) == 0 {
		return
	}
	r.mu.Lock()
	f := r.failure
	r.mu.Unlock()
	text := fmt.Sprintf("%s could not be reached for %s", r.pair.remote, r.s.settings.Load().GiveUp)
	if f != nil {
		text += ": " + f.text
	}
	r.s.log.Warn("messages are given up", "domain", r.pair.remote, "stanzas", len(old), "reason", text)
	r.refuse(old, xmpp.Refuse("remote-server-timeout", text))
}

// refuse answers stanzas with an error, and takes them out of the outbox behind that.
func (r *route) refuse(list []item, err *xmpp.Error) {
	if len(list) == 0 {
		return
	}
	var rd router.Round
	for _, it := range list {
		switch {
		case it.st.Kind == xmpp.Message:
			r.s.cfg.Router.Return(&rd, it.st, err)
		case it.st.Kind == xmpp.IQ || waits(it.st):
			r.s.cfg.Router.Bounce(&rd, it.st, err)
		}
	}
	rd.Flush()
	r.s.outbox.gone(idsOf(list))
}

// idle reports whether the route may be forgotten: nothing waits, and nothing was sent for
// a while.
func (r *route) idle(before time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != resting || len(r.queue) > 0 || r.used.After(before) || r.retryAt.After(time.Now()) {
		return false
	}
	r.removed = true
	return true
}
