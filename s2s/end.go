package s2s

import (
	"context"
	"errors"
	"io"
	"time"

	"parley/xmpp"
)

// end ends the stream, with an error if there is one, and gives what the other side may not
// have back to those who have sent it. Only the first call does anything.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over, l.cause = true, err
	writing := l.writing
	l.mu.Unlock()
	if !writing { // else who writes does it: only then it is known what has been written
		l.part()
	}
}

// part does what is left of the end. It is called once.
func (l *link) part() {
	l.mu.Lock()
	last := l.lastBytes()
	l.buf = nil
	gone := l.left()
	pending, routes := l.undelivered(), l.routes
	halfway := l.smOut == nil && l.handed < len(l.sent) && l.sent[l.handed].end <= l.queued
	l.sent, l.routes, l.bytes, l.durable, l.handed = nil, nil, 0, 0, 0
	asked, verify := l.asked, l.verify
	l.asked, l.verify = nil, nil
	rest := remains{lost: l.isLost(), head: l.head, bidi: l.bidi, in: l.sm, out: l.smOut, routes: routes, pending: pending}
	rest.halfway = halfway
	cause := l.cause
	l.mu.Unlock()
	l.s.outbox.gone(gone)
	if wrong := (*xmpp.StreamError)(nil); errors.As(cause, &wrong) && wrong.Condition != "" {
		l.s.countError(wrong.Condition)
	}
	if len(last) > 0 {
		l.t.Write(last)
	}
	if rest.lost || rest.halfway { // what is sent again must not arrive yet
		l.st.Close(0)
	} else { // what the other side has sent by now is taken yet (RFC 6120 §4.4)
		time.AfterFunc(lingerAfter, func() { l.st.Close(0) })
	}
	for _, ch := range asked {
		ch <- errLinkEnded
	}
	for _, ch := range verify {
		ch <- "" // nobody has said that the key is wrong
	}
	l.s.parted(l, rest)
	close(l.parted)
}

// remains are what is left of a stream.
type remains struct {
	lost    bool // neither side has said that it ends
	halfway bool // the transport has what the system has not taken
	head    pair
	bidi    bool
	in      *inbound
	out     *outbound
	routes  map[pair]*route
	pending []sent
}

// lastBytes is what is written last. The lock is held.
func (l *link) lastBytes() []byte {
	var wrong *xmpp.StreamError
	var said *theirs
	switch {
	case errors.As(l.cause, &wrong):
		return l.st.AppendClose(l.unsent(), wrong)
	case l.cause == nil, errors.Is(l.cause, io.EOF), errors.As(l.cause, &said): // RFC 6120 §4.9.1.1
		return l.st.AppendClose(l.unsent(), nil)
	}
	return nil
}

// unsent is what may yet be written when the stream ends: nothing, if a stanza is among it,
// for that is sent again elsewhere. The lock is held.
func (l *link) unsent() []byte {
	if n := len(l.sent); n > 0 && l.sent[n-1].end > l.queued {
		return nil
	}
	return l.buf
}

// lastAcksWithin is how long the other side has to acknowledge what was sent to it, when we
// end a stream: what it has not, it may get twice.
const lastAcksWithin = time.Second

// leave ends the stream as both sides would like it: under stream management everything that
// came is settled and acknowledged first, and the other side may do the same. Where when is
// set, it has to say so; it is called with the lock held.
func (l *link) leave(err error, when func() bool) {
	l.mu.Lock()
	if l.over || l.leaving || when != nil && !when() {
		l.mu.Unlock()
		return
	}
	managed, waits := l.sm != nil && l.running.Load(), len(l.sent) > 0
	if !managed && waits { // first it is asked whether it has that, by the stream itself
		began := l.draining
		l.draining = true
		l.mu.Unlock()
		if !began {
			l.s.work(func(context.Context) { l.drain(); l.end(err) })
		}
		return
	}
	l.leaving, l.goodbye = true, err
	if managed && err == nil && when == nil { // what is on its way is asked for when it is resumed
		l.goodbye = &lostError{errLeaving}
	}
	l.mu.Unlock()
	if !managed {
		l.end(err)
		return
	}
	if waits {
		l.Flush()
		time.AfterFunc(lastAcksWithin, func() {
			l.mu.Lock()
			l.hurried = true
			l.mu.Unlock()
			l.t.Nudge()
		})
	}
	l.t.Nudge()
}

// drain waits until the other side has what was sent without stream management.
func (l *link) drain() {
	for end := time.Now().Add(lastAcksWithin); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		gone := l.left()
		done := l.over || len(l.sent) == 0
		l.mu.Unlock()
		l.s.outbox.gone(gone)
		if done {
			return
		}
	}
}

// errLeaving is how the reader hears that the stream is to end.
var errLeaving = errors.New("the stream is left")

// leaves reports whether the reader is to end the stream now.
func (l *link) leaves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving && !l.over && (l.hurried || len(l.sent) == 0)
}
