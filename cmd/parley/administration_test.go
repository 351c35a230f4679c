package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

const adminNS = "http://jabber.org/protocol/admin"

// command sends one step of a command and returns the answer.
func (c *client) command(node, session, inner string) string {
	c.t.Helper()
	c.send("<iq type='set' id='cmd' to='" + c.host + "'><command xmlns='http://jabber.org/protocol/commands' node='" + node + "'" + session + ">" + inner + "</command></iq>")
	c.expect("<iq ")
	return c.expect("</iq>")
}

// runs goes through a command with one form and returns the last answer. fields are names
// and values in turn.
func (c *client) runs(node string, fields ...string) string {
	c.t.Helper()
	first := c.command(node, "", "")
	m := regexp.MustCompile(`sessionid='([^']*)' status='executing'`).FindStringSubmatch(first)
	if m == nil {
		c.t.Fatalf("%s: %s", node, first)
	}
	form := "<x xmlns='jabber:x:data' type='submit'>"
	for i := 0; i < len(fields); i += 2 {
		form += "<field var='" + fields[i] + "'><value>" + fields[i+1] + "</value></field>"
	}
	return c.command(node, " sessionid='"+m[1]+"'", form+"</x>")
}

// TestAdministrators does with a client what the commands of the program do.
func TestAdministrators(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "admins = [\"Bard@localhost\"]\n[registration]\nopen = true\n")
	c.start()

	// Nobody takes an administrator's name.
	thief := dialTLS(t, c.direct, "localhost")
	thief.open()
	thief.expect("</stream:features>")
	register := "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>%</username><password>pw</password></query></iq>"
	thief.send(strings.ReplaceAll(register, "%", "BARD"))
	contains(t, thief.expect("</iq>"), "<conflict")
	thief.send(strings.ReplaceAll(register, "%", "iago"))
	thief.expect("type='result'")

	c.must("pw\n", "user", "add", "bard")
	bard := dialTLS(t, c.direct, "localhost").login("bard", "pw", "globe")
	iago := dialTLS(t, c.direct, "localhost").login("iago", "pw", "x")
	contains(t, iago.command(adminNS+"#add-user", "", ""), "<forbidden")

	const secret = "never-to-be-logged"
	contains(t, bard.runs(adminNS+"#add-user", "accountjid", "juliet@localhost", "password", secret), "completed")
	contains(t, bard.runs(adminNS+"#add-user", "accountjid", "juliet@localhost", "password", secret), "<conflict")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", secret, "balcony")
	contains(t, bard.runs(adminNS+"#user-stats", "accountjid", "juliet@localhost"), "<value>127.0.0.1</value>", "<value>balcony</value>")
	var last string // it is written soon after the login, which does not wait for it
	eventually(t, func() bool {
		last = bard.runs(adminNS+"#get-user-lastlogin", "accountjids", "juliet@localhost")
		return strings.Contains(last, "<value>"+time.Now().UTC().Format("2006-01-"))
	}, func() string { return last })
	contains(t, bard.runs(adminNS+"#change-user-password", "accountjid", "juliet@localhost", "password", secret+"2"), "completed")
	contains(t, juliet.toEnd(), "<reset")
	juliet = dialTLS(t, c.direct, "localhost").login("juliet", secret+"2", "balcony")
	contains(t, bard.runs(adminNS+"#disable-user", "accountjids", "juliet@localhost"), "Disabled: 1")
	contains(t, juliet.toEnd(), "<not-authorized")
	contains(t, c.must("", "user", "show", "juliet"), "disabled")
	contains(t, bard.command(adminNS+"#get-disabled-users-num", "", ""), "<value>1</value>")
	contains(t, bard.runs(adminNS+"#get-disabled-users-list"), "<value>juliet@localhost</value>")
	contains(t, bard.runs(adminNS+"#reenable-user", "accountjids", "juliet@localhost"), "Enabled: 1")
	contains(t, bard.runs(adminNS+"#delete-user", "accountjids", "juliet@localhost"), "Deleted: 1")
	c.fails(exitNotFound, "", "user", "show", "juliet")
	contains(t, bard.command(adminNS+"#get-registered-users-num", "", ""), "<value>2</value>")
	contains(t, bard.runs(adminNS+"#get-registered-users-list", "max_items", "none"), "<value>bard@localhost</value><value>iago@localhost</value>")

	// The own password, and the own sessions: the answer comes first.
	contains(t, bard.runs(adminNS+"#change-user-password", "accountjid", "bard@localhost", "password", "pw2"), "completed")
	bard.ping()
	contains(t, bard.runs(adminNS+"#end-user-session", "accountjids", "bard@localhost"), "Sessions ended: 1")
	contains(t, bard.toEnd(), "<policy-violation", "ended by an administrator")

	c.waitLog("sessions ended")
	log := c.log.String()
	contains(t, log, "account added", "password set", "account disabled", "account enabled", "account removed", "sessions ended", "by=bard@localhost/globe",
		"msg=command node="+adminNS+"#add-user")
	if strings.Contains(log, secret) {
		t.Errorf("a password is in the log:\n%s", log)
	}
}

// TestReloadOfAdministrators takes the right away from somebody who is logged in, in the
// middle of a command, and gives it to somebody else.
func TestReloadOfAdministrators(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "admins = [\"bard@localhost\"]\n")
	c.start()
	c.must("pw\n", "user", "add", "bard")
	c.must("pw\n", "user", "add", "will")
	bard := dialTLS(t, c.direct, "localhost").login("bard", "pw", "globe")
	will := dialTLS(t, c.direct, "localhost").login("will", "pw", "globe")
	first := bard.command(adminNS+"#delete-user", "", "")
	session := regexp.MustCompile(`sessionid='([^']*)'`).FindString(first)
	contains(t, will.command("urn:x-parley:admin#reload", "", ""), "<forbidden")

	c.write("parley.toml", "admins = [\"will@localhost\"]\n[limits]\nmemory = 64\n")
	contains(t, bard.command("urn:x-parley:admin#reload", "", ""), "has been reloaded", "limits.memory has changed and needs a restart")
	contains(t, bard.command(adminNS+"#delete-user", " "+session, "<x xmlns='jabber:x:data' type='submit'><field var='accountjids'><value>will@localhost</value></field></x>"), "<forbidden")
	contains(t, will.command("urn:x-parley:admin#admins", "", ""), "<value>will@localhost</value>")

	c.write("parley.toml", "admins = [\"will@localhost\"]\n[limits]\nmemori = 64\n")
	contains(t, will.command("urn:x-parley:admin#reload", "", ""), "<not-acceptable", "memori")
	contains(t, will.command("urn:x-parley:admin#admins", "", ""), "<value>will@localhost</value>")
}

// TestShutdownByAnAdministrator ends the server as SIGTERM does.
func TestShutdownByAnAdministrator(t *testing.T) {
	c := startChild(t, "PARLEY_ADMINS=bard@localhost")
	c.must("pw\n", "user", "add", "bard")
	c.must("pw\n", "user", "add", "juliet")
	bard := dialTLS(t, c.direct, "localhost").login("bard", "pw", "globe")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "balcony")
	contains(t, bard.runs(adminNS+"#shutdown", "delay", "0", "announcement", strings.Repeat("x", 20000)), "<not-acceptable")
	bard.ping() // nothing has come of it
	bard.send("<presence type='unavailable'/>")
	bard.ping()
	contains(t, bard.runs(adminNS+"#shutdown", "delay", "0", "announcement", "Go home."), "completed")
	contains(t, juliet.toEnd(), "type='headline'", "<body>Go home.</body>", "<system-shutdown")
	bard.toEnd()
	if code := c.wait(15 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, c.log.String(), "msg=stopping by=bard@localhost/globe", "msg=stopped")
}

// TestShutdownWaits and there is only one; a signal is quicker.
func TestShutdownWaits(t *testing.T) {
	c := startChild(t, "PARLEY_ADMINS=bard@localhost")
	c.must("pw\n", "user", "add", "bard")
	bard := dialTLS(t, c.direct, "localhost").login("bard", "pw", "globe")
	contains(t, bard.runs(adminNS+"#shutdown", "delay", "300"), "in 300 seconds")
	contains(t, bard.runs(adminNS+"#shutdown", "delay", "0"), "<conflict")
	bard.ping()
	if code, _ := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestAnnounce tells things to users from the command line.
func TestAnnounce(t *testing.T) {
	c := startChild(t, "PARLEY_DOMAINS=localhost,other.example")
	for _, u := range []string{"juliet", "romeo", "paris@other.example"} {
		c.must("pw\n", "user", "add", u)
	}
	c.must("pw\n", "user", "add", "tybalt")
	c.must("", "user", "disable", "tybalt")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "balcony")
	paris := dialTLS(t, c.direct, "other.example").login("paris", "pw", "x")

	if got := c.must("", "announce", "--online", "Soon <&>"); got != "localhost: users reached: 1\nother.example: users reached: 1\n" {
		t.Errorf("%q", got)
	}
	juliet.expect("<body>Soon &lt;&amp;&gt;</body>")
	paris.expect("<body>Soon &lt;&amp;&gt;</body>")

	var list []announced
	c.mustJSON(&list, "announce", "--all", "--host", "LOCALHOST", "--subject", "Rules", "Be good.")
	if len(list) != 1 || list[0] != (announced{Domain: "localhost", Accounts: 2}) {
		t.Errorf("%+v", list)
	}
	juliet.expect("<subject>Rules</subject><body>Be good.</body>")
	c.waitLog("announcement to all is through\" domain=localhost accounts=2 by=\"the operator\"") // not to who may not log in
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "street")
	contains(t, romeo.expect("</message>"), "<subject>Rules</subject><body>Be good.</body><delay")

	contains(t, c.must("Wine\nand cheese\n", "announce", "--motd", "--host", "localhost", "-"), "localhost: shown to users online: 2;")
	juliet.expect("<body>Wine&#10;and cheese</body>")
	romeo.expect("<body>Wine&#10;and cheese</body>")
	romeo.send("<presence type='unavailable'/>")
	romeo.ping()
	romeo.send("<presence/>")
	romeo.ping()
	if strings.Contains(romeo.got, "Wine") {
		t.Error("the message of the day came twice")
	}
	if got := c.must("", "announce", "--remove-motd"); got != "localhost: the message of the day is gone\nother.example: there was no message of the day\n" {
		t.Errorf("%q", got)
	}
	for want, args := range map[string][]string{
		"the text is missing":                  {"announce", "--online"},
		"takes no text":                        {"announce", "--remove-motd", "x"},
		"at least one of the flags":            {"announce", "x"},
		"none of the others can be":            {"announce", "--all", "--online", "x"},
		"x.example is none of this server's":   {"announce", "--all", "--host", "x.example", "x"},
		"the announcement is empty":            {"announce", "--all", " "},
		"more than one line":                   {"announce", "--all", "--subject", "a\nb", "x"},
		"the announcement has more than 10000": {"announce", "--all", strings.Repeat("x", 10001)},
		"accepts at most 1 arg(s), received 2": {"announce", "--all", "x", "y"},
		"unknown flag: --everybody":            {"announce", "--everybody", "x"},
	} {
		contains(t, c.fails(exitUsage, "", args...), want)
	}
	if strings.Contains(paris.got, "Be good") || strings.Contains(paris.got, "Wine") {
		t.Error("what was said on one domain was heard on the other")
	}
	c.stop()
	contains(t, c.fails(exitDown, "", "announce", "--online", "x"), "no server is running")
}
