package main

import "testing"

// TestLastActivityInPresence switches it on under a running server: who comes online then
// hears of an absent contact.
func TestLastActivityInPresence(t *testing.T) {
	c := newChild(t)
	c.start()
	for _, name := range []string{"juliet", "romeo"} {
		c.must("pw\n", "user", "add", name)
	}
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "x")
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "x")
	juliet.send("<presence type='subscribed' to='romeo@localhost'/>")
	juliet.ping()
	romeo.send("<presence type='subscribe' to='juliet@localhost'/>")
	romeo.expect("from='juliet@localhost/x'")
	juliet.send("<presence type='unavailable'><status>To the balcony</status></presence>")
	romeo.expect("To the balcony")
	c.write("parley.toml", "[presence]\nlast_activity = true\n")
	c.hup("msg=reloaded")
	again := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "y")
	again.expect("from='juliet@localhost' type='unavailable'")
	contains(t, again.expect("</presence>"), "<delay xmlns='urn:xmpp:delay'", "<query xmlns='jabber:iq:last' seconds=", "To the balcony")
}
