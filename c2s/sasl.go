package c2s

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"parley/auth"
	"parley/xmpp"
)

type ctx = context.Context

// dialect is what differs between SASL (RFC 6120 §6.4) and SASL2 (XEP-0388 §2) on the
// wire.
type dialect struct{ ns string }

// sasl takes <auth/> and what follows it (RFC 6120 §6.4.2).
func (c *conn) sasl(st *xmpp.Stanza) error {
	d := dialect{xmpp.NSSASL}
	mechanism, _ := st.Attr("mechanism")
	text := bodyText(st)
	var initial []byte
	var err error
	switch {
	case text == "=": // an empty initial response, which is not none (RFC 6120 §6.4.2)
		initial = []byte{}
	case text != "":
		initial, err = decode(text)
	}
	if err != nil {
		return c.failed(d, err)
	}
	x, last, err := c.exchange(d, mechanism, initial)
	if err != nil {
		return c.failed(d, err)
	}
	c.login.account, c.login.shown, c.login.known = x.Account(), x, true
	c.s.Renew(c.limits())
	c.out.write(xmlText(d.ns, "success", base64.StdEncoding.EncodeToString(last)))
	c.expectHeader()
	return errRestart
}

// exchange runs one mechanism to its end and returns the data that goes with success.
func (c *conn) exchange(d dialect, mechanism string, in []byte) (*auth.Exchange, []byte, error) {
	l := c.login
	l.claimed, l.since = xmpp.JID{}, c.srv.cfg.Router.Forgets()
	x, err := c.start(d, mechanism)
	if err != nil {
		return nil, nil, err
	}
	defer func() { l.claimed = x.Claimed() }()
	if in == nil { // the client speaks first in all our mechanisms: ask it to
		if in, err = c.challenge(d, nil); err != nil {
			return nil, nil, err
		}
	}
	for {
		out, last, err := x.Step(l.ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if last {
			return x, out, nil
		}
		if in, err = c.challenge(d, out); err != nil {
			return nil, nil, err
		}
	}
}

// holds ends a session that has just been bound if what its client has shown was taken back
// meanwhile: who did that found no session to end.
func (c *conn) holds() error {
	l := c.login
	err := l.shown.Holds(l.ctx)
	var f *auth.Failure
	if errors.As(err, &f) && f.Condition != auth.TemporaryAuthFailure {
		return xmpp.EndStream("reset", "the login has been taken back") // RFC 6120 §4.9.3.16
	}
	if err != nil {
		return xmpp.EndStream("internal-server-error", "")
	}
	return nil
}

// start begins an exchange. Tokens are for SASL2 alone, and announced on their own
// (XEP-0484 §3.1).
func (c *conn) start(d dialect, mechanism string) (*auth.Exchange, error) {
	l := c.login
	if d.ns == nsSASL2 && auth.IsToken(mechanism) {
		return c.srv.cfg.Auth.StartToken(l.ctx, mechanism, l.channel, l.agent)
	}
	return c.srv.cfg.Auth.Start(l.ctx, mechanism, l.channel, l.offered)
}

// challenge sends a challenge and returns the client's response (RFC 6120 §6.4.3).
func (c *conn) challenge(d dialect, out []byte) ([]byte, error) {
	if err := c.out.write(xmlText(d.ns, "challenge", base64.StdEncoding.EncodeToString(out))); err != nil {
		return nil, err
	}
	st, err := c.s.Await()
	if err != nil {
		return nil, err
	}
	switch {
	case st.Kind != xmpp.Nonza || st.Name.Space != d.ns:
		return nil, xmpp.EndStream("not-authorized", "") // XEP-0388 §2.4
	case st.Name.Local == "abort": // RFC 6120 §6.4.4
		return nil, &auth.Failure{Condition: "aborted"}
	case st.Name.Local != "response":
		return nil, xmpp.EndStream("not-authorized", "")
	}
	return decode(bodyText(st))
}

// failed reports a failed authentication (RFC 6120 §6.4.5). The client may try again, a
// few times.
func (c *conn) failed(d dialect, err error) error {
	var f *auth.Failure
	if !errors.As(err, &f) {
		return err // the stream's own failure
	}
	l := c.login
	l.failures++
	c.srv.stats.LoginsFailed.Add(1)
	log := c.log().With("condition", f.Condition, "account", l.claimed.String())
	if f.Cause != nil {
		log = log.With("cause", f.Cause)
	}
	log.Warn("authentication failed")
	var b xmpp.Builder
	b.Open(d.ns, "failure").Open(xmpp.NSSASL, f.Condition).Close()
	if f.Text != "" {
		b.Leaf("", "text", f.Text, "xml:lang", "en")
	}
	if err := c.out.write(b.Payload()); err != nil {
		return err
	}
	if l.failures >= c.set.Attempts { // RFC 6120 §6.4.5
		return xmpp.EndStream("policy-violation", "too many failed attempts")
	}
	return nil
}

// decode reads base64 as strictly as RFC 6120 §6.4.2 and RFC 4648 §3 ask.
func decode(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, &auth.Failure{Condition: "incorrect-encoding"} // RFC 6120 §6.5.5
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// bodyText returns the character data of a top-level element.
func bodyText(st *xmpp.Stanza) string { return strings.TrimSpace(st.Text()) }

func xmlText(ns, local, text string) []byte {
	var b xmpp.Builder
	return b.Leaf(ns, local, text).Payload()
}
