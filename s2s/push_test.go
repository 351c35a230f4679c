package s2s

import (
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
)

// TestPush has the service of a client on another domain be told of a message (XEP-0357 §7).
func TestPush(t *testing.T) {
	a, b := two(t, nil, false)
	app := b.Online("app@b.example/server")
	app.Says("<presence to='a.example'/>") // or nobody there may ask it anything
	romeo := a.Online("romeo@a.example/1")
	phone := a.Online("juliet@a.example/phone")
	phone.Does("<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='app@b.example/server' node='n1'/></iq>")
	phone.Leaves()
	romeo.Says("<message to='juliet@a.example' type='chat' id='m1'><body>Is she there?</body></message>")
	st := wants(t, app, "<iq type='set' id='*' from='a.example' to='app@b.example/server'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n1'><item><notification xmlns='urn:xmpp:push:0'/></item></publish></pubsub></iq>")
	app.Says(xmpp.Bounce(st, xmpp.Refuse("item-not-found", "")).String()) // it is gone for good
	routertest.Eventually(t, "the node is disabled", func() bool { return a.log.has("which is disabled") })
	romeo.Says("<message to='juliet@a.example' type='chat' id='m2'><body>?</body></message>")
	romeo.Says("<iq type='get' to='app@b.example/server' id='none'><ping xmlns='urn:xmpp:ping'/></iq>")
	wants(t, romeo, "<iq type='error' id='none' from='app@b.example/server' to='romeo@a.example/1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
	app.GetsNothing()
}
