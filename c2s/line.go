package c2s

import (
	"crypto/tls"
	"net"

	"parley/xmpp"
)

// A line is what a client's stream runs over: a TCP connection, a WebSocket, or the requests of
// BOSH.
type line interface {
	xmpp.Transport
	// Secure reports whether nobody can listen in, as far as that can be known here.
	Secure() bool
	// TLS returns the state of TLS, nil where it does not end here.
	TLS() *tls.ConnectionState
	RemoteAddr() net.Addr
	SetUnread(max int)
	// Trim gives memory back before a wait that is likely to be long.
	Trim()
	// Nudge has Wait return xmpp.ErrNudged once.
	Nudge()
}

// secure reports whether the client may log in as things are. What comes by HTTP in clear
// never may: a browser could not tell (RFC 7395 §3.9 leaves TLS to the layer below).
func (c *conn) secure() bool {
	return c.t.Secure() || !c.set.RequireTLS && !c.s.Framed()
}

// tls describes what protects the connection: "" for nothing, or nothing that is known.
func (c *conn) tls() string {
	switch state := c.t.TLS(); {
	case state != nil:
		return tlsName(state)
	case c.t.Secure():
		return "at a proxy"
	}
	return ""
}
