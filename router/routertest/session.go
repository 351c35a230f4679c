package routertest

import (
	"context"
	"errors"
	"sync"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// errClosed is what a session says that has ended or was told to take nothing.
var errClosed = errors.New("routertest: the session takes nothing")

// A Session remembers what it was pushed. It implements router.Session.
type Session struct {
	jid xmpp.JID

	mu        sync.Mutex
	pushed    []*xmpp.Stanza
	flushed   int // how many of them have left
	read      int
	closed    bool
	err       *xmpp.StreamError
	handed    []storage.ID // not acknowledged
	silent    bool
	attention router.Attention
	sender    *router.Sender
	tap       func(*xmpp.Stanza)
}

// NewSession returns a session for who binds it by themselves.
func NewSession(jid xmpp.JID) *Session { return &Session{jid: jid} }

// JID implements router.Session.
func (s *Session) JID() xmpp.JID { return s.jid }

// Push implements router.Session.
func (s *Session) Push(st *xmpp.Stanza) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.tap != nil {
		s.tap(st)
		return nil
	}
	s.pushed = append(s.pushed, st)
	return nil
}

// Hand implements router.Session. What was handed over is acknowledged as soon as it has
// left, unless Silent says otherwise.
func (s *Session) Hand(st *xmpp.Stanza, id storage.ID) error {
	err := s.Push(st)
	if err == nil {
		s.mu.Lock()
		s.handed = append(s.handed, id)
		s.mu.Unlock()
	}
	return err
}

// Attention implements router.Session.
func (s *Session) Attention() router.Attention {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attention
}

// Attend has the session say who is there.
func (s *Session) Attend(a router.Attention) {
	s.mu.Lock()
	s.attention = a
	s.mu.Unlock()
}

// Flush implements router.Session.
func (s *Session) Flush() {
	s.mu.Lock()
	s.flushed = len(s.pushed)
	silent := s.silent
	s.mu.Unlock()
	if !silent {
		s.Acknowledge()
	}
}

// Acknowledge acknowledges what was handed over until now.
func (s *Session) Acknowledge() {
	s.mu.Lock()
	took := s.handed
	s.handed = nil
	sender := s.sender
	s.mu.Unlock()
	if len(took) > 0 && sender != nil {
		sender.Took(took)
	}
}

// Silent has the session acknowledge nothing by itself from now on.
func (s *Session) Silent() {
	s.mu.Lock()
	s.silent = true
	s.mu.Unlock()
}

// End implements router.Session.
func (s *Session) End(err *xmpp.StreamError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err, s.closed = err, true
	}
}

// Close has the session take nothing any more, as after a lost connection.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

// Tap has fn called for what is pushed from now on, under the session's lock, instead of
// remembering it.
func (s *Session) Tap(fn func(*xmpp.Stanza)) {
	s.mu.Lock()
	s.tap = fn
	s.mu.Unlock()
}

// Err returns the stream error that ended the session; nil while it lives.
func (s *Session) Err() *xmpp.StreamError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Next returns the next stanza that has left, nil where there is none: what was pushed and
// never flushed is never heard.
func (s *Session) Next() *xmpp.Stanza {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read >= s.flushed {
		return nil
	}
	s.read++
	return s.pushed[s.read-1]
}

// Heard reports whether something has left that was not read yet.
func (s *Session) Heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read < s.flushed
}

// Waiting returns how many stanzas were pushed and not yet flushed.
func (s *Session) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pushed) - s.flushed
}

// A Peer is a session and what it speaks through. As a Person it settles the house after
// everything it does; in tests with many goroutines use Sender and Session directly.
type Peer struct {
	Sender  *router.Sender
	Session *Session

	house *House
	left  bool
}

// Says implements Person.
func (p *Peer) Says(xml string) {
	p.house.t.Helper()
	st, err := xmpp.ParseStanza(xml)
	if err != nil {
		p.house.t.Fatalf("%s cannot say %s: %v", p.Session.jid, xml, err)
	}
	var rd router.Round
	if err := p.Sender.Send(context.Background(), &rd, st); err != nil {
		var wrong *xmpp.StreamError
		if !errors.As(err, &wrong) {
			p.house.t.Fatalf("%s: Send: %v", p.Session.jid, err)
		}
		p.Sender.Settle(&rd)
		p.Session.End(wrong)
	}
	rd.Flush()
	p.house.Settle()
}

// Hears implements Person.
func (p *Peer) Hears() *xmpp.Stanza { return p.Session.Next() }

// Ended implements Person.
func (p *Peer) Ended() string {
	if err := p.Session.Err(); err != nil {
		return err.Condition
	}
	return ""
}

// Leaves implements Person.
func (p *Peer) Leaves() {
	p.Session.Close()
	p.leave()
	p.house.Settle()
}

func (p *Peer) leave() {
	if !p.left {
		p.left = true
		p.Sender.Leave("")
	}
}
