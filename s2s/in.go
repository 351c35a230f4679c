package s2s

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"time"

	"parley/xmpp"
)

// accept takes a connection that another server has opened.
func (s *Server) accept(nc *net.TCPConn, direct bool) {
	addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	t, err := xmpp.NewTCP(nc)
	if err != nil {
		nc.Close()
		return
	}
	l := newLink(s, t, false)
	l.addr, l.direct = addr, direct
	if !s.admit(l) {
		s.stats.Refused.Add(1)
		nc.Close() // over the limit: no XMPP error (XEP-0205 §4.1)
		return
	}
	s.stats.Accepted.Add(1)
	go func() {
		defer s.forget(l)
		if direct {
			if err := l.acceptTLS(true); err != nil {
				l.end(&lostError{err})
				close(l.done)
				return
			}
		}
		if err := l.reopen(false); err != nil {
			l.finish(err)
			close(l.done)
			return
		}
		l.live()
	}()
}

// lostError is a connection that is lost: nothing can be said on it any more.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// acceptTLS does the server's side of the handshake.
func (l *link) acceptTLS(direct bool) error {
	cfg := l.s.cfg.TLS(l.head.local)
	if direct {
		cfg = l.s.cfg.DirectTLS
	}
	l.st.Restart(xmpp.Limits{Stanza: unprovenStanza})
	err := l.t.StartTLS(cfg.Config(), time.Now().Add(l.s.settings.Load().Negotiate/2), func(c *tls.Conn) error {
		_, err := cfg.Handshake(context.Background(), c)
		return err
	})
	if err != nil {
		l.log().Info("TLS handshake failed", "error", err)
		return &lostError{err}
	}
	l.setHead(pair{local: l.head.local}) // what was said in clear is forgotten (RFC 6120 §5.4.3.3)
	return nil
}

// reopen takes a stream header of the other side and answers with ours and the features.
// renewed: the stream before was authenticated.
func (l *link) reopen(renewed bool) error {
	h, err := l.st.Header()
	if err != nil {
		if wrong := (*xmpp.StreamError)(nil); errors.As(err, &wrong) {
			l.header(pair{}, newID())
		}
		return err
	}
	l.streamID = newID()
	was := l.head
	head := pair{h.ToJID.Domain(), h.FromJID.Domain()}
	if renewed && h.From == "" { // it is who it has proved to be
		head.remote = was.remote
	}
	l.setHead(head)
	l.header(l.head, l.streamID)
	switch {
	case h.NS != xmpp.NSServer:
		return xmpp.EndStream("invalid-namespace", "")
	case h.Major < 1:
		return xmpp.EndStream("unsupported-version", "")
	case h.To == "":
		return xmpp.EndStream("improper-addressing", "a stream needs 'to'")
	case !h.ToJID.IsHost() || !l.s.cfg.Local(l.head.local):
		return xmpp.EndStream("host-unknown", "")
	case h.From != "" && !h.FromJID.IsHost():
		return xmpp.EndStream("improper-addressing", "")
	case l.head.remote != "" && l.s.cfg.Local(l.head.remote):
		return xmpp.EndStream("invalid-from", "")
	case renewed && was != l.head:
		return xmpp.EndStream("invalid-from", "")
	}
	if rule := l.s.policy.Load().For(l.head.remote); l.head.remote != "" && rule.Denied {
		l.log().Info("a server is refused", "rule", rule.Why)
		return xmpp.EndStream("policy-violation", "this server does not talk to %s", l.head.remote)
	}
	return l.offer()
}

// header queues our stream header.
func (l *link) header(p pair, id string) {
	b := []byte("<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSServer + "' xmlns:stream='" + xmpp.NSStream + "' xmlns:db='" + nsDialback + "'")
	for _, a := range [...][2]string{{"from", p.local}, {"to", p.remote}, {"id", id}, {"version", "1.0"}} { // no xml:lang: it would be said of what users write
		if a[1] != "" {
			b = append(append(append(b, ' '), a[0]...), "='"...)
			b = append(xmpp.AppendEscaped(b, a[1]), '\'')
		}
	}
	l.say(append(b, '>'))
}

// offer sends the stream features.
func (l *link) offer() error {
	var b xmpp.Builder
	switch {
	case !l.t.Secure():
		b.Open(xmpp.NSTLS, "starttls").Leaf("", "required", "").Close()
	case l.proofs() == 0:
		if err := l.offerProofs(&b); err != nil {
			return err
		}
	default:
		b.Open(nsDialbackFeature, "dialback").Leaf("", "errors", "").Close()
	}
	if l.t.Secure() {
		set := l.s.settings.Load()
		if set.Manage {
			b.Leaf(nsSM, "sm", "")
		}
		if !l.bidi && l.proofs() == 0 {
			b.Leaf(nsBidiFeature, "bidi", "")
		}
		b.Open(nsLimits, "limits").Leaf("", "max-bytes", strconv.Itoa(set.Stanza))
		b.Leaf("", "idle-seconds", strconv.Itoa(int(set.Idle/time.Second))).Close()
	}
	l.say([]byte("<stream:features>"))
	l.say(b.Payload())
	l.write([]byte("</stream:features>"))
	return nil
}

// offerProofs offers the ways to prove a domain. Where there is none, the stream ends: the
// other side shall know why.
func (l *link) offerProofs(b *xmpp.Builder) error {
	rule := Rule{Dialback: true}
	if l.head.remote != "" {
		ctx, stop := context.WithTimeout(l.s.ctx, l.s.settings.Load().Negotiate/2)
		defer stop()
		verdict := l.judge(ctx, l.head.remote, nil)
		rule = l.s.policy.Load().For(l.head.remote)
		if verdict.Proof != "" {
			b.Open(xmpp.NSSASL, "mechanisms").Leaf("", "mechanism", "EXTERNAL").Close()
		} else if verdict.Refused || !rule.Dialback {
			l.log().Warn("a server is refused: its certificate does not prove its domain", "reason", verdict.Reason, "rule", rule.Why)
			return xmpp.EndStream("not-authorized", "the certificate does not prove %s: %s", l.head.remote, verdict.Reason)
		}
	}
	if rule.Dialback || rule.RequireCertificate { // a certificate proves other domains by it, too (XEP-0344)
		b.Open(nsDialbackFeature, "dialback").Leaf("", "errors", "").Close()
	}
	return nil
}

// judge looks at the certificate that the other side has shown.
func (l *link) judge(ctx context.Context, domain string, via *Target) Verdict {
	state := l.t.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return Verdict{Reason: "no certificate was shown"}
	}
	judge := l.s.cfg.Judge
	if l.s.policy.Load().For(domain).Dialback { // that will do, and takes no web server
		judge = l.s.quick
	}
	return judge.Verify(ctx, domain, state.PeerCertificates, via, l.trail)
}

// negotiate takes an element of a stream that is not open to stanzas, or not only.
func (l *link) negotiate(st *xmpp.Stanza) error {
	switch {
	case l.out:
	case st.Name == xmpp.Name{Space: xmpp.NSTLS, Local: "starttls"}:
		if l.t.Secure() || l.proofs() > 0 {
			return xmpp.EndStream("policy-violation", "TLS is there already")
		}
		l.write([]byte("<proceed xmlns='" + xmpp.NSTLS + "'/>"))
		if err := l.acceptTLS(false); err != nil {
			return err
		}
		return l.reopen(false)
	case st.Name == xmpp.Name{Space: xmpp.NSSASL, Local: "auth"}:
		return l.external(st)
	}
	return xmpp.EndStream("unsupported-stanza-type", "")
}

// external takes <auth/> (RFC 6120 §6, XEP-0178 §3). Who comes is named by the stream header;
// an authorization identity, if there is one, says the same.
func (l *link) external(st *xmpp.Stanza) error {
	mechanism, _ := st.Attr("mechanism")
	fail := func(condition string) error {
		l.say([]byte("<failure xmlns='" + xmpp.NSSASL + "'><" + condition + "/></failure>"))
		l.said = true
		if l.failures++; l.failures >= 3 {
			return xmpp.EndStream("policy-violation", "too many failed attempts")
		}
		return nil
	}
	ctx, stop := context.WithTimeout(l.s.ctx, l.s.settings.Load().Negotiate/2)
	defer stop()
	id, ok := authzid(st.Text())
	switch {
	case !l.t.Secure():
		return fail("encryption-required")
	case l.proofs() > 0:
		return xmpp.EndStream("policy-violation", "the stream is authenticated already")
	case mechanism != "EXTERNAL":
		return fail("invalid-mechanism")
	case !ok:
		return fail("incorrect-encoding")
	case l.head.remote == "" || id != "" && id != l.head.remote:
		return fail("invalid-authzid")
	}
	verdict := l.judge(ctx, l.head.remote, nil)
	if verdict.Proof == "" || l.s.policy.Load().For(l.head.remote).Denied {
		l.log().Warn("a server is not believed", "reason", verdict.Reason)
		return fail("not-authorized")
	}
	l.allow(l.head, verdict.Proof)
	l.log().Info("a server has proved its domain", "proof", verdict.Proof, "reason", verdict.Reason)
	l.write([]byte("<success xmlns='" + xmpp.NSSASL + "'/>"))
	l.st.Renew(xmpp.Limits{Stanza: l.s.settings.Load().Stanza})
	if err := l.reopen(true); err != nil {
		return err
	}
	l.proved(l.head, verdict.Proof)
	return nil
}

// authzid reads an initial response: nothing, "=" for the empty one, or a domain.
func authzid(text string) (domain string, ok bool) {
	if text == "" || text == "=" {
		return "", true
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	j, err := xmpp.ParseJID(string(b))
	return j.Domain(), err == nil && j.IsHost()
}

// wantsBidi takes the request that both sides may send (XEP-0288 §2.2).
func (l *link) wantsBidi(st *xmpp.Stanza) error {
	if !l.t.Secure() || l.bidi || l.proofs() > 0 {
		return xmpp.EndStream("policy-violation", "it is too late to ask for both directions")
	}
	l.mu.Lock()
	l.bidi = true
	l.mu.Unlock()
	if n, err := strconv.Atoi(st.Child(nsLimits, "limits").ChildText(nsLimits, "max-bytes")); err == nil && n > 0 { // XEP-0478 §3.2
		l.mu.Lock()
		l.features.maxBytes = n
		l.mu.Unlock()
	}
	return nil
}

// proved is called when the other side has proved a domain: we may answer on the same
// stream, where that is agreed, and what waits for the domain is worth another attempt.
func (l *link) proved(p pair, proof string) {
	if l.both() {
		l.grants(p, proof)
		return
	}
	if r := l.s.known(p); r != nil {
		r.hurry()
	}
}

// both reports whether both sides may send. The reader needs no lock to look.
func (l *link) both() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bidi
}
