//go:build interop

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// slidgeLike is what gateways of today ask for.
const slidgeLike = `[components]
listen = ["127.0.0.1:0"]
[component."telegram.localhost"]
secret = "a-secret-of-slixmpp"
roster = "both"
message = "outgoing"
presence = "managed_entity"
iq = ["jabber:iq:private=both"]
delegate = ["urn:example:own"]
`

func TestInteropSlixmppComponent(t *testing.T) {
	p := startProcess(t, slidgeLike)
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_component.py"), p.port, p.cert(), p.components)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	if list := p.parley("", "component", "list"); !strings.Contains(list, "telegram.localhost") {
		t.Error(list)
	}
}

// slidgePublishes is what gateways need that publish for users.
const slidgePublishes = `[components]
listen = ["127.0.0.1:0"]
[component."telegram.localhost"]
secret = "a-secret-of-slixmpp"
roster = "both"
message = "outgoing"
presence = "managed_entity"
iq = ["http://jabber.org/protocol/pubsub=both", "http://jabber.org/protocol/pubsub#owner=set"]
`

// A gateway publishes bookmarks, avatars and what was displayed in the names of users.
func TestInteropSlixmppGateway(t *testing.T) {
	p := startProcess(t, slidgePublishes)
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_gateway.py"), p.port, p.cert(), p.components)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// background runs a stranger's program until the test ends. Debian's package has it.
func background(t *testing.T, log, pkg, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; exec.Command("test", "-x", path).Run() != nil {
			t.Fatalf("%s is missing: install the Debian package %s (`make peers`)", name, pkg)
		}
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		out.Close()
		if raw, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("%s:\n%s", name, raw[max(0, len(raw)-20_000):])
		}
	})
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startIRC starts ngircd and returns its port.
func startIRC(t *testing.T) int {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`[Global]
Name = irc.test.local
Info = An IRC server of a test
Listen = 127.0.0.1
Ports = %d
ServerUID = %d
ServerGID = %d
[Options]
DNS = no
Ident = no
PAM = no
`, port, os.Getuid(), os.Getgid())
	file := filepath.Join(dir, "ngircd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, filepath.Join(dir, "ngircd.log"), "ngircd", "ngircd", "-n", "-f", file)
	return port
}

// An ircUser is somebody in the other network.
type ircUser struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// ircLogin connects by hand: the protocol of IRC is lines.
func ircLogin(t *testing.T, port int, nick string) *ircUser {
	t.Helper()
	var conn net.Conn
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	u := &ircUser{t, conn, bufio.NewReader(conn)}
	u.says("NICK %s\r\nUSER %s 0 * :%s", nick, nick, nick)
	u.hears(" 001 ")
	return u
}

func (u *ircUser) says(format string, args ...any) {
	fmt.Fprintf(u.conn, format+"\r\n", args...)
}

// hears waits for a line with this part.
func (u *ircUser) hears(part string) {
	u.t.Helper()
	u.conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	var all []string
	for {
		line, err := u.in.ReadString('\n')
		if err != nil {
			u.t.Fatalf("nobody said %q: %v; there was\n%s", part, err, strings.Join(all, ""))
		}
		if rest, ok := strings.CutPrefix(line, "PING"); ok {
			u.says("PONG%s", strings.TrimSpace(rest))
		}
		if all = append(all, line); strings.Contains(line, part) {
			return
		}
	}
}

// until reads what comes to a client up to a stanza that is wanted.
func until(t *testing.T, c *xmpptest.Client, what string, is func(*xmpp.Stanza) bool) *xmpp.Stanza {
	t.Helper()
	var all []string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		st, err := c.ReadWithin(60 * time.Second)
		if err != nil {
			t.Fatalf("%s did not come: %v; there was\n%s", what, err, strings.Join(all, "\n"))
		}
		if all = append(all, st.String()); is(st) {
			return st
		}
	}
	t.Fatalf("%s did not come; there was\n%s", what, strings.Join(all, "\n"))
	return nil
}

// biboumi brings a channel of IRC as a room: a client joins it, talks, is answered, and leaves.
func TestInteropBiboumi(t *testing.T) {
	irc := startIRC(t)
	p := startProcess(t, "[components]\nlisten = [\"127.0.0.1:0\"]\n[component.\"irc.localhost\"]\nsecret = \"a-secret-of-biboumi\"\n")
	dir := t.TempDir()
	conf := filepath.Join(dir, "biboumi.cfg")
	text := fmt.Sprintf("hostname=irc.localhost\npassword=a-secret-of-biboumi\nxmpp_server_ip=127.0.0.1\nport=%s\ndb_name=%s\nlog_level=0\nadmin=juliet@localhost\n", p.components, filepath.Join(dir, "biboumi.sqlite"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, filepath.Join(dir, "biboumi.log"), "biboumi", "biboumi", conf)
	p.connected("irc.localhost")

	mercutio := ircLogin(t, irc, "mercutio")
	mercutio.says("JOIN #verona")
	mercutio.hears("JOIN")
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := xmpptest.Dial(t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
	c.Login(xmpptest.Login{User: "juliet", Password: "pw-juliet", Resource: "balcony"})
	c.Say("<presence/>")

	// It is found, and says what it is.
	c.Say("<iq type='get' id='items' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
	until(t, c, "the gateway among the services", func(st *xmpp.Stanza) bool { return st.ID == "items" && strings.Contains(st.String(), "irc.localhost") })
	c.Say("<iq type='get' id='info' to='irc.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
	until(t, c, "the gateway's identity", func(st *xmpp.Stanza) bool {
		return st.ID == "info" && strings.Contains(st.String(), "category='conference'")
	})

	// The IRC server of the test has a port of its own, which an ad-hoc command of biboumi sets.
	server := "irc.localhost"
	configure(t, c, "127.0.0.1@"+server, irc)

	room := "#verona%127.0.0.1@irc.localhost"
	c.Say("<presence to='%s/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room)
	until(t, c, "mercutio in the room", func(st *xmpp.Stanza) bool {
		return st.Kind == xmpp.Presence && st.From.String() == room+"/mercutio" && st.Type == ""
	})
	until(t, c, "the own presence", func(st *xmpp.Stanza) bool {
		return st.Kind == xmpp.Presence && st.From.String() == room+"/juliet" && strings.Contains(st.String(), "110")
	})
	mercutio.hears("JOIN")
	c.Say("<message to='%s' type='groupchat' id='m1'><body>O Romeo, Romeo</body></message>", room)
	mercutio.hears("PRIVMSG #verona :O Romeo, Romeo")
	until(t, c, "the reflection", func(st *xmpp.Stanza) bool {
		return st.Type == "groupchat" && st.Child("", "body").Text() == "O Romeo, Romeo"
	})
	mercutio.says("PRIVMSG #verona :A plague o' both your houses")
	st := until(t, c, "the answer", func(st *xmpp.Stanza) bool {
		return st.Type == "groupchat" && st.Child("", "body").Text() == "A plague o' both your houses"
	})
	if st.From.String() != room+"/mercutio" || st.To.String() != "juliet@localhost/balcony" {
		t.Errorf("it is from %s to %s", st.From, st.To)
	}
	// A self-ping goes through the gateway and comes back to the same client (XEP-0410).
	c.Say("<iq to='%s/juliet' type='get' id='self'><ping xmlns='urn:xmpp:ping'/></iq>", room)
	until(t, c, "the own ping", func(st *xmpp.Stanza) bool {
		if st.Kind == xmpp.IQ && st.Type == "get" && st.Has("urn:xmpp:ping", "ping") {
			c.Say("%s", xmpp.Result(st, nil).String())
		}
		return st.ID == "self" && st.Type == "result"
	})
	c.Say("<presence to='%s/juliet' type='unavailable'/>", room)
	mercutio.hears("PART #verona")
	until(t, c, "the end of the room", func(st *xmpp.Stanza) bool {
		return st.Kind == xmpp.Presence && st.From.String() == room+"/juliet" && st.Type == "unavailable"
	})
}

// configure has biboumi reach an IRC server at another port than usual: step by step, with
// forms (XEP-0050).
func configure(t *testing.T, c *xmpptest.Client, server string, port int) {
	t.Helper()
	c.Say("<iq type='set' id='c1' to='%s'><command xmlns='http://jabber.org/protocol/commands' node='configure' action='execute'/></iq>", server)
	st := until(t, c, "the form", func(st *xmpp.Stanza) bool { return st.ID == "c1" })
	command := st.Child("http://jabber.org/protocol/commands", "command")
	if command.IsZero() {
		t.Fatalf("biboumi cannot be configured: %s", st)
	}
	c.Say("<iq type='set' id='c2' to='%s'><command xmlns='http://jabber.org/protocol/commands' node='configure' sessionid='%s' action='complete'>"+
		"<x xmlns='jabber:x:data' type='submit'><field var='ports'><value>%d</value></field><field var='tls_ports'/>"+
		"<field var='throttle_limit'><value>-1</value></field></x></command></iq>", server, command.Attr("sessionid"), port)
	if st := until(t, c, "the end of the command", func(st *xmpp.Stanza) bool { return st.ID == "c2" }); st.Type != "result" {
		t.Fatalf("biboumi was not configured: %s", st)
	}
}

// connected waits until a component is.
func (p *process) connected(domain string) {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		for line := range strings.Lines(p.parley("", "component", "list")) {
			if strings.HasPrefix(line, domain) && strings.Contains(line, "127.0.0.1:") {
				return
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s has not connected:\n%s", domain, p.log)
		}
	}
}
