package c2s

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"parley/auth"
	"parley/xmpp"
)

// negotiate brings a connection from its first byte to a bound resource
// (RFC 6120 §4.3), on the connection's own goroutine. The session then goes on with
// another one, whose stack has not grown.
func (c *conn) negotiate() {
	l := c.login
	l.ctx, l.stop = context.WithTimeout(c.srv.ctx, c.set.LoginTimeout)
	late := time.AfterFunc(c.set.LoginTimeout, func() {
		c.End(xmpp.EndStream("connection-timeout", "no session after %s", c.set.LoginTimeout))
	})
	err := c.safely(c.streams)
	late.Stop()
	l.stop()
	c.srv.known(c.addr)
	if err == nil {
		c.login = nil
		go c.live()
		return
	}
	c.finish(err)
	if c.sender != nil {
		c.leave()
		return
	}
	if c.claims != nil {
		c.srv.drop(c.claims)
	}
	c.srv.forget(c)
}

// safely calls f; a panic ends the stream, not the house.
func (c *conn) safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log().Error("a login panicked", "panic", p, "stack", string(debug.Stack()))
			err = xmpp.EndStream("internal-server-error", "")
		}
	}()
	return f()
}

// errRestart says that a new stream header follows (RFC 6120 §4.3.3).
var errRestart = errors.New("c2s: stream restart")

// streams goes through the streams of a connection: in clear, under TLS, authenticated.
func (c *conn) streams() error {
	if c.direct {
		if err := c.startTLS(true); err != nil {
			return err
		}
	}
	for {
		if err := c.header(); err != nil {
			return err
		}
		if err := c.features(); err != nil {
			return err
		}
		if err := c.steps(); !errors.Is(err, errRestart) {
			return err
		}
	}
}

func (c *conn) limits() xmpp.Limits {
	if c.login.known {
		return xmpp.Limits{Stanza: c.set.Stanza}
	}
	return xmpp.Limits{Stanza: c.set.StanzaBefore}
}

// header answers the client's stream header with ours (RFC 6120 §4.7), also where an
// error follows (RFC 6120 §4.9.1.2).
func (c *conn) header() error {
	l := c.login
	h, err := c.s.Header()
	if err != nil {
		return err
	}
	host, wrong := c.host(h)
	to := ""
	l.from = ""
	if from := h.FromJID; !from.IsZero() && from.Domain() == host {
		to, l.from = from.Bare().String(), from.Bare().String() // RFC 6120 §4.7.2
	}
	if l.lang = h.Lang; l.lang == "" {
		l.lang = "en"
	}
	answer := c.s.AppendHeader(nil, to, host, newID(), "en")
	if wrong != nil {
		c.out.open(answer)
		return wrong
	}
	l.host, l.opening = host, answer
	return nil
}

// host checks a stream header and returns which domain it is for.
func (c *conn) host(h *xmpp.Header) (string, *xmpp.StreamError) {
	host := h.ToJID.Domain()
	serves := host != "" && c.srv.cfg.Router.Serves(host)
	if !serves {
		host = c.login.host
	}
	switch {
	case h.Name != (xmpp.Name{Space: xmpp.NSStream, Local: "stream"}): // RFC 6120 §4.9.3.10
		return host, xmpp.EndStream("invalid-namespace", "")
	case h.NS != xmpp.NSClient: // RFC 6120 §4.8.2
		return host, xmpp.EndStream("invalid-namespace", "")
	case h.Major < 1: // RFC 6120 §4.7.5
		return host, xmpp.EndStream("unsupported-version", "")
	case h.ToJID.IsZero(): // RFC 6120 §4.9.3.7
		return host, xmpp.EndStream("improper-addressing", "say with 'to' which domain the stream is for")
	case !serves: // RFC 6120 §4.9.3.6
		return host, xmpp.EndStream("host-unknown", "")
	case c.login.host != "" && host != c.login.host:
		return host, xmpp.EndStream("host-unknown", "the domain of a connection stays the same")
	}
	return host, nil
}

// steps takes what the client negotiates, one element after the other, until a stream
// restart or a bound resource.
func (c *conn) steps() error {
	for {
		st, err := c.s.Await()
		if err != nil {
			return err
		}
		if err := c.step(st); err != nil {
			return err
		}
		if c.sender != nil {
			return nil
		}
	}
}

// step takes one element before a resource is bound.
func (c *conn) step(st *xmpp.Stanza) error {
	l := c.login
	secure := c.secure()
	switch {
	case st.Kind == xmpp.Nonza && st.Name == xmpp.Name{Space: xmpp.NSTLS, Local: "starttls"}:
		return c.starttls()
	case st.Kind == xmpp.Nonza && st.Name == xmpp.Name{Space: xmpp.NSSASL, Local: "auth"} && !l.known:
		return c.sasl(st) // in clear it fails with encryption-required
	case st.Kind == xmpp.Nonza && st.Name == xmpp.Name{Space: nsSASL2, Local: "authenticate"} && c.t.Secure() && !l.known:
		return c.sasl2(st)
	case st.Kind == xmpp.Nonza && st.Name.Space == nsSM:
		return c.early(st)
	case st.Kind == xmpp.IQ && l.known:
		return c.bindIQ(st)
	case st.Kind == xmpp.IQ && secure && c.set.Register && st.Payload().Is(nsRegister, "query"):
		return c.register(st)
	case st.Kind == xmpp.Nonza && !known(st.Name.Space): // RFC 6120 §4.9.3.24
		return xmpp.EndStream("unsupported-stanza-type", "")
	}
	return xmpp.EndStream("not-authorized", "") // RFC 6120 §4.9.3.12
}

// known reports whether a namespace is one of stream negotiation or stanzas, so that what
// is wrong is the moment and not the element.
func known(ns string) bool {
	switch ns {
	case xmpp.NSTLS, xmpp.NSSASL, nsSASL2, "":
		return true
	}
	return false
}

// starttls answers <starttls/> (RFC 6120 §5.4.2). Bytes that the client sent behind it
// are dropped unread: the handshake begins with nothing buffered (§5.4.3.3).
func (c *conn) starttls() error {
	if c.t.Secure() || c.login.known || c.s.Framed() { // RFC 7395 §3.9
		c.out.write([]byte("<failure xmlns='" + xmpp.NSTLS + "'/>"))
		return xmpp.EndStream("policy-violation", "")
	}
	if err := c.out.write([]byte("<proceed xmlns='" + xmpp.NSTLS + "'/>")); err != nil {
		return err
	}
	if err := c.startTLS(false); err != nil {
		return err
	}
	return errRestart
}

// startTLS does the handshake. It has no stream to report a failure on, so the
// connection is just closed.
func (c *conn) startTLS(direct bool) error {
	var t *auth.TLS
	if direct {
		t = c.srv.cfg.DirectTLS
	} else {
		t = c.srv.cfg.TLS(c.login.host)
	}
	c.s.Restart(c.limits())
	err := c.t.(*xmpp.TCP).StartTLS(t.Config(), time.Now().Add(c.set.LoginTimeout/2), func(tc *tls.Conn) (err error) {
		c.login.channel, err = t.Handshake(context.Background(), tc)
		return err
	})
	if err != nil {
		c.log().Info("TLS handshake failed", "error", err)
		return &handshakeError{err}
	}
	c.expectHeader()
	return nil
}

type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// bindIQ takes an IQ of an authenticated client without a resource: binding it, or the
// old session establishment. Anything else is not authorized yet (RFC 6120 §7.1).
func (c *conn) bindIQ(st *xmpp.Stanza) error {
	p := st.Payload()
	if st.Type != "set" || !p.Is(xmpp.NSBind, "bind") || st.ID == "" {
		if answer := xmpp.Bounce(st, xmpp.Refuse("not-authorized", "bind a resource first")); answer != nil {
			c.out.write(c.s.Append(nil, answer))
		}
		return xmpp.EndStream("not-authorized", "bind a resource first")
	}
	if _, err := c.bind(p.ChildText(xmpp.NSBind, "resource"), xmpp.Element{}); err != nil {
		var refused *xmpp.Error
		if !errors.As(err, &refused) {
			return err
		}
		return c.out.write(c.s.Append(nil, xmpp.Bounce(st, refused)))
	}
	var b xmpp.Builder // RFC 6120 §7.6.1
	b.Open(xmpp.NSBind, "bind").Leaf("", "jid", c.jid.String())
	answer := xmpp.Result(st, b.Payload())
	answer.From, answer.To = xmpp.JID{}, xmpp.JID{}
	return c.enter(c.s.Append(nil, answer))
}

// bind makes the connection a session, with what inline asks for, and returns what that
// answers. Nothing reaches the client before enter. Where the account has too many sessions,
// one that only waits to be resumed gives way.
func (c *conn) bind(resource string, inline xmpp.Element) (xmpp.Payload, error) {
	bound, err := c.tryBind(resource, inline)
	var refused *xmpp.Error
	if errors.As(err, &refused) && refused.Condition == "resource-constraint" && c.srv.makeRoom(c.login.account.JID) {
		bound, err = c.tryBind(resource, inline)
	}
	return bound, err
}

func (c *conn) tryBind(resource string, inline xmpp.Element) (xmpp.Payload, error) {
	l := c.login
	var sess *session
	s, bound, err := c.srv.cfg.Router.BindAgent(l.account.JID, l.account.ID, l.since, l.agent, resource, inline, func(full xmpp.JID) routerSession {
		c.out.hold()
		sess = &session{srv: c.srv, jid: full, out: c.out.queue(), conn: c}
		return sess
	})
	if err != nil {
		return nil, err
	}
	sess.sender = s
	sess.ready.Store(true)
	c.sess, c.sender, c.jid = sess, s, sess.jid
	return bound, c.holds()
}

// enter closes the negotiation with its last answer, behind which everything comes that
// was pushed meanwhile.
func (c *conn) enter(answer []byte) error {
	c.lives()
	c.budgets()
	c.bound.Store(true)
	c.srv.stats.Logins.Add(1)
	c.log().Info("session opened", "tls", cmp.Or(c.tls(), "none"))
	c.t.SetUnread(2*c.set.Queue + c.set.Stanza) // the queue looks first
	return c.out.release(answer)
}

// newID returns an unpredictable stream id (RFC 6120 §4.7.3).
func newID() string { return strings.ToLower(rand.Text()) }
