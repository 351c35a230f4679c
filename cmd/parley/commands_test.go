package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUserCommands goes through an account's life, with a running and with a stopped
// server.
func TestUserCommands(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(map[bool]string{true: "running", false: "stopped"}[running], func(t *testing.T) {
			c := newChild(t)
			if running {
				c.start()
			}
			userCommands(t, c)
		})
	}
}

func userCommands(t *testing.T, c *child) {
	if got := c.must("pw\n", "user", "add", "juliet@localhost"); got != "juliet@localhost added\n" {
		t.Errorf("%q", got)
	}
	c.must("pw", "user", "add", "Romeo") // the first domain, and no line end
	contains(t, c.fails(exitExists, "pw\n", "user", "add", "juliet"), "juliet@localhost exists already", "parley user passwd juliet@localhost")
	contains(t, c.fails(exitUsage, "pw\n", "user", "add", "juliet@elsewhere.example"), "elsewhere.example is none of this server's domains (localhost)")
	contains(t, c.fails(exitUsage, "pw\n", "user", "add", "a b@localhost"), "is no address")
	contains(t, c.fails(exitUsage, "pw\n", "user", "add", "juliet@localhost/balcony"), "no user's address")
	contains(t, c.fails(exitUsage, "", "user", "add", "nurse"), "no password on standard input")
	contains(t, c.fails(exitUsage, "\n", "user", "add", "nurse"), "no password on standard input")
	contains(t, c.fails(exitUsage, strings.Repeat("x", 100<<10), "user", "add", "nurse"), "too long")
	contains(t, c.fails(exitUsage, "a\x00b\n", "user", "add", "nurse"), "password")
	contains(t, c.fails(exitUsage, "", "user", "add"), "accepts 1 arg")
	for _, command := range []string{"disable", "enable", "del", "show"} {
		contains(t, c.fails(exitNotFound, "", "user", command, "nobody"), "there is no account nobody@localhost")
	}
	contains(t, c.fails(exitNotFound, "pw\n", "user", "passwd", "nobody"), "there is no account nobody@localhost")
	if got := c.must("new\n", "user", "passwd", "juliet"); got != "juliet@localhost has a new password\n" {
		t.Errorf("%q", got)
	}
	if got := c.must("", "user", "disable", "romeo"); got != "romeo@localhost disabled\n" {
		t.Errorf("%q", got)
	}
	if got := c.must("", "user", "list"); got != "juliet@localhost\nromeo@localhost  (disabled)\n" {
		t.Errorf("%q", got)
	}
	var list []userInfo
	c.mustJSON(&list, "user", "list")
	if len(list) != 2 || list[0].JID != "juliet@localhost" || list[0].Disabled || !list[1].Disabled || time.Since(list[0].Created) > time.Hour || list[0].LastLogin != nil {
		t.Errorf("%+v", list)
	}
	c.must("", "user", "enable", "romeo")
	contains(t, c.must("", "user", "show", "romeo"), "romeo@localhost", "enabled", "never")
	if got := c.must("", "user", "del", "romeo"); got != "romeo@localhost removed\n" {
		t.Errorf("%q", got)
	}
	if got := c.must("", "user", "list"); got != "juliet@localhost\n" {
		t.Errorf("%q", got)
	}
	copied := filepath.Join(c.dir, "copy.db")
	contains(t, c.must("", "backup", "copy.db"), copied+" written")
	contains(t, c.fails(exitFailed, "", "backup", "copy.db"), "exists, and a backup overwrites nothing")
	if st, err := os.Stat(copied); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
}

// TestRestore puts a backup in place of the database.
func TestRestore(t *testing.T) {
	c := newChild(t)
	c.must("pw\n", "user", "add", "juliet")
	c.must("", "backup", "copy.db")
	c.must("", "user", "del", "juliet")
	data := filepath.Join(c.dir, "data")
	for _, name := range []string{"parley.db-wal", "parley.db-shm"} {
		os.Remove(filepath.Join(data, name))
	}
	if err := os.Rename(filepath.Join(c.dir, "copy.db"), filepath.Join(data, "parley.db")); err != nil {
		t.Fatal(err)
	}
	c.start()
	dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
}

// TestCommandsMakeNoDirectory: a mistyped data directory should not come to be.
func TestCommandsMakeNoDirectory(t *testing.T) {
	c := newChild(t)
	for _, args := range [][]string{{"user", "list"}, {"user", "show", "juliet"}, {"user", "del", "juliet"}, {"backup", "copy.db"}} {
		contains(t, c.fails(exitFailed, "", append(args, "--data", "typo")...), "there is no database in "+filepath.Join(c.dir, "typo"))
	}
	contains(t, c.must("", "cert", "show", "--data", "typo"), "localhost has no certificate yet")
	c.must("", "config", "check", "--data", "typo")
	if _, err := os.Stat(filepath.Join(c.dir, "typo")); err == nil {
		t.Error("the directory was made")
	}
	for _, args := range [][]string{{"session", "list"}, {"session", "kick", "juliet@localhost"}, {"reload"}} {
		contains(t, c.fails(exitDown, "", args...), "no server is running on "+filepath.Join(c.dir, "data"))
	}
}

// TestSessionCommands lists and ends sessions.
func TestSessionCommands(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	one := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	two := dialSTARTTLS(t, c.starttls, "localhost").login("juliet", "pw", "two")
	two.send("<presence><show>dnd</show><priority>-5</priority></presence>")
	two.ping()
	var list []sessionInfo
	c.mustJSON(&list, "session", "list")
	if len(list) != 2 || list[0].JID != one.jid || list[0].Presence != "available" || list[1].Presence != "dnd" || list[1].Priority != -5 ||
		!strings.HasPrefix(list[0].TLS, "TLS1.3 ") || !strings.HasPrefix(list[0].Address, "127.0.0.1:") || len(list[0].Conn) != 10 || list[0].Via != "tcp" {
		t.Errorf("%+v", list)
	}
	contains(t, c.must("", "session", "list"), "SESSION", "VIA", one.jid, two.jid, "dnd")
	contains(t, c.must("", "user", "show", "juliet"), "one", "two")
	if got := c.must("", "session", "kick", one.jid); got != one.jid+" ended\n" {
		t.Errorf("%q", got)
	}
	contains(t, one.toEnd(), "<policy-violation", "ended by the operator")
	two.ping()
	c.must("", "session", "kick", "juliet@localhost")
	contains(t, two.toEnd(), "<policy-violation")
	eventually(t, func() bool { c.mustJSON(&list, "session", "list"); return len(list) == 0 }, func() string { return "sessions are left" })
	contains(t, c.fails(exitNotFound, "", "session", "kick", "juliet@localhost"), "there is no session of juliet@localhost")
	contains(t, c.fails(exitUsage, "", "session", "kick", "localhost"), "no user's address")
}

// TestAccountsEndSessions: what an operator does to an account reaches those who are
// logged in.
func TestAccountsEndSessions(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "romeo")
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "r")
	for _, step := range []struct {
		command, stdin, says, condition string
	}{
		{"passwd", "new\n", "juliet@localhost has a new password; sessions ended: 1\n", "<reset"},
		{"disable", "", "juliet@localhost disabled; sessions ended: 1\n", "<not-authorized"},
		{"del", "", "juliet@localhost removed; sessions ended: 1\n", "<not-authorized"},
	} {
		c.must("pw\n", "user", "add", "juliet")
		juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
		if got := c.must(step.stdin, "user", step.command, "juliet"); got != step.says {
			t.Errorf("%s: %q", step.command, got)
		}
		contains(t, juliet.toEnd(), step.condition, "</stream:stream>")
		if last := dialTLS(t, c.direct, "localhost").auth("juliet", "pw"); !strings.HasPrefix(last, "failure") {
			t.Errorf("%s: %s", step.command, last)
		}
		if step.command == "passwd" {
			dialTLS(t, c.direct, "localhost").login("juliet", "new", "j")
		}
		if step.command == "disable" {
			c.must("", "user", "enable", "juliet")
			dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
		}
		if step.command != "del" {
			c.must("", "user", "del", "juliet")
		}
	}
	romeo.ping() // nobody else noticed
	contains(t, c.log.String(), "account added", "password set", "by=\"the operator\"", "account disabled", "account enabled", "account removed")
}

// TestOtherCommands looks at those that need neither a server nor data.
func TestOtherCommands(t *testing.T) {
	c := newChild(t)
	contains(t, c.must(""), "parley serve", "user add", "Exit codes")
	contains(t, c.must("", "help", "user", "add"), "the password is asked for")
	contains(t, c.must("", "version"), "parley ", "SQLite 3.")
	var v versions
	c.mustJSON(&v, "version")
	if v.Version == "" || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("%+v", v)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		contains(t, c.must("", "completion", shell), "parley")
	}
	contains(t, c.must("", "__complete", "user", ""), "passwd")
	contains(t, c.fails(exitUsage, "", "serv"), `unknown command "serv" for "parley"; did you mean "serve"?`)
	contains(t, c.fails(exitUsage, "", "user", "ad"), `unknown command "ad" for "parley user"; did you mean "add"?`)
	contains(t, c.fails(exitUsage, "", "serve", "--prot", "1"), "unknown flag: --prot")
	contains(t, c.fails(exitUsage, "", "serve", "extra"), "extra")

	if got := c.must("", "config", "check"); got != "no configuration file; the defaults and the environment are in order\n" {
		t.Errorf("%q", got)
	}
	c.write("parley.toml", c.must("", "config", "example"))
	contains(t, c.must("", "config", "check"), "parley.toml is in order\n")
	contains(t, c.must("", "config", "show"), `listen = ["127.0.0.1:0"]`, `idle = "5m"`)
	var shown map[string]any
	c.mustJSON(&shown, "config", "show")
	if c2s, _ := shown["c2s"].(map[string]any); c2s["idle"] != "5m" || c2s["require_tls"] != true {
		t.Errorf("%v", shown)
	}
	var checked struct {
		OK    bool
		Notes []string
	}
	c.mustJSON(&checked, "config", "check")
	if !checked.OK || checked.Notes == nil {
		t.Errorf("%+v", checked)
	}
	c.start() // a server starts with the example
	contains(t, c.hello, "--config parley.toml user add")
	var certs []certInfo
	c.mustJSON(&certs, "cert", "show")
	if len(certs) != 1 || certs[0].Domain != "localhost" || certs[0].Key != "ECDSA P-256" || !certs[0].SelfSigned || len(certs[0].SHA256) != 95 {
		t.Errorf("%+v", certs)
	}
	contains(t, c.must("", "cert", "show"), "ECDSA P-256", "itself (self-signed)", "SHA-256")
	certificate(t, c, "a", "other.example")
	c.write("parley.toml", "[certificates.localhost]\ncert = \"a.pem\"\nkey = \"a.key\"\n")
	contains(t, c.must("", "config", "check"), "note: certificate of localhost: it does not name localhost, only: other.example\n")
	c.write("parley.toml", "[tls]\nclient_ca = [\"a.key\"]\n")
	contains(t, c.fails(exitConfig, "", "config", "check"), "a.key holds no certificate in PEM form")
	c.write("parley.toml", "[s2s]\nca = [\"none.pem\"]\n")
	contains(t, c.fails(exitConfig, "", "config", "check"), "s2s.ca: open none.pem: no such file or directory")
}

// TestForeignFiles: a command that would leave files which the server cannot write does
// nothing. Only root can make somebody else's file.
func TestForeignFiles(t *testing.T) {
	c := newChild(t)
	c.must("pw\n", "user", "add", "juliet")
	db := filepath.Join(c.dir, "data", "parley.db")
	if os.Geteuid() != 0 {
		if err := mayOpen(filepath.Dir(db), existing); err != nil {
			t.Error(err)
		}
		return
	}
	if err := os.Chown(db, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	contains(t, c.fails(exitFailed, "pw\n", "user", "add", "romeo"), "belongs to another user (65534)")
}
