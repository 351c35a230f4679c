package xmpp

// A Payload is what a stanza carries: no, one or more elements, well-formed and
// self-contained. Elements without an xmlns are in the content namespace.
type Payload []byte

// A Builder writes a Payload. Names must be XML names and text must be valid UTF-8 of
// XML characters (use Clean for what comes from elsewhere); both are the caller's
// business. The zero Builder is ready for use.
//
//	b.Open("jabber:iq:roster", "query", "ver", "7").Open("", "item", "jid", j.String()).Close().Close()
type Builder struct {
	buf   []byte
	open  []opened
	inTag bool
}

type opened struct{ ns, local string }

// Grow makes room for n more bytes, for who knows how many come.
func (b *Builder) Grow(n int) *Builder {
	if cap(b.buf)-len(b.buf) < n {
		b.buf = append(make([]byte, 0, len(b.buf)+n), b.buf...)
	}
	return b
}

// Open starts an element. An empty ns is that of the parent. attrs are names and values
// in turn; an attribute whose value is empty is left out.
func (b *Builder) Open(ns, local string, attrs ...string) *Builder {
	b.endTag()
	parent := ""
	if n := len(b.open); n > 0 {
		parent = b.open[n-1].ns
	}
	switch ns {
	case "":
		ns = parent
	case nsXML: // never declared
		ns, local = parent, "xml:"+local
	}
	b.buf = append(b.buf, '<')
	b.buf = append(b.buf, local...)
	if ns != parent {
		b.buf = appendDecl(b.buf, "", ns)
	}
	b.open = append(b.open, opened{ns, local})
	b.inTag = true
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] != "" {
			b.buf = appendAttr(b.buf, attrs[i], attrs[i+1])
		}
	}
	return b
}

// Attr adds an attribute to the element just opened, also when the value is empty.
func (b *Builder) Attr(name, value string) *Builder {
	b.buf = appendAttr(b.buf, name, value)
	return b
}

// Text writes character data.
func (b *Builder) Text(s string) *Builder {
	if s == "" {
		return b
	}
	b.endTag()
	b.buf = AppendEscaped(b.buf, s)
	return b
}

// Raw writes a payload as it is.
func (b *Builder) Raw(p Payload) *Builder {
	if len(p) == 0 {
		return b
	}
	b.endTag()
	b.buf = append(b.buf, p...)
	return b
}

// Stanza writes a whole stanza in the namespace ns, as inside <forwarded/> (XEP-0297).
func (b *Builder) Stanza(st *Stanza, ns string) *Builder {
	b.endTag()
	b.buf = st.AppendNS(b.buf, ns)
	return b
}

// Close ends the innermost open element.
func (b *Builder) Close() *Builder {
	n := len(b.open) - 1
	e := b.open[n]
	b.open = b.open[:n]
	if b.inTag {
		b.buf = append(b.buf, '/', '>')
		b.inTag = false
		return b
	}
	b.buf = append(b.buf, '<', '/')
	b.buf = append(b.buf, e.local...)
	b.buf = append(b.buf, '>')
	return b
}

// Leaf writes an element that holds only text.
func (b *Builder) Leaf(ns, local, text string, attrs ...string) *Builder {
	return b.Open(ns, local, attrs...).Text(text).Close()
}

// Payload closes what is still open and returns what was written. The Builder must not
// be used again.
func (b *Builder) Payload() Payload {
	for len(b.open) > 0 {
		b.Close()
	}
	return b.buf
}

func (b *Builder) endTag() {
	if b.inTag {
		b.buf = append(b.buf, '>')
		b.inTag = false
	}
}

// Clean returns s without what XML cannot carry: invalid UTF-8 and characters outside
// of Char (XML 1.0 §2.2) become U+FFFD.
func Clean(s string) string {
	for i, r := range s {
		if !isChar(r) || r == '\uFFFD' {
			out := []byte(s[:i])
			for _, r := range s[i:] {
				if !isChar(r) {
					r = '\uFFFD'
				}
				out = append(out, string(r)...)
			}
			return string(out)
		}
	}
	return s
}

// isChar is the production Char (XML 1.0 §2.2).
func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
