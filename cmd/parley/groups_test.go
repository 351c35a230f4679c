package main

import (
	"strings"
	"testing"
)

// TestSharedGroupsReload changes groups, and accounts, under a running server.
func TestSharedGroupsReload(t *testing.T) {
	c := newChild(t)
	c.start()
	c.must("pw\n", "user", "add", "juliet")
	c.must("pw\n", "user", "add", "romeo")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "a")
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "b")
	romeo.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	contains(t, romeo.expect("ver='0'"), "id='r'")
	romeo.ping()

	c.write("parley.toml", "[shared_groups.Everybody]\nmembers = [\"@localhost\"]\n")
	c.hup("msg=reloaded")
	contains(t, romeo.expect("</iq>"), "juliet@localhost", "both", "<group>Everybody</group>")
	contains(t, romeo.expect("<presence")+romeo.expect(">"), "juliet@localhost/a")
	contains(t, juliet.expect("<presence")+juliet.expect(">"), "romeo@localhost/b")

	// An account comes and goes.
	c.must("pw\n", "user", "add", "nurse")
	contains(t, romeo.expect("</iq>"), "nurse@localhost", "<group>Everybody</group>")
	c.must("", "user", "del", "nurse")
	contains(t, romeo.expect("</iq>"), "nurse@localhost", "subscription='remove'")

	// A file with a mistake changes nothing.
	c.write("parley.toml", "[shared_groups.Everybody]\nmembers = [\"@elsewhere\"]\n")
	contains(t, c.fails(exitConfig, "", "reload"), "parley.toml:2: shared_groups.Everybody.members: elsewhere is none of the domains")
	romeo.ping()

	c.write("parley.toml", "[search]\nenabled = true\n")
	contains(t, c.must("", "reload"), "search.enabled has changed and needs a restart")
	contains(t, romeo.expect("/></query></iq>"), "juliet@localhost", "subscription='remove'")
	romeo.send("<iq type='set' id='s' to='localhost'><query xmlns='jabber:iq:search'><nick>j</nick></query></iq>")
	contains(t, romeo.expect("</iq>"), "service-unavailable")
	if log := c.log.String(); strings.Contains(log, "shared_groups") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}
