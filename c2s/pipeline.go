package c2s

import (
	"crypto/sha256"
	"encoding/base64"

	"parley/xmpp"
)

const nsPipeline = "urn:xmpp:iap:0"

// versionFeature names what is announced before a login by a hash of it (XEP-0509 §2.1), so
// that a client which knows it can send <authenticate/> right behind its stream header.
func (c *conn) versionFeature(b *xmpp.Builder) {
	l := c.login
	l.version = ""
	if l.known || !c.t.Secure() {
		return
	}
	sum := sha256.Sum256(b.Payload())
	l.version = base64.RawStdEncoding.EncodeToString(sum[:16])
	b.Open(nsPipeline, "config-version", "scheme", "opaque", "value", l.version).Close()
}

// upToDate reports whether the client knows what was announced, or does not say what it
// knows (XEP-0509 §2.2).
func (c *conn) upToDate(st *xmpp.Stanza) bool {
	e := st.Child(nsPipeline, "config-version")
	return e.IsZero() || e.Attr("value") == c.login.version
}

// outdated refuses a login without prejudice: it counts as no attempt (XEP-0509 §2.2). That
// a client does nothing else is bounded by the time for logging in.
func (c *conn) outdated() error {
	var b xmpp.Builder
	b.Open(nsSASL2, "failure").Open(xmpp.NSSASL, "aborted").Close().Open(nsPipeline, "config-version-mismatch").Close()
	return c.out.write(b.Payload())
}
