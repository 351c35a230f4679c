package c2s

import (
	"time"

	"parley/auth"
	"parley/xmpp"
)

const nsFast = "urn:xmpp:fast:0"

// tokenFeature announces the mechanisms for tokens (XEP-0484 §3.1). There is no tls-0rtt:
// TLS takes no early data here (XEP-0388 §3).
func (c *conn) tokenFeature(b *xmpp.Builder) {
	list := c.srv.cfg.Auth.TokenMechanisms(c.login.channel)
	if len(list) == 0 {
		return
	}
	b.Open(nsFast, "fast")
	for _, m := range list {
		b.Leaf("", "mechanism", m)
	}
	b.Close()
}

// visit reads what <authenticate/> says of tokens. Who uses one must say so (XEP-0484 §3.4);
// the count of its uses is against repeated early data, which there is none of.
func visit(st *xmpp.Stanza, mechanism string, agent xmpp.UserAgent) (auth.Visit, error) {
	v := auth.Visit{Agent: agent, Mechanism: st.Child(nsFast, "request-token").Attr("mechanism")}
	if !auth.IsToken(mechanism) {
		return v, nil
	}
	fast := st.Child(nsFast, "fast")
	if fast.IsZero() {
		return v, &auth.Failure{Condition: auth.MalformedRequest, Text: "a mechanism for tokens without <fast/>"}
	}
	switch fast.Attr("invalidate") {
	case "1", "true": // XEP-0484 §3.6
		v.Invalidate = true
	}
	return v, nil
}

// appendToken gives the client the token for its next login (XEP-0484 §3.3).
func appendToken(b *xmpp.Builder, t auth.Token) {
	if t.Secret != "" {
		b.Open(nsFast, "token", "expiry", t.Expires.UTC().Format(time.RFC3339), "token", t.Secret).Close()
	}
}
