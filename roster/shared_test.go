package roster

import (
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// company is a stage with shared groups that a test may change.
type company struct {
	*stage
	groups  *Groups
	feature *feature
}

func newCompany(t testing.TB, features ...router.Feature) *company {
	dir := &routertest.Directory{}
	g := NewGroups(dir)
	f := newFeature(Config{Directory: g})
	h := routertest.NewWith(t, routertest.Config{Dir: dir, Features: append([]router.Feature{f.literal()}, features...)})
	return &company{&stage{h, t}, g, f}
}

// group writes a group as "name: members > shown to"; without the last part it is shown to
// its members.
func group(s string) SharedGroup {
	name, rest, _ := strings.Cut(s, ": ")
	members, shown, given := strings.Cut(rest, " > ")
	g := SharedGroup{Name: name, Members: addresses(members)}
	if g.ShownTo = g.Members; given {
		g.ShownTo = addresses(shown)
	}
	return g
}

func addresses(s string) (list []xmpp.JID) {
	for _, f := range strings.Fields(s) {
		list = append(list, xmpp.MustJID(f))
	}
	return list
}

// has sets the groups.
func (c *company) has(groups ...string) {
	var list []SharedGroup
	for _, g := range groups {
		list = append(list, group(g))
	}
	c.groups.Set(list)
	c.Settle()
}

const (
	rosterGet = "<iq id='g' type='get'><query xmlns='jabber:iq:roster'/></iq>"
	juliet    = "juliet@example.com"
	romeo     = "romeo@example.com"
)

func pushed(item string) string {
	return "<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'>" + item + "</query></iq>"
}

func whole(items string) string {
	return "<iq id='g' type='result'><query xmlns='jabber:iq:roster' ver='*'>" + items + "</query></iq>"
}

func itemSet(item string) string {
	return "<iq id='s' type='set'><query xmlns='jabber:iq:roster'>" + item + "</query></iq>"
}

func sharedItem(jid, name, subscription, groups string) string {
	return "<item jid='" + jid + "' name='" + name + "' subscription='" + subscription + "'>" + groups + "</item>"
}

// TestOneWay: who is shown a group sees its members, and they see that.
func TestOneWay(t *testing.T) {
	c := newCompany(t)
	c.has("Support: juliet@example.com > example.com")
	r, j := c.Online(romeo+"/a"), c.Online(juliet+"/b")
	r.Forgets()
	j.Forgets()
	r.Sends(rosterGet)
	r.Gets(whole(sharedItem(juliet, "juliet", "to", "<group>Support</group>")))
	j.Sends(rosterGet)
	j.Gets(whole("<item jid='romeo@example.com' name='romeo' subscription='from'/>"))
	j.Sends("<presence><show>away</show></presence>")
	r.Gets("<presence from='juliet@example.com/b'><show>away</show></presence>")
	j.Forgets()
	r.Sends("<presence><show>dnd</show></presence>")
	j.GetsNothing()
}

// TestRemovedFromAGroup: presence ends with the group, and comes back with it. Whose turn
// comes first is open, and presence may come twice.
func TestRemovedFromAGroup(t *testing.T) {
	c := newCompany(t)
	c.has("All: example.com")
	r, j := c.Online(romeo+"/a"), c.Online(juliet+"/b")
	r.Sends(rosterGet)
	r.Forgets()
	j.Forgets()
	c.has("All: juliet@example.com")
	either(t, r, pushed("<item jid='juliet@example.com' subscription='remove'/>"),
		"<presence type='unavailable' from='juliet@example.com/b' to='romeo@example.com'/>")
	j.Gets("<presence type='unavailable' from='romeo@example.com/a' to='juliet@example.com'/>")
	r.GetsNothing()
	j.GetsNothing()
	c.has("All: example.com")
	heard := map[string]int{}
	last := ""
	for st := r.Hears(); st != nil; st = r.Hears() {
		last = st.Kind.String() + " " + st.From.String()
		heard[last]++
	}
	if last != "presence juliet@example.com/b" || len(heard) != 2 || heard["iq "] != 1 {
		t.Errorf("romeo hears %v, at last %s", heard, last) // presence behind the item, in any case
	}
	j.Gets("<presence from='romeo@example.com/a' to='juliet@example.com'><delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'/></presence>")
}

// either has somebody hear two stanzas, in any order.
func either(t *testing.T, a *routertest.Actor, one, two string) {
	t.Helper()
	first, second := a.Hears(), a.Hears()
	if first == nil || second == nil {
		t.Fatalf("%s hears too little", a.JID())
	}
	if routertest.Match(one, first) != "" {
		one, two = two, one
	}
	for _, why := range []string{routertest.Match(one, first), routertest.Match(two, second)} {
		if why != "" {
			t.Errorf("%s: %s", a.JID(), why)
		}
	}
}

// TestOwnNameAndGroups: the user's own words stay, the group's do not become the user's.
func TestOwnNameAndGroups(t *testing.T) {
	c := newCompany(t)
	c.has("All: example.com")
	c.Exists(xmpp.MustJID(juliet))
	r := c.Connected(romeo + "/a")
	r.Sends(rosterGet)
	r.Gets(whole(sharedItem(juliet, "juliet", "both", "<group>All</group>")))
	r.Sends(itemSet("<item jid='juliet@example.com' name='Jule'><group>Friends</group><group>All</group></item>"))
	r.Gets(pushed(sharedItem(juliet, "Jule", "both", "<group>All</group><group>Friends</group>")))
	r.Forgets()
	r.Sends(rosterGet)
	r.Gets(whole(sharedItem(juliet, "Jule", "both", "<group>All</group><group>Friends</group>")))
	c.has("Staff: example.com")
	r.Gets(pushed(sharedItem(juliet, "Jule", "both", "<group>Staff</group><group>Friends</group>")))
	c.has()
	r.Gets(pushed(sharedItem(juliet, "Jule", "none", "<group>Friends</group>")))
	c.has("All: example.com")
	r.Forgets()
	r.Sends(itemSet("<item jid='juliet@example.com' subscription='remove'/>"))
	r.Gets(pushed(sharedItem(juliet, "juliet", "both", "<group>All</group>")))
	r.Gets("<iq id='s' type='result'/>")
}

// TestVersions: an unchanged roster is not sent again, a changed shared part as a whole.
func TestVersions(t *testing.T) {
	c := newCompany(t)
	c.has("All: example.com")
	c.Exists(xmpp.MustJID(juliet))
	r := c.Connected(romeo + "/a")
	ask := func(ver string) (answer *xmpp.Stanza) {
		r.Sends("<iq id='g' type='get'><query xmlns='jabber:iq:roster' ver='" + ver + "'/></iq>")
		return r.Hears()
	}
	first := ask("").Child(ns, "query")
	ver := first.Attr("ver")
	if !first.First().Is(ns, "item") || ver == "" {
		t.Fatalf("the roster is %s", first.Payload())
	}
	if again := ask(ver); !again.Child(ns, "query").IsZero() {
		t.Errorf("an unchanged roster was sent: %s", again)
	}
	c.Exists(xmpp.MustJID("tybalt@example.com"))
	if now := r.Hears().Payload().Attr("ver"); now == ver || ask(now).Child(ns, "query").IsZero() == false {
		t.Errorf("behind a push the version is %q", now)
	}
	if all := ask(ver).Child(ns, "query"); all.IsZero() || all.Attr("ver") == ver {
		t.Error("a changed roster was not sent")
	}
}

// TestPending: a request that waits is not shown any more when a group has answered it.
func TestPending(t *testing.T) {
	c := newCompany(t)
	c.Exists(xmpp.MustJID(juliet))
	r := c.Online(romeo + "/a")
	r.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	c.has("All: example.com")
	j := c.Online(juliet + "/b")
	j.Gets("<presence from='romeo@example.com/a'><delay xmlns='urn:xmpp:delay' from='example.com' stamp='*'/></presence>")
	j.GetsNothing() // no request is shown: romeo sees her already
}
