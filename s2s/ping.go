package s2s

import (
	"time"

	"parley/xmpp"
)

// pingWithin is how long another server without stream management has to answer a ping behind
// messages. One that never does is believed to have what was written to it.
const pingWithin = 20 * time.Second

// inquire asks the other side, which does no stream management, whether it has what was
// written: by a ping (XEP-0199 §4.3) from domain to domain behind that. A server takes the
// stanzas of a stream in their order (RFC 6120 §10.1), so whatever it answers, it has all before. One
// question is under way at a time. The lock is held, and something was sent.
func (l *link) inquire() {
	if l.asking {
		return
	}
	l.asking = true
	go l.ping(l.handed, l.sent[0].r)
}

// ping asks behind the first n stanzas, for the domains of a route that has sent some. It goes by
// this stream, whatever waits for it.
func (l *link) ping(n int, r *route) {
	from, err1 := xmpp.NewJID("", r.pair.local, "")
	to, err2 := xmpp.NewJID("", r.pair.remote, "")
	if err1 != nil || err2 != nil {
		l.pinged(n, true)
		return
	}
	var b xmpp.Builder
	st := xmpp.NewStanza(xmpp.IQ, b.Open("urn:xmpp:ping", "ping").Payload())
	st.Type, st.From, st.To = "get", from, to
	asked := l.s.cfg.Router.Question(st, pingWithin, func(answer *xmpp.Stanza) {
		silent := answer.Type == "error" && xmpp.ErrorOf(answer).Condition == "remote-server-timeout"
		switch {
		case l.ended():
		case !silent:
			r.answers.Store(true)
			l.pinged(n, false)
		case r.answers.Swap(false): // it is gone, and may have nothing of that
			l.log().Warn("a server does not answer any more; another stream is tried", "within", pingWithin)
			l.end(xmpp.EndStream("connection-timeout", "a ping was not answered in %s", pingWithin))
		default:
			l.pinged(n, true)
		}
	})
	if !asked {
		l.mu.Lock()
		l.asking = false // look tries again
		l.mu.Unlock()
		return
	}
	l.mu.Lock()
	err := l.put(r, item{st: st, size: st.Len(), at: time.Now()})
	l.mu.Unlock()
	if err == nil {
		l.Flush()
	}
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
