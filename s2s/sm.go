package s2s

import (
	"crypto/rand"
	"strconv"
	"time"

	"parley/router"
	"parley/xmpp"
)

// resumeFor is how long a stream may be resumed after its connection was lost (XEP-0198 §5).
const resumeFor = 5 * time.Minute

// maxMisuse is how many requests of stream management one stream may make out of turn.
const maxMisuse = 10

// inbound counts what the other side sends (XEP-0198 §4). A stanza is handled when what it
// leaves behind is committed.
type inbound struct {
	id    string // by which the stream is resumed; "" where it is not
	base  uint32 // the link's count of stanzas when counting began
	start uint32 // what had been counted before, in a stream that this one resumes
}

// outbound is what the other side says of what we send.
type outbound struct {
	id      string // by which we resume the stream; "" where we do not
	acked   uint32 // what it has counted last
	waiting bool   // it has been asked and has not answered
	hasty   bool   // something was put in behind the question that nobody has written
	asked   time.Time
	before  int // how many of the link's sent were put in before counting began
}

// hastyEvery is how long an answer may take before another question follows for what nobody has
// written (router.Provisional): the other side answers when what was there at the question is settled.
const hastyEvery = 10 * time.Millisecond

// ask appends a request, where there is something to ask for. The link's lock is held.
func (o *outbound) ask(buf []byte, unacked int, now time.Time) []byte {
	if unacked == 0 || o.waiting && !(o.hasty && now.Sub(o.asked) > hastyEvery) {
		return buf
	}
	o.waiting, o.hasty, o.asked = true, false, now
	return append(buf, "<r xmlns='"+nsSM+"'/>"...)
}

// handled is how many stanzas of the other side are settled. Only the reader's, or when the
// reader has ended.
func (l *link) handled() uint32 {
	return l.sm.start + l.taken - l.sm.base - uint32(l.from.Flying())
}

// manage takes an element of stream management.
func (l *link) manage(rd *router.Round, st *xmpp.Stanza) error {
	switch st.Name.Local {
	case "enable":
		return l.enable(rd, st)
	case "resume":
		return l.resume(rd, st)
	case "enabled", "resumed", "failed":
		if l.replied(st) {
			return nil
		}
	case "r":
		if l.sm != nil {
			l.answer()
			return nil
		}
	case "a":
		if l.smOut != nil {
			return l.acknowledged(st)
		}
	}
	l.say(failedSM("unexpected-request", 0, false))
	l.said = true
	if l.failures++; l.failures > maxMisuse {
		return xmpp.EndStream("policy-violation", "stream management out of turn")
	}
	return nil
}

// replied takes the answer to askSM. Where it begins stream management, both directions do at once:
// the stream may be lost before who has asked goes on.
func (l *link) replied(st *xmpp.Stanza) bool {
	l.mu.Lock()
	ch, back := l.smReply, l.smAsks
	l.smReply, l.smAsks = nil, nil
	var out *outbound
	switch st.Name.Local {
	case "enabled":
		if back == nil {
			out = &outbound{}
			if v, _ := st.Attr("resume"); v == "true" || v == "1" {
				out.id, _ = st.Attr("id")
			}
		}
	case "resumed":
		if back != nil {
			h, _ := countOf(st) // see resumedBy
			out = &outbound{id: back.id, acked: h}
		}
	}
	if ch != nil && out != nil { // also where it is over: what comes behind is not acknowledged any more, see count
		l.sm, l.smOut, l.acked = &inbound{base: l.taken, start: l.smStart}, out, l.smStart
	}
	l.mu.Unlock()
	if ch != nil {
		ch <- st
	}
	return ch != nil
}

// settledCount is handled where stream management was on, else 0.
func (l *link) settledCount() uint32 {
	if l.sm == nil {
		return 0
	}
	return l.handled()
}

// enable begins counting, for a server that has proved who it is (XEP-0198 §3).
func (l *link) enable(rd *router.Round, st *xmpp.Stanza) error {
	if l.sm != nil {
		return xmpp.EndStream("policy-violation", "stream management is enabled already")
	}
	l.said = true
	if l.out || l.proofs() == 0 {
		l.say(failedSM("unexpected-request", 0, false))
		return nil
	}
	l.from.Settle(rd)
	in := &inbound{base: l.taken}
	var b xmpp.Builder
	b.Open(nsSM, "enabled")
	if v, _ := st.Attr("resume"); v == "true" || v == "1" {
		in.id = rand.Text()
		b.Attr("id", in.id).Attr("resume", "true").Attr("max", strconv.Itoa(int(resumeFor/time.Second)))
		l.s.mayResume(in.id, l)
	}
	l.manages(b.Payload(), in, &outbound{})
	l.pay(time.Now()) // before a stream of ours is thought of
	l.fresh()
	return nil
}

// fresh notes that the other side does not go on with a stream that was lost.
func (l *link) fresh() {
	if !l.bidi {
		return
	}
	if r := l.s.known(l.head); r != nil {
		r.notResumed(func(x *resumption) bool { return !x.ours() })
		r.hurry()
	}
}

// manages has stream management begin in both directions, with that answer: what is put in
// behind it counts.
func (l *link) manages(answer []byte, in *inbound, out *outbound) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.buf = append(l.buf, answer...)
	}
	out.before, l.handed = len(l.sent), 0
	l.sm, l.smOut, l.acked = in, out, in.start
}

// maxAwaited is how many questions of the other side wait for commits; more are answered with
// the count so far.
const maxAwaited = 16

// answer answers an <r/>: at once if nothing is in flight, else when that is settled, but
// not much later than AckWithin with the count so far; the rest follows then.
func (l *link) answer() {
	flying := l.from.Flying() > 0
	l.mu.Lock()
	waits := flying && l.awaited < maxAwaited
	if waits {
		l.awaited++
	}
	l.mu.Unlock()
	now, all := l.handled(), l.sm.start+l.taken-l.sm.base
	if !waits {
		l.ack(now)
		l.said = true
		return
	}
	tell := func(h uint32) {
		l.ack(h)
		l.Flush()
	}
	late := time.AfterFunc(l.s.settings.Load().AckWithin, func() { tell(now) })
	l.from.WhenSettled(func() {
		late.Stop()
		l.mu.Lock()
		l.awaited--
		l.mu.Unlock()
		tell(all)
	})
}

// ack acknowledges so many stanzas; never fewer than before, for a count that goes back is an
// error to some.
func (l *link) ack(h uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if int32(h-l.acked) > 0 {
		l.acked = h
	}
	l.buf = append(l.buf, ackXML(l.acked)...)
}

// lastWord tells the other side what is handled, before the stream ends.
func (l *link) lastWord() {
	if l.sm != nil {
		l.ack(l.handled())
		l.Flush()
	}
}

// countOf returns the count of stanzas that an element tells.
func countOf(st *xmpp.Stanza) (uint32, error) {
	text, _ := st.Attr("h")
	h, err := strconv.ParseUint(text, 10, 32)
	return uint32(h), err
}

// acknowledged takes an <a/>.
func (l *link) acknowledged(st *xmpp.Stanza) error {
	h, err := countOf(st)
	if err != nil {
		return xmpp.EndStream("bad-format", "an acknowledgement is a number of 32 bits")
	}
	l.mu.Lock()
	if l.over { // it answers our end: what it may not have was given back already
		l.mu.Unlock()
		return nil
	}
	o := l.smOut
	n := int(int32(h - o.acked))
	if n > len(l.sent)-o.before {
		sent := o.acked + uint32(len(l.sent)-o.before)
		l.mu.Unlock()
		return countTooHigh(h, sent)
	}
	o.waiting = false
	if n+o.before <= 0 || n < 0 { // an answer without news, or one that goes back: ignored
		l.mu.Unlock()
		return nil
	}
	o.acked = h
	gone := l.arrived(n + o.before) // who counts has what came before counting began
	o.before = 0
	more := len(l.sent) > 0
	l.mu.Unlock()
	l.s.outbox.gone(gone)
	l.said = l.said || more
	if l.leaves() {
		return errLeaving
	}
	return nil
}

// countTooHigh is for a count of more than was sent (XEP-0198 §4).
func countTooHigh(h, sent uint32) error {
	err := xmpp.EndStream("undefined-condition", "more is acknowledged than was sent")
	var b xmpp.Builder
	err.App = b.Open(nsSM, "handled-count-too-high", "h", strconv.FormatUint(uint64(h), 10), "send-count", strconv.FormatUint(uint64(sent), 10)).Payload()
	return err
}

// resume goes on with a stream that was lost (XEP-0198 §5).
func (l *link) resume(rd *router.Round, st *xmpp.Stanza) error {
	l.said = true
	previd, _ := st.Attr("previd")
	h, err := countOf(st)
	old := l.s.resumable(previd, l.head)
	l.from.Settle(rd)
	switch {
	case l.sm != nil:
		return xmpp.EndStream("policy-violation", "stream management is enabled already")
	case err != nil:
		return xmpp.EndStream("bad-format", "a count is a number of 32 bits")
	case l.out || !l.allowed(l.head):
		l.say(failedSM("item-not-found", 0, false))
		return nil
	case old == nil:
		count, known := l.s.countOf(previd, l.head)
		l.say(failedSM("item-not-found", count, known))
		return nil
	case old.bidi != l.bidi:
		l.say(failedSM("item-not-found", 0, false))
		return nil
	}
	if old = l.s.succeeds(previd, l); old == nil { // it was given up just now
		count, known := l.s.countOf(previd, l.head)
		l.say(failedSM("item-not-found", count, known))
		return nil
	}
	old.end(xmpp.EndStream("conflict", "the stream is resumed on another connection"))
	<-old.done
	l.s.stats.Resumed.Add(1)
	count := old.handled()
	var b xmpp.Builder
	b.Open(nsSM, "resumed", "previd", previd, "h", strconv.FormatUint(uint64(count), 10))
	l.manages(b.Payload(), &inbound{id: previd, base: l.taken, start: count}, &outbound{acked: h})
	if l.bidi {
		r := l.s.route(l.head)
		if !r.resumed(func(x *resumption) bool { return x.id == previd }, h) {
			return countTooHigh(h, 0)
		}
		l.pay(time.Now())
		r.hurry() // the answer to resume stands before what it will send
	}
	return nil
}

func ackXML(h uint32) []byte {
	return append(strconv.AppendUint([]byte("<a xmlns='"+nsSM+"' h='"), uint64(h), 10), "'/>"...)
}

func failedSM(condition string, h uint32, known bool) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsSM, "failed")
	if known {
		b.Attr("h", strconv.FormatUint(uint64(h), 10))
	}
	return b.Open(xmpp.NSStanzas, condition).Payload()
}
