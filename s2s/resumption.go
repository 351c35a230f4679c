package s2s

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"parley/xmpp"
)

// comesBack is how long who has opened a stream is given to resume it, where another one is
// there or could be opened, before what may not have arrived is sent in that.
const comesBack = 15 * time.Second

// comesSoon is how long another stream is not opened, where the other side has lost one
// that had nothing of ours: it spares both a second one.
const comesSoon = 2 * time.Second

// A resumption is what a route knows of a lost stream that may be resumed, by who has opened
// it (XEP-0198 §5). Only then is it known what has arrived of what was sent in that: until it
// is, or is not to be expected any more, nothing of this is handed to another stream.
type resumption struct {
	id    string
	link  *link     // the lost one
	acked uint32    // what the other side has acknowledged of it
	n     int       // items behind that; they are the first of the queue
	comes time.Time // until then no other stream will do
	until time.Time // then it is too late
	bidi  bool      // both sides sent
}

// is reports whether it is the same one. There may be another one of the same stream, which
// was resumed and lost again.
func (x *resumption) is(other *resumption) bool { return x == other }

// ours reports whether we are to resume the stream.
func (x *resumption) ours() bool { return x.link.out }

// waited reports whether what was sent in the stream has to wait for it.
func (x *resumption) waited(now time.Time) bool {
	return x.n > 0 && (x.ours() && now.Before(x.until) || now.Before(x.comes))
}

// mayResume notes a lost stream. Both sides may have opened one at the same time and lost both;
// but no more than one had something of this route in it. The lock is held.
func (r *route) mayResume(x *resumption) {
	x.comes = time.Now().Add(comesBack)
	if x.n == 0 && !x.ours() {
		x.comes = time.Now().Add(comesSoon)
	}
	r.resume = slices.DeleteFunc(r.resume, func(old *resumption) bool {
		return old.n > 0 && x.n > 0 || old.n == 0 && old.ours() == x.ours()
	})
	r.resume = append(r.resume, x)
}

// resumes returns which stream we are to resume; nil: none.
func (r *route) resumes() *resumption {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mine(time.Now())
}

// stuck reports whether a stream of ours could not be resumed in good time.
func (r *route) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	back := r.mine(now)
	return back != nil && r.fails > 0 && now.After(back.comes)
}

// mine is resumes. The lock is held.
func (r *route) mine(now time.Time) *resumption {
	r.resume = slices.DeleteFunc(r.resume, func(x *resumption) bool { return !now.Before(x.until) })
	for _, x := range r.resume {
		if x.ours() {
			return x
		}
	}
	return nil
}

// next is when a stream is tried: not while the other side is given time to resume one, unless
// it may be waiting for us; and once more when another one than ours will do. The lock is held.
func (r *route) next(now time.Time) time.Time {
	at := r.retryAt
	if back := r.mine(now); back != nil {
		if now.Before(back.comes) && back.comes.Before(at) {
			at = back.comes
		}
		return at
	}
	for _, x := range r.resume {
		if x.comes.After(at) {
			at = x.comes
		}
	}
	return at
}

// waited reports whether what is in the queue has to wait for a lost stream. The lock is held.
func (r *route) waited(now time.Time) bool {
	return slices.ContainsFunc(r.resume, func(x *resumption) bool { return x.waited(now) })
}

// counted is how many items of the queue were sent in a stream that may be resumed. The lock is held.
func (r *route) counted() (n int) {
	for _, x := range r.resume {
		n += x.n
	}
	return n
}

// resumed takes out of the queue what has arrived in the lost stream; false: more is
// acknowledged than was sent.
func (r *route) resumed(which func(*resumption) bool, h uint32) bool {
	r.mu.Lock()
	i := slices.IndexFunc(r.resume, which)
	if i < 0 {
		r.mu.Unlock()
		return true
	}
	was := r.resume[i]
	r.resume = slices.Delete(r.resume, i, i+1)
	n := int(int32(h - was.acked))
	if n < 0 || n > was.n {
		r.mu.Unlock()
		return false
	}
	if n > 0 {
		r.barren = 0
	}
	gone := r.queue[:n:n]
	r.requeue(r.queue[n:])
	r.mu.Unlock()
	r.s.outbox.gone(idsOf(gone))
	return true
}

// failedAt takes the answer that a stream cannot be resumed, with what had arrived of it if
// the other side still knows (XEP-0198 §5).
func (r *route) failedAt(back *resumption, st *xmpp.Stanza) {
	if h, err := countOf(st); err == nil {
		r.resumed(back.is, h)
	}
	r.notResumed(back.is)
}

// notResumed forgets lost streams: what was not acknowledged is sent once more.
func (r *route) notResumed(which func(*resumption) bool) {
	r.mu.Lock()
	r.resume = slices.DeleteFunc(r.resume, which)
	r.mu.Unlock()
}

// beginSM enables stream management, or goes on with a stream that was lost.
func (l *link) beginSM(ctx context.Context, p pair) error {
	r := l.s.route(p)
	if back := r.resumes(); back != nil {
		back.link.end(nil)
		select {
		case <-back.link.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.smStart = back.link.settledCount()
		var b xmpp.Builder
		st, err := l.askSM(ctx, back, b.Open(nsSM, "resume", "previd", back.id, "h", strconv.FormatUint(uint64(l.smStart), 10)).Payload())
		if err != nil {
			return err
		}
		if st.Name.Local == "resumed" {
			return l.resumedBy(r, back, st)
		}
		r.failedAt(back, st)
		l.smStart = 0
	}
	var b xmpp.Builder
	_, err := l.askSM(ctx, nil, b.Open(nsSM, "enable", "resume", "true").Payload())
	return err
}

func (l *link) resumedBy(r *route, back *resumption, st *xmpp.Stanza) error {
	h, err := countOf(st)
	if err != nil || !r.resumed(back.is, h) {
		return countTooHigh(h, back.acked+uint32(back.n))
	}
	l.s.stats.Resumed.Add(1)
	return nil
}

// askSM sends a request of stream management, to go on with a lost stream if there is one, and
// waits for the answer.
func (l *link) askSM(ctx context.Context, back *resumption, request xmpp.Payload) (*xmpp.Stanza, error) {
	ch := make(chan *xmpp.Stanza, 1)
	l.mu.Lock()
	l.smReply, l.smAsks = ch, back
	l.mu.Unlock()
	l.write(request)
	select {
	case st := <-ch:
		return st, nil
	case <-l.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.smReply = nil // what comes now comes too late
	l.mu.Unlock()
	select {
	case st := <-ch:
		return st, nil
	default:
		return nil, cmp.Or(ctx.Err(), errLinkEnded)
	}
}
