package s2s

import (
	"testing"
)

// TestSubscription goes through a subscription between two domains (RFC 6121 §3.1, §4.2).
func TestSubscription(t *testing.T) {
	a, b := two(t, nil, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Does("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	bob.Does("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	ann.Says("<presence to='bob@b.example' type='subscribe' id='s1'/>")
	wants(t, ann, "<iq type='set' id='*' to='ann@a.example/1'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@b.example' subscription='none' ask='subscribe'/></query></iq>")
	wants(t, bob, "<presence from='ann@a.example' to='bob@b.example' type='subscribe' id='s1'/>")
	bob.Says("<presence to='ann@a.example' type='subscribed' id='s2'/>")
	wants(t, bob, "<iq type='set' id='*' to='bob@b.example/2'><query xmlns='jabber:iq:roster' ver='*'><item jid='ann@a.example' subscription='from'/></query></iq>")
	wants(t, ann, "<presence from='bob@b.example' to='ann@a.example' type='subscribed' id='s2'/>")
	wants(t, ann, "<iq type='set' id='*' to='ann@a.example/1'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@b.example' subscription='to'/></query></iq>")
	wants(t, ann, "<presence from='bob@b.example/2' to='ann@a.example'><delay xmlns='urn:xmpp:delay' from='b.example' stamp='*'/></presence>")

	bob.Says("<presence><show>away</show></presence>")
	wants(t, ann, "<presence from='bob@b.example/2' to='ann@a.example'><show>away</show></presence>")

	second := a.Connected("ann@a.example/second") // it comes, and asks
	second.Comes("<presence/>")
	wants(t, second, "<presence from='ann@a.example/1' to='ann@a.example'><delay xmlns='urn:xmpp:delay' from='a.example' stamp='*'/></presence>")
	wants(t, second, "<presence from='bob@b.example/2' to='ann@a.example'><show>away</show><delay xmlns='urn:xmpp:delay' from='b.example' stamp='*'/></presence>")

	bob.Leaves()
	wants(t, second, "<presence from='bob@b.example/2' to='ann@a.example' type='unavailable'/>")

	ann.Says("<presence to='bob@b.example' type='unsubscribe' id='u'/>")
	b.Online("bob@b.example/3")
	ann.Says("<presence to='nobody@b.example' type='probe'/>")
}
