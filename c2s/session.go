package c2s

import (
	"errors"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A session is one bound resource. It implements router.Session. It has a connection; with
// stream management it may wait for another one when that is lost (XEP-0198 §5).
type session struct {
	srv    *Server
	jid    xmpp.JID // full
	sender *router.Sender
	out    *queue
	unread ledger // where there is no stream management
	asks   atomic.Bool
	ready  atomic.Bool
	sm     atomic.Pointer[inbound] // nil without stream management

	// Guarded by the server's lock.
	conn  *conn // nil while there is none
	phase phase
	until int64         // when it has waited for long enough, Unix seconds
	moved chan struct{} // closed when the phase changes; nil while nobody waits for that
}

// phase says who sees to a session.
type phase uint8

const (
	connected phase = iota // the reader of its connection
	asleep                 // nobody: it waits to be resumed
	waking                 // a connection that is about to resume it
	over                   // whoever ends it
)

// JID implements router.Session.
func (s *session) JID() xmpp.JID { return s.jid }

// Push implements router.Session.
func (s *session) Push(st *xmpp.Stanza) error {
	_, err := s.push(st, 0)
	return err
}

// Hand implements router.Session.
func (s *session) Hand(st *xmpp.Stanza, id storage.ID) error {
	tracked, err := s.push(st, id)
	if err == nil && !tracked {
		s.track(id)
	}
	return err
}

// push queues a stanza. Who reads too slowly loses the connection, but not the session, if
// it may be resumed: on the way to a dead connection it looks the same. Who acknowledges
// nothing loses the session, and so does who is away for too much.
func (s *session) push(st *xmpp.Stanza, id storage.ID) (tracked bool, err error) {
	tracked, err = s.out.push(st, id)
	switch {
	case err == nil:
	case errors.Is(err, errReadsTooSlowly):
		go s.cut(endUnread())
		if tracked {
			err = nil
		}
	case errors.Is(err, errNoAcks), errors.Is(err, errFull):
		go s.End(xmpp.EndStream("policy-violation", "too much is not acknowledged"))
	}
	return tracked, err
}

func endUnread() *xmpp.StreamError {
	return xmpp.EndStream("policy-violation", "the client does not read what it is sent")
}

// Flush implements router.Session.
func (s *session) Flush() {
	if s.asks.Load() {
		s.askRead()
	}
	s.out.flush()
}

// Attention implements router.Session.
func (s *session) Attention() router.Attention {
	switch gone, dozes := s.out.attention(); {
	case gone:
		return router.Gone
	case dozes:
		return router.Inactive
	}
	return router.Awake
}

// End implements router.Session: the session is over, whether it has a connection or not.
// It does not wait.
func (s *session) End(err *xmpp.StreamError) {
	s.unsure()
	if s.expire() {
		return
	}
	s.srv.mu.Lock()
	c := s.conn
	if s.phase != asleep { // else the house is being closed, which sees to it
		s.pass(over)
	}
	s.srv.mu.Unlock()
	if c != nil {
		c.End(err) // its reader takes the session out
	}
}

// mayResend is how long before the end of a stream its client may have sent what it will send
// again.
const mayResend = 10 * time.Minute

// unsure says that the client of a stream that did not end by its own will may not know what
// of its last messages has come.
func (s *session) unsure() {
	if s.sm.Load() != nil && s.ready.Load() {
		s.sender.Unsure(time.Now().Add(-mayResend))
	}
}

// cut ends the connection, but not the session, if that may be resumed.
func (s *session) cut(err *xmpp.StreamError) {
	s.srv.mu.Lock()
	c := s.conn
	s.srv.mu.Unlock()
	if c != nil {
		c.lose(err)
	}
}

// finish takes a session out of the house that nobody can reach any more. What its client
// has not acknowledged is not lost: the features see to messages that wait until they are
// taken (Sender.Leave), and who else wants an answer gets one.
func (s *session) finish() { s.conclude(s.out.close()) }

// conclude is finish with what was left in the queue.
func (s *session) conclude(left []sent) {
	var rd router.Round
	s.sender.Settle(&rd) // what its client may be told now was handled
	s.srv.remember(s)
	s.sender.Leave("")
	s.refuse(left)
}

// endAway is finish for a session without a connection.
func (s *session) endAway() {
	s.finish()
	s.srv.log.Info("session closed", "jid", s.jid.String())
}

// refuse does to stanzas what is done to those for a resource that is not there
// (XEP-0198 §4): requests and messages of rooms are answered with an error
// (RFC 6121 §8.5.3.2.3), presence and answers are ignored.
func (s *session) refuse(left []sent) {
	var rd router.Round
	for _, l := range left {
		if st := l.st; l.id == 0 && (st.Kind == xmpp.IQ || st.Kind == xmpp.Message && st.Type == "groupchat") {
			if answer := xmpp.Bounce(st, xmpp.Refuse("service-unavailable", "")); answer != nil {
				s.srv.cfg.Router.Deliver(&rd, answer)
			}
		}
	}
	rd.Flush()
}

// Describe returns what an operator may want to know of a session: the id of its connection
// in the log, the client's address, the version of TLS and how it comes: tcp, websocket or bosh;
// nothing while there is no connection.
func (s *session) Describe() (id, address, tls, via string) {
	s.srv.mu.Lock()
	c := s.conn
	s.srv.mu.Unlock()
	if c == nil {
		return "", "", "", ""
	}
	return c.id, c.t.RemoteAddr().String(), c.tls(), c.via()
}

// The ways by which clients come.
const (
	viaTCP       = "tcp"
	viaWebSocket = "websocket"
	viaBOSH      = "bosh"
)

// via returns by which of them this one came.
func (c *conn) via() string {
	switch c.t.(type) {
	case *bosh:
		return viaBOSH
	case *xmpp.WebSocket:
		return viaWebSocket
	}
	return viaTCP
}
