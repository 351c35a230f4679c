package privilege_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xep/private"
	"parley/xep/privilege"
	"parley/xep/strangers"
	"parley/xmpp"
)

const gw = "gw.example.org"

// A town is a house in which gw.example.org may do something.
type town struct {
	*routertest.House
	table atomic.Pointer[privilege.Table]
}

func newTown(t testing.TB, p privilege.Permissions) *town {
	t.Helper()
	c := &town{}
	c.may(t, p)
	c.House = routertest.NewWith(t, routertest.Config{Hosts: []string{"example.com"}, Features: []router.Feature{
		roster.New(), blocking.New(), carbons.New(), ping.New(), private.New(),
		mam.New(func() mam.Limits { return mam.Limits{Messages: 1000, Bytes: 1 << 30} }),
		strangers.New(func() strangers.Limits { return strangers.Limits{Messages: 3} }, time.Now),
		privilege.New(c.table.Load),
	}})
	return c
}

func (c *town) may(t testing.TB, p privilege.Permissions) {
	t.Helper()
	if key, err := p.Check(); err != nil {
		t.Fatal(key, err)
	}
	c.table.Store(privilege.NewTable(map[string]privilege.Permissions{gw: p, "other.example.org": {}}))
}

func TestAdvertised(t *testing.T) {
	c := newTown(t, privilege.Permissions{Roster: "both", Message: "outgoing", Presence: "managed_entity", IQ: []string{"urn:a=get", "urn:b=none", "urn:c=d=both"}})
	g := c.Service(gw)
	g.Gets("<message from='example.com' to='gw.example.org'><privilege xmlns='urn:xmpp:privilege:1'><perm access='roster' type='both'/><perm access='message' type='outgoing'/><perm access='presence' type='managed_entity'/></privilege></message>")
	g.Gets("<message from='example.com' to='gw.example.org'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both' push='true'/><perm access='message' type='outgoing'/>" +
		"<perm access='iq'><namespace ns='urn:a' type='get'/><namespace ns='urn:c=d' type='both'/></perm><perm access='presence' type='managed_entity'/></privilege></message>")
	g.GetsNothing()
	c.Service("other.example.org").GetsNothing() // it may nothing
	c.may(t, privilege.Permissions{Roster: "set"})
	g = c.Service(gw)
	g.Gets("<message><privilege xmlns='urn:xmpp:privilege:1'><perm access='roster' type='set'/></privilege></message>")
	g.Gets("<message><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='set'/></privilege></message>")
	g.GetsNothing()
}

func TestRoster(t *testing.T) {
	c := newTown(t, privilege.Permissions{Roster: "both"})
	g := c.Service(gw)
	g.Forgets()
	juliet := c.Online("juliet@example.com/home")
	juliet.Does("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
	g.Gets("<iq to='gw.example.org' from='juliet@example.com' type='result' id='1'><query xmlns='jabber:iq:roster' ver='0'/></iq>")
	// A contact of its own: it says what the subscription is, and hears the presence at once.
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='m@gw.example.org' name='M' subscription='both'><group>G</group></item></query></iq>")
	juliet.Gets("<iq type='set'><query xmlns='jabber:iq:roster' ver='1'><item jid='m@gw.example.org' name='M' subscription='both'><group>G</group></item></query></iq>")
	g.Gets("<iq from='juliet@example.com' to='gw.example.org' type='set'><query xmlns='jabber:iq:roster'><item jid='m@gw.example.org' name='M' subscription='both'><group>G</group></item></query></iq>")
	g.Gets("<presence from='juliet@example.com/home' to='m@gw.example.org'>…</presence>")
	g.Gets("<presence from='juliet@example.com' to='m@gw.example.org' type='probe'/>")
	g.Gets("<iq type='result' id='2' from='juliet@example.com'/>")
	g.Says("<presence from='m@gw.example.org/x' to='juliet@example.com'/>")
	juliet.Gets("<presence from='m@gw.example.org/x'/>")
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='set' id='3'><query xmlns='jabber:iq:roster'><item jid='m@gw.example.org' subscription='to'/></query></iq>")
	juliet.Gets("<iq type='set'><query xmlns='jabber:iq:roster' ver='2'><item jid='m@gw.example.org' subscription='to'/></query></iq>")
	g.Gets("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='m@gw.example.org' subscription='to'/></query></iq>")
	g.Gets("<presence from='juliet@example.com/home' to='m@gw.example.org' type='unavailable'/>")
	g.Gets("<iq type='result' id='3'/>")
	// Somebody else: as juliet's own clients may, without the subscription.
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='set' id='4'><query xmlns='jabber:iq:roster'><item jid='romeo@example.com' subscription='both'/></query></iq>")
	juliet.Gets("<iq type='set'><query xmlns='jabber:iq:roster' ver='3'><item jid='romeo@example.com' subscription='none'/></query></iq>")
	g.Gets("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@example.com' subscription='none'/></query></iq>")
	g.Gets("<iq type='result' id='4'/>")
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='set' id='5'><query xmlns='jabber:iq:roster'><item jid='x@notgw.example.org' subscription='both'/></query></iq>")
	g.Gets("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='x@notgw.example.org' subscription='none'/></query></iq>")
	g.Gets("<iq type='result' id='5'/>")
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='set' id='6'><query xmlns='jabber:iq:roster'><item jid='m@gw.example.org' subscription='sure'/></query></iq>")
	g.Gets("<iq type='error' id='6'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>")
	// What juliet does herself is pushed, also what ends.
	juliet.Forgets()
	juliet.Says("<iq type='set' id='7'><query xmlns='jabber:iq:roster'><item jid='romeo@example.com' subscription='remove'/></query></iq>")
	g.Gets("<iq from='juliet@example.com' type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@example.com' subscription='remove'/></query></iq>")
	// A version means nothing to who gets no pushes of versions.
	g.Says("<iq from='gw.example.org' to='juliet@example.com' type='get' id='8'><query xmlns='jabber:iq:roster' ver='5'/></iq>")
	if st := g.Gets("<iq type='result' id='8'>…</iq>"); !strings.Contains(st.String(), "m@gw.example.org") {
		t.Errorf("no roster: %s", st)
	}
}

func TestRosterRefused(t *testing.T) {
	const refused = "<iq type='error' id='%s' from='juliet@example.com'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
	get := "<iq from='%s' to='juliet@example.com' type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"
	set := "<iq from='%s' to='juliet@example.com' type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='a@gw.example.org' subscription='both'/></query></iq>"
	for _, c := range []struct {
		word, from string
		get, set   bool
	}{{"", gw, false, false}, {"none", gw, false, false}, {"get", gw, true, false}, {"set", gw, false, true}, {"both", gw, true, true},
		{"both", "somebody@gw.example.org", false, false}, {"both", "gw.example.org/x", false, false}} {
		t.Run(c.word+" "+c.from, func(t *testing.T) {
			town := newTown(t, privilege.Permissions{Roster: c.word})
			town.Exists(xmpp.MustJID("juliet@example.com"))
			g := town.Service(gw)
			for _, try := range []struct {
				xml, id string
				may     bool
			}{{get, "g", c.get}, {set, "s", c.set}} {
				g.Forgets()
				g.Says(fmt.Sprintf(try.xml, c.from))
				if !try.may {
					g.Gets(fmt.Sprintf(refused, try.id))
					continue
				}
				ok := false
				for st := g.Hears(); st != nil; st = g.Hears() {
					ok = ok || st.ID == try.id && st.Type == "result"
				}
				if !ok {
					t.Error("it was not done: " + try.xml)
				}
			}
			// Other components may nothing, and users nothing more than ever.
			other := town.Service("other.example.org")
			other.Says(fmt.Sprintf(get, "other.example.org"))
			other.Gets(fmt.Sprintf(refused, "g"))
			romeo := town.Online("romeo@example.com/r")
			romeo.Says("<iq to='juliet@example.com' type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
			romeo.Gets(fmt.Sprintf(refused, "g"))
		})
	}
}

func wrapped(from, inner string) string {
	return "<message from='" + from + "' to='example.com' id='w'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>" + inner + "</forwarded></privilege></message>"
}

func TestMessages(t *testing.T) {
	c := newTown(t, privilege.Permissions{Message: "outgoing"})
	g := c.Service(gw)
	g.Forgets()
	phone, romeo := c.Online("juliet@example.com/phone"), c.Online("romeo@example.com/r")
	phone.Does("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	for i, content := range []string{"jabber:client", "jabber:component:accept"} {
		g.Says(wrapped(gw, fmt.Sprintf("<message xmlns='%s' from='juliet@example.com' to='romeo@example.com' type='chat' id='m%d'><body>Hello</body><x xmlns='urn:x'/></message>", content, i)))
		romeo.Gets(fmt.Sprintf("<message from='juliet@example.com' to='romeo@example.com' type='chat' id='m%d'><body>Hello</body><x xmlns='urn:x'/>…</message>", i))
		phone.Gets("<message from='juliet@example.com' to='juliet@example.com/phone' type='chat'><sent xmlns='urn:xmpp:carbons:2'>…</sent></message>")
		g.GetsNothing()
	}
	// Both archives have them.
	for _, who := range []*routertest.Actor{phone, romeo} {
		who.Says("<iq type='set' id='a'><query xmlns='urn:xmpp:mam:2'/></iq>")
		n := 0
		for st := who.Hears(); st != nil; st = who.Hears() {
			if st.Has("urn:xmpp:mam:2", "result") {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%s has %d in the archive", who.JID(), n)
		}
	}
	// The server's own name, and a note to oneself.
	g.Says(wrapped(gw, "<message xmlns='jabber:client' from='example.com' to='romeo@example.com'><body>News</body></message>"))
	romeo.Gets("<message from='example.com' to='romeo@example.com'><body>News</body>…</message>")
	g.Says(wrapped(gw, "<message xmlns='jabber:client' from='juliet@example.com'><body>Note</body></message>"))
	phone.Gets("<message from='juliet@example.com' to='juliet@example.com'><body>Note</body>…</message>")
	phone.GetsNothing()
	// To the component itself, from a user that is not there.
	c.Exists(xmpp.MustJID("nurse@example.com"))
	g.Says(wrapped(gw, "<message xmlns='jabber:client' from='nurse@example.com' to='x@gw.example.org' id='n'><body>Peter!</body></message>"))
	g.Gets("<message from='nurse@example.com' to='x@gw.example.org' id='n'><body>Peter!</body></message>")
}

// What a user's own client could not send, nobody sends in the user's name.
func TestMessagesMeetTheGuards(t *testing.T) {
	c := newTown(t, privilege.Permissions{Message: "outgoing"})
	g := c.Service(gw)
	g.Forgets()
	c.Exists(xmpp.MustJID("juliet@example.com"))
	romeo := c.Online("romeo@example.com/r")
	romeo.Forgets()
	for i := range 6 {
		g.Says(wrapped(gw, fmt.Sprintf("<message xmlns='jabber:client' from='juliet@example.com' to='romeo@example.com' id='%d'><body>Spam</body></message>", i)))
	}
	n := 0
	for st := romeo.Hears(); st != nil; st = romeo.Hears() {
		n++
	}
	if n != 3 { // the limit of messages to strangers
		t.Errorf("%d messages arrived", n)
	}
	romeo.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='juliet@example.com'/></block></iq>")
	romeo.Forgets()
	g.Says(wrapped(gw, "<message xmlns='jabber:client' from='juliet@example.com' to='romeo@example.com' id='x'><body>Spam</body></message>"))
	romeo.GetsNothing()
}

func TestMessagesRefused(t *testing.T) {
	ok := "<message xmlns='jabber:client' from='juliet@example.com' to='romeo@example.com'><body>x</body></message>"
	for _, c := range []struct{ name, may, xml, condition string }{
		{"not allowed", "none", wrapped(gw, ok), "forbidden"},
		{"another component", "outgoing", wrapped("other.example.org", ok), "forbidden"},
		{"somebody at it", "outgoing", wrapped("x@gw.example.org", ok), "forbidden"},
		{"a full address", "outgoing", wrapped(gw, strings.Replace(ok, "@example.com'", "@example.com/r'", 1)), "forbidden"},
		{"another server's user", "outgoing", wrapped(gw, strings.Replace(ok, "juliet@example.com", "juliet@example.net", 1)), "forbidden"},
		{"nobody", "outgoing", wrapped(gw, strings.Replace(ok, "juliet@", "nobody@", 1)), "forbidden"},
		{"no from", "outgoing", wrapped(gw, strings.Replace(ok, " from='juliet@example.com'", "", 1)), "forbidden"},
		{"two messages", "outgoing", wrapped(gw, ok+ok), "bad-request"},
		{"nothing", "outgoing", wrapped(gw, ""), "bad-request"},
		{"no stanza", "outgoing", wrapped(gw, "<message xmlns='urn:x'/>"), "bad-request"},
		{"presence", "outgoing", wrapped(gw, "<presence xmlns='jabber:client' from='juliet@example.com'/>"), "bad-request"},
		{"no address", "outgoing", wrapped(gw, strings.Replace(ok, "romeo@", "@", 1)), "jid-malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			town := newTown(t, privilege.Permissions{Message: c.may})
			town.Exists(xmpp.MustJID("juliet@example.com"))
			romeo := town.Online("romeo@example.com/r")
			g, other := town.Service(gw), town.Service("other.example.org")
			g.Forgets()
			from := g
			if strings.Contains(c.xml, "from='other.") {
				from = other
			}
			from.Says(c.xml)
			st := from.Hears()
			if e := (*xmpp.Error)(nil); st == nil || st.Type != "error" || st.ID != "w" {
				t.Fatalf("no error but %v", st)
			} else if e = xmpp.ErrorOf(st); e.Condition != c.condition {
				t.Errorf("%s instead of %s", e.Condition, c.condition)
			}
			romeo.GetsNothing()
		})
	}
	// A user who writes the same gets what messages to the server get.
	town := newTown(t, privilege.Permissions{Message: "outgoing"})
	romeo, juliet := town.Online("romeo@example.com/r"), town.Online("juliet@example.com/j")
	juliet.Says(strings.Replace(wrapped("juliet@example.com/j", ok), "juliet@example.com' to='romeo", "nurse@example.com' to='romeo", 1))
	juliet.Gets("<message type='error' id='w' from='example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
	romeo.GetsNothing()
}

func asUser(typ, to, inner string) string {
	return "<iq from='gw.example.org' to='" + to + "' type='" + typ + "' id='p'><privileged_iq xmlns='urn:xmpp:privilege:2'>" + inner + "</privileged_iq></iq>"
}

func TestIQ(t *testing.T) {
	c := newTown(t, privilege.Permissions{IQ: []string{"jabber:iq:private=both", "urn:xmpp:ping=get", "urn:xmpp:carbons:2=set"}})
	g := c.Service(gw)
	g.Forgets()
	other := c.Service("other.example.org")
	c.Exists(xmpp.MustJID("juliet@example.com"))
	result := "<iq from='juliet@example.com' to='gw.example.org' id='p' type='result'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></privilege></iq>"
	// To the user's own account.
	g.Says(asUser("set", "juliet@example.com", "<iq xmlns='jabber:client' type='set' id='i1'><query xmlns='jabber:iq:private'><a xmlns='urn:a'>kept</a></query></iq>"))
	g.Gets(fmt.Sprintf(result, "<iq xmlns='jabber:client' from='juliet@example.com' to='juliet@example.com' id='i1' type='result'/>"))
	juliet := c.Online("juliet@example.com/j")
	juliet.Says("<iq type='get' id='1'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>")
	juliet.Gets("<iq type='result' id='1'><query xmlns='jabber:iq:private'><a xmlns='urn:a'>kept</a></query></iq>")
	// To the server, and elsewhere: what comes back is given back, with the id that was said.
	g.Says(asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i2' from='juliet@example.com' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"))
	g.Gets(fmt.Sprintf(result, "<iq xmlns='jabber:client' from='example.com' to='juliet@example.com' id='i2' type='result'/>"))
	g.Says(asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i3' to='other.example.org'><ping xmlns='urn:xmpp:ping'/></iq>"))
	other.Gets("<iq from='juliet@example.com' to='other.example.org' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
	// Answers that are none, or not from who was asked, are not given back.
	other.Says("<iq from='other.example.org' to='juliet@example.com' type='result' id='i3'/>")
	g.GetsNothing()
	other.Answers("")
	g.Gets(fmt.Sprintf(result, "<iq xmlns='jabber:client' from='other.example.org' to='juliet@example.com' id='i3' type='result'/>"))
	juliet.GetsNothing()
	// An error is an answer, too; also that there is nobody.
	g.Says(asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i4' to='nowhere.example'><ping xmlns='urn:xmpp:ping'/></iq>"))
	g.Gets(fmt.Sprintf(result, "<iq xmlns='jabber:client' from='nowhere.example' to='juliet@example.com' id='i4' type='error'>…<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"))
	// What is for a device has none to be for.
	g.Says(asUser("set", "juliet@example.com", "<iq xmlns='jabber:client' type='set' id='i5'><enable xmlns='urn:xmpp:carbons:2'/></iq>"))
	g.Gets(fmt.Sprintf(result, "<iq xmlns='jabber:client' from='juliet@example.com' to='juliet@example.com' id='i5' type='error'>…<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"))
	// Whom the user blocks is not asked.
	juliet.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='other.example.org'/></block></iq>")
	g.Says(asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i6' to='other.example.org'><ping xmlns='urn:xmpp:ping'/></iq>"))
	if st := g.Hears(); st == nil || st.Type != "error" {
		t.Errorf("a blocked domain is asked: %v", st)
	}
	other.GetsNothing()
}

func TestIQRefused(t *testing.T) {
	ok := "<iq xmlns='jabber:client' type='get' id='i'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>"
	for _, c := range []struct{ name, xml, condition string }{
		{"another namespace", asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i'><query xmlns='jabber:iq:roster'/></iq>"), "forbidden"},
		{"another type", asUser("set", "juliet@example.com", strings.Replace(ok, "get", "set", 1)), "forbidden"},
		{"two types", asUser("set", "juliet@example.com", ok), "forbidden"},
		{"nobody", asUser("get", "nobody@example.com", ok), "forbidden"},
		{"the server", asUser("get", "example.com", ok), "forbidden"},
		{"another user", asUser("get", "juliet@example.com", strings.Replace(ok, "type", "from='romeo@example.com' type", 1)), "forbidden"},
		{"a full address", asUser("get", "juliet@example.com", strings.Replace(ok, "type", "from='juliet@example.com/x' type", 1)), "forbidden"},
		{"another content namespace", asUser("get", "juliet@example.com", strings.Replace(ok, "jabber:client", "jabber:component:accept", 1)), "forbidden"},
		{"no request", asUser("get", "juliet@example.com", ""), "forbidden"},
		{"no payload", asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i'/>"), "bad-request"},
		{"two payloads", asUser("get", "juliet@example.com", "<iq xmlns='jabber:client' type='get' id='i'><query xmlns='jabber:iq:private'/><query xmlns='jabber:iq:private'/></iq>"), "bad-request"},
		{"no address", asUser("get", "juliet@example.com", strings.Replace(ok, "type", "to='@' type", 1)), "jid-malformed"},
		{"another component", strings.Replace(asUser("get", "juliet@example.com", ok), gw, "other.example.org", 1), "forbidden"},
		{"somebody at it", strings.Replace(asUser("get", "juliet@example.com", ok), "'"+gw, "'x@"+gw, 1), "forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			town := newTown(t, privilege.Permissions{IQ: []string{"jabber:iq:private=get"}})
			for _, who := range []string{"juliet@example.com", "romeo@example.com"} {
				town.Exists(xmpp.MustJID(who))
			}
			g, other := town.Service(gw), town.Service("other.example.org")
			g.Forgets()
			from := g
			if strings.Contains(c.xml, "from='other.") {
				from = other
			}
			from.Says(c.xml)
			st := from.Hears()
			if st == nil || st.Type != "error" || st.ID != "p" {
				t.Fatalf("no error but %v", st)
			}
			if e := xmpp.ErrorOf(st); e.Condition != c.condition {
				t.Errorf("%s instead of %s", e.Condition, c.condition)
			}
		})
	}
}
