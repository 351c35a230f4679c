package c2s

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"time"

	"parley/xmpp"
)

// The methods by which a session of BOSH is a line: the stream reads what requests have brought,
// and what it writes leaves with the answers.

var _ line = (*bosh)(nil)

// boshBuffer is how many bytes may wait for the next request until it counts as a client that
// does not read.
const boshBuffer = 64 << 10

// Wait implements xmpp.Transport.
func (s *bosh) Wait() error {
	for {
		s.mu.Lock()
		ready, nudged := len(s.in) > 0 || s.inOver, s.nudged
		s.nudged = false
		s.mu.Unlock()
		switch {
		case ready:
			return nil
		case nudged:
			return xmpp.ErrNudged
		}
		<-s.wake
	}
}

func (s *bosh) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Read implements xmpp.Transport.
func (s *bosh) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.unread > 0 && s.outLen > s.unread:
		return 0, xmpp.ErrUnread
	case len(s.in) > 0:
		n := copy(p, s.in)
		if s.in = s.in[n:]; len(s.in) == 0 {
			s.drain()
		}
		return n, nil
	case s.inOver:
		return 0, io.EOF
	}
	return 0, xmpp.ErrMore
}

var (
	openTag  = []byte("<open xmlns='" + xmpp.NSFraming + "'")
	closeTag = []byte("<close xmlns='" + xmpp.NSFraming + "'")
	errorTag = []byte("<stream:error ")
)

// Write implements xmpp.Transport. What stands for the tags of the stream is told in the
// attributes of answers (XEP-0206 §4).
func (s *bosh) Write(p []byte) error {
	p = bytes.Clone(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outOver {
		return net.ErrClosed
	}
	for len(p) > 0 {
		n := xmpp.ElementLen(p)
		e := p[:n]
		p = p[n:]
		switch {
		case bytes.HasPrefix(e, openTag):
			s.open(e)
			continue
		case bytes.HasPrefix(e, closeTag):
			s.outOver = true
			continue
		case bytes.HasPrefix(e, errorTag):
			s.condition = "remote-stream-error"
			if bytes.Contains(e, []byte("<system-shutdown ")) {
				s.condition = "system-shutdown"
			}
		}
		if s.outLen == 0 {
			s.outSince = time.Now()
		}
		s.out = append(s.out, e)
		s.outLen += len(e)
	}
	if n := len(s.held); n > 0 {
		if s.answerIfAny(); len(s.held) < n {
			s.rest() // from the last answer on the client has time for a request
		}
	}
	return nil
}

// open takes our stream header.
func (s *bosh) open(e []byte) {
	if st, err := xmpp.ParseStanzaBytes(e); err == nil {
		s.streamID, _ = st.Attr("id")
	}
}

// Backlog implements xmpp.Transport: what waits for the client's next request.
func (s *bosh) Backlog() (int, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outLen < boshBuffer {
		return 0, time.Time{}
	}
	return s.outLen, s.outSince
}

// WhenSent implements xmpp.Transport.
func (s *bosh) WhenSent(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outLen < boshBuffer || s.outOver {
		return false
	}
	s.sent = append(s.sent, fn)
	return true
}

// Close implements xmpp.Transport. The client hears of it with the answer to its next request,
// if none is held.
func (s *bosh) Close(linger time.Duration) error {
	s.mu.Lock()
	s.outOver, s.inOver = true, true
	s.closing = true
	s.drain()
	if linger == 0 && s.live() == 0 {
		s.out, s.outLen = nil, 0
	}
	s.conclude()
	for rid, t := range s.ahead { // what they wait for would not be heard any more
		delete(s.ahead, rid)
		t.end(s.condition)
	}
	s.rest()
	gone := s.over
	fns := s.sent
	s.sent = nil
	s.mu.Unlock()
	s.wakeUp()
	for _, fn := range fns {
		go fn()
	}
	if gone {
		s.srv.bosh.Delete(s.sid)
	}
	return nil
}

// Secure reports whether the client came by https, as every later request must.
func (s *bosh) Secure() bool { return s.secure }

// TLS implements line. A session is none of one TLS connection.
func (s *bosh) TLS() *tls.ConnectionState { return nil }

// RemoteAddr implements line: who has opened the session.
func (s *bosh) RemoteAddr() net.Addr { return &net.TCPAddr{IP: s.addr.AsSlice()} }

// SetUnread implements line.
func (s *bosh) SetUnread(max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = max
}

// Trim implements line.
func (s *bosh) Trim() {}

// Nudge implements line.
func (s *bosh) Nudge() {
	s.mu.Lock()
	s.nudged = true
	s.mu.Unlock()
	s.wakeUp()
}
