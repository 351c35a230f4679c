package xmpp

import "strings"

// beginTop takes the start tag of a top-level element, whose name is in the namespace
// base and whose body begins at n. It is the root of a stream too, while there is none.
func (s *Scanner) beginTop(b []byte, o *open, base ref, n int) bool {
	w := s.w
	w.head, w.headTag = append(w.head[:0], w.attrs...), w.tag
	w.base, w.def, w.topBinds, w.body = base, o.def, len(w.binds), int32(n)
	o.chain, o.defBase = true, s.sameNS(b, o.def, base)
	w.kind = Nonza
	if s.mode == modeProlog {
		return true
	}
	ns := s.nsName(b, base)
	content := ns == s.ns || s.loose && isContent(ns)
	if isContent(ns) && !content {
		// RFC 6120 §4.8.3: a stanza of another kind of stream.
		s.fail("invalid-namespace", "the content namespace of this stream is %s", s.ns)
		return false
	}
	if content {
		w.kind = kindOf(view(b[w.tag.local:w.tag.end]))
	}
	if w.kind != Nonza && s.written(b) > s.lim.Attrs {
		// The next server has limits too, and must not end its stream with us for what
		// we add.
		s.fail("policy-violation", "more than %d attributes", s.lim.Attrs)
		return false
	}
	return true
}

// written returns how many attributes the head may have when it is written again: each
// field, xmlns, and for each foreign attribute perhaps a declaration.
func (s *Scanner) written(b []byte) int {
	n := 6
	for i := range s.w.attrs {
		switch a := &s.w.attrs[i]; {
		case a.decl:
		case a.prefixed() && a.ns != refXML:
			n += 2
		default:
			n++
		}
		switch string(s.w.attrs[i].name(b)) {
		case "to", "from", "id", "type", "xml:lang":
			n--
		}
	}
	return n
}

func isContent(ns string) bool { return ns == NSClient || ns == NSServer || ns == NSComponent }

func kindOf(local string) Kind {
	switch local {
	case "message":
		return Message
	case "presence":
		return Presence
	case "iq":
		return IQ
	}
	return Nonza
}

// kidsInline is how many children most stanzas do not exceed.
const kidsInline = 6

// found is a stanza and the index of its children in one piece of memory.
type found struct {
	st   Stanza
	kids [kidsInline]kid
}

// Stanza returns the element that Next has found, nil where it has found none: a copy
// that stays valid for ever. Strings in it share one piece of memory; who keeps a string
// for longer than the stanza should clone it.
func (s *Scanner) Stanza() *Stanza {
	if s.end == 0 {
		return nil
	}
	w := s.w
	raw := w.rewritten
	end := len(raw)
	if raw == nil {
		raw = make([]byte, s.end)
		copy(raw, w.buf[s.base:])
		end = int(w.bodyEnd)
	}
	f := &found{}
	st := &f.st
	st.Kind = w.kind
	if w.kind == Nonza {
		st.Name = Name{s.nsName(raw, w.base), view(raw[w.headTag.local:w.headTag.end])}
	} else {
		st.Lang = s.root.lang
	}
	st.body = raw[w.body:end:end]
	s.takeHead(raw, st)
	if w.rewritten != nil {
		st.kids = indexKids(st.body)
		return st
	}
	st.kids = append(f.kids[:0], w.kids...)
	for i := range st.kids {
		st.kids[i].shift(-w.body)
	}
	return st
}

// takeHead takes the attributes; raw is the copy.
func (s *Scanner) takeHead(raw []byte, st *Stanza) {
	head := s.w.head
	for i := range head {
		a := &head[i]
		if a.decl {
			continue
		}
		v := view(a.raw(raw))
		if a.esc {
			v = unescape(a.raw(raw), true)
		}
		if string(a.name(raw)) == "xml:lang" {
			st.Lang = v
			continue
		}
		if st.Kind != Nonza && !a.prefixed() && s.takeField(st, a.name(raw), v) {
			continue
		}
		space := ""
		if a.prefixed() {
			space = s.nsName(raw, a.ns)
		}
		if st.Attrs == nil {
			st.Attrs = make([]Attr, 0, len(head)-i)
		}
		st.Attrs = append(st.Attrs, Attr{space, view(a.localName(raw)), v})
	}
}

// takeField takes an attribute that has a field.
func (s *Scanner) takeField(st *Stanza, name []byte, v string) bool {
	switch string(name) {
	case "to":
		st.To = s.address(st, &s.to, "to", v)
	case "from":
		st.From = s.address(st, &s.from, "from", v)
	case "id":
		st.ID = v
	case "type":
		st.Type = v
	default:
		return false
	}
	return true
}

// address parses an address unless it is the last one that was seen there.
func (s *Scanner) address(st *Stanza, last *JID, name, v string) JID {
	if v == last.s && v != "" {
		return *last
	}
	j, err := ParseJID(v)
	if err != nil {
		st.Fault = Refuse("jid-malformed", "'"+name+"' is no address: "+err.(*Error).Text)
		return JID{}
	}
	if j.s == v {
		j.s = strings.Clone(j.s) // addresses live longer than stanzas
	}
	*last = j
	return j
}

// ParseStanza reads one stanza without a stream: from storage, in a test. Its namespace
// may be any content namespace, or none is given. There is no limit but that of depth,
// as the bytes are ours. The error is a *StreamError.
func ParseStanza(xml string) (*Stanza, error) { return ParseStanzaBytes([]byte(xml)) }

// ParseStanzaBytes is ParseStanza. The bytes are not kept.
func ParseStanzaBytes(xml []byte) (*Stanza, error) {
	var s Scanner
	s.Reset(NSClient, true, Limits{Stanza: len(xml) + 1, Depth: 4 * DefaultDepth, Attrs: len(xml) + 1, Elements: len(xml) + 1, Name: len(xml) + 1})
	s.loose, s.root.ns = true, NSClient
	copy(s.Space(len(xml)), xml)
	s.Filled(len(xml))
	if _, err := s.Next(); err == ErrMore {
		return nil, EndStream("not-well-formed", "the stanza is not complete")
	} else if err != nil {
		return nil, err
	}
	st := s.Stanza()
	if _, err := s.Next(); err != ErrMore || s.Buffered() > 0 {
		return nil, EndStream("not-well-formed", "more than one stanza")
	}
	s.Release()
	return st, nil
}
