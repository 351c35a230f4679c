// Package ping answers XEP-0199 pings.
package ping

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

const ns = "urn:xmpp:ping"

// New returns the feature.
func New() router.Feature {
	return router.Feature{
		Name:         "ping",
		XEPs:         []router.XEP{{Number: 199, Version: "2.0.1"}},
		Disco:        []string{ns},
		AccountDisco: []string{ns},
		IQ: []router.IQ{
			router.Get(router.ToServer, ns, "ping", pong),
			router.Get(router.ToOwn, ns, "ping", pong),
		},
	}
}

// XEP-0199 §4.2: the answer is an empty result, which is what nil means. It
// acknowledges everything that the session sent before it.
func pong(context.Context, *router.Request) (xmpp.Payload, error) { return nil, nil }
