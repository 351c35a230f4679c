package xmpp

// A ref is a namespace name: n bytes at a position of the element, or one of those
// below, or with at <= refHeader the prefix refHeader-at of the stream header.
type ref struct{ at, n int32 }

var (
	refNone    = ref{-1, 0} // no namespace: xmlns=''
	refXML     = ref{-2, 0} // that of the prefix xml
	refDefault = ref{-3, 0} // the default namespace of the stream header
)

const refHeader = -4

// An open element.
type open struct {
	at, end  int32 // its name
	binds    int   // prefixes that were bound before it
	def      ref   // the default namespace in it
	defBase  bool  // that is the one of the top-level element
	defOuter bool  // it was declared in the header or at the top-level element
	chain    bool  // it and all around it are in the namespace of the top-level element
}

// A binding of a prefix.
type binding struct {
	at, end int32
	ns      ref
}

// nsName returns the namespace name that r stands for.
func (s *Scanner) nsName(b []byte, r ref) string {
	switch {
	case r.at >= 0:
		return view(b[r.at : r.at+r.n])
	case r == refNone:
		return NSNone
	case r == refXML:
		return nsXML
	case r == refDefault:
		return s.root.ns
	}
	return s.root.prefixes[refHeader-r.at].NS
}

func (s *Scanner) sameNS(b []byte, r, q ref) bool {
	return r == q || s.nsName(b, r) == s.nsName(b, q)
}

// begin opens the element whose start tag, at p, was just read up to n. It returns n,
// or -1.
func (s *Scanner) begin(b []byte, p, n int) int {
	w := s.w
	o := open{at: w.tag.at, end: w.tag.end, binds: len(w.binds), def: refDefault, defOuter: true}
	if len(w.open) > 0 {
		up := &w.open[len(w.open)-1]
		o.def, o.defBase, o.defOuter = up.def, up.defBase, up.defOuter
	}
	if len(w.open) == s.lim.Depth {
		return s.fail("policy-violation", "more than %d levels of elements", s.lim.Depth)
	}
	if w.elements++; w.elements > s.lim.Elements {
		return s.fail("policy-violation", "more than %d elements", s.lim.Elements)
	}
	own := false // the tag has a default declaration
	if w.decls > 0 {
		var ok bool
		if own, ok = s.declare(b, &o); !ok {
			return -1
		}
	}
	name, outer, ok := o.def, o.defOuter, true
	if w.tag.local != w.tag.at {
		if name, outer, ok = s.lookup(b, w.tag.at, w.tag.local); !ok {
			return -1
		}
	}
	if w.prefixed > 0 && !s.attrSpaces(b) {
		return -1
	}
	if len(w.open) == 0 {
		if ok = s.beginTop(b, &o, name, n); !ok {
			return -1
		}
	} else {
		s.beginInner(b, &o, name, own, outer, p)
	}
	w.open = append(w.open, o)
	if w.tag.empty {
		s.close(n, n)
	}
	return n
}

// beginInner decides whether an element below the top-level one is as a Stanza's body
// must have it; otherwise the body is to be written anew. outer says that name was
// declared outside of the body.
func (s *Scanner) beginInner(b []byte, o *open, name ref, own, outer bool, p int) {
	w := s.w
	up := &w.open[len(w.open)-1]
	if own {
		o.defBase = s.sameNS(b, o.def, w.base)
	}
	switch prefixed := w.tag.local != w.tag.at; {
	case prefixed:
		o.chain = up.chain && s.sameNS(b, name, w.base)
		w.rewrite = w.rewrite || o.chain || outer && name != refXML
	case own:
		o.chain = up.chain && o.defBase
		w.rewrite = w.rewrite || o.chain
	default:
		o.chain = up.chain && o.defBase
		w.rewrite = w.rewrite || outer && !o.chain
	}
	if len(w.open) > 1 {
		return
	}
	k := kid{start: int32(p), local: w.tag.local, localEnd: w.tag.end, space: kidInherits}
	switch {
	case o.chain:
	case name == refXML:
		k.space = kidXML
	case name == refNone:
		k.space = kidNone
	case name.at >= 0:
		k.space, k.spaceEnd = name.at, name.at+name.n
	}
	w.kids = append(w.kids, k)
}

// close ends the innermost element, whose end tag begins at p and ends at n.
func (s *Scanner) close(p, n int) {
	w := s.w
	last := len(w.open) - 1
	w.binds = w.binds[:w.open[last].binds]
	w.open = w.open[:last]
	switch last {
	case 0:
		w.bodyEnd = int32(p)
	case 1:
		w.kids[len(w.kids)-1].end = int32(n)
	}
}

// declare takes the namespace declarations of the tag (Namespaces in XML 1.0 §3).
func (s *Scanner) declare(b []byte, o *open) (own, ok bool) {
	w := s.w
	for i := range w.attrs {
		a := &w.attrs[i]
		if !a.decl {
			continue
		}
		ns := ref{a.val, a.valEnd - a.val}
		prefix := ""
		if a.local != a.at {
			prefix = view(a.localName(b))
		}
		if !s.mayBind(prefix, view(a.raw(b)), a.esc) {
			return false, false
		}
		switch {
		case prefix == "xml":
		case prefix != "":
			if len(w.binds)+len(s.root.prefixes) >= maxPrefixes {
				s.fail("policy-violation", "more than %d namespace prefixes", maxPrefixes)
				return false, false
			}
			w.binds = append(w.binds, binding{a.local, a.end, ns})
		case ns.n == 0:
			o.def, own = refNone, true
		default:
			o.def, own = ns, true
		}
	}
	if own {
		o.defOuter = len(w.open) == 0
	}
	return own, true
}

// mayBind checks a declaration. Two spellings of one namespace name would invite
// parsers to disagree, so references and white space other than spaces are refused.
func (s *Scanner) mayBind(prefix, ns string, esc bool) bool {
	switch {
	case esc:
		s.fail("policy-violation", "a reference or line end in a namespace declaration")
	case ns == NSNone:
		s.fail("policy-violation", "a namespace of a name that is taken")
	case (prefix == "xml") != (ns == nsXML), prefix == "xmlns", ns == nsXMLNS:
		s.fail("not-well-formed", "a reserved prefix or namespace")
	case prefix != "" && ns == "":
		s.fail("not-well-formed", "a prefix bound to nothing")
	default:
		return true
	}
	return false
}

// lookup finds the namespace of the prefix before the colon at local-1. outer says that
// it was declared in the header or at the top-level element.
func (s *Scanner) lookup(b []byte, at, local int32) (ns ref, outer, ok bool) {
	w := s.w
	prefix := b[at : local-1]
	if string(prefix) == "xml" {
		return refXML, false, true
	}
	for i := len(w.binds) - 1; i >= 0; i-- {
		if d := &w.binds[i]; string(b[d.at:d.end]) == string(prefix) {
			return d.ns, len(w.open) == 0 || i < w.topBinds, true
		}
	}
	for i := range s.root.prefixes {
		if s.root.prefixes[i].Prefix == string(prefix) {
			return ref{refHeader - int32(i), 0}, true, true
		}
	}
	// The example of RFC 6120 §4.9.3.13 is this case.
	s.fail("not-well-formed", "a namespace prefix that is not declared")
	return ref{}, false, false
}

// attrSpaces resolves the prefixes of attributes and looks for two that have the same
// expanded name (Namespaces in XML 1.0 §6.3).
func (s *Scanner) attrSpaces(b []byte) bool {
	w := s.w
	for i := range w.attrs {
		a := &w.attrs[i]
		if !a.prefixed() {
			continue
		}
		ns, outer, ok := s.lookup(b, a.at, a.local)
		if !ok {
			return false
		}
		a.ns = ns
		w.rewrite = w.rewrite || outer && len(w.open) > 0
		for j := range w.attrs[:i] {
			o := &w.attrs[j]
			if o.prefixed() && string(o.localName(b)) == string(a.localName(b)) && s.sameNS(b, o.ns, ns) {
				s.fail("not-well-formed", "an attribute twice")
				return false
			}
		}
	}
	return true
}
