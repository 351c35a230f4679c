//go:build interop

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// Other people's clients read archives, and say what is kept in them.
func TestInteropArchive(t *testing.T) {
	for _, c := range []struct{ program, script string }{
		{"/usr/bin/python3", "slixmpp_archive.py"}, {"/usr/bin/python3", "nbxmpp_archive.py"}, {"node", "xmppjs_archive.mjs"},
	} {
		t.Run(c.script, func(t *testing.T) {
			p := startProcess(t, "")
			p.parley("pw-nurse\n", "user", "add", "nurse@localhost")
			out := foreign(t, "", nil, c.program, script(t, c.script), p.port, p.cert())
			if !strings.Contains(out, "ok") {
				t.Error(out)
			}
		})
	}
}

// Where nothing is archived, what clients tell each other comes once and in order, and most of it
// is nowhere on the disk: whether they acknowledge by counts or answer pings.
func TestInteropSlixmppUnarchived(t *testing.T) {
	const many = 200
	p := startProcess(t, "[archive]\ndefault = \"never\"\n")
	out := foreign(t, "", nil, "/usr/bin/python3", "-B", script(t, "slixmpp_unarchived.py"), p.port, p.cert(), strconv.Itoa(many))
	late := regexp.MustCompile(`(?m)^ok (\d+) (\d+)$`).FindStringSubmatch(out)
	if late == nil {
		t.Fatal(out)
	}
	var disk []byte
	files, err := filepath.Glob(filepath.Join(p.dir, "data", "parley.db*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the database is %v: %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		disk = append(disk, b...)
	}
	for hearer, who := range map[int]string{2: "juliet", 1: "romeo"} {
		written := 0
		for n := range many {
			if bytes.Contains(disk, fmt.Appendf(nil, "%s says line %d.", who, n)) {
				written++
			}
		}
		// What a machine with much to do hands over late is acknowledged late, and so are others.
		if slow, _ := strconv.Atoi(late[hearer]); written > many/2+slow {
			t.Errorf("%d of %s's %d lines were written, and %d came late", written, who, many, slow)
		}
	}
}

// A service of mobile clients, which slixmpp is, hears of what comes for who is not there.
func TestInteropSlixmppPush(t *testing.T) {
	p := startProcess(t, "")
	p.parley("pw-app\n", "user", "add", "app@localhost")
	out := foreign(t, "", nil, "/usr/bin/python3", "-B", script(t, "slixmpp_push.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// TestInteropProfanityArchive: who comes with a new Profanity sees what was said with the old
// one, once, and what is said now behind it.
func TestInteropProfanityArchive(t *testing.T) {
	p := startProcess(t, "")
	juliet, old := newProfanity(t, p, "juliet"), newProfanity(t, p, "romeo")
	juliet.login("pw-juliet")
	old.login("pw-romeo")
	said := []string{"What man art thou?", "I know not how to tell thee", "My ears have not yet drunk", "Art thou not Romeo?", "Neither, fair maid"}
	for i, line := range said {
		from, to, peer := juliet, old, "romeo@localhost"
		if i%2 == 1 {
			from, to, peer = old, juliet, "juliet@localhost"
		}
		from.types("/msg " + peer + " " + line)
		to.shows(line, "/msg "+from.user+"@localhost")
	}
	// Profanity does not say what it has when it goes, but when it is asked. And 0.13.1 does not
	// read the archive in a window that what waits has opened.
	p.taken("romeo")
	old.types("/disconnect")
	old.shows("logged out successfully", "")

	fresh := newProfanity(t, p, "romeo")
	fresh.types("/mam on")
	fresh.login("pw-romeo")
	// It asks for the features of the server first, then for its services. Who opens a window before it has
	// them has no archive in it; our questions come behind.
	fresh.asks("/disco info localhost", "urn:xmpp:mam:2")
	fresh.asks("/disco items localhost", "conference.localhost")
	fresh.types("/msg juliet@localhost")
	for _, line := range said {
		fresh.shows(line, "")
	}
	juliet.types("/msg romeo@localhost How camest thou hither?")
	fresh.shows("How camest thou hither?", "")
	// 0.13.1 asks for a second page, though the first was complete, and says where it begins
	// outside of <set/>: it gets the first again, and shows it.
	order := append(slices.Clone(said), "How camest thou hither?")
	if screen := fresh.screen(); !regexp.MustCompile(`(?s)` + strings.ReplaceAll(strings.Join(order, ".*"), "?", `\?`)).MatchString(screen) {
		t.Errorf("what was said:\n%s", screen)
	}
	if screen := fresh.screen(); strings.Count(screen, "me: Art thou not Romeo?") == 0 || strings.Count(screen, "How camest") != 1 {
		t.Errorf("what was said by whom:\n%s", screen)
	}
}

// taken returns when nothing waits for a user (XEP-0013) any more: clients have said that they have all
// that they were given.
func (p *process) taken(user string) {
	p.t.Helper()
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		p.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := xmpptest.Dial(p.t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
	c.Login(xmpptest.Login{User: user, Password: "pw-" + user, Resource: "watch"})
	for late := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		c.Say("<iq type='get' id='w'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/offline'/></iq>")
		got := c.Expect("id='w'", "number_of_messages").String()
		if strings.Contains(got, "<value>0</value>") {
			break
		}
		if time.Now().After(late) {
			p.t.Fatalf("%s's client does not say that it has what it was given: %s", user, got)
		}
	}
	c.Bye()
}

// TestInteropGajimArchive: a Gajim that is new shows the conversation that another one had, from
// the archive. A picture of it is in tmp/screenshots.
func TestInteropGajimArchive(t *testing.T) {
	p, taken := startProcess(t, ""), shooting(t)
	out := foreign(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_archive.py"), p.port, p.cert(), screenshots)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	taken("gajim-archive", 5000)
}
