package c2s

import (
	"crypto/tls"
	"strconv"
	"strings"

	"parley/router"
	"parley/xmpp"
)

const (
	nsSASL2    = "urn:xmpp:sasl:2"
	nsBind2    = "urn:xmpp:bind:0"
	nsBindings = "urn:xmpp:sasl-cb:0"
	nsLimits   = "urn:xmpp:stream-limits:0"
	nsRegister = "jabber:iq:register"
)

type routerSession = router.Session

// features writes the stream features of the moment (RFC 6120 §4.3.2).
func (c *conn) features() error {
	l := c.login
	out := c.appendFeatures(l.opening)
	l.opening = nil
	return c.out.open(out)
}

func (c *conn) appendFeatures(dst []byte) []byte {
	var b xmpp.Builder
	l := c.login
	overTLS := c.t.Secure()
	switch {
	case l.known:
		c.sessionFeatures(&b)
	default:
		if !overTLS && !c.s.Framed() { // RFC 7395 §3.9
			b.Open(xmpp.NSTLS, "starttls")
			if c.set.RequireTLS {
				b.Open("", "required").Close()
			}
			b.Close()
		}
		if c.secure() {
			c.loginFeatures(&b, overTLS)
		}
	}
	c.limitFeature(&b)
	c.versionFeature(&b)
	return c.s.AppendFeatures(dst, b.Payload())
}

// loginFeatures announces how to authenticate: SASL (RFC 6120 §6.4.1), under TLS also
// SASL2 with Bind 2 (XEP-0388 §2.1, XEP-0386 §3.1) and the channel bindings (XEP-0440).
func (c *conn) loginFeatures(b *xmpp.Builder, overTLS bool) {
	l := c.login
	l.channel.TLS, l.channel.Clear = overTLS, !c.set.RequireTLS
	l.channel.Peer, l.channel.Host = c.addr, l.host
	l.offered = c.srv.cfg.Auth.Mechanisms(l.channel)
	b.Open(xmpp.NSSASL, "mechanisms")
	for _, m := range l.offered {
		b.Leaf("", "mechanism", m)
	}
	b.Close()
	if overTLS {
		b.Open(nsSASL2, "authentication")
		for _, m := range l.offered {
			b.Leaf("", "mechanism", m)
		}
		for _, task := range c.srv.cfg.Auth.Upgrades() { // XEP-0480 §2.1
			b.Leaf(nsUpgrade, "upgrade", task)
		}
		b.Open("", "inline").Open(nsSM, "sm").Close().Open(nsBind2, "bind") // XEP-0198 §9.2
		if inline := c.srv.cfg.Router.Inline(); len(inline) > 0 {
			b.Open("", "inline")
			for _, f := range inline {
				b.Open("", "feature", "var", f).Close()
			}
			b.Close()
		}
		b.Close()
		c.tokenFeature(b)
		b.Close().Close()
	}
	if bindings := c.srv.cfg.Auth.Bindings(l.channel); len(bindings) > 0 {
		b.Open(nsBindings, "sasl-channel-binding")
		for _, t := range bindings {
			b.Open("", "channel-binding", "type", t).Close()
		}
		b.Close()
	}
	if c.set.Register { // XEP-0077 §4
		b.Open("http://jabber.org/features/iq-register", "register").Close()
	}
}

// sessionFeatures announces what an authenticated client may do: bind a resource unless
// it has one, the old session establishment as the no-op that it became, and who we are.
func (c *conn) sessionFeatures(b *xmpp.Builder) {
	if c.sender == nil {
		b.Open(xmpp.NSBind, "bind").Close() // RFC 6120 §7.4
		b.Open(xmpp.NSSession, "session").Open("", "optional").Close().Close()
	}
	b.Open("urn:xmpp:features:rosterver", "ver").Close()    // RFC 6121 §2.6.1
	b.Open("urn:xmpp:features:pre-approval", "sub").Close() // RFC 6121 §3.4
	b.Open(nsCSI, "csi").Close()                            // XEP-0352 §4.1
	if c.sess == nil || c.sess.sm.Load() == nil {           // @xmpp/client enables it once more where it is announced
		b.Open(nsSM, "sm").Close() // XEP-0198 §2
	}
	b.Raw(c.srv.cfg.Router.Caps(c.login.host).Features())
}

// limitFeature announces what one stanza may weigh and how long a client may be silent
// (XEP-0478 §3.1).
func (c *conn) limitFeature(b *xmpp.Builder) {
	b.Open(nsLimits, "limits").Leaf("", "max-bytes", strconv.Itoa(c.limits().Stanza))
	if c.login.known {
		b.Leaf("", "idle-seconds", strconv.Itoa(int(c.set.Idle.Seconds())))
	}
	b.Close()
}

func tlsName(s *tls.ConnectionState) string {
	return strings.ReplaceAll(tls.VersionName(s.Version), " ", "") + " " + tls.CipherSuiteName(s.CipherSuite)
}

// SessionFeature answers the session establishment of RFC 3921, which old clients ask
// for after binding: there is nothing to establish.
func SessionFeature() router.Feature {
	nothing := func(ctx ctx, q *router.Request) (xmpp.Payload, error) { return nil, nil }
	return router.Feature{
		Name: "client streams",
		RFCs: []router.RFC{
			{Number: 6120, Note: "client streams, STARTTLS, SASL, resource binding"},
			{Number: 7590, Note: "TLS 1.2 and 1.3 only"},
			{Number: 9325, Note: "versions and cipher suites of TLS"},
			{Number: 4616, Note: "PLAIN under TLS, where the operator allows it"},
			{Number: 5802, Note: "SCRAM-SHA-1 and SCRAM-SHA-1-PLUS"},
			{Number: 7677, Note: "SCRAM-SHA-256 and SCRAM-SHA-256-PLUS"},
			{Number: 5929, Note: "channel bindings tls-server-end-point and tls-unique"},
			{Number: 9266, Note: "channel binding tls-exporter"},
			{Number: 6455, Note: "for clients"},
			{Number: 7395},
			{Number: 4422, Note: "EXTERNAL, with certificates of authorities that the operator trusts"},
		},
		XEPs: []router.XEP{
			{Number: 124, Version: "1.11.2", Note: "one stream a session"},
			{Number: 178, Version: "1.2", Note: "clients"},
			{Number: 198, Version: "1.6.3", Note: "clients; acknowledgements and resumption"},
			{Number: 206, Version: "1.4"},
			{Number: 205, Version: "1.0.2", Note: "limits on connections, stanzas and queues"},
			{Number: 352, Version: "1.0.0"},
			{Number: 368, Version: "1.1.0", Note: "clients; the DNS records are the operator's"},
			{Number: 386, Version: "1.1.0", Note: "inline: archives, carbons, client state, stream management"},
			{Number: 388, Version: "1.0.4"},
			{Number: 440, Version: "1.0.0"},
			{Number: 474, Version: "0.5.0"},
			{Number: 478, Version: "0.2.0"},
			{Number: 480, Version: "0.2.0", Note: "SCRAM; after a login with a password"},
			{Number: 484, Version: "0.2.0", Note: "HT-SHA-256-ENDP, -EXPR and -NONE; no 0-RTT"},
			{Number: 509, Version: "0.2.0"},
			{Number: 515, Version: "0.1.0"},
		},
		Inline: []router.Inline{
			{Feature: nsCSI, Space: nsCSI, Name: "inactive", Enable: born},
			{Feature: nsSM, Space: nsSM, Name: "enable", Enable: enableInline},
		},
		IQ: []router.IQ{
			router.Set(router.ToServer, xmpp.NSSession, "session", nothing),
			router.Set(router.ToOwn, xmpp.NSSession, "session", nothing),
		},
		Forget: forget,
		Schema: schema,
	}
}
