package c2s

import (
	"errors"
	"strconv"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const (
	nsSM = "urn:xmpp:sm:3" // XEP-0198

	askXML = "<r xmlns='" + nsSM + "'/>"

	// askStanzas is after how many stanzas a client is asked to acknowledge them, however
	// short ago it was asked.
	askStanzas = 50

	// keepSent is for how many stanzas an idle session keeps the room.
	keepSent = 4

	// surplus is by how many times a connected client may exceed the bytes that may wait,
	// in a burst that it has not had the time to acknowledge.
	surplus = 4

	// sentOverhead is what a stanza takes beside its bytes, about.
	sentOverhead = 256
)

var (
	errNoAcks = errors.New("c2s: the client does not acknowledge what it is sent")
	errFull   = errors.New("c2s: too much waits for a client that may come back")
)

// outbound is what a client with stream management was sent and has not acknowledged
// (XEP-0198 §4). All of it is guarded by the queue's lock.
type outbound struct {
	limits  func() *Settings
	lasting bool // the session outlives its connection
	acked   uint32
	list    []sent
	bytes   int
	told    int    // of the first ones, how many were put on a stream
	unasked int    // of the last ones, how many no <r/> is behind
	later   func() // what has the client asked for what add has put off
	timed   bool   // it will be called
	hasty   bool   // something is not asked for that nobody has written; see hastyEvery
	soon    bool   // later will be called soon for that
	asked   int64  // when the last <r/> was sent, Unix nanoseconds
	waits   int64  // since when one waits for its answer; 0: none does
	moved   int64  // when something was last acknowledged, or the list was empty
	said    uint32 // the count of the client's own stanzas that it was last told
}

// sent is one stanza, with its id if it waits until some device has taken it.
type sent struct {
	st *xmpp.Stanza
	id storage.ID
}

// stamped is a message as it is given to a client that was away when it came: with the time
// at which the server had it (XEP-0203 §2), unless it says that already.
func stamped(st *xmpp.Stanza, now time.Time) *xmpp.Stanza {
	if st.Kind != xmpp.Message || st.Type == "error" || st.Has(xmpp.NSDelay, "delay") {
		return st
	}
	return st.With(xmpp.Delay(st.To.Host(), now))
}

// room says why a stanza of n bytes is too much, if it is. Who is connected may have more
// for as long as acknowledgements come: at least all that its queue takes (Settings.Queue),
// and as much again.
func (o *outbound) room(n int, away bool, now time.Time) error {
	set := o.limits()
	bytes := o.bytes + n + sentOverhead
	switch over := len(o.list) >= set.SMStanzas || bytes > set.SMBytes; {
	case !over:
	case away:
		return errFull
	case len(o.list) == 0: // whatever its size: it is what there is
	case now.UnixNano()-o.moved > int64(set.PingTimeout), bytes > max(surplus*set.SMBytes, 2*set.Queue):
		return errNoAcks
	}
	return nil
}

// crowded reports whether there is more than may wait for somebody who is away.
func (o *outbound) crowded() bool {
	set := o.limits()
	return len(o.list) > set.SMStanzas || o.bytes > set.SMBytes
}

// add notes what is sent, or is to be on the next stream, and reports whether an <r/> is to
// be sent behind it.
func (o *outbound) add(st *xmpp.Stanza, id storage.ID, on bool, now time.Time) (ask bool) {
	if len(o.list) == 0 {
		o.moved = now.UnixNano()
	}
	o.list = append(o.list, sent{st, id})
	o.bytes += st.Len() + sentOverhead
	if !on {
		return false
	}
	o.told = len(o.list)
	o.unasked++
	o.hasty = o.hasty || router.Provisional(id)
	if o.ask(now, askStanzas) {
		return true
	}
	if o.later != nil && (!o.timed || o.hasty && !o.soon) {
		o.timed, o.soon = true, o.hasty
		time.AfterFunc(o.every(), o.later)
	}
	return false
}

// every is how often the client is asked at most, where there is little to ask for.
func (o *outbound) every() time.Duration {
	if o.hasty {
		return hastyEvery
	}
	return askEvery
}

// ask reports whether the client is to be asked now: there is something to acknowledge, and
// either much or it was not asked for a while.
func (o *outbound) ask(now time.Time, many int) bool {
	if o.unasked == 0 || o.unasked < many && now.UnixNano()-o.asked < int64(o.every()) {
		return false
	}
	o.unasked, o.asked, o.hasty = 0, now.UnixNano(), false
	if o.waits == 0 {
		o.waits = o.asked
	}
	return true
}

// ack takes the count of stanzas that the client has handled, and returns the ids of those
// that it had not acknowledged before. The count wraps at 2^32 (XEP-0198 §4). back says that
// it is less than an earlier one, and so ignored.
func (o *outbound) ack(h uint32, now time.Time) (took []storage.ID, back bool, err *xmpp.StreamError) {
	o.waits = 0
	n := h - o.acked
	switch {
	case n > 1<<31:
		return nil, true, nil
	case int64(n) > int64(o.told):
		return nil, false, tooHigh(h, o.acked+uint32(o.told))
	case n == 0:
		return nil, false, nil
	}
	for _, s := range o.list[:n] {
		o.bytes -= s.st.Len() + sentOverhead
		if s.id != 0 {
			took = append(took, s.id)
		}
	}
	o.acked, o.moved = h, now.UnixNano()
	o.drop(int(n))
	return took, false, nil
}

// drop takes out the first n. What is left moves to the front, so that it is copied about
// once for each time it is acknowledged; nothing left holds no memory.
func (o *outbound) drop(n int) {
	clear(o.list[:n])
	o.told -= n
	if n == len(o.list) {
		o.unasked = 0
		if cap(o.list) > keepSent {
			o.list = nil
		} else {
			o.list = o.list[:0]
		}
		return
	}
	left := copy(o.list, o.list[n:])
	clear(o.list[left:])
	o.list = o.list[:left]
	o.unasked = min(o.unasked, left)
}

// tooHigh is the error of XEP-0198 §6 for who acknowledges what was never sent.
func tooHigh(h, count uint32) *xmpp.StreamError {
	e := xmpp.EndStream("undefined-condition", "you acknowledged %d stanzas, and were sent %d", h, count)
	var b xmpp.Builder
	e.App = b.Open(nsSM, "handled-count-too-high", "h", decimal(h), "send-count", decimal(count)).Payload()
	return e
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// manage has what is pushed from now on be tracked, behind these bytes.
func (q *queue) manage(o *outbound, first []byte) {
	q.mu.Lock()
	if q.err == nil && !q.over {
		q.catchUp() // what came before is not tracked
		if len(first) > 0 {
			q.bytes(first)
		}
	}
	q.sm = o
	q.mu.Unlock()
}

// acked is outbound.ack.
func (q *queue) acked(h uint32) (took []storage.ID, back bool, err *xmpp.StreamError) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sm.ack(h, time.Now())
}

// say tells the client how many of its stanzas are handled (XEP-0198 §4): never less than it
// was told before.
func (q *queue) say(h uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sm == nil || q.over || q.err != nil {
		return
	}
	if int32(h-q.sm.said) > 0 {
		q.sm.said = h
	}
	q.borrow()
	b := append(*q.waiting, "<a xmlns='"+nsSM+"' h='"...)
	*q.waiting = append(strconv.AppendUint(b, uint64(q.sm.said), 10), "'/>"...)
}

// askLate asks a client for what was put off, unless it has acknowledged that meanwhile.
func (q *queue) askLate() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sm.timed, q.sm.soon = false, false; q.over || q.err != nil || !q.sm.ask(time.Now(), 1) {
		return
	}
	q.borrow()
	*q.waiting = append(*q.waiting, askXML...)
}

// asking asks a client for what push has put off, or, where it is silent, asks whether it
// is there. since is when it was first asked what it has not answered, zero if it has.
func (q *queue) asking(now time.Time, silent bool) (since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sm == nil || q.over || q.err != nil {
		return since
	}
	if q.sm.ask(now, 1<<30) || silent && q.sm.waits == 0 {
		if q.sm.waits == 0 {
			q.sm.waits = now.UnixNano()
		}
		q.borrow()
		*q.waiting = append(*q.waiting, askXML...)
	}
	if q.sm.waits == 0 {
		return since
	}
	return time.Unix(0, q.sm.waits)
}

// detach forgets the stream, which has ended, and holds back what can wait until there is
// another. It reports whether the session may wait with what there is.
func (q *queue) detach() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stream, q.over, q.err, q.waiting, q.lead = nil, true, errOver, nil, nil
	q.later, q.behind = nil, 0 // the list of what is not acknowledged has it
	q.sm.waits = 0
	if q.dozing == nil {
		q.dozing = &held{}
	}
	return !q.closed && !q.sm.crowded()
}

// attach continues on another stream: with these bytes, all that is not acknowledged, in
// order, and what was held back (XEP-0198 §5). Nobody is taken to be inattentive there
// (XEP-0352 §5.2).
func (q *queue) attach(stream *xmpp.Stream, set *Settings, first []byte) error {
	q.mu.Lock()
	then := q.then
	q.stream, q.set, q.then, q.waiting, q.err = stream, set, nil, nil, nil
	q.over, q.stuck, q.held = false, false, false
	q.borrow()
	*q.waiting = append(*q.waiting, first...)
	for _, s := range q.sm.list {
		*q.waiting = stream.Append(*q.waiting, s.st)
	}
	q.letGo()
	q.dozing = nil
	q.sm.told = len(q.sm.list)
	if q.sm.unasked = q.sm.told; q.sm.ask(time.Now(), 0) {
		*q.waiting = append(*q.waiting, askXML...)
	}
	q.sm.moved = time.Now().UnixNano()
	q.mu.Unlock()
	if then != nil {
		then() // the old connection's; somebody was just writing to it
	}
	return q.flush()
}

// close takes nothing any more, and returns what the client has not acknowledged or was not
// sent yet.
func (q *queue) close() (left []sent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.sm != nil {
		q.letGo()
		left, q.sm.list = q.sm.list, nil
	}
	return left
}

// attention says whether there is a stream, and somebody to look at it.
func (q *queue) attention() (gone, dozes bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.over || q.closed, q.dozing != nil
}
