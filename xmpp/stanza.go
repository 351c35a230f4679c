// Package xmpp is the language of the server: addresses, stanzas, the scanner that
// finds them in a stream of bytes, and the streams themselves. It knows how XMPP is
// written, not what anything means to a server.
package xmpp

import (
	"strconv"
	"strings"
	"unsafe"
)

// Namespaces that more than one package speaks of.
const (
	NSClient    = "jabber:client"
	NSServer    = "jabber:server"
	NSComponent = "jabber:component:accept"
	NSStream    = "http://etherx.jabber.org/streams"
	NSFraming   = "urn:ietf:params:xml:ns:xmpp-framing" // RFC 7395
	NSStreams   = "urn:ietf:params:xml:ns:xmpp-streams" // stream error conditions, RFC 6120 §4.9.2
	NSStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas" // stanza error conditions, RFC 6120 §8.3.2
	NSTLS       = "urn:ietf:params:xml:ns:xmpp-tls"
	NSSASL      = "urn:ietf:params:xml:ns:xmpp-sasl"
	NSBind      = "urn:ietf:params:xml:ns:xmpp-bind"
	NSSession   = "urn:ietf:params:xml:ns:xmpp-session"
	NSDelay     = "urn:xmpp:delay"
	nsXML       = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS     = "http://www.w3.org/2000/xmlns/"
)

// NSNone stands in a Name for no namespace at all, which only xmlns=” can bring about
// inside a stanza. It is not the empty string, for that is the content namespace, and an
// element that has none must not be taken for one of that. Scanners refuse a namespace
// that is really called so.
const NSNone = "none:"

// A Kind says which of the three stanzas (RFC 6120 §8.2) an element is.
type Kind uint8

const (
	Nonza    Kind = iota // any other top-level element: stream features, SASL, stream management
	Message              // RFC 6120 §8.2.1
	Presence             // RFC 6120 §8.2.2
	IQ                   // RFC 6120 §8.2.3
)

func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Presence:
		return "presence"
	case IQ:
		return "iq"
	}
	return "nonza"
}

// A Name is an expanded name: namespace and local part. The zero Name is none.
type Name struct{ Space, Local string }

// An Attr is one attribute. Space is empty for an attribute without a prefix.
type Attr struct {
	Space, Local, Value string
}

// A Stanza is one top-level element of a stream: a head of fields and a body of
// bytes that nobody touches. It never changes once it has been handed to another
// package; Readdressed, With and the like make another that shares the body.
//
// The body is what stands between start and end tag. It is valid UTF-8, well-formed,
// free of DTD, comments and processing instructions, and self-contained: it means the
// same behind any start tag that declares a content namespace as the default one
// (jabber:client, jabber:server, jabber:component:accept). Elements that belong to the
// content namespace by an unbroken chain of parents carry neither prefix nor xmlns;
// every other element finds its declarations inside the body.
type Stanza struct {
	Kind Kind
	Name Name // for a Nonza; zero for the three stanzas, whose namespace is the stream's

	// The scanner fills To to Type for the three stanzas only. A Nonza has all attributes
	// but xml:lang in Attrs.
	To, From JID    // the zero JID where absent
	ID       string // "" where absent
	Type     string // as sent; "" where absent
	Lang     string // xml:lang, inherited from the stream where the stanza has none
	Attrs    []Attr // all other attributes

	// Fault is set by the scanner when 'to' or 'from' is no JID; the stream lives,
	// the stanza is to be answered with this error (jid-malformed).
	Fault *Error

	body []byte
	kids []kid
}

// NewStanza makes a stanza of the given kind around body, which must be well-formed
// and self-contained as the type's comment says (a Builder makes such).
func NewStanza(k Kind, body Payload) *Stanza {
	st := &Stanza{Kind: k, body: body}
	st.kids = indexKids(body)
	return st
}

// NewEnvelope is NewStanza for a body that is one element, as it is where a stanza is
// forwarded. It costs the same however much stands in there.
func NewEnvelope(k Kind, element Payload) *Stanza {
	return &Stanza{Kind: k, body: element, kids: []kid{indexKid(element, 0, len(element))}}
}

// Body returns the bytes between start and end tag. They must not be changed.
func (st *Stanza) Body() []byte { return st.body }

// Len returns about how many bytes the stanza takes when written.
func (st *Stanza) Len() int {
	n := 48 + len(st.body) + len(st.To.String()) + len(st.From.String()) + len(st.ID)
	for _, a := range st.Attrs {
		n += len(a.Space) + len(a.Local) + len(a.Value) + 24
	}
	return n
}

// Readdressed returns the same stanza with other addresses. The body is shared.
func (st *Stanza) Readdressed(to, from JID) *Stanza {
	c := *st
	c.To, c.From = to, from
	return &c
}

// Attr returns the value of the attribute local without a namespace that has no field
// of its own, and whether it is there.
func (st *Stanza) Attr(local string) (string, bool) {
	for i := range st.Attrs {
		if st.Attrs[i].Space == "" && st.Attrs[i].Local == local {
			return st.Attrs[i].Value, true
		}
	}
	return "", false
}

// Child returns the first direct child of that name, or the zero Element. An empty ns
// stands for the content namespace, in a Nonza for its own.
func (st *Stanza) Child(ns, local string) Element {
	if i := st.find(ns, local); i >= 0 {
		return st.kid(i)
	}
	return Element{}
}

// Has reports whether there is a direct child of that name; Child without the view.
func (st *Stanza) Has(ns, local string) bool { return st.find(ns, local) >= 0 }

// Children calls yield for each direct child element in order.
func (st *Stanza) Children(yield func(Element) bool) {
	for i := range st.kids {
		if !yield(st.kid(i)) {
			return
		}
	}
}

// Payload returns the first child element that is not <error/>: what an IQ is about.
func (st *Stanza) Payload() Element {
	for i := range st.kids {
		if st.kidName(i) != (Name{"", "error"}) {
			return st.kid(i)
		}
	}
	return Element{}
}

// PayloadCount returns how many direct children there are.
func (st *Stanza) PayloadCount() int { return len(st.kids) }

// With returns the stanza with child appended to its body.
func (st *Stanza) With(child Payload) *Stanza {
	c := *st
	c.body = make([]byte, 0, len(st.body)+len(child))
	c.body = append(append(c.body, st.body...), child...)
	c.kids = append(st.kids[:len(st.kids):len(st.kids)], indexKids(child)...)
	for i := len(st.kids); i < len(c.kids); i++ {
		c.kids[i].shift(int32(len(st.body)))
	}
	return &c
}

// Without returns the stanza without those direct children for which drop says so; it
// returns st itself where there are none.
func (st *Stanza) Without(drop func(Element) bool) *Stanza {
	first := -1
	for i := range st.kids {
		if drop(st.kid(i)) {
			first = i
			break
		}
	}
	if first < 0 {
		return st
	}
	c := *st
	body := make([]byte, 0, len(st.body))
	at := 0
	for i := range st.kids {
		if i == first || i > first && drop(st.kid(i)) {
			body = append(body, st.body[at:st.kids[i].start]...)
			at = int(st.kids[i].end)
		}
	}
	c.body = append(body, st.body[at:]...)
	c.kids = indexKids(c.body)
	return &c
}

// Append writes the stanza to dst for a stream whose default namespace is the content
// namespace.
func (st *Stanza) Append(dst []byte) []byte { return st.AppendNS(dst, "") }

// AppendNS is Append with an explicit xmlns on the start tag: for a WebSocket frame
// (RFC 7395 §3.3.3) or inside another element (XEP-0297 §4).
func (st *Stanza) AppendNS(dst []byte, ns string) []byte {
	name := st.Kind.String()
	if st.Kind == Nonza {
		name, ns = st.Name.Local, st.Name.Space
	}
	if ns == nsXML { // never declared
		name, ns = "xml:"+name, ""
	}
	dst = append(dst, '<')
	dst = append(dst, name...)
	if ns != "" {
		dst = appendDecl(dst, "", ns)
	}
	if !st.To.IsZero() {
		dst = appendAttr(dst, "to", st.To.String())
	}
	if !st.From.IsZero() {
		dst = appendAttr(dst, "from", st.From.String())
	}
	if st.ID != "" {
		dst = appendAttr(dst, "id", st.ID)
	}
	if st.Type != "" {
		dst = appendAttr(dst, "type", st.Type)
	}
	if st.Lang != "" {
		dst = appendAttr(dst, "xml:lang", st.Lang)
	}
	dst = appendAttrs(dst, st.Attrs)
	if len(st.body) == 0 {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	dst = append(dst, st.body...)
	dst = append(dst, '<', '/')
	dst = append(dst, name...)
	return append(dst, '>')
}

func (st *Stanza) String() string {
	return view(st.AppendNS(nil, ""))
}

// view returns bytes that will not change any more, or not while the string is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = AppendEscaped(dst, value)
	return append(dst, '\'')
}

// appendDecl writes a namespace declaration. Scanners refuse references in these, so
// the quotes are those that the name does not hold; one that was received never holds
// both kinds.
func appendDecl(dst []byte, prefix, ns string) []byte {
	dst = append(dst, " xmlns"...)
	if prefix != "" {
		dst = append(append(dst, ':'), prefix...)
	}
	quote := byte('\'')
	if strings.IndexByte(ns, quote) >= 0 {
		quote = '"'
	}
	dst = append(dst, '=', quote)
	switch {
	case ns == NSNone && prefix == "":
	case strings.IndexByte(ns, quote) >= 0 || strings.ContainsAny(ns, "&<\t\r\n"):
		dst = AppendEscaped(dst, ns)
	default:
		dst = append(dst, ns...)
	}
	return append(dst, quote)
}

// appendAttrs writes attributes. Those in a namespace get prefixes of our own, declared
// on the spot, one a namespace: not more attributes come out than needed.
func appendAttrs(dst []byte, attrs []Attr) []byte {
	for i := range attrs {
		a := &attrs[i]
		switch a.Space {
		case "":
			dst = appendAttr(dst, a.Local, a.Value)
			continue
		case nsXML:
			dst = appendAttr(dst, "xml:"+a.Local, a.Value)
			continue
		}
		first := 0
		for attrs[first].Space != a.Space {
			first++
		}
		prefix := "a" + strconv.Itoa(first)
		if first == i {
			dst = appendDecl(dst, prefix, a.Space)
		}
		dst = appendAttr(dst, prefix+":"+a.Local, a.Value)
	}
	return dst
}

// AppendEscaped writes s as character data or as an attribute value in either kind of
// quotes. TAB, CR and LF become references, for they would not survive a parser's
// normalisation (XML 1.0 §2.11, §3.3.3).
func AppendEscaped(dst []byte, s string) []byte {
	at := 0
	for i := 0; i < len(s); i++ {
		var ref string
		switch s[i] {
		case '&':
			ref = "&amp;"
		case '<':
			ref = "&lt;"
		case '>':
			ref = "&gt;"
		case '\'':
			ref = "&apos;"
		case '"':
			ref = "&quot;"
		case '\t':
			ref = "&#9;"
		case '\n':
			ref = "&#10;"
		case '\r':
			ref = "&#13;"
		default:
			continue
		}
		dst = append(dst, s[at:i]...)
		dst = append(dst, ref...)
		at = i + 1
	}
	return append(dst, s[at:]...)
}

// Text returns the character data directly in the stanza, as SASL elements carry it.
func (st *Stanza) Text() string {
	var out strings.Builder
	w := walker{src: st.body, text: textInto(&out)}
	for w.next() && w.child {
	}
	return out.String()
}
