package xmpp

import "errors"

// ErrMore means that no complete top-level element is buffered: read more bytes.
var ErrMore = errors.New("xmpp: more bytes are needed")

// Limits bound what a peer may send; a field that is zero stands for its default. Whoever
// exceeds one ends the stream with policy-violation (RFC 6120 §4.9.3.14).
//
// A stanza grows on its way: 'from' is stamped, characters are escaped, ids are added. So
// another server must be allowed larger stanzas than a client, or what one client may
// send ends the link to that server.
type Limits struct {
	Stanza   int // bytes of one top-level element, of the stream header too
	Depth    int // levels of elements, the stanza being the first
	Attrs    int // attributes of one element, namespace declarations counted
	Elements int // elements of one stanza, itself counted
	Name     int // bytes of the name of an element or attribute, its prefix counted
}

// The limits where none are given.
const (
	DefaultStanza   = 256 << 10
	DefaultDepth    = 64
	DefaultAttrs    = 50
	DefaultElements = 5000
	DefaultName     = 256
)

// Limits that cannot be configured.
const (
	maxPrefixes = 128      // namespace prefixes in force at one place, those of the header counted
	maxGrowth   = 16 << 10 // bytes by which declarations written into a stanza may make it exceed Limits.Stanza
	maxWindow   = 1 << 30  // bytes: offsets are of 32 bits
)

// DefaultLimits returns the defaults: 256 KiB, 64 levels, 50 attributes, 5000 elements,
// names of 256 bytes.
func DefaultLimits() Limits {
	return Limits{DefaultStanza, DefaultDepth, DefaultAttrs, DefaultElements, DefaultName}
}

func (l Limits) filled() Limits {
	d := DefaultLimits()
	for _, f := range []struct {
		v *int
		d int
	}{{&l.Stanza, d.Stanza}, {&l.Depth, d.Depth}, {&l.Attrs, d.Attrs}, {&l.Elements, d.Elements}, {&l.Name, d.Name}} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	l.Stanza = min(l.Stanza, maxWindow)
	return l
}

// An Event is what Next has found.
type Event uint8

const (
	EventHeader Event = iota + 1 // the start tag of the stream has been read
	EventStanza                  // a top-level element is complete
	EventEnd                     // the stream has ended: </stream:stream>
)

func (e Event) String() string {
	switch e {
	case EventHeader:
		return "header"
	case EventStanza:
		return "stanza"
	case EventEnd:
		return "end"
	}
	return "none"
}

// A Scanner finds the top-level elements in the bytes of a stream. It goes over each
// byte once however they arrive, checks everything that makes XML well-formed and
// namespace-well-formed (RFC 6120 §11.3) within the restrictions of RFC 6120 §11.1, and
// holds at most one element and one read.
//
// It is used by one goroutine at a time. The zero Scanner must be Reset.
type Scanner struct {
	lim    Limits
	ns     string // the content namespace of the stream
	framed bool   // RFC 7395: no stream header
	loose  bool   // ParseStanza: any content namespace, or none, makes a stanza
	mode   mode
	fresh  bool // at the very start of a document
	bom    bool // a byte order mark has been skipped there
	quote  byte // of the attribute value that ends at seek, 0 outside of one
	empty  bool // the stream header was an empty-element tag

	base  int // where the current element begins in the buffer; all before is done with
	pos   int // from base on: how far the scanner is
	seek  int // from base on: how far the incomplete token at pos was looked at; 0: not at all
	cdata int // from base on: where the open CDATA section begins; 0: none is open
	end   int // from base on: where the complete element ends; 0: there is none

	w    *work
	hdr  *Header
	root root
	to   JID // the last addresses: most stanzas of a stream repeat one
	from JID
	err  error
}

type mode uint8

const (
	modeProlog mode = iota // before the stream header
	modeTop                // between top-level elements
	modeInside             // in a top-level element
	modeEnded              // behind the end of the stream
)

// Reset makes the scanner ready for a new stream and drops everything buffered: after
// STARTTLS and SASL nothing of the old stream may be looked at (RFC 6120 §5.4.3.3). ns
// is the content namespace (RFC 6120 §4.8.2); if it is empty, the header decides. In a framed stream
// (RFC 7395 §3.3) there is no stream header and every element stands alone.
func (s *Scanner) Reset(ns string, framed bool, l Limits) {
	w := s.w
	*s = Scanner{ns: ns, framed: framed, lim: l.filled(), fresh: true, w: w}
	s.root.ns = NSNone
	if framed {
		s.mode = modeTop
	}
	if w != nil {
		w.buf = w.buf[:0]
		w.clear()
	}
	s.Release()
}

// SetLimits changes the limits, for what is not yet scanned.
func (s *Scanner) SetLimits(l Limits) { s.lim = l.filled() }

// Pending reports whether some element has begun but is not complete; it is meant to be
// asked after ErrMore.
func (s *Scanner) Pending() bool { return s.err == nil && s.mode != modeEnded && s.Buffered() > 0 }

// Next looks for the next event in what is buffered. It returns ErrMore where there is
// none, or a *StreamError, the peer's fault, which every later call returns again. What is
// wrong in a tag that comes in pieces may be found only when its end is there.
// Header or Stanza hold what was found until Next is called again. After EventEnd all
// further bytes are ignored.
func (s *Scanner) Next() (Event, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.forget()
	if s.empty { // the header was <stream:stream/>
		s.mode, s.empty = modeEnded, false
		return EventEnd, nil
	}
	if s.w == nil {
		return 0, ErrMore
	}
	if s.mode == modeInside {
		return s.inside()
	}
	if s.mode == modeEnded {
		s.w.buf, s.base = s.w.buf[:0], 0
		return 0, ErrMore
	}
	return s.top()
}

// forget drops the element of the last event.
func (s *Scanner) forget() {
	if s.end == 0 {
		return
	}
	s.consume(s.end)
	s.end = 0
	s.w.clear()
}

// consume moves base; what is before it is done with.
func (s *Scanner) consume(n int) {
	s.base += n
	s.pos, s.seek = 0, 0
	if s.base == len(s.w.buf) {
		s.w.buf, s.base = s.w.buf[:0], 0
	}
}

// window returns the bytes that may be looked at: never more of an element than it may
// have, so that an error does not depend on how the bytes were cut.
func (s *Scanner) window() []byte {
	b := s.w.buf[s.base:]
	if len(b) > s.lim.Stanza {
		b = b[:s.lim.Stanza]
	}
	return b
}

// more ends a call: something is wrong, or the bytes b did not suffice for the token at
// pos.
func (s *Scanner) more(b []byte) (Event, error) {
	if s.err == nil && len(b) < s.lim.Stanza {
		return 0, ErrMore
	}
	if p := s.pos; s.err == nil && s.seek > 0 && b[p] == '<' && b[p+1] != '/' && b[p+1] != '?' {
		s.lexTag(b, p) // it may have been wrong for long
	}
	if s.err == nil {
		s.fail("policy-violation", "a stanza of more than %d bytes", s.lim.Stanza)
	}
	return 0, s.err
}

// fail notes the end of the stream; it returns -1 for those who return a position.
func (s *Scanner) fail(condition, text string, args ...any) int {
	if s.err == nil {
		s.err = EndStream(condition, text, args...)
	}
	return -1
}

// top looks at what stands between elements.
func (s *Scanner) top() (Event, error) {
	if !s.skipSpace() {
		return 0, ErrMore
	}
	if s.fresh && !s.encoding() {
		return s.more(s.window())
	}
	if !s.skipSpace() { // behind a byte order mark
		return 0, ErrMore
	}
	b := s.window()
	if len(b) == 0 || len(b) == 1 && b[0] == '<' {
		return s.more(b)
	}
	switch {
	case b[0] != '<':
		s.fail("bad-format", "text outside of a stanza")
	case b[1] == '?' && s.fresh:
		return s.declaration(b)
	case b[1] == '?' || b[1] == '!':
		s.fail("restricted-xml", "a declaration, comment or processing instruction")
	case b[1] == '/':
		return s.streamEnd(b)
	case s.mode == modeProlog:
		return s.streamHeader(b)
	default:
		s.mode = modeInside
		return s.inside()
	}
	return 0, s.err
}

// skipSpace drops white space (RFC 6120 §11.7) and reports whether anything else is there.
func (s *Scanner) skipSpace() bool {
	b := s.w.buf[s.base:]
	n := 0
	for n < len(b) && isSpace(b[n]) {
		n++
	}
	if n > 0 {
		s.fresh = false
		s.consume(n)
	}
	return n < len(b)
}

// streamEnd reads the end tag of the stream.
func (s *Scanner) streamEnd(b []byte) (Event, error) {
	if s.mode == modeProlog || s.framed {
		s.fail("not-well-formed", "an end tag where nothing is open")
		return 0, s.err
	}
	n := s.endTag(b, 0, s.root.raw)
	if n <= 0 {
		return s.more(b)
	}
	s.consume(n)
	s.mode = modeEnded
	return EventEnd, nil
}

// inside goes on in a top-level element.
func (s *Scanner) inside() (Event, error) {
	b := s.window()
	for {
		if s.cdata > 0 && !s.inCDATA(b) || !s.text(b) || !s.markup(b) {
			return s.more(b)
		}
		if len(s.w.open) == 0 {
			break
		}
	}
	s.mode, s.end = modeTop, s.pos
	s.fresh, s.bom = s.framed, false // in a framed stream the next document begins
	if s.w.rewrite && !s.selfContain(b[:s.end]) {
		return 0, s.err
	}
	return EventStanza, nil
}

// markup reads the tag or the beginning of a CDATA section at pos.
func (s *Scanner) markup(b []byte) bool {
	p := s.pos
	if p+1 >= len(b) {
		return false
	}
	n := 0
	switch b[p+1] {
	case '/':
		o := &s.w.open[len(s.w.open)-1]
		if n = s.endTag(b, p, view(b[o.at:o.end])); n > 0 {
			s.close(p, n)
		}
	case '!':
		n = s.openCDATA(b, p)
	case '?':
		n = s.fail("restricted-xml", "a processing instruction")
	default:
		if n = s.startTag(b, p); n > 0 {
			n = s.begin(b, p, n)
		}
	}
	if n <= 0 {
		return false
	}
	s.pos = n
	return true
}
