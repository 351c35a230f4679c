package c2s_test

import (
	"testing"

	"parley/auth"
	"parley/xmpp/xmpptest"
)

// A client comes back, on loopback and with both ends of it: TCP, direct TLS, SASL2 and Bind 2, and the
// end of the stream.
func BenchmarkReturn(b *testing.B) {
	h := open(b, nil)
	h.account("juliet")
	o := h.options()
	o.Addr, o.Direct = h.direct, true
	c := h.dial()
	_, token := signIn(b, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenExporter)})
	c.Bye()
	for name, login := range map[string]func(*xmpptest.Client) xmpptest.Login{
		"password": func(*xmpptest.Client) xmpptest.Login {
			return xmpptest.Login{User: "juliet", Password: password, Binding: "tls-exporter", Extra: userAgent(phone)}
		},
		"token": func(c *xmpptest.Client) xmpptest.Login {
			return byToken(b, c, "juliet", auth.TokenExporter, token, phone, "")
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := xmpptest.Dial(b, o)
				signIn(b, c, login(c))
				c.Bye()
			}
		})
	}
}
