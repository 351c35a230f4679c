package xmpp

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// A Header is the start tag of a stream (RFC 6120 §4.7).
type Header struct {
	Name     Name   // as it must be: {NSStream, "stream"}
	To, From string // as sent; "" where absent
	ToJID    JID    // zero where absent or no address
	FromJID  JID
	ID       string
	Lang     string
	NS       string // the default namespace, "" where there is none
	Prefixes []Prefix

	Version      string // as sent; "" where absent
	Major, Minor int    // 0 and 9 where absent (RFC 6120 §4.7.5), -1 where Version is none
}

// A Prefix is a namespace prefix that a stream header declares.
type Prefix struct{ Prefix, NS string }

// root is what of the header lasts as long as the stream.
type root struct {
	raw      string // its name as written, for the end tag
	ns       string // the default namespace
	lang     string
	prefixes []Prefix
}

// Header returns the stream header after EventHeader, and also after an error that its
// namespaces are the cause of. It is there until Release or Reset, nil before and after;
// what it returned stays valid.
func (s *Scanner) Header() *Header { return s.hdr }

// streamHeader reads the start tag of the stream.
func (s *Scanner) streamHeader(b []byte) (Event, error) {
	n := s.startTag(b, 0)
	if n > 0 {
		n = s.begin(b, 0, n)
	}
	if n <= 0 {
		return s.more(b)
	}
	s.takeHeader(b)
	s.empty = s.w.tag.empty
	s.w.clear()
	s.consume(n)
	s.mode, s.fresh = modeTop, false
	if s.err != nil {
		return 0, s.err
	}
	return EventHeader, nil
}

func (s *Scanner) takeHeader(b []byte) {
	w := s.w
	def := s.nsName(b, w.def)
	h := &Header{Name: Name{strings.Clone(s.nsName(b, w.base)), string(b[w.tag.local:w.tag.end])}, Minor: 9}
	if w.def != refDefault && w.def != refNone {
		h.NS = strings.Clone(def)
	}
	for i := range w.attrs {
		s.takeHeaderAttr(b, &w.attrs[i], h)
	}
	s.hdr = h
	s.root = root{raw: string(b[w.tag.at:w.tag.end]), ns: h.NS, lang: h.Lang, prefixes: h.Prefixes}
	if h.NS == "" {
		s.root.ns = NSNone
	}
	s.checkHeader(h)
}

func (s *Scanner) takeHeaderAttr(b []byte, a *attribute, h *Header) {
	v := unescape(a.raw(b), true)
	switch name := string(a.name(b)); {
	case a.decl && a.local != a.at:
		if prefix := string(a.localName(b)); prefix != "xml" {
			h.Prefixes = append(h.Prefixes, Prefix{prefix, v})
		}
	case name == "to":
		h.To = v
		h.ToJID, _ = ParseJID(v)
	case name == "from":
		h.From = v
		h.FromJID, _ = ParseJID(v)
	case name == "id":
		h.ID = v
	case name == "xml:lang":
		h.Lang = v
	case name == "version":
		h.Version = v
		h.Major, h.Minor = parseVersion(v)
	}
}

// parseVersion reads "major.minor" (RFC 6120 §4.7.5).
func parseVersion(v string) (major, minor int) {
	a, b, _ := strings.Cut(v, ".")
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil {
		return -1, -1
	}
	return int(x), int(y)
}

// checkHeader holds the namespaces against RFC 6120 §4.8. The prefix of the stream
// namespace is free.
func (s *Scanner) checkHeader(h *Header) {
	switch {
	case h.Name.Space != NSStream:
		s.fail("invalid-namespace", "the stream namespace is %s", NSStream)
	case h.Name.Local != "stream":
		s.fail("bad-format", "the first element of a stream is <stream/>")
	case s.ns == "":
		s.ns = h.NS
	case h.NS != s.ns && h.NS != NSStream && h.NS != "":
		// RFC 6120 §4.8.2: without a content namespace as the default one, stanzas declare it themselves.
		s.fail("invalid-namespace", "the content namespace of this stream is %s", s.ns)
	}
}

// encoding looks at the first bytes of a document for another encoding than UTF-8 and
// skips a byte order mark. It returns false where it needs more or has failed.
func (s *Scanner) encoding() bool {
	b := s.w.buf[s.base:]
	switch {
	case b[0] == 0 || b[0] >= 0xFE || b[0] == '<' && len(b) > 1 && b[1] == 0:
		s.fail("unsupported-encoding", "UTF-8 only")
		return false
	case b[0] != 0xEF || s.bom:
		return true
	case len(b) < 3:
		return false
	}
	if b[1] != 0xBB || b[2] != 0xBF {
		s.fail("not-well-formed", "text outside of a stanza")
		return false
	}
	s.bom = true
	s.consume(3)
	return len(s.w.buf) > s.base
}

// declaration reads the XML declaration (RFC 6120 §11.5).
func (s *Scanner) declaration(b []byte) (Event, error) {
	const mark = "<?xml"
	n := min(len(b), len(mark))
	if string(b[:n]) != mark[:n] || len(b) > n && !isSpace(b[n]) {
		s.fail("restricted-xml", "a processing instruction")
		return 0, s.err
	}
	from := max(len(mark), s.seek-1)
	end := -1
	if from < len(b) {
		end = bytes.Index(b[from:], []byte("?>"))
	}
	if end < 0 {
		s.seek = len(b)
		return s.more(b)
	}
	end += from
	s.xmlDecl(b[len(mark):end])
	if s.err != nil {
		return 0, s.err
	}
	s.consume(end + 2)
	s.fresh = false
	return s.top()
}

// xmlDecl checks what stands in an XML declaration (XML 1.0 §2.8): a version, and then
// perhaps the others, in this order.
func (s *Scanner) xmlDecl(b []byte) {
	names := []string{"version", "encoding", "standalone"}
	for first := true; ; first = false {
		rest := bytes.TrimLeft(b, " \t\r\n")
		if len(rest) == 0 && !first {
			return
		}
		name, v, tail, ok := pseudoAttr(rest)
		i := slices.Index(names, name)
		if len(rest) == len(b) || !ok || i < 0 || first && i > 0 {
			s.fail("not-well-formed", "a bad XML declaration")
			return
		}
		if !s.declared(name, v) {
			return
		}
		b, names = tail, names[i+1:]
	}
}

func (s *Scanner) declared(name, v string) bool {
	switch {
	case name == "version" && v != "1.0":
		s.fail("bad-format", "XML 1.0 only") // RFC 6120 §11.8
	case name == "encoding" && !strings.EqualFold(v, "utf-8"):
		s.fail("unsupported-encoding", "UTF-8 only") // RFC 6120 §11.6
	case name == "standalone" && v != "yes" && v != "no":
		s.fail("not-well-formed", "a bad XML declaration")
	default:
		return true // standalone is ignored (RFC 6120 §11.5)
	}
	return false
}

// pseudoAttr cuts name='value' off.
func pseudoAttr(b []byte) (name, value string, rest []byte, ok bool) {
	before, after, ok := bytes.Cut(b, []byte("="))
	after = bytes.TrimLeft(after, " \t\r\n")
	if !ok || len(after) == 0 || after[0] != '\'' && after[0] != '"' {
		return "", "", nil, false
	}
	v, rest, ok := bytes.Cut(after[1:], after[:1])
	return string(bytes.TrimRight(before, " \t\r\n")), string(v), rest, ok
}
