package privilege_test

import (
	"sync/atomic"
	"testing"
	"time"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/caps"
	"parley/xep/displayed"
	"parley/xep/private"
	"parley/xep/privilege"
	"parley/xep/pubsub"
	"parley/xep/vcard"
)

const (
	nsPubsub = "http://jabber.org/protocol/pubsub"
	profile  = "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>" +
		"<field var='pubsub#persist_items'><value>true</value></field><field var='pubsub#max_items'><value>max</value></field>" +
		"<field var='pubsub#send_last_published_item'><value>never</value></field><field var='pubsub#access_model'><value>whitelist</value></field></x></publish-options>"
)

// publishingTown is a house in which users publish, and gw.example.org may do something.
func publishingTown(t testing.TB, p privilege.Permissions) *town {
	t.Helper()
	c := &town{table: atomic.Pointer[privilege.Table]{}}
	c.may(t, p)
	c.House = routertest.NewWith(t, routertest.Config{Hosts: []string{"example.com"}, Features: []router.Feature{
		roster.New(), blocking.New(), private.New(), vcard.New(func() []string { return nil }), displayed.New(),
		pubsub.Feature(pubsub.New(pubsub.Config{})), caps.New(time.Now), privilege.New(c.table.Load),
	}})
	return c
}

// inName is a request of juliet's, as a gateway sends it.
func inName(typ, content string) string {
	return asUser(typ, "juliet@example.com", "<iq xmlns='jabber:client' type='"+typ+"' to='juliet@example.com' id='i1'>"+content+"</iq>")
}

func answered(typ, content string) string {
	return "<iq type='result' from='juliet@example.com'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>" +
		"<iq xmlns='jabber:client' type='" + typ + "' id='i1' from='juliet@example.com' to='juliet@example.com'>" + content + "</iq></forwarded></privilege></iq>"
}

// TestPublishesForUsers has a gateway keep bookmarks, what was displayed and avatars for a user, as
// slidge does: they are as if the user's clients had published them.
func TestPublishesForUsers(t *testing.T) {
	c := publishingTown(t, privilege.Permissions{IQ: []string{nsPubsub + "=both", nsPubsub + "#owner=set"}})
	g := c.Service(gw)
	g.Forgets()
	juliet := c.Connected("juliet@example.com/home")
	juliet.Says("<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:n' ver='1'/></presence>")
	juliet.Gets("<presence>…</presence>")
	juliet.Gets("<iq type='get'>…</iq>")
	juliet.Answers("<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/><feature var='urn:xmpp:bookmarks:1+notify'/><feature var='urn:xmpp:mds:displayed:0+notify'/></query>")
	event := func(node, content string) string {
		return "<message type='headline' from='juliet@example.com'><event xmlns='" + nsPubsub + "#event'><items node='" + node + "'>" + content + "</items></event></message>"
	}

	const bookmark = "<item id='group@gw.example.org'><conference xmlns='urn:xmpp:bookmarks:1' name='Group' autojoin='true'><nick>Juliet</nick></conference></item>"
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"'><publish node='urn:xmpp:bookmarks:1'>"+bookmark+"</publish>"+profile+"</pubsub>"))
	g.Gets(answered("result", "<pubsub xmlns='"+nsPubsub+"'><publish node='urn:xmpp:bookmarks:1'><item id='group@gw.example.org'/></publish></pubsub>"))
	juliet.Gets(event("urn:xmpp:bookmarks:1", bookmark))
	juliet.Says("<iq type='get' id='p'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>")
	juliet.Gets("<iq type='result' id='p'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='group@gw.example.org' name='Group' autojoin='true'><nick>Juliet</nick></conference></storage></query></iq>")
	g.Says(inName("get", "<pubsub xmlns='"+nsPubsub+"'><items node='urn:xmpp:bookmarks:1'><item id='group@gw.example.org'/></items></pubsub>"))
	g.Gets(answered("result", "<pubsub xmlns='"+nsPubsub+"'><items node='urn:xmpp:bookmarks:1'>"+bookmark+"</items></pubsub>"))
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"'><retract node='urn:xmpp:bookmarks:1' notify='true'><item id='group@gw.example.org'/></retract></pubsub>"))
	g.Gets(answered("result", ""))
	juliet.Gets(event("urn:xmpp:bookmarks:1", "<retract id='group@gw.example.org'/>"))

	const seen = "<item id='m@gw.example.org'><displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='1'/></displayed></item>"
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"'><publish node='urn:xmpp:mds:displayed:0'>"+seen+"</publish>"+profile+"</pubsub>"))
	g.Gets(answered("result", "…"))
	juliet.Gets(event("urn:xmpp:mds:displayed:0", seen))

	// A node that was configured otherwise is put right by its owner's means.
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"#owner'><configure node='urn:xmpp:mds:displayed:0'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></configure></pubsub>"))
	g.Gets(answered("result", ""))
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"'><publish node='urn:xmpp:mds:displayed:0'>"+seen+"</publish>"+profile+"</pubsub>"))
	g.Gets(answered("error", "…<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><precondition-not-met xmlns='"+nsPubsub+"#errors'/></error>"))
	g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"#owner'><delete node='urn:xmpp:mds:displayed:0'/></pubsub>"))
	g.Gets(answered("result", ""))
	juliet.Forgets()

	avatar := func(node, payload string) {
		t.Helper()
		g.Says(inName("set", "<pubsub xmlns='"+nsPubsub+"'><publish node='urn:xmpp:avatar:"+node+"'><item id='a9993e364706816aba3e25717850c26c9cd0d89d'>"+payload+"</item></publish>"+
			"<publish-options><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub>"))
		g.Gets(answered("result", "…"))
	}
	avatar("data", "<data xmlns='urn:xmpp:avatar:data'>YWJj</data>")
	avatar("metadata", "<metadata xmlns='urn:xmpp:avatar:metadata'><info id='a9993e364706816aba3e25717850c26c9cd0d89d' bytes='3' type='image/png'/></metadata>")
	juliet.Gets("<presence>…<x xmlns='vcard-temp:x:update'><photo>a9993e364706816aba3e25717850c26c9cd0d89d</photo></x></presence>")
}

// TestMayNotPublish: without the permission, the namespace or the type it is forbidden, and nothing
// is published; the nodes of others are no more the gateway's than they are the user's.
func TestMayNotPublish(t *testing.T) {
	publish := "<pubsub xmlns='" + nsPubsub + "'><publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish></pubsub>"
	for _, p := range []privilege.Permissions{{}, {IQ: []string{nsPubsub + "=get"}}, {IQ: []string{nsPubsub + "#owner=both"}}} {
		c := publishingTown(t, p)
		juliet, g := c.Connected("juliet@example.com/home"), c.Service(gw)
		g.Forgets()
		g.Says(inName("set", publish))
		g.Gets("<iq type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
		g.Says("<iq type='set' id='d' from='gw.example.org' to='juliet@example.com'>" + publish + "</iq>")
		g.Gets("<iq type='error' id='d'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
		juliet.Says("<iq type='get' id='g'><pubsub xmlns='" + nsPubsub + "'><items node='n'/></pubsub></iq>")
		juliet.Gets("<iq type='error' id='g'>…</iq>")
	}
	c := publishingTown(t, privilege.Permissions{IQ: []string{nsPubsub + "=both"}})
	c.Connected("juliet@example.com/home")
	romeo, g := c.Connected("romeo@example.com/home"), c.Service(gw)
	romeo.Does("<iq type='set' id='p'>" + publish + "</iq>")
	g.Forgets()
	g.Says(asUser("set", "juliet@example.com", "<iq xmlns='jabber:client' type='set' to='romeo@example.com' id='i1'>"+publish+"</iq>"))
	g.Gets("<iq type='result'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='error' id='i1' from='romeo@example.com' to='juliet@example.com'>…" +
		"<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq></forwarded></privilege></iq>")
}
