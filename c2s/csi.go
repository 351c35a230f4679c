package c2s

import (
	"iter"

	"parley/router"
	"parley/xmpp"
)

const (
	nsCSI    = "urn:xmpp:csi:0" // XEP-0352
	nsStates = "http://jabber.org/protocol/chatstates"
	nsEvent  = "http://jabber.org/protocol/pubsub#event"
	nsHints  = "urn:xmpp:hints"

	nsCarbons = "urn:xmpp:carbons:2"
	nsForward = "urn:xmpp:forward:0"
)

// maxHeld is how many stanzas are held back for a client that nobody looks at. When there
// are more all of them are sent.
const maxHeld = 500

// held is what can wait for somebody to look at the client again (XEP-0352 §3.2): presence,
// chat states, and events of others' accounts. Of each kind from each sender the last one is
// enough. It leaves, in order, before anything that cannot wait.
type held struct {
	list []*xmpp.Stanza // nil where a later one took its place
	last map[heldKey]int
}

// heldKey tells of what only the last one matters.
type heldKey struct {
	from xmpp.JID
	what string // presence, a chat state, or the item of an event
}

// hold keeps a stanza back if it can wait, and reports whether it did.
func (h *held) hold(st *xmpp.Stanza) bool {
	key, ok := patient(st)
	if !ok || len(h.list) >= maxHeld {
		return false
	}
	if i, there := h.last[key]; there {
		h.list[i] = nil
	}
	if h.last == nil {
		h.last = map[heldKey]int{}
	}
	h.last[key] = len(h.list)
	h.list = append(h.list, st)
	if len(h.list) >= 2*len(h.last)+16 {
		h.pack()
	}
	return true
}

// pack takes out the gaps.
func (h *held) pack() {
	list := h.list[:0]
	for _, st := range h.list {
		if st != nil {
			key, _ := patient(st)
			h.last[key] = len(list)
			list = append(list, st)
		}
	}
	clear(h.list[len(list):])
	h.list = list
}

// patient reports whether a stanza can wait, and of what it is the last one then.
func patient(st *xmpp.Stanza) (key heldKey, ok bool) {
	switch st.Kind {
	case xmpp.Presence:
		return heldKey{from: st.From, what: "presence"}, st.Type == "" || st.Type == "unavailable"
	case xmpp.Message:
		if st.Type == "error" {
			return key, false
		}
		if item, event := eventOf(st); event {
			return heldKey{from: st.From, what: "event " + item}, true
		}
		if inner, ok := copied(st); ok {
			return heldKey{from: st.From, what: "copy " + inner.Attr("from") + " " + inner.Attr("to")}, onlyState(inner.Children)
		}
		return heldKey{from: st.From, what: "state"}, onlyState(st.Children)
	}
	return key, false
}

// eventOf returns the node and the item of a notification of somebody's account
// (XEP-0163 §4.3) that is about one item, published or taken back.
func eventOf(st *xmpp.Stanza) (item string, ok bool) {
	e := st.Child(nsEvent, "event")
	if e.IsZero() || st.Has("", "body") || st.From.Resource() != "" || st.From.Local() == "" {
		return "", false
	}
	items := e.Child(nsEvent, "items")
	n, id := 0, ""
	for c := range items.Children {
		n, id = n+1, c.Attr("id")
	}
	return items.Attr("node") + "\x00" + id, n == 1
}

// copied returns the message that a carbon is of (XEP-0280 §7, §8). Only the account itself
// sends such: what a user makes up to look like one has the user's full address.
func copied(st *xmpp.Stanza) (inner xmpp.Element, ok bool) {
	if !st.From.IsBare() || st.From != st.To.Bare() {
		return inner, false
	}
	for _, kind := range [...]string{"sent", "received"} {
		if e := st.Child(nsCarbons, kind); !e.IsZero() {
			inner = e.Child(nsForward, "forwarded").Child(xmpp.NSClient, "message")
			return inner, !inner.IsZero()
		}
	}
	return inner, false
}

// onlyState reports whether a message says no more than that somebody is typing, or is not
// (XEP-0085 §5.1).
func onlyState(content iter.Seq[xmpp.Element]) bool {
	states := 0
	for e := range content {
		switch n := e.Name(); {
		case n.Space == nsStates:
			states++
		case n.Space == nsHints, n == xmpp.Name{Local: "thread"}:
		default:
			return false
		}
	}
	return states == 1
}

// state takes <active/> or <inactive/>; ok is false for what is neither.
func (s *session) state(st *xmpp.Stanza) (ok bool) {
	switch st.Name {
	case xmpp.Name{Space: nsCSI, Local: "active"}:
		s.out.wake()
	case xmpp.Name{Space: nsCSI, Local: "inactive"}:
		s.out.doze()
	default:
		return false
	}
	return true
}

// born has a session begin as one that nobody looks at (XEP-0386 §3.1).
func born(_ *router.Turn, s *router.Sender, _ xmpp.Element) xmpp.Payload {
	if mine, ok := s.Session().(*session); ok {
		mine.out.doze()
	}
	return nil
}

// doze has what can wait held back from now on.
func (q *queue) doze() {
	q.mu.Lock()
	if q.dozing == nil {
		q.dozing = &held{}
	}
	q.mu.Unlock()
}

// wake sends what was held back, and holds nothing back any more.
func (q *queue) wake() {
	q.mu.Lock()
	q.letGo()
	q.dozing = nil
	q.mu.Unlock()
	q.flush()
}

// letGo puts what was held back into the queue. The lock is held.
func (q *queue) letGo() {
	h := q.dozing
	if h == nil || len(h.list) == 0 {
		return
	}
	for _, st := range h.list {
		if st != nil {
			q.take(st, 0)
		}
	}
	*h = held{}
}
