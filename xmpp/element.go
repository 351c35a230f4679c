package xmpp

import (
	"bytes"
	"strconv"
	"strings"
)

// An Element is a view into the body of a stanza for whoever must read it. It costs
// nothing until it is asked, and then walks the bytes, which a scanner has proved
// well-formed. The zero Element is no element: it has no name, children or text.
type Element struct {
	name  Name
	src   []byte // from '<' to the last '>'
	scope *scope // declarations of the elements around it; nil directly below a stanza
}

// scope is one namespace declaration in force, and the ones around it.
type scope struct {
	prefix, ns string
	up         *scope
}

func (s *scope) find(prefix string) (string, bool) {
	for ; s != nil; s = s.up {
		if s.prefix == prefix {
			return s.ns, true
		}
	}
	if prefix == "xml" {
		return nsXML, true
	}
	return "", prefix == ""
}

// IsZero reports whether there is no element.
func (e Element) IsZero() bool { return e.src == nil }

// Name returns the expanded name. Space is empty in the content namespace, and NSNone
// where there is no namespace.
func (e Element) Name() Name { return e.name }

// Is reports whether e has this name.
func (e Element) Is(ns, local string) bool { return e.name.Local == local && e.name.Space == ns }

// Attr returns the value of the attribute without a namespace, or "".
func (e Element) Attr(local string) string {
	v, _ := e.LookupAttr(local)
	return v
}

// LookupAttr returns the value of the attribute without a namespace and whether it is
// there.
func (e Element) LookupAttr(local string) (string, bool) {
	if e.src == nil {
		return "", false
	}
	w := walker{src: e.src}
	w.startTag()
	for w.attr() {
		if string(w.key) == local {
			return unescape(w.val, true), true
		}
	}
	return "", false
}

// Lang returns the xml:lang of the element itself, or "".
func (e Element) Lang() string {
	v, _ := e.LookupAttr("xml:lang") // the prefix xml is fixed (Namespaces in XML 1.0 §3)
	return v
}

// Children calls yield for each child element in order.
func (e Element) Children(yield func(Element) bool) {
	if e.src == nil {
		return
	}
	w := walker{src: e.src}
	w.startTag()
	sc := w.declarations(e.scope)
	if w.empty {
		return
	}
	for w.next() {
		if !w.child {
			return
		}
		if !yield(w.element(sc)) {
			return
		}
	}
}

// Child returns the first child of that name, or the zero Element. With an empty ns it
// is looked for in the namespace of e.
func (e Element) Child(ns, local string) Element {
	if ns == "" {
		ns = e.name.Space
	}
	var found Element
	e.Children(func(c Element) bool {
		if c.Is(ns, local) {
			found = c
			return false
		}
		return true
	})
	return found
}

// First returns the first child element, or the zero Element.
func (e Element) First() Element {
	var first Element
	e.Children(func(c Element) bool { first = c; return false })
	return first
}

// Text returns the character data directly in e: text, references and CDATA joined.
func (e Element) Text() string {
	if e.src == nil {
		return ""
	}
	w := walker{src: e.src}
	w.startTag()
	for w.attr() {
	}
	if w.empty {
		return ""
	}
	var out strings.Builder
	w.text = textInto(&out)
	for w.next() && w.child {
	}
	return out.String()
}

// textInto returns what a walker does with character data to join it in out.
func textInto(out *strings.Builder) func(b []byte, cdata bool) {
	return func(b []byte, cdata bool) {
		if cdata {
			out.WriteString(normaliseNewlines(string(b)))
		} else {
			out.WriteString(unescape(b, false))
		}
	}
}

// ChildText returns the text of the first child of that name.
func (e Element) ChildText(ns, local string) string { return e.Child(ns, local).Text() }

// Payload returns e as a payload of its own: declarations that it takes from the
// elements around it are written into it.
func (e Element) Payload() Payload {
	if e.src == nil {
		return nil
	}
	if e.scope == nil {
		return Payload(e.src)
	}
	end := 1
	for end < len(e.src) && !isTagNameEnd(e.src[end]) {
		end++
	}
	own := map[string]bool{}
	w := walker{src: e.src}
	w.startTag()
	for w.attr() {
		if p, ok := declared(w.key); ok {
			own[p] = true
		}
	}
	out := append(make(Payload, 0, len(e.src)+64), e.src[:end]...)
	for s := e.scope; s != nil; s = s.up {
		if own[s.prefix] {
			continue
		}
		own[s.prefix] = true
		out = appendDecl(out, s.prefix, s.ns)
	}
	return append(out, e.src[end:]...)
}

// walker moves over bytes that are known to be one well-formed element or a sequence
// of them. It checks nothing.
type walker struct {
	src   []byte
	at    int
	text  func(b []byte, cdata bool)
	empty bool // the start tag just read was an empty-element tag
	child bool // next stands on a child (else on the end)

	key, val []byte // of attr
	valAt    int    // where val begins
	from, to int    // of next: the child's bytes
}

// startTag skips "<name".
func (w *walker) startTag() []byte {
	w.at++
	start := w.at
	for !isTagNameEnd(w.src[w.at]) {
		w.at++
	}
	return w.src[start:w.at]
}

// attr reads the next attribute; false after the end of the start tag.
func (w *walker) attr() bool {
	for isSpace(w.src[w.at]) {
		w.at++
	}
	switch w.src[w.at] {
	case '>':
		w.at++
		return false
	case '/':
		w.at += 2
		w.empty = true
		return false
	}
	start := w.at
	for w.src[w.at] != '=' && !isSpace(w.src[w.at]) {
		w.at++
	}
	w.key = w.src[start:w.at]
	for w.src[w.at] != '\'' && w.src[w.at] != '"' {
		w.at++
	}
	quote := w.src[w.at]
	w.at++
	n := bytes.IndexByte(w.src[w.at:], quote)
	w.val, w.valAt = w.src[w.at:w.at+n], w.at
	w.at += n + 1
	return true
}

// cutName returns the parts of a name as written; prefix may be empty.
func cutName(raw []byte) (prefix, local []byte) {
	if i := bytes.IndexByte(raw, ':'); i >= 0 {
		return raw[:i], raw[i+1:]
	}
	return nil, raw
}

// declarations reads the rest of the start tag and adds its namespace declarations.
func (w *walker) declarations(sc *scope) *scope {
	for w.attr() {
		if p, ok := declared(w.key); ok {
			ns := unescape(w.val, true)
			if ns == "" {
				ns = NSNone
			}
			sc = &scope{p, ns, sc}
		}
	}
	return sc
}

// declared returns the prefix that the attribute key declares.
func declared(key []byte) (prefix string, ok bool) {
	if string(key) == "xmlns" {
		return "", true
	}
	if p, ok := bytes.CutPrefix(key, []byte("xmlns:")); ok {
		return string(p), true
	}
	return "", false
}

// next moves behind the next child, whose bytes are src[from:to]; child is false at the
// end tag around it. It returns false at the end of the bytes.
func (w *walker) next() bool {
	for w.at < len(w.src) {
		if w.src[w.at] != '<' {
			n := bytes.IndexByte(w.src[w.at:], '<')
			if n < 0 {
				n = len(w.src) - w.at
			}
			if w.text != nil {
				w.text(w.src[w.at:w.at+n], false)
			}
			w.at += n
			continue
		}
		switch w.src[w.at+1] {
		case '!':
			b := w.cdata()
			if w.text != nil {
				w.text(b, true)
			}
		case '/':
			w.child = false
			return true
		default:
			w.from, w.child = w.at, true
			w.skip()
			w.to = w.at
			return true
		}
	}
	return false
}

// cdata moves behind a CDATA section and returns what is in it.
func (w *walker) cdata() []byte {
	w.at += len("<![CDATA[")
	n := bytes.Index(w.src[w.at:], []byte("]]>"))
	b := w.src[w.at : w.at+n]
	w.at += n + 3
	return b
}

// skip moves behind the element it stands on.
func (w *walker) skip() {
	depth := 0
	for {
		n := bytes.IndexByte(w.src[w.at:], '<')
		w.at += n
		switch w.src[w.at+1] {
		case '!':
			w.cdata()
			continue
		case '/':
			w.at += bytes.IndexByte(w.src[w.at:], '>') + 1
			depth--
		default:
			if !w.skipStartTag() {
				depth++
			}
		}
		if depth == 0 {
			return
		}
	}
}

// skipStartTag moves behind a start tag and reports whether it was an empty element.
func (w *walker) skipStartTag() bool {
	for {
		switch c := w.src[w.at]; c {
		case '\'', '"':
			w.at++
			w.at += bytes.IndexByte(w.src[w.at:], c) + 1
		case '>':
			w.at++
			return w.src[w.at-2] == '/'
		default:
			w.at++
		}
	}
}

// element returns the child that next found, below the declarations sc.
func (w *walker) element(sc *scope) Element {
	c := walker{src: w.src[w.from:w.to]}
	raw := c.startTag()
	prefix, local := cutName(raw)
	ns, _ := c.declarations(sc).find(view(prefix))
	return Element{name: Name{ns, view(local)}, src: c.src, scope: sc}
}

func isSpace(c byte) bool      { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isTagNameEnd(c byte) bool { return isSpace(c) || c == '>' || c == '/' }

// unescape resolves references and normalises line ends (XML 1.0 §2.11), in attributes
// all white space (§3.3.3).
func unescape(b []byte, attr bool) string {
	if bytes.IndexByte(b, '&') < 0 && bytes.IndexByte(b, '\r') < 0 &&
		!(attr && bytes.ContainsAny(b, "\t\n")) {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '&':
			n := bytes.IndexByte(b[i:], ';')
			out = appendReference(out, string(b[i+1:i+n]))
			i += n
		case c == '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
			out = append(out, newline(attr))
		case c == '\n' || c == '\t' && attr:
			if c == '\t' {
				c = ' '
			} else {
				c = newline(attr)
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func newline(attr bool) byte {
	if attr {
		return ' '
	}
	return '\n'
}

func normaliseNewlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// appendReference writes what &name; stands for. It is one of those a scanner let pass.
func appendReference(dst []byte, name string) []byte {
	switch name {
	case "amp":
		return append(dst, '&')
	case "lt":
		return append(dst, '<')
	case "gt":
		return append(dst, '>')
	case "apos":
		return append(dst, '\'')
	case "quot":
		return append(dst, '"')
	}
	base := 10
	digits := strings.TrimPrefix(name, "#")
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n, _ := strconv.ParseUint(digits, base, 32)
	return append(dst, string(rune(n))...)
}
