package xmpp

import (
	"bytes"
	"math/bits"
	"unicode/utf8"
)

func trailing(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// A tag is a start tag that was read. All positions are from the beginning of the
// top-level element.
type tag struct {
	at, end int32 // the name
	local   int32 // its local part: at where there is no prefix
	empty   bool  // an empty-element tag
}

// An attribute of a start tag.
type attribute struct {
	at, end     int32 // the name
	local       int32 // its local part: at where there is no prefix
	val, valEnd int32
	esc         bool // the value holds references, TAB, LF or CR
	decl        bool // a namespace declaration
	ns          ref  // of a prefix
}

func (a *attribute) prefixed() bool            { return a.local != a.at && !a.decl }
func (a *attribute) name(b []byte) []byte      { return b[a.at:a.end] }
func (a *attribute) localName(b []byte) []byte { return b[a.local:a.end] }
func (a *attribute) raw(b []byte) []byte       { return b[a.val:a.valEnd] }

// startTag reads the start tag at p and returns its end, or 0 where it is not complete.
// A tag is read in one go. Where that fails for want of bytes its end is looked for
// first, from where the last look ended, so that a tag that comes byte by byte is not
// read over and over.
func (s *Scanner) startTag(b []byte, p int) int {
	if s.seek > 0 && !s.seekTag(b) {
		return 0
	}
	n := s.lexTag(b, p)
	if n == 0 {
		s.seek = max(s.seek, p+1)
		if s.seekTag(b) {
			s.seek++
		}
		return 0
	}
	s.seek, s.quote = 0, 0
	return n
}

// seekTag moves seek to the first '>' outside of quotes. A '<', which no tag can have,
// ends the search too: lexTag then says what is wrong.
func (s *Scanner) seekTag(b []byte) bool {
	for i := s.seek; i < len(b); i++ {
		switch c := b[i]; {
		case c == '<' || c == '>' && s.quote == 0:
			s.seek = i
			return true
		case c == s.quote:
			s.quote = 0
		case (c == '\'' || c == '"') && s.quote == 0:
			s.quote = c
		}
	}
	s.seek = len(b)
	return false
}

// lexTag reads the start tag at p into the work space. It returns where it ends, or 0
// where b does, without having changed anything else.
func (s *Scanner) lexTag(b []byte, p int) int {
	w := s.w
	w.attrs, w.decls, w.prefixed = w.attrs[:0], 0, 0
	i, local := s.qname(b, p+1)
	if i <= 0 {
		return i
	}
	w.tag = tag{int32(p + 1), int32(i), int32(local), false}
	for {
		name := i
		for name < len(b) && isSpace(b[name]) {
			name++
		}
		if name == len(b) {
			return 0
		}
		switch b[name] {
		case '>':
			return name + 1
		case '/':
			return s.emptyTag(b, name)
		}
		if name == i {
			return s.fail("not-well-formed", "no white space before an attribute")
		}
		if i = s.lexAttr(b, name); i <= 0 {
			return i
		}
	}
}

func (s *Scanner) emptyTag(b []byte, i int) int {
	if i+1 == len(b) {
		return 0
	}
	if b[i+1] != '>' {
		return s.fail("not-well-formed", "'/' in a tag")
	}
	s.w.tag.empty = true
	return i + 2
}

// lexAttr reads the attribute at p.
func (s *Scanner) lexAttr(b []byte, p int) int {
	w := s.w
	if len(w.attrs) == s.lim.Attrs {
		return s.fail("policy-violation", "more than %d attributes", s.lim.Attrs)
	}
	end, local := s.qname(b, p)
	if end <= 0 {
		return end
	}
	i := end
	if i+1 >= len(b) || b[i] != '=' || b[i+1] != '\'' && b[i+1] != '"' {
		if i = s.equals(b, i); i <= 0 {
			return i
		}
	} else {
		i++
	}
	valEnd, esc := skipValue(b, i+1), false
	if valEnd == len(b) || b[valEnd] != b[i] { // most values are plain
		if valEnd, esc = s.value(b, valEnd, b[i]); valEnd <= 0 {
			return valEnd
		}
	}
	w.attrs = append(w.attrs, attribute{at: int32(p), end: int32(end), local: int32(local), val: int32(i + 1), valEnd: int32(valEnd), esc: esc})
	if !s.admit(b, &w.attrs[len(w.attrs)-1]) {
		return -1
	}
	return valEnd + 1
}

// equals reads '=' with white space around it and returns where the quote is.
func (s *Scanner) equals(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	if i == len(b) {
		return 0
	}
	if b[i] != '=' {
		return s.fail("not-well-formed", "an attribute without '='")
	}
	i++
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	if i == len(b) {
		return 0
	}
	if b[i] != '\'' && b[i] != '"' {
		return s.fail("not-well-formed", "an attribute without quotes")
	}
	return i
}

// admit looks what kind of attribute a is and that its name is new (XML 1.0 §3.1).
func (s *Scanner) admit(b []byte, a *attribute) bool {
	w, name := s.w, a.name(b)
	if name[0] == 'x' && len(name) >= 5 && string(name[:5]) == "xmlns" && (len(name) == 5 || name[5] == ':') {
		a.decl = true
		w.decls++
	} else if a.local != a.at {
		w.prefixed++
	}
	for i := range w.attrs[:len(w.attrs)-1] {
		o := &w.attrs[i]
		if int(o.end-o.at) == len(name) && b[o.at] == name[0] && bytes.Equal(o.name(b), name) {
			s.fail("not-well-formed", "an attribute twice")
			return false
		}
	}
	return true
}

// value reads an attribute value from p on to the quote.
func (s *Scanner) value(b []byte, p int, quote byte) (end int, esc bool) {
	for {
		p = skipValue(b, p)
		if p >= len(b) {
			return 0, esc
		}
		n := 1
		switch c := b[p]; {
		case c == quote:
			return p, esc
		case c == '\'' || c == '"':
		case c == '<':
			n = s.fail("not-well-formed", "'<' in an attribute value")
		case c == '&':
			esc = true
			i := p + 1
			for i < len(b) && bytesOf[b[i]]&insideRef != 0 {
				i++
			}
			if i == len(b) {
				return 0, esc
			}
			n = s.refEnd(b, p, i)
		default:
			esc = esc || c < 0x20
			n = s.char(b, p)
		}
		if n <= 0 {
			return n, esc
		}
		p += n
	}
}

// qname reads a name with at most one colon inside (Namespaces in XML 1.0 §4). It
// returns its end and where its local part begins; 0 where b ends first.
func (s *Scanner) qname(b []byte, p int) (end, local int) {
	if p < len(b) && bytesOf[b[p]]&startsName != 0 {
		i := p + 1
		for i < len(b) && bytesOf[b[i]]&insideName != 0 {
			i++
		}
		if i < len(b) && b[i] < utf8.RuneSelf && b[i] != ':' && i-p <= s.lim.Name {
			return i, p
		}
	}
	return s.longName(b, p)
}

// longName is qname for names with a colon or beyond ASCII, and for what is no name.
func (s *Scanner) longName(b []byte, p int) (end, local int) {
	i, local := p, p
	first := true // the next character begins a name
	for {
		if first && i < len(b) && bytesOf[b[i]]&startsName != 0 {
			first = false
			i++
		}
		if !first {
			for i < len(b) && bytesOf[b[i]]&insideName != 0 {
				i++
			}
		}
		if i-p > s.lim.Name {
			return s.fail("policy-violation", "a name of more than %d bytes", s.lim.Name), 0
		}
		if i == len(b) {
			return 0, 0
		}
		c := b[i]
		switch {
		case c >= utf8.RuneSelf:
			n := s.char(b, i)
			if n <= 0 {
				return n, 0
			}
			r, _ := utf8.DecodeRune(b[i:])
			if first && !isNameStart(r) || !isNameChar(r) {
				return s.fail("not-well-formed", "a character that names do not have"), 0
			}
			first = false
			i += n
		case c == ':' && local == p && !first:
			i++
			local, first = i, true
		case first || c == ':':
			return s.fail("not-well-formed", "not a name"), 0
		default:
			return i, local
		}
	}
}

// endTag reads the end tag at p, which must be that of name, and returns its end or 0.
func (s *Scanner) endTag(b []byte, p int, name string) int {
	at := p + 2
	i := at + len(name)
	if i < len(b) && b[i] == '>' && string(b[at:i]) == name {
		s.seek = 0
		return i + 1
	}
	have := b[at:min(i, len(b))]
	if string(have) != name[:len(have)] {
		return s.fail("not-well-formed", "an end tag that does not match")
	}
	for i = max(i, s.seek); i < len(b); i++ {
		switch {
		case b[i] == '>':
			s.seek = 0
			return i + 1
		case !isSpace(b[i]):
			return s.fail("not-well-formed", "an end tag that does not match")
		}
	}
	s.seek = min(i, len(b))
	return 0
}
