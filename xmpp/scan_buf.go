package xmpp

import "sync"

// Sizes of buffers in bytes.
const (
	readSize  = 4 << 10  // the first one
	keepSize  = 64 << 10 // larger ones are not kept for the next stream
	keepKids  = 1024     // entries of lists that are kept
	keepOpens = 256
)

// work is what a scanner borrows while it holds bytes.
type work struct {
	buf []byte

	tag      tag
	attrs    []attribute
	decls    int // how many of them are namespace declarations
	prefixed int // how many others have a prefix

	open     []open
	binds    []binding
	elements int

	head      []attribute // of the top-level element, from here on
	headTag   tag
	base      ref // its namespace
	def       ref // the default namespace in it
	topBinds  int // prefixes that it binds
	kind      Kind
	kids      []kid
	body      int32
	bodyEnd   int32
	rewrite   bool   // the body is not self-contained
	rewritten []byte // head and body as they must be; nil where they are
}

// clear forgets the element, not the buffer.
func (w *work) clear() {
	w.open, w.binds, w.kids, w.head = w.open[:0], w.binds[:0], w.kids[:0], w.head[:0]
	w.elements, w.topBinds, w.rewrite, w.rewritten = 0, 0, false, nil
}

// spare holds work spaces at rest, for whichever stream has something to read.
var spare = sync.Pool{New: func() any { return &work{buf: make([]byte, 0, readSize)} }}

// Space returns room for at least n bytes behind what is buffered; say with Filled how
// many were put there. It moves and grows the buffer as needed; a Stanza holds none of
// it.
func (s *Scanner) Space(n int) []byte {
	if s.w == nil {
		s.w = spare.Get().(*work)
	}
	w := s.w
	if cap(w.buf)-len(w.buf) < n && s.base > 0 {
		w.buf = w.buf[:copy(w.buf, w.buf[s.base:])]
		s.base = 0
	}
	if need := len(w.buf) + n; cap(w.buf) < need {
		size := max(need, min(2*cap(w.buf), s.lim.Stanza+n))
		w.buf = append(make([]byte, 0, size), w.buf...)
	}
	return w.buf[len(w.buf):cap(w.buf)]
}

// Filled says that n bytes of Space were filled.
func (s *Scanner) Filled(n int) { s.w.buf = s.w.buf[:len(s.w.buf)+n] }

// Buffered returns how many bytes are not yet consumed; those of the element that Next
// found last are.
func (s *Scanner) Buffered() int {
	if s.w == nil {
		return 0
	}
	return len(s.w.buf) - s.base - s.end
}

// ahead returns a copy of what is not yet consumed.
func (s *Scanner) ahead() []byte {
	if s.Buffered() == 0 {
		return nil
	}
	return append([]byte(nil), s.w.buf[s.base+s.end:]...)
}

// Release gives the memory back when nothing is buffered. The Scanner stays usable and
// holds no more than the prefixes and the language of the stream header and the last
// two addresses; Header and Stanza return nil until the next event.
func (s *Scanner) Release() {
	if s.w == nil || s.Buffered() > 0 {
		return
	}
	s.forget()
	w := s.w
	s.w, s.base, s.pos, s.hdr = nil, 0, 0, nil
	w.buf, w.attrs = w.buf[:0], w.attrs[:0]
	w.clear()
	if cap(w.buf) > keepSize || cap(w.kids) > keepKids || cap(w.open)+cap(w.attrs)+cap(w.head) > keepOpens {
		return
	}
	spare.Put(w)
}
