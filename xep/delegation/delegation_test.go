package delegation_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/delegation"
	"parley/xep/ping"
	"parley/xep/private"
	"parley/xmpp"
)

const gw = "gw.example.org"

type town struct {
	*routertest.House
	table atomic.Pointer[delegation.Table]
}

func newTown(t testing.TB, delegate ...string) *town {
	t.Helper()
	c := &town{}
	list, err := delegation.Parse(delegate)
	if err != nil {
		t.Fatal(err)
	}
	c.table.Store(delegation.NewTable(map[string][]delegation.Namespace{gw: list, "other.example.org": nil}))
	c.House = routertest.NewWith(t, routertest.Config{Hosts: []string{"example.com"}, Features: []router.Feature{
		roster.New(), blocking.New(), ping.New(), private.New(), delegation.New(c.table.Load),
	}})
	return c
}

// gateway connects the component, which knows nothing of what it can do.
func (c *town) gateway(t testing.TB) *routertest.Actor {
	t.Helper()
	g := c.Service(gw)
	for st := g.Hears(); st != nil; st = g.Hears() {
		if st.Kind == xmpp.IQ && st.Type == "get" {
			g.Says(xmpp.Bounce(st, xmpp.Refuse("item-not-found", "")).String())
		}
	}
	g.Forgets()
	return g
}

func TestAdvertised(t *testing.T) {
	c := newTown(t, "urn:xmpp:mam:2 node", "urn:own")
	g := c.Service(gw)
	for _, ns := range []string{"urn:xmpp:delegation:1", "urn:xmpp:delegation:2"} {
		g.Gets("<message from='example.com' to='gw.example.org'><delegation xmlns='" + ns + "'><delegated namespace='urn:own'/><delegated namespace='urn:xmpp:mam:2'><attribute name='node'/></delegated></delegation></message>")
	}
	for _, node := range []string{"urn:xmpp:delegation:2::urn:own", "urn:xmpp:delegation:2:bare:urn:own", "urn:xmpp:delegation:2::urn:xmpp:mam:2", "urn:xmpp:delegation:2:bare:urn:xmpp:mam:2"} {
		g.Gets("<iq from='example.com' to='gw.example.org' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='" + node + "'/></iq>")
	}
	g.GetsNothing()
	c.Service("other.example.org").GetsNothing()
}

// forwarded is what the component is asked in the place of the server.
func forwarded(inner string) string {
	return "<iq from='example.com' to='gw.example.org' type='set'><delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>" + inner + "</forwarded></delegation></iq>"
}

func reply(inner string) string {
	return "<delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>" + inner + "</forwarded></delegation>"
}

func TestForwarded(t *testing.T) {
	c := newTown(t, "urn:own", "jabber:iq:private node")
	g := c.gateway(t)
	juliet, romeo := c.Online("juliet@example.com/j"), c.Online("romeo@example.com/r")
	far := c.Service("far.example.org")
	for _, who := range []struct {
		*routertest.Actor
		to string
	}{{juliet, ""}, {juliet, "juliet@example.com"}, {juliet, "example.com"}, {romeo, "juliet@example.com"}, {romeo, "nobody@example.com"}, {far, "juliet@example.com"}, {far, "example.com"}} {
		attr, from, back := "", who.JID().String(), ""
		if who.to != "" {
			attr, back = " to='"+who.to+"'", " from='"+who.to+"'"
		}
		who.Says("<iq from='" + from + "'" + attr + " type='get' id='q1'><question xmlns='urn:own'><x/></question></iq>")
		g.Gets(forwarded("<iq xmlns='jabber:client' from='" + from + "'" + attr + " type='get' id='q1'><question xmlns='urn:own'><x/></question></iq>"))
		juliet.Forgets() // her own presence and that of nobody else
		romeo.Forgets()
		g.Answers(reply("<iq xmlns='jabber:client' to='" + from + "'" + back + " type='result' id='q1'><answer xmlns='urn:own'>yes</answer></iq>"))
		who.Gets("<iq to='" + from + "'" + back + " type='result' id='q1'><answer xmlns='urn:own'>yes</answer></iq>")
	}
	// Without the attribute the server answers by itself.
	juliet.Does("<iq type='set' id='2'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>")
	g.GetsNothing()
	juliet.Says("<iq type='get' id='3'><query xmlns='jabber:iq:private' node='n'><a xmlns='urn:a'/></query></iq>")
	g.Gets(forwarded("<iq xmlns='jabber:client' from='juliet@example.com/j' type='get' id='3'><query xmlns='jabber:iq:private' node='n'><a xmlns='urn:a'/></query></iq>"))
	// What the component itself asks is not given back to it (XEP-0355 §4.3.1).
	g.Says("<iq from='x@gw.example.org' to='juliet@example.com' type='get' id='4'><question xmlns='urn:own'/></iq>")
	g.Gets("<iq type='error' id='4' from='juliet@example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
	// Full addresses are those of devices.
	romeo.Says("<iq to='juliet@example.com/j' type='get' id='5'><question xmlns='urn:own'/></iq>")
	romeo.Gets("<iq type='error' id='5'>…</iq>")
	g.GetsNothing()
	// Who is blocked does not get that far.
	juliet.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.com'/></block></iq>")
	romeo.Forgets()
	romeo.Says("<iq to='juliet@example.com' type='get' id='6'><question xmlns='urn:own'/></iq>")
	romeo.Gets("<iq type='error' id='6' from='juliet@example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
	g.GetsNothing()
}

// Requests do not wait for each other, and an answer that is none is an error for who asked.
func TestBadAnswers(t *testing.T) {
	c := newTown(t, "urn:own")
	g := c.gateway(t)
	juliet := c.Online("juliet@example.com/j")
	juliet.Forgets()
	ok := "<iq xmlns='jabber:client' to='juliet@example.com/j' from='example.com' type='result' id='%d'/>"
	for i, answer := range []string{
		"", "<delegation xmlns='urn:xmpp:delegation:2'/>", reply(""), reply("<x xmlns='urn:x'/>"), reply("<iq xmlns='urn:x'/>"),
		strings.Replace(reply(ok), "delegation:2", "delegation:1", 1),
		reply(strings.Replace(ok, "type='result'", "type='error'", 1)), reply(strings.Replace(ok, "type='result'", "type='set'", 1)),
		reply(strings.Replace(ok, "id='", "id='x", 1)), reply(strings.Replace(ok, "juliet@example.com/j", "romeo@example.com/j", 1)),
		reply(strings.Replace(ok, "from='example.com'", "from='juliet@example.com'", 1)), reply(strings.Replace(ok, "from='example.com'", "from='@'", 1)),
		"<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
	} {
		juliet.Says(fmt.Sprintf("<iq to='example.com' type='get' id='%d'><question xmlns='urn:own'/></iq>", i))
		g.Gets("<iq type='set'>…</iq>")
		juliet.Does("<iq to='example.com' type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>") // it does not wait
		if strings.Contains(answer, "%d") {
			answer = fmt.Sprintf(answer, i)
		}
		g.Answers(answer)
		juliet.Gets(fmt.Sprintf("<iq type='error' id='%d' from='example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", i))
	}
	// Somebody else cannot answer, and nobody twice.
	juliet.Says("<iq to='example.com' type='get' id='z'><question xmlns='urn:own'/></iq>")
	asked := g.Gets("<iq type='set'>…</iq>")
	answer := "<iq from='%s' to='example.com' type='result' id='" + asked.ID + "'>" + reply(fmt.Sprintf(strings.Replace(ok, "%d", "%s", 1), "z")) + "</iq>"
	other := c.Service("other.example.org")
	other.Says(fmt.Sprintf(answer, "other.example.org"))
	other.Says(fmt.Sprintf(answer, "x@gw.example.org"))
	juliet.GetsNothing()
	g.Says(fmt.Sprintf(answer, gw))
	g.Says(fmt.Sprintf(answer, gw))
	juliet.Gets("<iq type='result' id='z' from='example.com'/>")
	juliet.GetsNothing()
	// One that is not there is an error at once.
	g.Leaves()
	juliet.Says("<iq to='example.com' type='get' id='gone'><question xmlns='urn:own'/></iq>")
	juliet.Gets("<iq type='error' id='gone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
}

// What is said of the server and its accounts is what the component says (XEP-0355 §7.2).
func TestNested(t *testing.T) {
	c := newTown(t, "jabber:iq:roster", "urn:xmpp:ping")
	before := c.Router.Caps("example.com").Ver
	g := c.Service(gw)
	for st := g.Hears(); st != nil; st = g.Hears() {
		node := st.Payload().Attr("node")
		if st.Kind != xmpp.IQ {
			continue
		}
		answer := xmpp.Result(st, xmpp.Payload("<query xmlns='http://jabber.org/protocol/disco#info' node='"+node+"'><identity category='pubsub' type='pep'/><feature var='"+node+"'/></query>"))
		if node == "urn:xmpp:delegation:2::urn:xmpp:ping" { // it is asked once more, in the older namespace
			answer = xmpp.Bounce(st, xmpp.Refuse("item-not-found", ""))
		}
		g.Says(answer.String())
	}
	if c.Router.Caps("example.com").Ver == before {
		t.Error("the server's capabilities are hashed as before")
	}
	juliet := c.Online("juliet@example.com/j")
	for _, q := range []struct {
		to       string
		has, not []string
	}{
		{"example.com", []string{"urn:xmpp:delegation:2::jabber:iq:roster", "urn:xmpp:delegation:1::urn:xmpp:ping", "urn:xmpp:delegation:2", "urn:xmpp:delegation:1"}, []string{"urn:xmpp:ping", "urn:xmpp:delegation:2:bare:jabber:iq:roster"}},
		{"juliet@example.com", []string{"urn:xmpp:delegation:2:bare:jabber:iq:roster"}, []string{"jabber:iq:roster", "urn:xmpp:delegation:2::jabber:iq:roster"}},
	} {
		juliet.Forgets()
		juliet.Says("<iq to='" + q.to + "' type='get' id='i'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		st := juliet.Hears()
		for _, f := range q.has {
			if !strings.Contains(st.String(), "<feature var='"+f+"'/>") {
				t.Errorf("%s does not have %s: %s", q.to, f, st)
			}
		}
		for _, f := range q.not {
			if strings.Contains(st.String(), "<feature var='"+f+"'/>") {
				t.Errorf("%s has %s: %s", q.to, f, st)
			}
		}
		if !strings.Contains(st.String(), "type='pep'") {
			t.Errorf("%s is no such thing: %s", q.to, st)
		}
	}
}

// Nodes that nobody here knows, and the items of accounts (XEP-0355 §7.2.4, §7.2.5).
func TestRemainingDiscovery(t *testing.T) {
	const info, items = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
	c := newTown(t, "urn:xmpp:delegation:2:bare:disco#info:*", "urn:xmpp:delegation:2:bare:disco#items:*")
	g := c.gateway(t)
	juliet, romeo := c.Online("juliet@example.com/j"), c.Online("romeo@example.com/r")
	for i, q := range []struct {
		who      *routertest.Actor
		ns, node string
		there    bool
	}{
		{juliet, info, "", false}, {juliet, info, "blog", true}, {romeo, info, "blog", true}, {romeo, info, "", false},
		{juliet, items, "", true}, {juliet, items, "blog", true}, {romeo, items, "", true}, {romeo, items, "blog", true},
	} {
		juliet.Forgets()
		romeo.Forgets()
		node := ""
		if q.node != "" {
			node = " node='" + q.node + "'"
		}
		ask := fmt.Sprintf("<iq from='%s' to='juliet@example.com' type='get' id='%d'><query xmlns='%s'%s/></iq>", q.who.JID(), i, q.ns, node)
		q.who.Says(ask)
		if !q.there {
			g.GetsNothing()
			if st := q.who.Hears(); st == nil || st.ID != fmt.Sprint(i) {
				t.Errorf("%s: %v", ask, st)
			}
			continue
		}
		g.Gets(forwarded(strings.Replace(ask, "<iq ", "<iq xmlns='jabber:client' ", 1)))
		g.Answers(reply(fmt.Sprintf("<iq xmlns='jabber:client' from='juliet@example.com' to='%s' type='result' id='%d'><query xmlns='%s'/></iq>", q.who.JID(), i, q.ns)))
		q.who.Gets(fmt.Sprintf("<iq from='juliet@example.com' type='result' id='%d'><query xmlns='%s'/></iq>", i, q.ns))
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "  ", "urn:xmpp:delegation:2", "urn:xmpp:delegation:1", "urn:xmpp:delegation:3", "urn:xmpp:delegation:2:bare:disco#info:* node"} {
		if list, err := delegation.Parse([]string{bad}); err == nil {
			t.Errorf("%q is taken: %v", bad, list)
		}
	}
	list, err := delegation.Parse([]string{" urn:a  x y ", "urn:b", "urn:xmpp:delegation:2:bare:disco#items:*"})
	if err != nil || len(list) != 3 || list[0].Space != "urn:a" || len(list[0].Attrs) != 2 || len(list[1].Attrs) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := delegation.Parse(make([]string, 101)); err == nil {
		t.Error("101 namespaces")
	}
}

// Who asks more than a component answers is refused, and the house has questions left.
func TestFlood(t *testing.T) {
	c := newTown(t, "urn:own")
	g := c.gateway(t)
	far := c.Service("far.example.org")
	const most = 2000
	for i := range most + 1 {
		far.Person.(*routertest.Service).Sends(fmt.Sprintf("<iq from='x@far.example.org' to='juliet@example.com' type='get' id='%d'><question xmlns='urn:own'/></iq>", i))
	}
	far.Gets(fmt.Sprintf("<iq type='error' id='%d'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>", most))
	far.GetsNothing()
	g.Gets("<iq type='set'>…</iq>")
	g.Answers("<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
	far.Gets("<iq type='error' id='0'>…</iq>")
	far.Says("<iq from='x@far.example.org' to='juliet@example.com' type='get' id='more'><question xmlns='urn:own'/></iq>")
	far.GetsNothing()
}
