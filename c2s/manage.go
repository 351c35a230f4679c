package c2s

import (
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/xmpp"
)

// maxMisuse is how many requests of stream management one connection may make out of turn.
// They are recoverable, and their misuse may end the stream (XEP-0198 §6).
const maxMisuse = 10

// inbound counts what a client with stream management sends, and answers when it asks.
//
// A stanza is handled when what it leaves behind is committed. Only messages are ever in
// flight (Sender.Flying), and they settle in order: so the count is that of the stanzas
// taken from the stream, less those in flight.
type inbound struct {
	key   resumeKey     // of a session that may be resumed
	max   time.Duration // how long it waits for that; 0: not at all
	taken atomic.Uint32 // stanzas taken from the stream; wraps (XEP-0198 §4)
	back  bool          // the client has acknowledged less than before; the reader's

	mu     sync.Mutex // a leaf
	owed   []request  // what is asked and not settled yet, in order
	timing bool       // late will be called
}

// request is an <r/> that finds messages in flight.
type request struct {
	n        uint32 // the count that is its whole answer
	at       time.Time
	answered bool // with less
}

// enable begins stream management (XEP-0198 §3) and returns what answers. first says that the
// answer is to be put into the queue, in front of all that counts.
func (s *session) enable(resume, max string, first bool) xmpp.Payload {
	set := s.srv.settings.Load()
	in, o := &inbound{}, &outbound{limits: s.srv.settings.Load}
	var b xmpp.Builder
	b.Open(nsSM, "enabled")
	if (resume == "true" || resume == "1") && set.SMTimeout > 0 {
		in.max = lasts(max, set.SMTimeout)
		o.lasting = true
		id := rand.Text() // 130 bits (XEP-0198 §5)
		in.key = keyOf(s.jid.Bare(), id)
		b.Attr("id", id).Attr("resume", "true").Attr("max", strconv.Itoa(int(in.max/time.Second)))
	}
	answer := b.Payload()
	o.later = s.askLate
	s.sm.Store(in)
	if first {
		s.out.manage(o, answer)
	} else {
		s.out.manage(o, nil)
	}
	if o.lasting {
		s.srv.enroll(s, in.key)
	}
	return answer
}

func (s *session) askLate() {
	s.out.askLate()
	s.out.flush()
}

// lasts returns how long a session waits: what the client prefers, but no longer than top
// (XEP-0198 §3).
func lasts(max string, top time.Duration) time.Duration {
	n, err := strconv.ParseUint(max, 10, 31)
	if err != nil || n == 0 || time.Duration(n)*time.Second > top {
		return top
	}
	return time.Duration(n) * time.Second
}

// enableInline is what Bind 2 does with <enable/> (XEP-0198 §9.1).
func enableInline(_ *router.Turn, s *router.Sender, e xmpp.Element) xmpp.Payload {
	mine, ok := s.Session().(*session)
	if !ok {
		return nil
	}
	return mine.enable(e.Attr("resume"), e.Attr("max"), false)
}

// manage takes an element of stream management from a client with a session.
func (c *conn) manage(rd *router.Round, st *xmpp.Stanza) error {
	s := c.sess
	sm := s.sm.Load()
	switch {
	case st.Name.Local == "enable" && sm != nil: // XEP-0198 §3
		return xmpp.EndStream("policy-violation", "stream management is enabled already")
	case st.Name.Local == "enable":
		s.sender.Settle(rd) // what was sent before does not count
		resume, _ := st.Attr("resume")
		max, _ := st.Attr("max")
		s.enable(resume, max, true)
	case st.Name.Local == "r" && sm != nil:
		s.answer(sm)
	case st.Name.Local == "a" && sm != nil:
		return s.acknowledged(st)
	default:
		return c.misused()
	}
	c.said = true
	return nil
}

// misused answers what is out of turn (XEP-0198 §6).
func (c *conn) misused() error {
	if c.misuse++; c.misuse > maxMisuse {
		return xmpp.EndStream("policy-violation", "stream management out of turn")
	}
	return c.out.write(failedSM("unexpected-request", 0, false))
}

// failedSM is <failed/>, with a count if there is one.
func failedSM(condition string, h uint32, known bool) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsSM, "failed")
	if known {
		b.Attr("h", decimal(h))
	}
	return b.Open(xmpp.NSStanzas, condition).Close().Close().Payload()
}

// acknowledged takes an <a/>. One that goes back is ignored: clients that begin to count too
// late send such, and lose nothing by it.
func (s *session) acknowledged(st *xmpp.Stanza) error {
	text, _ := st.Attr("h")
	h, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return xmpp.EndStream("bad-format", "an acknowledgement is a number of 32 bits")
	}
	return s.ack(uint32(h))
}

func (s *session) ack(h uint32) error {
	took, back, wrong := s.out.acked(h)
	if wrong != nil {
		return wrong
	}
	if back {
		s.srv.stats.AcksBack.Add(1)
		if sm := s.sm.Load(); !sm.back {
			sm.back = true
			s.srv.log.Info("a client acknowledges less than before; ignored", "jid", s.jid.String(), "h", h)
		}
	}
	if len(took) > 0 {
		s.sender.Took(took)
	}
	return nil
}

// answer answers an <r/>: at once if nothing is in flight, else when what is in flight now
// is settled, but not much later than SMAckWithin (XEP-0198 §4).
func (s *session) answer(sm *inbound) {
	n := sm.taken.Load()
	if s.sender.Flying() == 0 {
		s.out.say(n)
		return
	}
	now := time.Now()
	within := s.srv.settings.Load().SMAckWithin
	sm.mu.Lock()
	last := len(sm.owed) - 1
	again := last >= 0 && sm.owed[last].n == n // nothing was sent in between: one answer is both
	if again {
		sm.owed[last].at, sm.owed[last].answered = now, false
	} else {
		sm.owed = append(sm.owed, request{n: n, at: now})
	}
	if !sm.timing {
		sm.timing = true
		time.AfterFunc(within, s.late)
	}
	sm.mu.Unlock()
	if !again {
		s.sender.WhenSettled(s.settled)
	}
}

// settled is called when what was in flight at the oldest <r/> is settled. The answer
// follows also where one with less was given.
func (s *session) settled() {
	sm := s.sm.Load()
	sm.mu.Lock()
	n := sm.owed[0].n
	if sm.owed = sm.owed[1:]; len(sm.owed) == 0 {
		sm.owed = nil
	}
	sm.mu.Unlock()
	s.out.say(n)
	s.out.flush()
}

// late answers requests that have waited for long enough with the count so far.
func (s *session) late() {
	sm := s.sm.Load()
	within := s.srv.settings.Load().SMAckWithin
	now, due, next := time.Now(), false, time.Duration(0)
	sm.mu.Lock()
	for i := range sm.owed {
		switch r := &sm.owed[i]; {
		case r.answered:
		case now.Sub(r.at) >= within:
			r.answered, due = true, true
		case next == 0:
			next = r.at.Add(within).Sub(now)
		}
	}
	if sm.timing = next > 0; sm.timing {
		time.AfterFunc(next, s.late)
	}
	sm.mu.Unlock()
	if due {
		s.out.say(s.soFar(sm))
		s.out.flush()
	}
}

// soFar is how many stanzas are certainly handled. Asked by others than the reader it may be
// one too low, never too high: a message is in flight before it is counted as taken.
func (s *session) soFar(sm *inbound) uint32 {
	n := sm.taken.Load()
	return n - uint32(s.sender.Flying())
}

// lastWord tells the client of all that is handled, before the stream ends.
func (s *session) lastWord() {
	if sm := s.sm.Load(); sm != nil {
		s.out.say(s.soFar(sm))
	}
}
