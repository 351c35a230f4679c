package c2s

import (
	"net/http"
	"strconv"
	"time"

	"parley/xmpp"
)

// answerIfAny answers the oldest request if there is something for the client and somebody
// waits for it. The lock is held.
func (b *bosh) answerIfAny() {
	for (len(b.out) > 0 || b.report > 0) && !b.outOver && b.waited() {
		b.reply(&boshAnswer{elements: b.some()})
	}
}

// waited reports whether somebody waits for the oldest answer. The first one tells of the
// stream's features, so it waits for them.
func (b *bosh) waited() bool { return len(b.held) > 0 && b.held[0].answer != nil }

// some takes elements for one answer.
func (b *bosh) some() (elements []byte) {
	n := 0
	for n < len(b.out) && (n == 0 || len(elements)+len(b.out[n]) <= boshAnswerSize) {
		elements = append(elements, b.out[n]...)
		n++
	}
	if b.out = b.out[n:]; len(b.out) == 0 {
		b.out = nil
	}
	b.outLen -= len(elements)
	b.outSince = time.Now()
	return elements
}

// reply answers the oldest request. The answer may be asked for again. The lock is held.
func (b *bosh) reply(a *boshAnswer) {
	t := b.held[0]
	b.held = b.held[1:]
	if t.timer != nil {
		t.timer.Stop()
	}
	if !b.opened && !a.ends {
		b.opened = true
		a.attrs = b.creation(b.streamID)
	} else if b.acks && b.last != t.rid { // XEP-0124 §9.1
		a.attrs = append(a.attrs, "ack", strconv.FormatUint(b.last, 10))
	}
	if b.report > 0 {
		for _, s := range b.cache {
			if s.rid == b.report {
				a.attrs = append(a.attrs, "report", strconv.FormatUint(s.rid, 10), "time", strconv.FormatInt(time.Since(s.at).Milliseconds(), 10))
			}
		}
		b.report = 0
	}
	body := a.append(nil)
	b.answered = t.rid
	b.cache = append(b.cache, boshSaid{t.rid, t.key, body, time.Now()})
	if n := len(b.cache) - b.window - 1; n > 0 { // with the one that pauses (XEP-0124 §11)
		b.cache = b.cache[n:]
	}
	t.tell(body)
}

// tell hands the answer to whoever waits for it.
func (t *boshTurn) tell(body []byte) {
	if t.answer != nil {
		t.answer <- body // of one
		t.answer = nil
	}
}

// end ends the session for a request.
func (t *boshTurn) end(condition string) {
	if t.timer != nil {
		t.timer.Stop()
	}
	t.tell((&boshAnswer{ends: true, condition: condition}).append(nil))
}

// late answers a request that has waited for as long as the client wants (XEP-0124 §8), and
// those before it.
func (b *bosh) late(t *boshTurn) {
	b.mu.Lock()
	t.late = true
	b.overdue(t)
	b.rest()
	fns := b.taken()
	b.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}

// overdue answers a request whose time is over, if somebody waits for it. Those before it, for
// which perhaps nobody does, are answered first: such an answer may be asked for. The lock is held.
func (b *bosh) overdue(t *boshTurn) {
	for t.late && t.answer != nil && b.opened && !b.closing && len(b.held) > 0 && b.held[0].rid <= t.rid {
		a := &boshAnswer{}
		if b.waited() {
			a.elements = b.some()
		}
		b.reply(a)
	}
}

// taken returns whom to tell that little waits for the client any more. The lock is held.
func (b *bosh) taken() []func() {
	if b.outLen >= boshBuffer && !b.over {
		return nil
	}
	fns := b.sent
	b.sent = nil
	return fns
}

// fail ends the session for what the client has done wrong with request t (XEP-0124 §17.2). The
// lock is held.
func (b *bosh) fail(condition string, t *boshTurn) {
	t.end(condition)
	for _, h := range b.held {
		h.end("other-request")
	}
	for _, a := range b.ahead {
		a.end("other-request")
	}
	b.held, b.ahead = nil, map[uint64]*boshTurn{}
	b.finished()
}

// conclude tells the client that the stream is over, if it is and somebody waits to be told
// (XEP-0124 §13): with the oldest request for which somebody does. The lock is held.
func (b *bosh) conclude() {
	if !b.closing || b.over || b.live() == 0 {
		return
	}
	for len(b.held) > 0 && !b.waited() {
		b.reply(&boshAnswer{})
	}
	if len(b.held) == 0 {
		return
	}
	a := &boshAnswer{ends: true, condition: b.condition}
	for _, e := range b.out {
		a.elements = append(a.elements, e...)
	}
	b.reply(a)
	for len(b.held) > 0 {
		b.reply(&boshAnswer{})
	}
	b.finished()
}

// finished is the end of the session for its client. The lock is held.
func (b *bosh) finished() {
	b.over, b.inOver, b.outOver = true, true, true
	b.out, b.outLen, b.cache = nil, 0, nil
	b.held, b.ahead = nil, map[uint64]*boshTurn{}
	if b.idle != nil {
		b.idle.Stop()
	}
}

// live returns how many requests somebody waits for. The lock is held.
func (b *bosh) live() (n int) {
	for _, h := range b.held {
		if h.answer != nil {
			n++
		}
	}
	for _, t := range b.ahead {
		if t.answer != nil {
			n++
		}
	}
	return n + b.slowed
}

// rest sets the time after which a client without requests counts as gone (XEP-0124 §10). The
// lock is held.
func (b *bosh) rest() {
	b.idleAt++
	if b.idle != nil {
		b.idle.Stop()
		b.idle = nil
	}
	if b.over || b.live() > 0 {
		return
	}
	at, period := b.idleAt, b.inactivity
	if b.pause > 0 {
		period = b.pause
	}
	b.idle = time.AfterFunc(period, func() { b.lost(at) })
}

// lost ends a session whose client has made no request for too long. Where the stream may be
// resumed it is (XEP-0198 §5).
func (b *bosh) lost(at int) {
	b.mu.Lock()
	if b.idleAt != at || b.over {
		b.mu.Unlock()
		return
	}
	b.finished()
	fns := b.taken()
	b.mu.Unlock()
	b.srv.bosh.Delete(b.sid)
	b.wakeUp()
	for _, fn := range fns {
		fn()
	}
}

// say answers a request that no session answers.
func (s *Server) say(w http.ResponseWriter, b *bosh, status int, a *boshAnswer) {
	content := "text/xml; charset=utf-8"
	if b != nil {
		content = b.content
	}
	if b == nil || !b.legacy {
		status = http.StatusOK // XEP-0124 §17.1
	}
	write(w, status, content, a.append(nil))
}

func write(w http.ResponseWriter, status int, content string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", content)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	w.WriteHeader(status)
	w.Write(body)
}

// legacyStatus is how a client without binding conditions is told of the end
// (XEP-0124 §17.1).
func legacyStatus(body []byte) int {
	if p, err := xmpp.ParseStanzaBytes(body); err == nil {
		switch c, _ := p.Attr("condition"); c {
		case "bad-request":
			return http.StatusBadRequest
		case "policy-violation":
			return http.StatusForbidden
		case "item-not-found":
			return http.StatusNotFound
		}
	}
	return http.StatusOK
}
