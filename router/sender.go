package router

import (
	"context"
	"sync/atomic"
	"time"

	"parley/xmpp"
)

// A Sender is what a connected session speaks through. One goroutine, the session's
// reader, calls Send.
//
// Only messages run ahead. Anything else begins when nothing of the sender is in flight,
// and nothing begins before it is settled (RFC 6120 §10.1): the answer to a ping
// acknowledges everything before it. What the client answers to the server itself is taken at once.
type Sender struct {
	r       *Router
	session Session
	jid     xmpp.JID
	agent   xmpp.UserAgent
	began   time.Time

	deaf atomic.Bool // the session has refused a stanza, and ends

	window        // its mu guards what follows
	held   idList // handed over, not acknowledged, and waiting until some device does
	shown  idList // of these, what it has copies of that do not count as taking it
	copied idList // waiting messages that the session has copies of

	coming bool     // the session is being given what has waited; messages stand behind that
	behind []behind // those that stand there

	directed map[xmpp.JID]bool // who was sent directed presence (RFC 6121 §4.6); the reader's
	asks     map[string]func(*xmpp.Stanza)
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
	if st.Kind == xmpp.IQ && st.Fault == nil && st.ID != "" && s.answers(st) {
		s.passed()
		return nil
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
// wrote, provided that it wrote an address of its own account or none. Converse.js writes
// another resource when it has resumed a stream of a page that is gone.
func (s *Sender) stamp(st *xmpp.Stanza) (*xmpp.Stanza, error) {
	if !st.From.IsZero() && st.From != s.jid && st.From.Bare() != s.account.JID {
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

// Settle waits until everything that was sent is settled.
func (s *Sender) Settle(rd *Round) { s.settle(rd) }

// message takes a message of the client.
func (s *Sender) message(ctx context.Context, rd *Round, st *xmpp.Stanza) error {
	if !s.carry(ctx, rd, Passage{r: s.r, Stanza: st, Sender: s.account, speaker: s}) {
		return replaced()
	}
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
