package xmpp

import "bytes"

// A kid is a direct child in the index of a stanza, as positions in its body:
// body[start:end] is the element, body[local:localEnd] the local part of its name and
// body[space:spaceEnd] its namespace, which such an element always declares itself
// unless it is one of those below.
type kid struct {
	start, end, local, localEnd, space, spaceEnd int32
}

// Values of kid.space.
const (
	kidInherits = -1 - iota // the namespace of the stanza
	kidXML                  // that of the prefix xml
	kidNone                 // no namespace
)

// shift moves the positions.
func (k *kid) shift(n int32) {
	k.start += n
	k.end += n
	k.local += n
	k.localEnd += n
	if k.space >= 0 {
		k.space += n
		k.spaceEnd += n
	}
}

// find returns the first child of that name, or -1.
func (st *Stanza) find(ns, local string) int {
	if ns == "" && st.Kind == Nonza {
		ns = st.Name.Space
	}
	for i := range st.kids {
		k := &st.kids[i]
		if string(st.body[k.local:k.localEnd]) == local && st.kidSpace(k) == ns {
			return i
		}
	}
	return -1
}

func (st *Stanza) kidName(i int) Name {
	k := &st.kids[i]
	return Name{st.kidSpace(k), view(st.body[k.local:k.localEnd])}
}

func (st *Stanza) kidSpace(k *kid) string {
	switch k.space {
	case kidInherits:
		return st.Name.Space // empty but for a Nonza
	case kidXML:
		return nsXML
	case kidNone:
		return NSNone
	}
	raw := st.body[k.space:k.spaceEnd]
	if bytes.IndexByte(raw, '&') >= 0 { // no scanner lets it pass, but a Builder may write it
		return unescape(raw, true)
	}
	return view(raw)
}

func (st *Stanza) kid(i int) Element {
	k := &st.kids[i]
	e := Element{name: st.kidName(i), src: st.body[k.start:k.end]}
	if st.Name.Space != "" {
		e.scope = &scope{"", st.Name.Space, nil}
	}
	return e
}

// indexKids finds the direct children of a body.
func indexKids(body []byte) []kid {
	var kids []kid
	w := walker{src: body}
	for w.next() && w.child {
		kids = append(kids, indexKid(body, w.from, w.to))
	}
	return kids
}

func indexKid(body []byte, start, end int) kid {
	w := walker{src: body, at: start}
	prefix, local := cutName(w.startTag())
	k := kid{start: int32(start), end: int32(end), local: int32(w.at - len(local)), localEnd: int32(w.at), space: kidInherits}
	if string(prefix) == "xml" {
		k.space = kidXML
	}
	for w.attr() {
		if p, ok := declared(w.key); !ok || p != string(prefix) || p == "xml" {
			continue
		}
		k.space, k.spaceEnd = int32(w.valAt), int32(w.valAt+len(w.val))
		if len(w.val) == 0 {
			k.space, k.spaceEnd = kidNone, 0
		}
	}
	return k
}
