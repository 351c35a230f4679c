package xmpp

import "strings"

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
	w.text = func(b []byte, cdata bool) {
		if cdata {
			out.WriteString(normaliseNewlines(string(b)))
		} else {
			out.WriteString(unescape(b, false))
		}
	}
	for w.next() && w.child {
	}
	return out.String()
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
