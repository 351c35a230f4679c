package xmpp

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// Eight bytes at a time: each test leaves the top bit of a byte set where it holds; the
// lowest bit set is exact, what is above it need not be.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

func hasZero(x uint64) uint64 { return (x - ones) &^ x & tops }

// notPlain marks control characters and all that is not ASCII.
func notPlain(x uint64) uint64 { return (x-ones*0x20)&^x&tops | x&tops }

// skipText returns the first position from p on that is not plain text: '<', '>', '&',
// a control character or no ASCII. It may be len(b).
func skipText(b []byte, p int) int {
	for p+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[p:])
		m := notPlain(x) | hasZero((x|ones*2)^ones*'>') | hasZero(x^ones*'&') // '<'|2 is '>'
		if m != 0 {
			return p + trailing(m)
		}
		p += 8
	}
	for p < len(b) && bytesOf[b[p]]&stopsText == 0 {
		p++
	}
	return p
}

// skipValue is skipText for attribute values; it stops at both kinds of quotes too.
func skipValue(b []byte, p int) int {
	for p+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[p:])
		m := notPlain(x) | hasZero(x^ones*'<') | hasZero((x|ones)^ones*'\'') | hasZero(x^ones*'"') // '&'|1 is '\''
		if m != 0 {
			return p + trailing(m)
		}
		p += 8
	}
	for p < len(b) && bytesOf[b[p]]&stopsValue == 0 {
		p++
	}
	return p
}

// Classes of bytes.
const (
	startsName = 1 << iota
	insideName
	stopsText
	stopsValue
	insideRef
)

// bytesOf says what each byte may be. Bytes beyond ASCII stop everything: a name or a
// text with them is looked at rune by rune.
var bytesOf = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		digit := c >= '0' && c <= '9'
		if letter || c == '_' {
			t[i] |= startsName
		}
		if letter || digit || c == '_' || c == '-' || c == '.' {
			t[i] |= insideName
		}
		if letter || digit || c == '#' {
			t[i] |= insideRef
		}
		if c < 0x20 || c >= utf8.RuneSelf || c == '<' || c == '&' {
			t[i] |= stopsText | stopsValue
		}
		if c == '>' {
			t[i] |= stopsText
		}
		if c == '\'' || c == '"' {
			t[i] |= stopsValue
		}
	}
	return t
}()

// text moves pos over character data to the next '<'. It returns false where that is
// not in b, or something is wrong.
func (s *Scanner) text(b []byte) bool {
	p := s.pos
	for {
		p = skipText(b, p)
		if p >= len(b) {
			break
		}
		n := 1
		switch c := b[p]; {
		case c == '<':
			s.pos = p
			return true
		case c == '&':
			n = s.reference(b, p)
		case c == '>':
			// What stands directly before a '>' in text is text (XML 1.0 §2.4).
			if b[p-1] == ']' && b[p-2] == ']' {
				n = s.fail("not-well-formed", "']]>' in text")
			}
		default:
			n = s.char(b, p)
		}
		if n <= 0 {
			break
		}
		p += n
	}
	s.pos = p
	return false
}

// openCDATA reads "<![CDATA[".
func (s *Scanner) openCDATA(b []byte, p int) int {
	const mark = "<![CDATA["
	n := min(len(b)-p, len(mark))
	if string(b[p:p+n]) != mark[:n] {
		return s.fail("restricted-xml", "a comment or declaration")
	}
	if n < len(mark) {
		return 0
	}
	s.cdata = p + n
	return p + n
}

// inCDATA moves pos behind the end of the open CDATA section.
func (s *Scanner) inCDATA(b []byte) bool {
	p := s.pos
	for {
		p = skipText(b, p)
		if p >= len(b) {
			break
		}
		n := 1
		switch b[p] {
		case '<', '&':
		case '>':
			if p >= s.cdata+2 && b[p-1] == ']' && b[p-2] == ']' {
				s.pos, s.cdata = p+1, 0
				return true
			}
		default:
			n = s.char(b, p)
		}
		if n <= 0 {
			break
		}
		p += n
	}
	s.pos = p
	return false
}

// char returns the length of the character at p, which is a control character or beyond
// ASCII; 0 where it is not complete. Characters outside of Char (XML 1.0 §2.2) and
// bytes that are no UTF-8 are wrong.
func (s *Scanner) char(b []byte, p int) int {
	c := b[p]
	if c < utf8.RuneSelf {
		if c == '\t' || c == '\n' || c == '\r' || c >= 0x20 {
			return 1
		}
		return s.fail("not-well-formed", "a control character")
	}
	if c >= 0xC2 && c < 0xE0 && p+1 < len(b) && b[p+1]&0xC0 == 0x80 {
		return 2
	}
	r, n := utf8.DecodeRune(b[p:])
	if r == utf8.RuneError && n <= 1 {
		if !utf8.FullRune(b[p:]) {
			return 0
		}
		return s.fail("not-well-formed", "not UTF-8")
	}
	if r == 0xFFFE || r == 0xFFFF {
		return s.fail("not-well-formed", "a character that XML does not have")
	}
	return n
}

// reference returns the length of the reference at p, 0 where it is not complete. An
// endless one is not read again and again.
func (s *Scanner) reference(b []byte, p int) int {
	i := max(p+1, s.seek)
	for i < len(b) && bytesOf[b[i]]&insideRef != 0 {
		i++
	}
	if i == len(b) {
		s.seek = i
		return 0
	}
	s.seek = 0
	return s.refEnd(b, p, i)
}

// refEnd checks the reference at p, whose name ends at i.
func (s *Scanner) refEnd(b []byte, p, i int) int {
	if b[i] != ';' {
		return s.fail("not-well-formed", "a reference without ';'")
	}
	switch name := b[p+1 : i]; string(name) {
	case "amp", "lt", "gt", "apos", "quot":
	case "":
		return s.fail("not-well-formed", "an empty reference")
	default:
		if name[0] != '#' {
			// RFC 6120 §11.1: no entities but the predefined ones.
			return s.fail("restricted-xml", "an entity that is not predefined")
		}
		if !charRef(name[1:]) {
			return s.fail("not-well-formed", "a reference to no character")
		}
	}
	return i + 1 - p
}

// charRef reports whether the digits of a character reference name a Char (XML 1.0 §4.1).
func charRef(digits []byte) bool {
	base := 10
	if len(digits) > 0 && digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(view(digits), base, 32)
	return err == nil && n <= utf8.MaxRune && isChar(rune(n))
}
