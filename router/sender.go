package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// How far one sender may run ahead of the commits of its messages: stanzas and bytes.
const (
	maxAhead      = 64
	maxAheadBytes = 1 << 20
)

// A Sender is what a connected session speaks through. One goroutine, the session's
// reader, calls Send.
//
// Only messages run ahead. Anything else begins when nothing of the sender is in flight,
// and nothing begins before it is settled (RFC 6120 §10.1): the answer to a ping
// acknowledges everything before it.
type Sender struct {
	r       *Router
	account *Account
	session Session
	jid     xmpp.JID
	agent   xmpp.UserAgent
	began   time.Time

	over atomic.Bool // left, or replaced by a newer session
	deaf atomic.Bool // the session has refused a stanza, and ends

	mu     sync.Mutex // a leaf
	moved  sync.Cond  // a passage was settled
	flying int        // messages in flight
	begun  uint64     // messages that ever were
	bytes  int        // their size
	held   idList     // handed over, not acknowledged, and waiting until some device does
	shown  idList     // of these, what it has copies of that do not count as taking it
	copied idList     // waiting messages that the session has copies of
	loose  []*Account // recipients of those that may yet have to be kept
	detour []*Passage // see Passage.follows

	waiting []waiter // for messages to be settled

	coming bool     // the session is being given what has waited; messages stand behind that
	behind []behind // those that stand there

	directed map[xmpp.JID]bool // who was sent directed presence (RFC 6121 §4.6); the reader's
	asks     map[string]func(*xmpp.Stanza)
	spare    *Passage // for the next message, where the last one was handed over at once
}

// JID returns the full JID of the session.
func (s *Sender) JID() xmpp.JID { return s.jid }

// Agent returns what the client said of itself when it logged in. It is for the account's
// owner and the operator alone (XEP-0388 §2.3).
func (s *Sender) Agent() xmpp.UserAgent { return s.agent }

// Session returns the session itself.
func (s *Sender) Session() Session { return s.session }

// Account returns the account of the session.
func (s *Sender) Account() *Account { return s.account }

// Send takes a stanza from the session's client: 'from' is stamped, an absent 'to' is
// what RFC 6120 §10.3 makes of it, and the stanza goes its way. What the stanza did
// wrong is answered with a stanza error; a *StreamError is returned where the stream
// must end.
func (s *Sender) Send(ctx context.Context, rd *Round, st *xmpp.Stanza) error {
	if st.Kind == xmpp.Nonza { // RFC 6120 §4.9.3.24
		return xmpp.EndStream("unsupported-stanza-type", "")
	}
	if s.over.Load() {
		return replaced()
	}
	st, err := s.stamp(st)
	if err != nil {
		return err
	}
	s.r.stats.Stanzas[st.Kind].Add(1)
	if st.Kind == xmpp.Message {
		return s.message(ctx, rd, st)
	}
	s.settle(rd)
	if st.Fault != nil {
		s.refuse(rd, st, st.Fault)
		return nil
	}
	if st.Kind == xmpp.IQ {
		s.iq(ctx, rd, st)
	} else {
		s.presence(rd, st)
	}
	return nil
}

// stamp checks and sets 'from' (RFC 6120 §8.1.2.1): the full JID, whatever the client
// wrote, provided that it wrote its own address or none.
func (s *Sender) stamp(st *xmpp.Stanza) (*xmpp.Stanza, error) {
	if !st.From.IsZero() && st.From != s.jid && st.From != s.account.JID {
		return nil, xmpp.EndStream("invalid-from", "")
	}
	to := st.To
	if to.IsZero() && st.Fault == nil && st.Kind == xmpp.Message {
		to = s.account.JID // RFC 6120 §10.3.1
	}
	st.To, st.From = to, s.jid // fresh from the scanner: nobody else has it yet
	return st, nil
}

func (s *Sender) refuse(rd *Round, st *xmpp.Stanza, err *xmpp.Error) {
	if st.Kind == xmpp.IQ && st.Type != "result" && st.Type != "error" { // also of no such type
		c := *st
		c.Type, st = "get", &c
	}
	if answer := xmpp.Bounce(st, err); answer != nil {
		answer.To = s.jid
		rd.Push(s.session, answer)
	}
}

// settle waits until nothing of the sender is in flight.
func (s *Sender) settle(rd *Round) {
	s.mu.Lock()
	if s.flying > 0 {
		s.mu.Unlock()
		rd.Flush() // who waits, flushes
		s.mu.Lock()
		for s.flying > 0 {
			s.moved.Wait()
		}
	}
	s.mu.Unlock()
}

// Settle waits until everything that was sent is settled.
func (s *Sender) Settle(rd *Round) { s.settle(rd) }

// room waits until a message of n bytes may run ahead.
func (s *Sender) room(rd *Round, n int) {
	s.mu.Lock()
	for s.flying > 0 && (s.flying >= maxAhead || s.bytes+n > maxAheadBytes) {
		s.mu.Unlock()
		rd.Flush()
		s.mu.Lock()
		if s.flying > 0 && (s.flying >= maxAhead || s.bytes+n > maxAheadBytes) {
			s.moved.Wait()
		}
	}
	s.mu.Unlock()
}

// begin notes that a message is in flight; not any more once the session is over: who waits
// then until nothing is in flight knows that nothing follows.
func (s *Sender) begin(p *Passage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return false
	}
	s.flying++
	s.begun++
	s.bytes += p.size
	if p.loose {
		s.loose = append(s.loose, p.Recipient)
	}
	return true
}

// ends has nothing of the session begin any more.
func (s *Sender) ends() {
	s.mu.Lock()
	s.over.Store(true)
	s.mu.Unlock()
}

// errOver is what becomes of a message that a newer session has overtaken: its client says
// it again there.
var errOver = errors.New("the session is over")

// settled is called by the postman, once for each message that began.
func (s *Sender) settled(p *Passage) {
	s.mu.Lock()
	s.flying--
	s.bytes -= p.size
	if p.loose {
		i := slices.Index(s.loose, p.Recipient)
		s.loose = slices.Delete(s.loose, i, i+1)
	}
	if i := slices.Index(s.detour, p); i >= 0 {
		s.detour = slices.Delete(s.detour, i, i+1)
	}
	s.moved.Broadcast()
	list := s.due()
	s.mu.Unlock()
	for _, w := range list {
		w.then()
	}
}

// behindLoose reports whether a message for a is in flight that may yet have to be kept.
func (s *Sender) behindLoose(a *Account) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.loose, a)
}

// ahead reports whether anything is in flight.
func (s *Sender) ahead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flying > 0
}

// message takes a message of the client. Where nothing is to be written and nothing of
// the sender is in flight it is handed over at once; else it stands in the store's line.
func (s *Sender) message(ctx context.Context, rd *Round, st *xmpp.Stanza) error {
	size := st.Len()
	s.room(rd, size)
	p := s.spare
	if s.spare = nil; p == nil {
		p = new(Passage)
	}
	*p = Passage{r: s.r, Stanza: st, Sender: s.account, speaker: s, size: size}
	err := p.begin(ctx)
	if !p.Kept() && !s.ahead() {
		if err == nil {
			err = p.handNow(rd)
		}
		if !p.Kept() {
			if err != nil {
				p.bounce(rd, err)
			}
			p.release()
			*p = Passage{} // an idle session holds no stanza
			s.spare = p
			return nil
		}
	}
	return s.launch(ctx, rd, p, err) // what its Keeps named may speak of it: it is not used again
}

// launch puts a message into the store's line, where there is room for it.
//
// A message that was to be handed over when it was sent, and finds everybody gone when
// its turn comes, is kept then, under an id that is greater than those behind it. So what
// is kept because nobody is there does not begin behind such a one.
func (s *Sender) launch(ctx context.Context, rd *Round, p *Passage, refused *xmpp.Error) error {
	if p.Kept() && s.behindLoose(p.Recipient) && p.WillWait() {
		s.settle(rd)
	}
	if !s.r.store.Room() {
		rd.Flush()
		s.r.store.Wait(ctx) // where this fails the store is closed, and says so to Keep
	}
	p.loose = refused == nil && !p.Kept() && !p.dropped && p.Recipient != nil
	if !s.begin(p) {
		p.tell(errOver)
		p.release()
		return replaced()
	}
	p.travel(refused)
	return nil
}

func replaced() error {
	return xmpp.EndStream("conflict", "a newer session has taken this resource")
}

// iq takes an IQ stanza of the client. Nothing of the sender is in flight.
func (s *Sender) iq(ctx context.Context, rd *Round, st *xmpp.Stanza) {
	if err := checkIQ(st); err != nil {
		s.refuse(rd, st, err)
		return
	}
	if s.answers(st) {
		return
	}
	if err := s.r.MaySend(s.account, st); err != nil {
		s.refuse(rd, st, err)
		return
	}
	s.r.iq(ctx, rd, st, s)
}

// checkIQ applies RFC 6120 §8.2.3.
func checkIQ(st *xmpp.Stanza) *xmpp.Error {
	switch st.Type {
	case "get", "set":
		if st.PayloadCount() != 1 {
			return xmpp.Refuse("bad-request", "an IQ request has exactly one child element")
		}
	case "result", "error":
	default:
		return xmpp.Refuse("bad-request", "the type of an IQ is get, set, result or error")
	}
	if st.ID == "" {
		return xmpp.Refuse("bad-request", "an IQ needs an id")
	}
	return nil
}

// catchUp has messages stand behind what has waited for the session, until caughtUp.
func (s *Sender) catchUp() {
	s.mu.Lock()
	s.coming = true
	s.mu.Unlock()
}

// maxBehind is how many messages stand behind what has waited. It takes a moment to be
// given that; what comes beyond does not wait.
const maxBehind = 1024

// behind is a message that stands there, with its id if it waits until it is taken.
type behind struct {
	st *xmpp.Stanza
	id storage.ID
}

// later gives the session a message that others of its account have just been given, when
// it has been given what has waited.
func (s *Sender) later(rd *Round, st *xmpp.Stanza, id storage.ID) {
	s.mu.Lock()
	stands := s.coming && len(s.behind) < maxBehind
	if stands {
		s.behind = append(s.behind, behind{st, id})
		if id != 0 {
			s.held.add(id)
		}
	}
	s.mu.Unlock()
	if !stands {
		s.push(rd, st, id)
	}
}

// push is Hand where there is an id, and Push where there is none.
func (s *Sender) push(rd *Round, st *xmpp.Stanza, id storage.ID) {
	if id != 0 {
		s.Hand(rd, st, id)
		return
	}
	rd.Push(s.session, st)
}

// caughtUp gives the session the messages that stand behind what has waited.
func (s *Sender) caughtUp(rd *Round) {
	for {
		s.mu.Lock()
		list := s.behind
		s.behind = nil
		if len(list) == 0 {
			s.coming = false
		}
		s.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, b := range list {
			if b.id != 0 {
				s.release(b.id) // it is held again by being handed over
			}
			s.push(rd, b.st, b.id)
		}
	}
}

// maxAsks is how many requests of the server one session may leave unanswered.
const maxAsks = 32

// Ask sends an IQ request of the server to the session, of the form <iq id=... from=the
// account's domain>, and calls then with the answer on the session's reader. It is
// dropped when the session ends. It reports whether the session was asked at all.
func (s *Sender) Ask(rd *Round, typ, id string, p xmpp.Payload, then func(*xmpp.Stanza)) bool {
	st := xmpp.NewStanza(xmpp.IQ, p)
	st.Type, st.ID, st.To, st.From = typ, id, s.jid, s.account.JID.Host()
	s.mu.Lock()
	if s.asks == nil {
		s.asks = map[string]func(*xmpp.Stanza){}
	}
	full := len(s.asks) >= maxAsks
	if !full {
		s.asks[id] = then
	}
	s.mu.Unlock()
	return !full && rd.Push(s.session, st) == nil
}

// answers takes the answer to a request of the server.
func (s *Sender) answers(st *xmpp.Stanza) bool {
	if st.Type != "result" && st.Type != "error" {
		return false
	}
	if !st.To.IsZero() && st.To != s.account.JID.Host() && st.To != s.account.JID {
		return false
	}
	s.mu.Lock()
	then := s.asks[st.ID]
	delete(s.asks, st.ID)
	s.mu.Unlock()
	if then == nil {
		return false // it may be one of Router.Ask
	}
	then(st)
	return true
}
