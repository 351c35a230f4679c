package c2s

import (
	"errors"
	"sync"
	"time"

	"parley/storage"
	"parley/xmpp"
)

var (
	errReadsTooSlowly = errors.New("c2s: the client reads too slowly")
	errOver           = errors.New("c2s: the stream is over")
)

// keepBuffer is the largest buffer that is kept for the next session to use, in bytes.
const keepBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// queue holds what one client has yet to read, and with stream management what it has yet
// to acknowledge. push may be called by anyone and never waits. Bytes leave in the order
// they came; at most one goroutine writes, and an empty queue holds no memory.
type queue struct {
	mu      sync.Mutex // a leaf
	stream  *xmpp.Stream
	set     *Settings
	waiting *[]byte        // nil while empty
	later   []*xmpp.Stanza // what waits behind that while the socket refuses bytes: many queues share a body
	behind  int            // bytes of these
	writing bool
	lead    []byte    // our stream header, until it is sent
	held    bool      // nothing leaves before release
	dozing  *held     // what can wait; nil while somebody looks at the client
	sm      *outbound // nil without stream management
	stuck   bool      // the socket had refused bytes when it was last written to
	over    bool      // the stream has ended
	closed  bool      // the session has: nothing is taken any more
	then    func()    // what follows the last write
	err     error     // why nothing more will be written
}

// push appends a stanza; one with an id is not held back. tracked says that the queue knows
// of it until the client has acknowledged it. Such a stanza is taken also where err says
// that the connection must end.
func (q *queue) push(st *xmpp.Stanza, id storage.ID) (tracked bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuses(st); err != nil {
		return false, err
	}
	if q.dozing != nil {
		if id == 0 && q.dozing.hold(st) {
			return q.sm != nil, nil
		}
		q.letGo()
	}
	return q.take(st, id)
}

// refuses says why nothing is taken, if nothing is. The lock is held.
func (q *queue) refuses(st *xmpp.Stanza) error {
	lasting := q.sm != nil && q.sm.lasting
	switch {
	case q.closed, q.over && !lasting:
		return errOver
	case q.err != nil && !lasting:
		return q.err
	case q.sm != nil:
		return q.sm.room(st.Len(), q.over, time.Now())
	}
	return nil
}

// take appends a stanza that is not held back. The lock is held.
func (q *queue) take(st *xmpp.Stanza, id storage.ID) (tracked bool, err error) {
	if q.over && q.sm != nil {
		st = stamped(st, time.Now())
	}
	if !q.over && q.err == nil {
		err = q.append(st)
	}
	if q.sm == nil || err != nil && !q.sm.lasting {
		return false, err
	}
	if q.sm.add(st, id, !q.over && q.err == nil && len(q.later) == 0, time.Now()) {
		*q.waiting = append(*q.waiting, askXML...)
	}
	return true, err
}

// append puts a stanza behind what waits. While the socket refuses bytes it waits as it is: in
// a room the queues of all who read slowly have the same body. The lock is held.
func (q *queue) append(st *xmpp.Stanza) error {
	if len(q.later) > 0 || q.stuck && !q.writing && q.stream.T.WhenSent(q.goOn) {
		q.later = append(q.later, st)
		q.behind += st.Len() + sentOverhead
		return q.check(q.set.Queue, q.set.Stall)
	}
	q.borrow()
	*q.waiting = q.stream.Append(*q.waiting, st)
	if len(*q.waiting) > q.set.Queue/4 || q.writing || q.stuck {
		return q.check(q.set.Queue, q.set.Stall)
	}
	return nil
}

// goOn writes what has waited for the socket, when that has taken all.
func (q *queue) goOn() {
	q.mu.Lock()
	q.stuck = false
	q.catchUp()
	q.mu.Unlock()
	q.flush()
}

// catchUp makes bytes of the stanzas that wait. The lock is held.
func (q *queue) catchUp() {
	if len(q.later) == 0 || q.over || q.err != nil {
		q.later, q.behind = nil, 0
		return
	}
	q.borrow()
	for _, st := range q.later {
		*q.waiting = q.stream.Append(*q.waiting, st)
	}
	q.later, q.behind = nil, 0
	if q.sm == nil {
		return
	}
	q.sm.told = len(q.sm.list)
	if q.sm.unasked = q.sm.told; q.sm.ask(time.Now(), 0) {
		*q.waiting = append(*q.waiting, askXML...)
	}
}

// bytes puts bytes behind what waits. The lock is held.
func (q *queue) bytes(p []byte) {
	q.catchUp()
	q.borrow()
	*q.waiting = append(*q.waiting, p...)
}

func (q *queue) borrow() {
	if q.waiting == nil {
		q.waiting = buffers.Get().(*[]byte)
	}
}

// check looks whether the client reads at all. The lock is held.
func (q *queue) check(max int, stall time.Duration) error {
	backlog, since := q.stream.T.Backlog()
	q.stuck = backlog > 0
	total := backlog + q.behind
	if q.waiting != nil {
		total += len(*q.waiting)
	}
	if total > max || total > max/4 && !since.IsZero() && time.Since(since) > stall {
		q.err = errReadsTooSlowly
	}
	return q.err
}

// write appends bytes that are no stanza and writes everything.
func (q *queue) write(p []byte) error {
	q.mu.Lock()
	if q.err == nil && !q.over {
		q.bytes(p)
	}
	q.mu.Unlock()
	return q.flush()
}

// begin notes the stream header that is to precede an error which comes before open.
func (q *queue) begin(lead []byte) {
	q.mu.Lock()
	q.lead = lead
	q.mu.Unlock()
}

// open writes our stream header.
func (q *queue) open(header []byte) error {
	q.begin(nil)
	return q.write(header)
}

// hold keeps what is pushed until release.
func (q *queue) hold() {
	q.mu.Lock()
	q.held = true
	q.mu.Unlock()
}

// release writes first, and behind it what was pushed meanwhile.
func (q *queue) release(first []byte) error {
	q.mu.Lock()
	q.held = false
	if q.err == nil && !q.over {
		q.borrow()
		*q.waiting = append(*q.waiting, first...)
		copy((*q.waiting)[len(first):], *q.waiting)
		copy(*q.waiting, first)
	}
	q.mu.Unlock()
	return q.flush()
}

// flush writes what waits. It does not wait itself: the transport takes every byte.
func (q *queue) flush() error {
	q.mu.Lock()
	if q.writing || q.held {
		defer q.mu.Unlock()
		return q.err // whoever writes finds what came meanwhile
	}
	for q.waiting != nil && q.err == nil {
		q.writeWaiting()
	}
	err, then := q.err, q.then
	if q.over {
		q.err, q.waiting, q.then = errOver, nil, nil
	}
	q.mu.Unlock()
	if then != nil {
		then()
	}
	return err
}

// writeWaiting writes what waits now. The lock is held, except while it writes.
func (q *queue) writeWaiting() {
	out, stream := q.waiting, q.stream
	q.waiting, q.writing = nil, true
	q.mu.Unlock()
	err := stream.T.Write(*out)
	backlog, _ := stream.T.Backlog()
	if cap(*out) <= keepBuffer {
		*out = (*out)[:0]
		buffers.Put(out)
	}
	q.mu.Lock()
	q.writing = false
	if q.stream != stream { // resumed on another connection
		return
	}
	q.stuck = backlog > 0
	if err != nil && q.err == nil {
		q.err = err
	}
}

// end writes the last bytes of the stream, calls then when they are written, and refuses
// all that comes later. Only the first call does anything. A client that reads too slowly
// loses what it has not read, and one that has no session yet what was held back.
func (q *queue) end(last []byte, then func()) {
	q.mu.Lock()
	if q.over {
		q.mu.Unlock()
		return
	}
	q.catchUp()
	if q.held || q.err == errReadsTooSlowly {
		q.waiting = nil
	}
	if q.err == errReadsTooSlowly {
		q.err = nil
	}
	if q.err == nil && len(last) > 0 {
		q.borrow()
		*q.waiting = append(append(*q.waiting, q.lead...), last...) // RFC 6120 §4.9.1.2
	}
	q.over, q.held, q.then, q.lead = true, false, then, nil
	q.mu.Unlock()
	q.flush()
}
