package c2s

import (
	"cmp"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/router"
	"parley/xmpp"
)

// BOSHPath is where clients come by BOSH.
const BOSHPath = "/http-bind"

// What sessions of BOSH may have.
const (
	boshMaxWait    = 60 * time.Second  // that a request is held
	boshMaxHold    = 4                 // requests that are held
	boshInactivity = 60 * time.Second  // without a request, until the client counts as gone
	boshMaxPause   = 120 * time.Second // the same, if it has asked for that
	boshPolling    = 2 * time.Second   // between two requests that ask for nothing
	boshAnswerSize = 1 << 20           // bytes of an answer's elements, unless one alone is larger
	boshTag        = 4 << 10           // bytes of the start tag of <body/>
	boshStanzas    = 4                 // stanzas of the largest size that one request may bring
	boshInput      = 256 << 10         // bytes that wait to be handled, until requests wait too
	boshReport     = 5 * time.Second   // that an answer may take to be acknowledged
	boshUnread     = 128 << 10         // bytes that one who is not logged in may leave unread
	boshArriving   = 256               // requests of one address whose bodies are on their way
)

// A bosh is a session of BOSH (XEP-0124, XEP-0206): a stream whose bytes come with requests and
// leave with their answers.
type bosh struct {
	srv  *Server
	sid  string
	conn *conn

	host, content string
	ver           string // that is spoken
	legacy        bool   // the client knows no binding conditions (XEP-0124 §17.1)
	secure        bool
	acks          bool // the client tells which answers it has got (XEP-0124 §9)
	addr          netip.Addr
	first         uint64 // rid of the first request
	wait          time.Duration
	hold, window  int
	inactivity    time.Duration
	wake          chan struct{} // the reader's; of one

	mu      sync.Mutex // a leaf
	in      []byte     // that the stream has not read
	inOver  bool       // nothing follows that
	drained chan struct{}
	nudged  bool
	unread  int
	slowed  int // requests that wait until the stream has read
	large   int // requests that are larger than anybody's before login

	out       [][]byte // elements for the client
	outLen    int
	outSince  time.Time
	outOver   bool // nothing follows that
	sent      []func()
	streamID  string
	condition string
	closing   bool // the connection has let go
	over      bool // the client knows, or never will

	last     uint64 // rid of the last request whose turn it was
	answered uint64 // rid of the last one that was answered
	ahead    map[uint64]*boshTurn
	held     []*boshTurn // in the order of rids
	cache    []boshSaid  // the last answers
	opened   bool        // the answer to the first request has left
	key      string      // of the last request (XEP-0124 §15.4)
	pause    time.Duration
	quiet    bool // the last request asked for nothing, and its answer had nothing
	asked    time.Time
	report   uint64 // of which answer the client is to be told, if any
	idle     *time.Timer
	idleAt   int // counts what idle was set for
}

// A boshTurn is one request that is to be answered.
type boshTurn struct {
	*boshBody
	answer chan []byte // of one; nil while nobody waits for it
	timer  *time.Timer
	at     time.Time
	late   bool // it has been held for as long as the client wants
}

// A boshSaid is an answer that may be asked for again.
type boshSaid struct {
	rid  uint64
	key  string // of its request
	body []byte
	at   time.Time
}

// BOSH serves streams over requests and answers (XEP-0206).
func (s *Server) BOSH() router.HTTP {
	return router.HTTP{Pattern: "POST " + BOSHPath, Handler: http.HandlerFunc(s.takeRequest), Cross: []string{"POST"}}
}

// takeRequest answers one request.
func (s *Server) takeRequest(w http.ResponseWriter, r *http.Request) {
	v := router.VisitorOf(r)
	raw, done, err := s.readBody(w, r, v.Addr)
	defer done()
	if errors.Is(err, errManyBodies) {
		tooMany(w)
		return
	}
	if err != nil {
		s.say(w, nil, http.StatusForbidden, &boshAnswer{ends: true, condition: "policy-violation"})
		return
	}
	p, err := parseBody(raw, xmpp.Limits{Stanza: len(raw) + 1, Elements: boshStanzas * xmpp.DefaultElements})
	if err != nil || p.rid == 0 && p.sid == "" || p.rid > maxRID {
		s.say(w, nil, http.StatusBadRequest, &boshAnswer{ends: true, condition: "bad-request"})
		return
	}
	if p.sid == "" {
		s.createSession(w, r, p, v)
		return
	}
	found, ok := s.bosh.Load(p.sid)
	if !ok || found.(*bosh).secure && !v.Secure {
		s.say(w, nil, http.StatusOK, &boshAnswer{ends: true, condition: "item-not-found"})
		return
	}
	found.(*bosh).request(w, r, p)
}

// createSession begins a session (XEP-0124 §7.1).
func (s *Server) createSession(w http.ResponseWriter, r *http.Request, p *boshBody, v router.Visitor) {
	to, err := xmpp.ParseJID(p.to)
	condition := ""
	switch {
	case s.stopping.Load():
		condition = "system-shutdown"
	case p.to == "":
		condition = "improper-addressing"
	case err != nil || !to.IsHost() || !s.cfg.Router.Serves(to.Domain()):
		condition = "host-unknown"
	}
	b := &bosh{
		srv: s, sid: rand.Text() + rand.Text(), host: to.Domain(), content: p.contentType(), ver: lower(p.ver), legacy: p.ver == "", secure: v.Secure,
		acks: p.hasAck && p.ack == 1, addr: v.Addr, first: p.rid, last: p.rid - 1, answered: p.rid - 1,
		wait: boshMaxWait, hold: 1, inactivity: boshInactivity, wake: make(chan struct{}, 1), unread: boshUnread, drained: make(chan struct{}), ahead: map[uint64]*boshTurn{},
	}
	if condition != "" {
		s.say(w, b, http.StatusBadRequest, &boshAnswer{ends: true, condition: condition})
		return
	}
	if p.wait >= 0 {
		b.wait = min(boshMaxWait, time.Duration(p.wait)*time.Second)
	}
	if p.hold >= 0 {
		b.hold = min(boshMaxHold, p.hold)
	}
	if b.wait == 0 {
		b.hold = 0
	}
	b.window = max(b.hold+1, 2)
	s.stats.Accepted.Add(1)
	if !s.admit(v.Addr) {
		s.stats.Refused.Add(1)
		w.Header().Set("Retry-After", "10")
		s.say(w, b, http.StatusTooManyRequests, &boshAnswer{ends: true, condition: "policy-violation"})
		return
	}
	b.conn = newConn(s, b, true, v.Addr)
	s.bosh.Store(b.sid, b)
	b.feed(&boshBody{restart: true, from: p.from, lang: p.lang})
	if !s.enter(b.conn) {
		s.bosh.Delete(b.sid)
		s.say(w, b, http.StatusServiceUnavailable, &boshAnswer{ends: true, condition: "system-shutdown"})
		return
	}
	p.payload, p.restart, p.pause = nil, false, -1
	b.request(w, r, p)
}

// request takes a request of the session and answers it when its time has come.
func (b *bosh) request(w http.ResponseWriter, r *http.Request, p *boshBody) {
	if !b.slow(w, r) {
		return
	}
	t := &boshTurn{boshBody: p, answer: make(chan []byte, 1), at: time.Now()}
	answer := t.answer
	b.mu.Lock()
	b.arrive(t)
	gone := b.over
	status := http.StatusOK
	fns := b.taken()
	b.mu.Unlock()
	b.wakeUp()
	for _, fn := range fns {
		go fn()
	}
	if gone {
		b.srv.bosh.Delete(b.sid)
	}
	select {
	case body := <-answer:
		if b.legacy {
			status = legacyStatus(body)
		}
		write(w, status, b.content, body)
	case <-r.Context().Done():
		b.abandon(answer)
	}
}

// arrive puts a request where it belongs by its id (XEP-0124 §14.2, §14.3). The lock is held.
func (b *bosh) arrive(t *boshTurn) {
	extra := 0
	if t.terminate || t.pause >= 0 { // XEP-0124 §11
		extra = 1
	}
	switch {
	case b.over:
		t.end("item-not-found")
	case t.rid <= b.last:
		b.again(t)
	case t.rid > b.last+uint64(b.window+extra):
		b.fail("item-not-found", t)
	default:
		if was := b.ahead[t.rid]; was != nil {
			b.release(was)
		}
		b.ahead[t.rid] = t
		for b.ahead[b.last+1] != nil && !b.over {
			next := b.ahead[b.last+1]
			delete(b.ahead, b.last+1)
			b.take(next)
		}
	}
	b.rest()
}

// abandon forgets who waited for an answer: the connection is gone. The answer is not.
func (b *bosh) abandon(answer chan []byte) {
	b.mu.Lock()
	for _, h := range b.held {
		if h.answer == answer {
			h.answer = nil
		}
	}
	for _, t := range b.ahead {
		if t.answer == answer {
			t.answer = nil
		}
	}
	b.rest()
	b.mu.Unlock()
}

// take handles the request whose turn it is. The lock is held.
func (b *bosh) take(t *boshTurn) {
	b.last = t.rid
	b.pause = 0
	if !b.unlocks(t.boshBody) {
		b.fail("item-not-found", t)
		return
	}
	b.acknowledged(t.boshBody)
	since := t.at.Sub(b.asked)
	b.asked = t.at
	empty := len(t.payload) == 0 && !t.restart && !t.terminate && t.pause < 0
	b.held = append(b.held, t)
	switch {
	case len(b.held) > b.window && !t.terminate && t.pause < 0, // XEP-0124 §11
		empty && b.quiet && b.hold == 0 && since < boshPolling,                                            // XEP-0124 §12
		empty && b.opened && b.hold > 0 && len(b.held) == b.window && b.allEmpty() && since < boshPolling: // XEP-0124 §11
		b.fail("policy-violation", t)
		return
	case t.pause >= 0 && time.Duration(t.pause)*time.Second > boshMaxPause:
		b.fail("policy-violation", t)
		return
	}
	b.quiet = empty && b.hold == 0 && b.outLen == 0 && b.opened
	b.feed(t.boshBody)
	if t.pause >= 0 { // XEP-0124 §10
		b.pause = time.Duration(t.pause) * time.Second
		for len(b.held) > 0 {
			b.reply(&boshAnswer{})
		}
		return
	}
	t.timer = time.AfterFunc(b.wait, func() { b.late(t) })
	b.answerIfAny()
	for len(b.held) > b.hold && b.opened && b.outLen == 0 && !b.closing && !t.terminate {
		b.reply(&boshAnswer{})
	}
	b.conclude()
}

// allEmpty reports whether none of the requests that are held has brought anything.
func (b *bosh) allEmpty() bool {
	return !slices.ContainsFunc(b.held, func(t *boshTurn) bool { return len(t.payload) > 0 || t.restart || t.terminate })
}

// unlocks checks the key of a request against that of the one before (XEP-0124 §15.4).
func (b *bosh) unlocks(p *boshBody) bool {
	if b.key != "" {
		sum := sha1.Sum([]byte(p.key))
		if p.key == "" || !strings.EqualFold(hex.EncodeToString(sum[:]), b.key) {
			return false
		}
	}
	b.key = cmp.Or(p.newkey, p.key)
	return true
}

// acknowledged forgets answers that the client has, and notes one that it should have by now
// (XEP-0124 §9.2).
func (b *bosh) acknowledged(p *boshBody) {
	b.report = 0
	if !b.acks || p.rid == b.first {
		return
	}
	got := p.ack
	if !p.hasAck {
		got = b.answered
	}
	b.cache = slices.DeleteFunc(b.cache, func(s boshSaid) bool { return s.rid < got })
	if len(b.cache) > 0 && got < b.answered && b.cache[0].rid <= got+1 {
		i := slices.IndexFunc(b.cache, func(s boshSaid) bool { return s.rid == got+1 })
		if i >= 0 && time.Since(b.cache[i].at) > boshReport {
			b.report = got + 1
		}
	}
}

// feed gives the stream what a request has brought. The lock is held, or nobody else knows of
// the session.
func (b *bosh) feed(p *boshBody) {
	switch {
	case b.inOver:
		return
	case p.restart: // XEP-0206 §5
		var o xmpp.Builder
		o.Open(xmpp.NSFraming, "open", "to", b.host, "from", p.from, "version", "1.0", "xml:lang", p.lang).Close()
		b.in = append(b.in, o.Payload()...)
	default:
		b.in = append(b.in, p.payload...)
	}
	if p.terminate { // XEP-0124 §13
		b.in = append(b.in, "<close xmlns='"+xmpp.NSFraming+"'/>"...)
	}
}
