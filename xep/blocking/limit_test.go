package blocking_test

import (
	"testing"

	"parley/router/routertest"
	"parley/xep/blocking"
)

// TestLimitOfItems: the operator's limit holds, and is asked each time; unblocking is
// possible beyond it.
func TestLimitOfItems(t *testing.T) {
	limit := 2
	a := routertest.New(t, blocking.NewWith(func() int { return limit }, nil)).Connected("romeo@example.com/desk")
	ask := func(name, items string) string {
		return "<iq id='b' type='set'><" + name + " xmlns='urn:xmpp:blocking'>" + items + "</" + name + "></iq>"
	}
	a.Does(ask("block", "<item jid='a@example.net'/><item jid='b@example.net'/>"))
	a.Sends(ask("block", "<item jid='c@example.net'/>"))
	a.Gets("<iq id='b' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>")
	limit = 1
	a.Does(ask("unblock", "<item jid='a@example.net'/><item jid='b@example.net'/>"))
	limit = 3
	a.Does(ask("block", "<item jid='c@example.net'/><item jid='d@example.net'/><item jid='e@example.net'/>"))
}
