package xmpp

import "slices"

// A rewriter writes the body of a top-level element anew so that it is self-contained
// as the comment on Stanza says. It runs only where the scanner has found that the body
// is not, so it may take its time, but not more than a few passes over the scope of each
// element.
type rewriter struct {
	w     walker
	out   []byte
	base  string // the namespace of the top-level element
	attrs int    // limit of attributes
	size  int    // limit of out

	in   []Prefix // prefixes in force where we read
	put  []Prefix // prefixes in force where we write
	open []rewriting
}

// rewriting is an element that is open in both.
type rewriting struct {
	name     []byte // as written
	chain    bool   // in the namespace base, as all around it
	in, put  int    // prefixes in force outside of it
	def      string // the default namespace where we read
	defWrote string // the default namespace that the body we write declares, "" for none yet
}

// selfContain fills w.rewritten from the element b.
func (s *Scanner) selfContain(b []byte) bool {
	w := s.w
	r := rewriter{
		w:     walker{src: b[:w.bodyEnd], at: int(w.body)},
		out:   append(make([]byte, 0, len(b)+256), b[:w.body]...),
		base:  s.nsName(b, w.base),
		attrs: s.lim.Attrs,
		size:  s.lim.Stanza + maxGrowth,
		in:    slices.Clone(s.root.prefixes),
	}
	top := rewriting{chain: true, def: s.nsName(b, w.def)}
	for i := range w.head {
		if a := &w.head[i]; a.decl && a.local != a.at {
			r.in = append(r.in, Prefix{view(a.localName(b)), view(a.raw(b))})
		}
	}
	r.open = append(r.open, top)
	if !r.run() {
		s.fail("policy-violation", "a stanza that exceeds its limits when namespaces are declared in it")
		return false
	}
	w.rewritten = r.out
	return true
}

// run goes over the tokens; it returns false where a limit is exceeded.
func (r *rewriter) run() bool {
	for r.w.at < len(r.w.src) {
		from := r.w.at
		switch {
		case r.w.src[from] != '<':
			for r.w.at < len(r.w.src) && r.w.src[r.w.at] != '<' {
				r.w.at++
			}
			r.out = append(r.out, r.w.src[from:r.w.at]...)
		case r.w.src[from+1] == '!':
			r.w.cdata()
			r.out = append(r.out, r.w.src[from:r.w.at]...)
		case r.w.src[from+1] == '/':
			r.endTag()
		case !r.startTag():
			return false
		}
		if len(r.out) > r.size {
			return false
		}
	}
	return true
}

func (r *rewriter) endTag() {
	e := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	r.in, r.put = r.in[:e.in], r.put[:e.put]
	for r.w.src[r.w.at] != '>' {
		r.w.at++
	}
	r.w.at++
	r.writeEnd(e)
}

func (r *rewriter) writeEnd(e rewriting) {
	_, name := cutName(e.name)
	if !e.chain {
		name = e.name
	}
	r.out = append(r.out, '<', '/')
	r.out = append(r.out, name...)
	r.out = append(r.out, '>')
}

func (r *rewriter) startTag() bool {
	up := r.open[len(r.open)-1]
	e := rewriting{in: len(r.in), put: len(r.put), def: up.def, defWrote: up.defWrote}
	start := r.w
	e.name = r.w.startTag()
	for r.w.attr() {
		if p, ok := declared(r.w.key); ok && p == "" {
			e.def = nsOrNone(view(r.w.val))
		} else if ok && p != "xml" {
			r.in = append(r.in, Prefix{p, view(r.w.val)})
		}
	}
	prefix, local := cutName(e.name)
	space := r.space(e.def, prefix)
	e.chain = up.chain && space == r.base
	r.out = append(r.out, '<')
	if e.chain {
		r.out = append(r.out, local...)
	} else {
		r.out = append(r.out, e.name...)
	}
	r.w = start
	r.w.startTag()
	if !r.writeAttrs(&e, prefix, space) {
		return false
	}
	if r.w.empty {
		r.w.empty = false
		r.out = append(r.out, '/', '>')
		r.in, r.put = r.in[:e.in], r.put[:e.put]
		return true
	}
	r.out = append(r.out, '>')
	r.open = append(r.open, e)
	return true
}

// writeAttrs writes the attributes and then the declarations that are missing.
func (r *rewriter) writeAttrs(e *rewriting, prefix []byte, space string) bool {
	n := 0
	var used []string
	for from := r.w.at; r.w.attr(); from = r.w.at {
		n++
		p, decl := declared(r.w.key)
		if decl && p == "" {
			if e.chain {
				continue
			}
			e.defWrote = e.def
		} else if decl {
			r.put = append(r.put, Prefix{p, view(r.w.val)})
		} else if p, _ := cutName(r.w.key); len(p) > 0 {
			used = append(used, view(p))
		}
		r.out = append(r.out, ' ')
		r.out = append(r.out, trimSpace(r.w.src[from:r.w.at])...)
	}
	if len(prefix) > 0 && !e.chain {
		used = append(used, view(prefix))
	} else if !e.chain && e.defWrote != space {
		n++
		r.out = appendDecl(r.out, "", space)
		e.defWrote = space
	}
	for _, p := range used {
		ns := r.space("", []byte(p))
		if p == "xml" || prefixOf(r.put, p) == ns {
			continue
		}
		n++
		r.out = appendDecl(r.out, p, ns)
		r.put = append(r.put, Prefix{p, ns})
		if len(r.out) > r.size {
			return false
		}
	}
	return n <= r.attrs
}

// space returns the namespace of a prefix where we read.
func (r *rewriter) space(def string, prefix []byte) string {
	switch string(prefix) {
	case "":
		return def
	case "xml":
		return nsXML
	}
	return prefixOf(r.in, view(prefix))
}

// prefixOf returns what the prefix is last bound to, or "".
func prefixOf(list []Prefix, prefix string) string {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Prefix == prefix {
			return list[i].NS
		}
	}
	return ""
}

func nsOrNone(ns string) string {
	if ns == "" {
		return NSNone
	}
	return ns
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}
