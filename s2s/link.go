package s2s

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
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
	taken    uint32 // stanzas taken while stream management is on; the reader's
	sm       *inbound
	smStart  uint32      // what inbound is to begin with
	said     bool        // the reader has queued something itself
	failures int         // of SASL, and what came out of turn
	paid     uint64      // bytes that were counted
	budget   float64     // bytes that may come at once
	refilled time.Time   // when it was last counted
	target   Target      // where it leads to, if we have opened it
	ours     string      // how the other side knows us, if we have opened it
	theirs   string      // how we know the other side
	running  atomic.Bool // the reader is at work
	counted  bool        // among those that have proved nothing; the server's lock guards it

	mu      sync.Mutex            // a leaf
	may     map[pair]string       // what the other side may send, and by which proof
	sends   map[pair]string       // what we may send, and by which proof
	routes  map[pair]*route       // who sends by it
	asked   map[pair]chan error   // dialback keys of ours that are being verified
	verify  map[query]chan string // questions of ours about keys
	checks  int                   // keys of theirs that are being verified
	buf     []byte                // to be written
	writing bool
	over    bool
	sent    []sent // in order: not known to have arrived
	bytes   int    // of these
	durable int    // how many of them stand in the outbox
	handed  int    // how many of them the transport has
	asking  bool   // the other side is asked whether it has some; see inquire
	mute    bool   // it does not answer that
	smOut   *outbound
	smReply chan *xmpp.Stanza // what was asked of stream management is answered here
	cause   error             // why it has ended
	heard   time.Time         // when bytes last came
	spoke   time.Time         // when a stanza last went either way
	stalled time.Time         // since when nothing of what waits has left
	counts  struct{ in, out uint64 }
	shown   struct { // head and bidi, for who asks
		head pair
		bidi bool
	}
	done chan struct{} // closed when the reader has ended and everything is settled
}

// sent is a stanza that was put into a stream.
type sent struct {
	item
	r *route
}

var errOver = xmpp.Refuse("remote-server-timeout", "the stream is over")

func newLink(s *Server, t *xmpp.TCP, out bool) *link {
	l := &link{
		s: s, id: newID()[:10], out: out, t: t, trail: &Trail{}, began: time.Now(),
		may: map[pair]string{}, sends: map[pair]string{}, routes: map[pair]*route{},
		asked: map[pair]chan error{}, verify: map[query]chan string{}, done: make(chan struct{}),
	}
	l.heard, l.spoke, l.refilled = l.began, l.began, l.began
	l.budget = float64(s.settings.Load().Burst)
	l.st = xmpp.NewStream(t, xmpp.NSServer, false, xmpp.Limits{Stanza: unprovenStanza})
	l.from = s.cfg.Router.NewLink()
	t.SetUnread(4 << 20)
	return l
}

// unprovenStanza is the largest element that a server may send that has proved nothing yet, in bytes.
const unprovenStanza = 64 << 10

func (l *link) log() *slog.Logger {
	way := "in"
	if l.out {
		way = "out"
	}
	return l.s.log.With("link", l.id, "direction", way, "domain", l.head.remote, "host", l.head.local, "addr", l.addr.String())
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
	l.mu.Unlock()
	if first {
		l.st.SetLimits(xmpp.Limits{Stanza: l.s.settings.Load().Stanza})
		l.s.proven(l)
	}
	return true
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
}

func (l *link) carries(p pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.sends[p]
	return ok && !l.over
}

// attach notes a route that sends by the stream; false: it is over.
func (l *link) attach(r *route) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.routes[r.pair] = r
	return true
}

func (l *link) detach(r *route) {
	l.mu.Lock()
	delete(l.routes, r.pair)
	l.mu.Unlock()
}

// full reports whether too much waits for the other side to take one stanza more.
func (l *link) full(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes+size > l.s.settings.Load().QueueBytes && len(l.sent) > 0
}

// push queues a stanza. It never waits. An error that is not errOver is for who sent it.
func (l *link) push(r *route, it item) *xmpp.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
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
	l.sent = append(l.sent, sent{it, r})
	if it.id != 0 {
		l.durable++
	}
	l.spoke = it.at
	l.bytes += it.size
	l.counts.out++
	return nil
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

// Flush implements router.Flusher.
func (l *link) Flush() {
	l.mu.Lock()
	if l.writing {
		l.mu.Unlock()
		return
	}
	if l.smOut != nil {
		l.buf = l.smOut.ask(l.buf, len(l.sent))
	}
	for len(l.buf) > 0 {
		out, n := l.buf, len(l.sent)
		l.buf, l.writing = nil, true
		l.mu.Unlock()
		err := l.t.Write(out)
		l.mu.Lock()
		l.writing = false
		if err != nil {
			l.buf = nil
			break // the reader finds the connection lost
		}
		l.handed = min(n, len(l.sent))
	}
	gone := l.left()
	l.mu.Unlock()
	l.s.outbox.gone(gone)
}

// left takes out what has arrived as far as anybody can know without stream management: what
// the system has taken, where nobody answers for it. The lock is held.
func (l *link) left() []storage.ID {
	if l.smOut != nil || l.handed == 0 {
		return nil
	}
	if backlog, _ := l.t.Backlog(); backlog > 0 {
		return nil
	}
	if l.durable > 0 && !l.mute {
		l.inquire()
		return nil
	}
	n := l.handed
	l.handed = 0
	return l.arrived(n)
}

// arrived takes out the first n stanzas and returns those that stand in the outbox. The lock
// is held.
func (l *link) arrived(n int) (ids []storage.ID) {
	for i := range l.sent[:n] {
		l.bytes -= l.sent[i].size
		if id := l.sent[i].id; id != 0 {
			ids = append(ids, id)
			l.durable--
		}
	}
	clear(l.sent[:n])
	l.sent = l.sent[n:]
	l.stalled = time.Now()
	if len(l.sent) == 0 {
		l.sent = nil
	}
	return ids
}

func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// end ends the stream, with an error if there is one, and gives what the other side may not
// have back to those who have sent it. Only the first call does anything.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over, l.cause = true, err
	var wrong *xmpp.StreamError
	var last []byte
	switch {
	case errors.As(err, &wrong):
		last = l.st.AppendClose(l.unsent(), wrong)
	case err == nil || errors.Is(err, io.EOF):
		last = l.st.AppendClose(l.unsent(), nil)
	}
	writing := l.writing
	l.buf = nil
	pending, routes := l.sent, l.routes
	l.sent, l.routes, l.bytes, l.durable, l.handed = nil, nil, 0, 0, 0
	asked, verify, sm := l.asked, l.verify, l.smOut
	l.asked, l.verify = nil, nil
	l.mu.Unlock()
	if wrong != nil && wrong.Condition != "" {
		l.s.countError(wrong.Condition)
	}
	if len(last) > 0 && !writing {
		l.t.Write(last)
	}
	if l.lost() {
		l.st.Close(0)
	} else { // what the other side has sent by now is taken yet (RFC 6120 §4.4)
		time.AfterFunc(lingerAfter, func() { l.st.Close(0) })
	}
	for _, ch := range asked {
		ch <- errLinkEnded
	}
	for _, ch := range verify {
		ch <- "error"
	}
	l.s.parted(l, routes, pending, sm)
}

// unsent is what may yet be written when the stream ends: nothing, if a stanza is among it,
// for that is sent again elsewhere. The lock is held.
func (l *link) unsent() []byte {
	if len(l.sent) > 0 {
		return nil
	}
	return l.buf
}

var errLinkEnded = errors.New("the stream has ended")

// live reads stanzas until the stream ends.
func (l *link) live() {
	l.noteHeard()
	l.running.Store(true)
	err := l.attend()
	var rd router.Round
	l.from.Settle(&rd)
	l.lastWord()
	rd.Flush()
	l.finish(err)
	if backlog, _ := l.t.Backlog(); backlog == 0 && (l.st.Ended() || errors.Is(err, io.EOF)) {
		l.st.Close(0) // there is nothing to wait for
	} else {
		l.st.Close(lingerAfter)
	}
	close(l.done)
}

// finish ends the stream for what reading has said.
func (l *link) finish(err error) {
	var wrong *xmpp.StreamError
	switch {
	case l.st.Ended():
		err = nil
	case errors.As(err, &wrong):
		l.log().Warn("a server's stream is ended", "condition", wrong.Condition, "text", wrong.Text)
	}
	l.end(err)
}

func (l *link) attend() (err error) {
	defer func() {
		if p := recover(); p != nil { // it ends the stream, not the house
			l.log().Error("a stanza's handling panicked", "panic", p, "stack", string(debug.Stack()))
			err = xmpp.EndStream("internal-server-error", "")
		}
	}()
	var rd router.Round
	defer rd.Flush()
	for n := 1; ; n++ {
		st, err := l.st.Next()
		switch {
		case errors.Is(err, xmpp.ErrMore):
			l.flush(&rd)
			err := l.t.Wait()
			if errors.Is(err, xmpp.ErrNudged) {
				l.t.Trim()
				err = l.t.Wait()
			}
			if err != nil {
				return err
			}
			l.noteHeard()
			n = 0
			continue
		case err != nil:
			return err
		}
		if err := l.handle(&rd, st); err != nil {
			return err
		}
		if n%stanzasARound == 0 {
			l.flush(&rd)
			l.noteHeard()
		}
	}
}

func (l *link) noteHeard() {
	now := time.Now()
	l.mu.Lock()
	l.heard = now
	l.shown.head, l.shown.bidi = l.head, l.bidi
	l.mu.Unlock()
}

func (l *link) flush(rd *router.Round) {
	rd.Flush()
	if l.said {
		l.said = false
		l.Flush()
	}
	if d := l.spend(time.Now()); d > 0 {
		l.s.stats.Paced.Add(1)
		time.Sleep(d)
	}
}

// spend counts what was read since the last time against what one stream may send, and
// returns how long it is to wait until it is read on.
func (l *link) spend(now time.Time) time.Duration {
	set := l.s.settings.Load()
	n := l.st.Taken() - l.paid
	l.paid += n
	if set.Rate <= 0 {
		return 0
	}
	l.budget = min(l.budget+now.Sub(l.refilled).Seconds()*float64(set.Rate), float64(set.Burst)) - float64(n)
	l.refilled = now
	if l.budget >= 0 {
		return 0
	}
	return min(time.Duration(-l.budget/float64(set.Rate)*float64(time.Second)), time.Second)
}

// handle takes one element of a stream that is open.
func (l *link) handle(rd *router.Round, st *xmpp.Stanza) error {
	if st.Kind != xmpp.Nonza {
		return l.stanza(rd, st)
	}
	switch st.Name.Space {
	case nsDialback:
		return l.dialback(st)
	case nsSM:
		return l.manage(rd, st)
	case xmpp.NSStream:
		if st.Name.Local == "error" {
			return l.theirError(st)
		}
	case nsBidi:
		if !l.out && st.Name.Local == "bidi" {
			return l.wantsBidi(st)
		}
	}
	return l.negotiate(st)
}

// stanza takes a stanza for the house, if the stream may carry it (RFC 6120 §8.1.1.2,
// §8.1.2.2).
func (l *link) stanza(rd *router.Round, st *xmpp.Stanza) error {
	p := pair{st.To.Domain(), st.From.Domain()}
	if st.Fault != nil { // of an address that is none: its sender may be a user like any other
		if !st.From.IsZero() && l.hosts(st.From.Domain()) {
			l.count()
			l.reject(rd, st)
			return nil
		}
		return xmpp.EndStream("improper-addressing", "")
	}
	switch {
	case st.From.IsZero() || st.To.IsZero():
		return xmpp.EndStream("improper-addressing", "")
	case l.out && !l.bidi:
		return xmpp.EndStream("not-authorized", "nothing is sent on this side of a stream")
	case l.allowed(p):
	case !l.hosts(p.remote):
		if l.proofs() == 0 {
			return xmpp.EndStream("not-authorized", "")
		}
		return xmpp.EndStream("invalid-from", "this stream is not for %s", p.remote)
	case !l.s.cfg.Local(p.local):
		return xmpp.EndStream("host-unknown", "")
	default:
		return xmpp.EndStream("invalid-from", "this stream is not for %s and %s", p.remote, p.local)
	}
	l.count()
	l.from.Deliver(context.Background(), rd, st)
	return nil
}

// count counts a stanza that was taken from the stream.
func (l *link) count() {
	l.taken++
	l.mu.Lock()
	l.counts.in++
	l.spoke = time.Now()
	l.mu.Unlock()
}

// reject answers a stanza whose 'to' is no address.
func (l *link) reject(rd *router.Round, st *xmpp.Stanza) {
	answer := xmpp.Bounce(st, st.Fault)
	if answer == nil {
		return
	}
	if from, err := xmpp.NewJID("", l.head.local, ""); err == nil && answer.From.IsZero() {
		answer.From = from
	}
	l.s.cfg.Router.Deliver(rd, answer)
}

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

// theirError takes a stream error of the other side.
func (l *link) theirError(st *xmpp.Stanza) error {
	condition, text := streamErrorOf(st)
	if condition == "" {
		condition = "undefined-condition"
	}
	l.log().Info("the other server ends the stream", "condition", condition, "text", text)
	return &theirs{condition, text}
}

// theirs is a stream error that the other side has sent.
type theirs struct{ condition, text string }

func (e *theirs) Error() string {
	if e.text != "" {
		return "the other server ends the stream: " + e.condition + " (" + e.text + ")"
	}
	return "the other server ends the stream: " + e.condition
}

func streamErrorOf(st *xmpp.Stanza) (condition, text string) {
	for e := range st.Children {
		switch n := e.Name(); {
		case n.Space != xmpp.NSStreams:
		case n.Local == "text":
			text = oneLine(e.Text())
		case condition == "":
			condition = n.Local
		}
	}
	return condition, text
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
