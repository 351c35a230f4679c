package s2s

import (
	"time"

	"parley/xmpp"
)

// pingWithin is how long another server without stream management has to answer a ping behind
// messages. One that does not is believed to have what was written to it.
const pingWithin = 20 * time.Second

// inquire asks the other side, which does no stream management, whether it has what was
// written: by a ping (XEP-0199 §4.3) from domain to domain behind that. A server takes the
// stanzas of a stream in their order (RFC 6120 §10.1), so whatever it answers, it has all before. One
// question is under way at a time. The lock is held.
func (l *link) inquire() {
	if l.asking {
		return
	}
	l.asking = true
	n := l.handed
	go l.ping(n)
}

// ping asks behind the first n stanzas.
func (l *link) ping(n int) {
	from, err1 := xmpp.NewJID("", l.head.local, "")
	to, err2 := xmpp.NewJID("", l.head.remote, "")
	switch by := l.s.route(l.head).leavesBy(); {
	case by == nil: // it is about to leave by this one, but does not yet
		l.mu.Lock()
		l.asking = false // look tries again
		l.mu.Unlock()
		return
	case err1 != nil || err2 != nil || by != l: // it would go elsewhere
		l.pinged(n, true)
		return
	}
	var b xmpp.Builder
	l.s.cfg.Router.Ask(from, to, "get", b.Open("urn:xmpp:ping", "ping").Payload(), pingWithin, func(st *xmpp.Stanza) {
		silent := st.Type == "error" && xmpp.ErrorOf(st).Condition == "remote-server-timeout"
		l.pinged(n, silent)
	})
}

// pinged takes out what the other side has, or must be believed to have.
func (l *link) pinged(n int, silent bool) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	if l.asking = false; silent {
		l.mute = true
	}
	n = min(n, l.handed)
	l.handed -= n
	gone := l.arrived(n)
	if !l.writing {
		gone = append(gone, l.left()...)
	}
	l.mu.Unlock()
	l.s.outbox.gone(gone)
}

// leavesBy returns the stream that the route sends by; nil while there is none.
func (r *route) leavesBy() *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link
}
