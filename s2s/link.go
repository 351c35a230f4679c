package s2s

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/xmpp"
)

// Namespaces of streams between servers.
const (
	nsDialback         = "jabber:server:dialback"
	nsDialbackFeature  = "urn:xmpp:features:dialback" // XEP-0220 §2.4.1
	nsBidi             = "urn:xmpp:bidi"              // XEP-0288 §2.2
	nsBidiFeature      = "urn:xmpp:features:bidi"     // XEP-0288 §2.1
	nsSM               = "urn:xmpp:sm:3"              // XEP-0198
	nsLimits           = "urn:xmpp:stream-limits:0"   // XEP-0478
	lingerAfter        = 2 * time.Second              // what a stream that has ended may take to send the rest
	stanzasARound      = 64                           // handled before what they caused is written
	maxPairs           = 256                          // domain pairs that one stream may be authorised for
	maxPendingDialback = 16                           // dialback keys of one stream that are being verified
	maxVerifying       = 1024                         // dialback keys of all streams that are
)

// A link is one stream with another server, opened by either side.
type link struct {
	s      *Server
	id     string // in every line of the log about it
	out    bool   // opened by us
	t      *xmpp.TCP
	st     *xmpp.Stream
	addr   netip.AddrPort
	direct bool // TLS came first
	trail  *Trail
	from   *router.Link // what comes is spoken through it
	began  time.Time

	head     pair   // of the stream headers
	streamID string // of the stream that was opened last, for dialback
	bidi     bool   // both sides may send (XEP-0288)
	features peerFeatures
	taken    uint32      // stanzas taken; the reader's
	smStart  uint32      // what inbound is to begin with
	said     bool        // the reader has queued something itself
	failures int         // of SASL, and what came out of turn
	paid     uint64      // bytes that were counted
	budget   float64     // bytes that may come at once
	refilled time.Time   // when it was last counted
	target   Target      // where it leads to, if we have opened it
	tries    bool        // it is opened to see what comes of it, and carries nothing
	ours     string      // how the other side knows us, if we have opened it
	theirs   string      // how we know the other side
	running  atomic.Bool // the reader is at work
	counted  bool        // among those that have proved nothing; the server's lock guards it

	mu       sync.Mutex            // a leaf
	may      map[pair]string       // what the other side may send, and by which proof
	sends    map[pair]string       // what we may send, and by which proof
	routes   map[pair]*route       // who sends by it
	asked    map[pair]chan error   // dialback keys of ours that are being verified
	verify   map[query]chan string // questions of ours about keys
	checks   int                   // keys of theirs that are being verified
	buf      []byte                // to be written
	writing  bool
	over     bool
	sent     []sent   // in order: not known to have arrived
	bytes    int      // of these
	queued   uint64   // bytes that ever were in buf and have left it
	written  uint64   // of these, how many the transport has taken
	durable  int      // how many of sent stand in the outbox
	handed   int      // how many of sent the system has taken
	asking   bool     // the other side is asked whether it has some; see inquire
	mute     bool     // it does not answer that
	draining bool     // see leave
	sm       *inbound // the reader's; others take the lock
	smOut    *outbound
	acked    uint32            // what we have acknowledged last
	awaited  int               // acknowledgements that wait for commits
	leaving  bool              // nothing more is put in; see leave
	hurried  bool              // what is not acknowledged by now is not waited for
	goodbye  error             // with which the reader is to end the stream
	owed     []grant           // what we may send, once it is known whether that is counted
	asks     bool              // only questions about keys are asked by it
	grown    bool              // the other side may send larger stanzas: the reader has to see to it
	odd      int               // lines of the log about what no server says
	smReply  chan *xmpp.Stanza // what was asked of stream management is answered here
	smAsks   *resumption       // which stream it was asked to go on with; nil: none
	cause    error             // why it has ended
	heard    time.Time         // when bytes last came
	spoke    time.Time         // when a stanza last went either way
	stalled  time.Time         // since when nothing of what waits has left
	counts   struct{ in, out uint64 }
	parted   chan struct{} // closed when what has not arrived was given back
	done     chan struct{} // closed when the reader has ended, everything is settled, and that was done
}

// sent is a stanza that was put into a stream.
type sent struct {
	item
	r   *route
	end uint64 // where it ends in the bytes of the stream
}

var errOver = xmpp.Refuse("remote-server-timeout", "the stream is over")

func newLink(s *Server, t *xmpp.TCP, out bool) *link {
	l := &link{
		s: s, id: newID()[:10], out: out, t: t, trail: &Trail{}, began: time.Now(),
		may: map[pair]string{}, sends: map[pair]string{}, routes: map[pair]*route{},
		asked: map[pair]chan error{}, verify: map[query]chan string{}, parted: make(chan struct{}), done: make(chan struct{}),
	}
	l.heard, l.spoke, l.refilled = l.began, l.began, l.began
	l.budget = float64(s.settings.Load().Burst)
	l.st = xmpp.NewStream(t, xmpp.NSServer, false, xmpp.Limits{Stanza: unprovenStanza})
	l.from = s.cfg.Router.NewLink()
	t.SetUnread(unreadAnswers)
	return l
}

// unprovenStanza is the largest element that a server may send that has proved nothing yet, in bytes.
const unprovenStanza = 64 << 10

func (l *link) log() *slog.Logger {
	way := "in"
	if l.out {
		way = "out"
	}
	head := l.heads()
	return l.s.log.With("link", l.id, "direction", way, "domain", head.remote, "host", head.local, "addr", l.addr.String())
}

// heads returns the pair of the stream headers. Only the reader changes it, and needs no lock
// to look.
func (l *link) heads() pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *link) setHead(p pair) {
	l.mu.Lock()
	l.head = p
	l.mu.Unlock()
}

// maxOdd is how many lines of the log one stream is worth for what no server says.
const maxOdd = 10

// logOdd warns of what no server says. A stranger may say it as often as it likes.
func (l *link) logOdd(text string, args ...any) {
	l.mu.Lock()
	l.odd++
	n := l.odd
	l.mu.Unlock()
	switch {
	case n < maxOdd:
		l.log().Warn(text, args...)
	case n == maxOdd:
		l.log().Warn(text, append(args, "more", "not logged, on this stream")...)
	}
}

// allow notes that the other side may send for a pair, as a proof says. The first one makes
// larger stanzas welcome.
func (l *link) allow(p pair, proof string) bool {
	l.mu.Lock()
	if len(l.may) >= maxPairs {
		l.mu.Unlock()
		return false
	}
	first := len(l.may) == 0
	l.may[p] = proof
	l.grown = l.grown || first
	l.mu.Unlock()
	if first {
		l.s.proven(l)
	}
	return true
}

// forbid takes back what allow has noted.
func (l *link) forbid(p pair) {
	l.mu.Lock()
	delete(l.may, p)
	l.mu.Unlock()
}

func (l *link) allowed(p pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.may[p]
	return ok
}

// mayCarry notes that we may send for a pair.
func (l *link) mayCarry(p pair, proof string) {
	l.mu.Lock()
	l.sends[p] = proof
	l.mu.Unlock()
	l.t.SetUnread(unreadAnswers + l.s.settings.Load().QueueBytes)
}

// unreadAnswers is how much of what it has us answer the other side may leave unread before
// the stream ends, in bytes; what it is sent besides has a limit of its own.
const unreadAnswers = 4 << 20

func (l *link) carries(p pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.sends[p]
	return ok && !l.over && !l.leaving && !l.draining
}

// attach notes a route that sends by the stream; false: it is over.
func (l *link) attach(r *route) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.leaving || l.draining {
		return false
	}
	l.routes[r.pair] = r
	return true
}

// full reports whether too much waits for the other side to take one stanza more.
func (l *link) full(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.s.settings.Load()
	return len(l.sent) > 0 && (l.bytes+size > set.QueueBytes || len(l.sent) >= set.QueueStanzas)
}

// push queues a stanza. It never waits. An error that is not errOver is for who sent it.
func (l *link) push(r *route, it item) *xmpp.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining { // what is new waits
		return errOver
	}
	return l.put(r, it)
}

// put is push. The lock is held.
func (l *link) put(r *route, it item) *xmpp.Error {
	if l.over || l.leaving {
		return errOver
	}
	start := len(l.buf)
	l.buf = l.st.Append(l.buf, it.st)
	if most := l.features.maxBytes; most > 0 && len(l.buf)-start > most {
		l.buf = l.buf[:start]
		return xmpp.Refuse("policy-violation", "the stanza is larger than the server of "+r.pair.remote+" takes") // XEP-0478 §4
	}
	it.size = len(l.buf) - start
	if len(l.sent) == 0 {
		l.stalled = time.Now()
	}
	l.sent = append(l.sent, sent{it, r, l.queued + uint64(len(l.buf))})
	if it.id != 0 {
		l.durable++
	}
	if l.smOut != nil && router.Provisional(it.id) {
		l.smOut.hasty = true
	}
	l.spoke = time.Now()
	l.bytes += it.size
	l.counts.out++
	return nil
}

// acknowledges reports whether the other side says what it has, and may be sent more.
func (l *link) acknowledges() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.smOut != nil && !l.over && !l.leaving
}

// say queues bytes that are no stanza.
func (l *link) say(p []byte) {
	l.mu.Lock()
	if !l.over {
		l.buf = append(l.buf, p...)
	}
	l.mu.Unlock()
}

// write is say and Flush.
func (l *link) write(p []byte) {
	l.say(p)
	l.Flush()
}

func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

var errLinkEnded = errors.New("the stream has ended")

// hosts reports whether the other side may send anything for a domain.
func (l *link) hosts(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.may {
		if p.remote == remote {
			return true
		}
	}
	return false
}

func (l *link) proofs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.may)
}

// groups sorts what a stream had not delivered by who has sent it, in order.
func groups(pending []sent) (order []*route, by map[*route][]item) {
	by = map[*route][]item{}
	for _, x := range pending {
		if !slices.Contains(order, x.r) {
			order = append(order, x.r)
		}
		by[x.r] = append(by[x.r], x.item)
	}
	return order, by
}
