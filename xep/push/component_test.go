package push_test

import (
	"testing"

	"parley/router/routertest"
	"parley/xep/push"
	"parley/xmpp"
)

// TestComponent: the service is a component, as app servers mostly are.
func TestComponent(t *testing.T) {
	w := newWorld(t, push.Config{}, t.TempDir())
	app := w.Service("push.example.com")
	w.juliet.Does("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.example.com' node='n1'/></iq>")
	w.juliet.Leaves()
	w.romeo.Says(content)
	var st *xmpp.Stanza
	routertest.Eventually(t, "the component is told", func() bool { w.Settle(); st = app.Hears(); return st != nil })
	if why := routertest.Match("<iq type='set' id='*' from='example.com' to='push.example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n1'><item><notification xmlns='urn:xmpp:push:0'/></item></publish></pubsub></iq>", st); why != "" {
		t.Fatalf("it is told %s (%s)", st, why)
	}
	app.Says(xmpp.Bounce(st, xmpp.Refuse("item-not-found", "")).String()) // it is gone for good
	w.romeo.Says(content)
	app.GetsNothing()
}
