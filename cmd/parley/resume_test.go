package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// managed enables stream management and returns the session's id.
func (c *client) managed() string {
	c.t.Helper()
	c.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	return regexp.MustCompile(`id='([^']+)'`).FindStringSubmatch(c.expect("max='600'/>"))[1]
}

// resumes asks a server for a session and returns the connection and the answer.
func resumes(t *testing.T, c *child, user, password, id string, h int) (*client, string) {
	t.Helper()
	again := dialTLS(t, c.direct, "localhost")
	if last := again.auth(user, password); !strings.HasPrefix(last, "success") {
		t.Fatal(last)
	}
	again.open()
	again.expect("</stream:features>")
	again.send(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", id, h))
	return again, again.expect(">")
}

// The real process is stopped and started: the session goes on. After a crash it does not,
// and the client logs in anew.
func TestResumedAfterRestart(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	c.must("pw\n", "user", "add", "romeo")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	id := juliet.managed()
	juliet.ping()
	if code, _ := c.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	contains(t, juliet.toEnd(), "<a xmlns='urn:xmpp:sm:3' h='1'/>", "<system-shutdown")
	c.start()
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "x")
	romeo.send("<message to='juliet@localhost/one' type='chat'><body>Are you there?</body></message>")
	romeo.ping()
	juliet, answer := resumes(t, c, "juliet", "pw", id, 1)
	contains(t, answer, "<resumed ", "h='1'")
	juliet.expect("Are you there?")
	juliet.expect("</message>")
	juliet.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")
	juliet.ping()

	c.kill()
	c.start()
	fresh, answer := resumes(t, c, "juliet", "pw", id, 2)
	contains(t, answer, "<failed ")
	fresh.expect("item-not-found")
	fresh.expect("</failed>")
	fresh.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
	fresh.expect("juliet@localhost/")
	fresh.ping()
}

// Sessions that wait are shown and can be ended.
func TestWaitingSessionCommands(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	juliet.managed()
	juliet.conn.Close()
	var list []sessionInfo
	eventually(t, func() bool {
		c.mustJSON(&list, "session", "list")
		return len(list) == 1 && list[0].Waiting && list[0].Presence == "available" && list[0].Address == ""
	}, func() string { return fmt.Sprintf("%+v", list) })
	contains(t, c.must("", "session", "list"), "(may be resumed)")
	c.must("", "session", "kick", "juliet@localhost/one")
	eventually(t, func() bool { c.mustJSON(&list, "session", "list"); return len(list) == 0 }, func() string { return "it still waits" })
}
