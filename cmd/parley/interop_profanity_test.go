//go:build interop

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInteropProfanity(t *testing.T) {
	p := startProcess(t, "")
	juliet, romeo := newProfanity(t, p, "juliet"), newProfanity(t, p, "romeo")
	juliet.login("pw-juliet")
	romeo.login("pw-romeo")
	juliet.types("/msg romeo@localhost It is the east")
	romeo.shows("It is the east", "/msg juliet@localhost")
	romeo.types("/msg juliet@localhost and Juliet is the sun")
	juliet.shows("and Juliet is the sun", "/msg romeo@localhost")
	list := p.parley("", "session", "list")
	for _, name := range []string{"juliet@localhost/profanity", "romeo@localhost/profanity", "TLS1.3"} {
		if !strings.Contains(list, name) {
			t.Errorf("session list does not show %s:\n%s", name, list)
		}
	}
	p.parley("", "session", "kick", "juliet@localhost")
	juliet.shows("Lost connection", "")
}

// TestInteropProfanityReports: a report of Profanity's is blocked for, and read by an
// administrator.
func TestInteropProfanityReports(t *testing.T) {
	t.Setenv("PARLEY_ADMINS", "juliet@localhost")
	p := startProcess(t, "")
	juliet, romeo := newProfanity(t, p, "juliet"), newProfanity(t, p, "romeo")
	juliet.login("pw-juliet")
	romeo.login("pw-romeo")
	romeo.types("/disco info localhost") // its own question, on which the command depends, came before
	romeo.shows("urn:xmpp:reporting:1", "")
	romeo.types("/blocked report-spam tybalt@localhost He sells swords")
	juliet.shows("romeo@localhost has blocked tybalt@localhost and reports spam.", "/msg localhost")
	juliet.shows("He sells swords", "")
	romeo.shows("tybalt@localhost", "/blocked")
}

// profanity is the client in a terminal of its own.
type profanity struct {
	t       *testing.T
	port    string // of the server
	session string
	user    string
	marks   int // that clear has made
}

func newProfanity(t *testing.T, p *process, user string) *profanity {
	t.Helper()
	return newProfanityAt(t, p.port, user)
}

func newProfanityAt(t *testing.T, port, user string) *profanity {
	t.Helper()
	home := t.TempDir() // a fresh profile, and a name that nobody else has
	s := &profanity{t: t, port: port, session: fmt.Sprintf("parley-%d-%s-%s", os.Getpid(), user, filepath.Base(home)), user: user}
	foreign(t, "", nil, "tmux", "-L", s.session, "-f", "/dev/null", "new-session", "-d", "-s", "x", "-x", "200", "-y", "50",
		"env HOME="+home+" XDG_CONFIG_HOME="+home+"/config XDG_DATA_HOME="+home+"/share LC_ALL=C.UTF-8 TERM=screen profanity")
	t.Cleanup(func() { exec.Command("tmux", "-L", s.session, "kill-server").Run() })
	s.shows("/connect", "")
	return s
}

func (s *profanity) types(line string) {
	s.t.Helper()
	foreign(s.t, "", nil, "tmux", "-L", s.session, "send-keys", "-t", "x", "-l", line)
	foreign(s.t, "", nil, "tmux", "-L", s.session, "send-keys", "-t", "x", "Enter")
}

func (s *profanity) screen() string {
	out, _ := exec.Command("tmux", "-L", s.session, "capture-pane", "-t", "x", "-p").CombinedOutput()
	return string(out)
}

// shows waits until text stands on the screen, typing open first if it is not empty.
func (s *profanity) shows(text, open string) {
	s.t.Helper()
	if open != "" {
		s.types(open)
	}
	for late := time.Now().Add(90 * time.Second); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(s.screen(), text) {
			return
		}
	}
	s.t.Fatalf("%s's Profanity does not show %q:\n%s", s.user, text, s.screen())
}

func (s *profanity) login(password string) {
	s.t.Helper()
	s.types("/connect " + s.user + "@localhost server 127.0.0.1 port " + s.port + " tls trust")
	s.shows("password", "")
	s.types(password)
	s.shows("logged in successfully", "")
}

// clear clears the screen and types a question, if any. It returns when both are done:
// Profanity has not learned the command that comes behind them, and says so.
func (s *profanity) clear(question string) {
	s.t.Helper()
	s.marks++
	s.types("/clear")
	if question != "" {
		s.types(question)
	}
	mark := fmt.Sprintf("/mark%d", s.marks)
	s.types(mark)
	s.shows("Unknown command: "+mark, "")
}

// asks asks again and again until the answer has all that is wanted: what stood there before
// does not count.
func (s *profanity) asks(question string, want ...string) {
	s.t.Helper()
	missing := func(w string) bool { return !strings.Contains(s.screen(), w) }
	for late := time.Now().Add(90 * time.Second); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		s.clear(question)
		if !slices.ContainsFunc(want, missing) {
			return
		}
	}
	s.t.Fatalf("%s's Profanity does not answer %s with %q:\n%s", s.user, question, want, s.screen())
}

// TestInteropProfanityContacts has two people at terminals become contacts, see each other,
// block, write to who is away, and part again.
func TestInteropProfanityContacts(t *testing.T) {
	p := startProcess(t, "")
	juliet, romeo := newProfanity(t, p, "juliet"), newProfanity(t, p, "romeo")
	juliet.login("pw-juliet")
	romeo.login("pw-romeo")
	for _, s := range []*profanity{juliet, romeo} {
		s.types("/roster hide") // what is answered has the whole width
	}
	becomeContacts(juliet, romeo)
	nameAndGroup(juliet)
	seePresence(juliet, romeo)
	blockAndUnblock(juliet, romeo)
	writeToWhoIsAway(juliet, romeo)
	part(juliet, romeo)
	p.stop()
	if got := capabilities(t, filepath.Join(p.dir, "data")); !strings.Contains(got, "Profanity") {
		t.Errorf("verified capabilities: %s", got)
	}
}

// becomeContacts: asked, denied, asked again, allowed, and back.
func becomeContacts(juliet, romeo *profanity) {
	juliet.types("/roster add romeo@localhost Romeo")
	juliet.shows("Roster item added: romeo@localhost (Romeo)", "")
	juliet.types("/sub request romeo@localhost")
	juliet.asks("/sub sent", "Awaiting subscription responses from:", "romeo@localhost")
	romeo.asks("/sub received", "Outstanding subscription requests from:", "juliet@localhost")
	romeo.types("/sub deny juliet@localhost")
	juliet.asks("/sub sent", "No pending requests sent.")
	juliet.asks("/roster", "romeo@localhost (Romeo) - none")
	juliet.types("/sub request romeo@localhost")
	romeo.asks("/sub received", "Outstanding subscription requests from:", "juliet@localhost")
	romeo.types("/sub allow juliet@localhost")
	juliet.asks("/sub show romeo@localhost", "romeo@localhost subscription status: to.")
	romeo.types("/sub request juliet@localhost")
	juliet.asks("/sub received", "Outstanding subscription requests from:", "romeo@localhost")
	juliet.types("/sub allow romeo@localhost")
	romeo.asks("/roster", "juliet@localhost - both")
	juliet.asks("/roster", "romeo@localhost (Romeo) - both")
}

// nameAndGroup gives a name and a group.
func nameAndGroup(juliet *profanity) {
	juliet.types(`/roster nick romeo@localhost "Romeo M"`)
	juliet.asks("/roster", "romeo@localhost (Romeo M) - both")
	juliet.types("/roster group add Montague romeo@localhost")
	juliet.asks("/roster", "romeo@localhost (Romeo M) - both - Montague")
}

func seePresence(juliet, romeo *profanity) {
	for _, show := range []string{"away", "xa", "dnd", "chat"} {
		romeo.types(`/status set ` + show + ` "in the garden"`)
		juliet.asks("/who", "All contacts:", "Romeo M is "+show+`, "in the garden"`)
	}
	romeo.types("/status set online")
	juliet.asks("/who", "All contacts:", "Romeo M is online")
}

// blockAndUnblock has one be gone for the other, and come back.
func blockAndUnblock(juliet, romeo *profanity) {
	romeo.asks("/who any", "All contacts:", "juliet@localhost is online")
	juliet.types("/blocked add romeo@localhost")
	juliet.asks("/blocked", "Blocked users:", "romeo@localhost")
	romeo.asks("/who any", "All contacts:", "juliet@localhost is offline")
	romeo.types("/msg juliet@localhost Do you hear me?")
	romeo.shows("service-unavailable", "")
	romeo.types("/win 1")
	juliet.types("/blocked remove romeo@localhost")
	juliet.asks("/blocked", "No blocked users.")
	romeo.asks("/who any", "All contacts:", "juliet@localhost is online")
}

// writeToWhoIsAway has her find at her next login what was written, in order, and her list.
func writeToWhoIsAway(juliet, romeo *profanity) {
	juliet.types("/disconnect")
	romeo.asks("/who any", "All contacts:", "juliet@localhost is offline")
	for _, line := range []string{"the first", "the second", "the third"} {
		romeo.types("/msg juliet@localhost " + line)
	}
	romeo.shows("the third", "")
	romeo.types("/win 1")
	juliet.clear("")
	juliet.login("pw-juliet")
	juliet.asks("/roster", "romeo@localhost (Romeo M) - both - Montague")
	juliet.shows("the third", "/msg romeo@localhost")
	if screen := juliet.screen(); !regexp.MustCompile(`(?s)the first.*the second.*the third`).MatchString(screen) || strings.Contains(screen, "Do you hear me?") {
		juliet.t.Errorf("what waited:\n%s", screen)
	}
	juliet.types("/win 1")
	romeo.asks("/who any", "All contacts:", "juliet@localhost is online")
}

// part ends it on both sides. Profanity 0.13.1 takes the "unsubscribe" from her bare address
// for a presence of that address, which it shows as online from then on, beside the resource
// that has gone; RFC 6121 §3.3.3 has that stanza delivered.
func part(juliet, romeo *profanity) {
	romeo.clear("")
	juliet.types("/roster remove romeo@localhost")
	romeo.shows(") is offline", "")
	romeo.shows("juliet@localhost deleted subscription", "")
	romeo.asks("/roster", "juliet@localhost - none")
	juliet.asks("/sub show romeo@localhost", "No subscription information for romeo@localhost.")
}
