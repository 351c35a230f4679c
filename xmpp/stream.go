package xmpp

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// white is what XML calls white space (XML 1.0 §2.3).
const white = " \t\r\n"

// A Stream finds the stanzas in the bytes of a Transport and writes what its peer is to
// read. It frames and limits; it does not know who speaks. One goroutine reads; writing
// may be done by others, one at a time.
type Stream struct {
	T  Transport
	NS string // the content namespace: jabber:client, jabber:server or jabber:component:accept

	sc     Scanner
	framed bool // RFC 7395: no enclosing element, namespaces on every one
	fresh  bool // renewed, and nothing has come yet
	ended  bool // the peer said </stream:stream>
	taken  uint64
}

// NewStream returns a stream over t. framed is for WebSocket (RFC 7395 §3.3).
func NewStream(t Transport, ns string, framed bool, l Limits) *Stream {
	s := &Stream{T: t, NS: ns, framed: framed}
	s.sc.Reset(ns, framed, l)
	return s
}

// Restart forgets everything that was read, as after STARTTLS (RFC 6120 §5.4.3.3): a new
// header follows.
func (s *Stream) Restart(l Limits) {
	s.ended = false
	s.sc.Reset(s.NS, s.framed, l)
}

// Renew expects a new header (RFC 6120 §4.3.3), but keeps what the peer has sent
// ahead: after SASL, which changes nothing about who may have written it (XEP-0305 §3).
// White space before the header is forgiven: some clients end every element with a line
// break, and this one belongs to the stream before.
func (s *Stream) Renew(l Limits) {
	ahead := bytes.TrimLeft(s.sc.ahead(), white)
	s.Restart(l)
	s.fresh = len(ahead) == 0
	if len(ahead) > 0 {
		copy(s.sc.Space(len(ahead)), ahead)
		s.sc.Filled(len(ahead))
	}
}

// SetLimits changes what the peer may send from now on.
func (s *Stream) SetLimits(l Limits) { s.sc.SetLimits(l) }

// Header returns the next stream header (RFC 6120 §4.7), waiting for it.
func (s *Stream) Header() (*Header, error) {
	for {
		ev, err := s.event()
		switch {
		case errors.Is(err, ErrMore):
			if err := s.T.Wait(); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		case ev == EventHeader:
			return s.sc.Header(), nil
		case s.framed:
			return s.open(s.sc.Stanza())
		default:
			return nil, EndStream("bad-format", "a stream begins with a stream header")
		}
	}
}

// open reads the header of a framed stream (RFC 7395 §3.4).
func (s *Stream) open(st *Stanza) (*Header, error) {
	switch {
	case st.Name == Name{NSFraming, "close"}:
		s.ended = true
		return nil, io.EOF
	case st.Name.Local != "open":
		return nil, EndStream("bad-format", "a stream begins with <open/>")
	case st.Name.Space != NSFraming: // RFC 7395 §3.3.2
		return nil, EndStream("invalid-namespace", "the namespace of <open/> is %s", NSFraming)
	}
	h := &Header{Name: Name{NSStream, "stream"}, NS: s.NS, Lang: st.Lang, Minor: 9}
	h.To, _ = st.Attr("to")
	h.From, _ = st.Attr("from")
	h.ID, _ = st.Attr("id")
	h.ToJID, _ = ParseJID(h.To)
	h.FromJID, _ = ParseJID(h.From)
	if v, found := st.Attr("version"); found {
		h.Version = v
		h.Major, h.Minor = parseVersion(v)
	}
	return h, nil
}

// Next returns the next stanza, or ErrMore where none is complete yet: it never waits.
// io.EOF is the end of the stream: the closing tag or the end of the connection
// (Ended tells which). A *StreamError is what the peer did wrong.
func (s *Stream) Next() (*Stanza, error) {
	ev, err := s.event()
	if err != nil {
		return nil, err
	}
	switch ev {
	case EventStanza:
		st := s.sc.Stanza()
		if s.framed && st.Kind == Nonza && st.Name.Space == NSFraming {
			return nil, s.frame(st)
		}
		return st, nil
	case EventEnd:
		s.ended = true
		return nil, io.EOF
	}
	return nil, EndStream("bad-format", "a second stream header")
}

// frame takes what stands for the tags of the stream (RFC 7395 §3.3.1).
func (s *Stream) frame(st *Stanza) error {
	if st.Name.Local == "close" {
		s.ended = true
		return io.EOF
	}
	return EndStream("bad-format", "a second stream header")
}

// Await is Next for negotiation, which may be plain waiting code.
func (s *Stream) Await() (*Stanza, error) {
	for {
		st, err := s.Next()
		if err == nil || !errors.Is(err, ErrMore) {
			return st, err
		}
		if err := s.T.Wait(); err != nil {
			return nil, err
		}
	}
}

// event scans what is buffered and reads while that is not enough.
func (s *Stream) event() (Event, error) {
	for {
		ev, err := s.sc.Next()
		if !errors.Is(err, ErrMore) {
			return ev, err
		}
		if w, ok := s.T.(*WebSocket); ok && w.Between() && s.sc.Pending() { // RFC 7395 §3.3.3
			return 0, EndStream("bad-format", "a message that is no whole element")
		}
		buf := s.sc.Space(socketRead / 2)
		n, err := s.T.Read(buf)
		if err != nil {
			if s.sc.Buffered() == 0 {
				s.sc.Release()
			}
			return 0, err
		}
		if s.fresh {
			n = copy(buf, bytes.TrimLeft(buf[:n], white))
			s.fresh = n == 0
		}
		s.sc.Filled(n)
		s.taken += uint64(n)
	}
}

// Taken returns how many bytes were read of the stream. Only for who reads.
func (s *Stream) Taken() uint64 { return s.taken }

// Ended reports whether the peer has closed its stream (RFC 6120 §4.4).
func (s *Stream) Ended() bool { return s.ended }

// Pending reports whether a stanza has begun that is not complete.
func (s *Stream) Pending() bool { return s.sc.Pending() }

// Append writes st as this stream's peer must read it.
func (s *Stream) Append(dst []byte, st *Stanza) []byte {
	if s.framed && st.Kind != Nonza {
		return st.AppendNS(dst, s.NS)
	}
	return st.AppendNS(dst, "")
}

// AppendFeatures writes stream features (RFC 6120 §4.3.2) around what is announced.
func (s *Stream) AppendFeatures(dst, features []byte) []byte {
	dst = append(dst, "<stream:features"...)
	if s.framed { // RFC 7395 §3.3.3
		dst = append(dst, " xmlns:stream='"+NSStream+"'"...)
	}
	dst = append(append(dst, '>'), features...)
	return append(dst, "</stream:features>"...)
}

// Framed reports whether every element of the stream stands alone (RFC 7395 §3.3).
func (s *Stream) Framed() bool { return s.framed }

// AppendHeader writes our stream header (RFC 6120 §4.7) or <open/> (RFC 7395 §3.4).
func (s *Stream) AppendHeader(dst []byte, to, from, id, lang string) []byte {
	if s.framed {
		dst = append(dst, "<open xmlns='"+NSFraming+"'"...)
	} else {
		dst = append(dst, "<?xml version='1.0'?><stream:stream xmlns='"...)
		dst = append(dst, s.NS...)
		dst = append(dst, "' xmlns:stream='"+NSStream+"'"...)
	}
	for _, a := range [...][2]string{{"to", to}, {"from", from}, {"id", id}, {"version", "1.0"}, {"xml:lang", lang}} {
		if a[1] != "" {
			dst = appendAttr(dst, a[0], a[1])
		}
	}
	if s.framed {
		return append(dst, '/', '>')
	}
	return append(dst, '>')
}

// AppendClose writes the end of our stream, with an error before it if err is not nil
// (RFC 6120 §4.4, §4.9.1; RFC 7395 §3.6).
func (s *Stream) AppendClose(dst []byte, err *StreamError) []byte {
	if err != nil {
		dst = err.Append(dst, s.framed)
	}
	if s.framed {
		return append(dst, "<close xmlns='"+NSFraming+"'/>"...)
	}
	return append(dst, "</stream:stream>"...)
}

// Close closes the transport, giving what is queued linger to leave.
func (s *Stream) Close(linger time.Duration) error { return s.T.Close(linger) }
