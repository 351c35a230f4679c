package privilege_test

import (
	"testing"

	"parley/router/routertest"
	"parley/xep/privilege"
)

func TestPresenceOfUsers(t *testing.T) {
	c := newTown(t, privilege.Permissions{Presence: "managed_entity"})
	juliet := c.Online("juliet@example.com/home")
	c.Connected("nurse@example.com/home") // has shown nothing
	g := c.Service(gw)
	g.Gets("<message>…</message>")
	g.Gets("<message>…</message>")
	g.Gets("<presence from='juliet@example.com/home' to='gw.example.org'/>") // who was there before (XEP-0356 §8)
	romeo := c.Connected("romeo@example.com/r")
	romeo.Comes("<presence xml:lang='en'><show>chat</show></presence>")
	g.Gets("<presence from='romeo@example.com/r' to='gw.example.org' xml:lang='en'><show>chat</show></presence>")
	romeo.Says("<presence><show>away</show></presence>") // neither comes nor goes
	g.GetsNothing()
	romeo.Leaves()
	g.Gets("<presence from='romeo@example.com/r' to='gw.example.org' type='unavailable'/>")
	// Who blocks the component shows it nothing.
	juliet.Forgets()
	juliet.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='gw.example.org'/></block></iq>")
	g.Forgets()
	juliet.Says("<presence type='unavailable'/>")
	g.GetsNothing()
}

func TestNoPresenceWithoutPermission(t *testing.T) {
	c := newTown(t, privilege.Permissions{Roster: "both", Message: "outgoing"})
	g := c.Service(gw)
	g.Forgets()
	c.Online("juliet@example.com/home")
	g.GetsNothing()
}

func TestPresenceOfContacts(t *testing.T) {
	c := newTown(t, privilege.Permissions{Presence: "roster", Roster: "get"})
	g := c.Service(gw)
	g.Forgets()
	far := c.Service("far.example.org")
	juliet, nurse := c.Online("juliet@example.com/home"), c.Online("nurse@example.com/home")
	g.Gets("<presence from='juliet@example.com/home' to='gw.example.org'/>")
	g.Gets("<presence from='nurse@example.com/home' to='gw.example.org'/>")
	juliet.Says("<presence><show>away</show></presence>") // all that users of this house show
	g.Gets("<presence from='juliet@example.com/home' to='gw.example.org'><show>away</show></presence>")
	for _, a := range []*routertest.Actor{juliet, nurse} {
		a.Forgets()
		a.Does("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='romeo@far.example.org'/></query></iq>")
	}
	g.Forgets()
	// A contact's presence comes once, in however many rosters that is.
	say := func(from, content string) {
		for _, to := range []string{"juliet@example.com", "nurse@example.com", "nobody@example.com"} {
			far.Says("<presence from='" + from + "' to='" + to + "'" + content)
		}
	}
	say("romeo@far.example.org/r", "/>")
	g.Gets("<presence from='romeo@far.example.org/r' to='gw.example.org'/>")
	g.GetsNothing()
	say("romeo@far.example.org/r", "><show>dnd</show></presence>")
	g.Gets("<presence from='romeo@far.example.org/r' to='gw.example.org'><show>dnd</show></presence>")
	say("romeo@far.example.org/r", " type='subscribe'/>")
	say("tybalt@far.example.org/r", "/>") // nobody's contact
	g.GetsNothing()
	// Whether the user is there or not.
	juliet.Leaves()
	nurse.Leaves()
	g.Forgets()
	say("romeo@far.example.org/r", " type='unavailable'/>")
	g.Gets("<presence from='romeo@far.example.org/r' to='gw.example.org' type='unavailable'/>")
	g.GetsNothing()
}
