package xmpp

import "bytes"

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
