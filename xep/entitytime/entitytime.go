// Package entitytime tells the server's time (XEP-0202).
package entitytime

import (
	"context"
	"time"

	"parley/router"
	"parley/xmpp"
)

const ns = "urn:xmpp:time"

// New returns the feature. now is the clock.
func New(now func() time.Time) router.Feature {
	return router.Feature{
		Name:  "entity time",
		XEPs:  []router.XEP{{Number: 202, Version: "2.0"}},
		Disco: []string{ns},
		IQ: []router.IQ{router.Get(router.ToServer, ns, "time", func(context.Context, *router.Request) (xmpp.Payload, error) {
			var b xmpp.Builder
			b.Open(ns, "time").Leaf("", "tzo", "+00:00")
			b.Leaf("", "utc", now().UTC().Format("2006-01-02T15:04:05Z")) // XEP-0082 §3.2
			return b.Payload(), nil
		})},
	}
}
