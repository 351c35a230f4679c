package s2s

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"parley/xmpp"
)

// open does TLS, if that comes first, and the handshake (XEP-0114 §3).
func (l *componentLink) open(direct bool) error {
	if direct {
		until := time.Now().Add(l.c.settings.Load().Handshake)
		err := l.t.StartTLS(l.c.cfg.TLS.Config(), until, func(conn *tls.Conn) error {
			_, err := l.c.cfg.TLS.Handshake(context.Background(), conn)
			return err
		})
		if err != nil {
			l.log().Info("TLS handshake failed", "error", err)
			return &lostError{err}
		}
	}
	h, err := l.st.Header()
	if err != nil {
		if wrong := (*xmpp.StreamError)(nil); errors.As(err, &wrong) {
			l.header("")
		}
		return err
	}
	domain := h.ToJID.Domain()
	l.header(domain)
	k := l.c.table.Load().byDomain[domain]
	switch {
	case h.NS != xmpp.NSComponent:
		return xmpp.EndStream("invalid-namespace", "")
	case !h.ToJID.IsHost() || k == nil:
		l.log().Warn("a component is not known here; its table in the configuration is missing", "says", domain)
		return xmpp.EndStream("host-unknown", "")
	}
	l.k = k
	l.Flush()
	return l.handshake()
}

// header queues our stream header. It has no version: these streams have no features.
func (l *componentLink) header(domain string) {
	b := []byte("<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSComponent + "' xmlns:stream='" + xmpp.NSStream + "'")
	if domain != "" {
		b = append(xmpp.AppendEscaped(append(b, " from='"...), domain), '\'')
	}
	b = append(append(append(b, " id='"...), l.id...), "'>"...)
	l.mu.Lock()
	l.buf = append(l.buf, b...)
	l.mu.Unlock()
}

// handshake takes the proof, and makes the stream that of the component. Who is connected
// already stays: the other one may be an intruder or a mistake, and it may come again. But the
// one that is there has to show that it still is, since a component that has lost its
// connection comes back before anybody here notices.
func (l *componentLink) handshake() error {
	st, err := l.st.Await()
	if err != nil {
		return err
	}
	g := guess{l.prefix, l.k.jid.Domain()}
	switch {
	case st.Name != xmpp.Name{Space: xmpp.NSComponent, Local: "handshake"}:
		return xmpp.EndStream("not-authorized", "the handshake comes first")
	case !l.c.brake.may(g, time.Now()):
		l.c.stats.Failed.Add(1)
		l.log().Warn("a component is refused: too many wrong handshakes")
		return xmpp.EndStream("policy-violation", "too many wrong handshakes; try again later")
	case !l.k.proves(l.id, st.Text()):
		l.c.stats.Failed.Add(1)
		l.log().Warn("a component has another secret than the configuration")
		return xmpp.EndStream("not-authorized", "")
	}
	l.c.brake.right(g)
	l.from = l.c.cfg.Router.NewLink()
	l.st.SetLimits(xmpp.Limits{Stanza: l.c.settings.Load().Stanza})
	l.t.SetUnread(4 << 20)
	l.mu.Lock()
	l.buf = append(l.buf, "<handshake/>"...) // before any stanza for it
	l.proved = true
	l.mu.Unlock()
	if !l.k.link.CompareAndSwap(nil, l) {
		l.mu.Lock()
		l.buf = nil
		l.mu.Unlock()
		if old := l.k.link.Load(); old != nil {
			old.ask(conflictPatience)
		}
		l.log().Warn("a component is connected already; the one that has come second is refused")
		return xmpp.EndStream("conflict", "the component is connected already")
	}
	l.c.proven(l)
	l.log().Info("a component has connected", "tls", l.t.Secure())
	l.Flush()
	if l.c.table.Load().byDomain[l.k.jid.Domain()] != l.k || !l.k.proves(l.id, st.Text()) { // the rules have changed meanwhile
		return xmpp.EndStream("reset", "")
	}
	l.c.cfg.Router.Attached(l.k.jid)
	l.k.back()
	return nil
}
