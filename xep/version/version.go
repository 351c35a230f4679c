// Package version tells which software this is (XEP-0092).
package version

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

const ns = "jabber:iq:version"

// New returns the feature. The operating system is not told: it helps nobody but an
// attacker (XEP-0092 §5).
func New(version string) router.Feature {
	return router.Feature{
		Name:  "version",
		XEPs:  []router.XEP{{Number: 92, Version: "1.1"}},
		Disco: []string{ns},
		IQ: []router.IQ{router.Get(router.ToServer, ns, "query", func(context.Context, *router.Request) (xmpp.Payload, error) {
			var b xmpp.Builder
			b.Open(ns, "query").Leaf("", "name", "Parley").Leaf("", "version", version)
			return b.Payload(), nil
		})},
	}
}
