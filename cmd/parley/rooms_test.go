package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/muc"
)

const roomTea = "tea@conference.localhost"

func (c *client) enters(room, nick string) {
	c.t.Helper()
	c.send(fmt.Sprintf("<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room, nick))
}

// TestSeatOutlivesRestart stops and starts the real process: who resumes is still in the room,
// who does not has left it for all to see.
func TestSeatOutlivesRestart(t *testing.T) {
	c := startChild(t)
	for _, user := range []string{"juliet", "romeo", "nurse"} {
		c.must("pw\n", "user", "add", user)
	}
	c.must("", "room", "create", "tea", "--owner", "juliet")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	id := juliet.managed()
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "two")
	romeo.managed()
	nurse := dialTLS(t, c.direct, "localhost").login("nurse", "pw", "three")
	juliet.enters(roomTea, "Juliet")
	juliet.expect("<subject")
	romeo.enters(roomTea, "Romeo")
	romeo.expect("<subject")
	nurse.enters(roomTea, "Nurse")
	nurse.expect("<subject")
	juliet.expect("tea@conference.localhost/Nurse")
	juliet.expect("</presence>")
	juliet.ping()
	if code, _ := c.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	juliet.toEnd()
	c.start()
	var in muc.Info
	c.mustJSON(&in, "room", "show", "tea")
	if len(in.Occupants) != 2 { // the nurse cannot resume
		t.Errorf("in the room are %+v", in.Occupants)
	}
	juliet, answer := resumes(t, c, "juliet", "pw", id, 0)
	contains(t, answer, "<resumed ")
	juliet.expect("from='tea@conference.localhost/Nurse' type='unavailable'") // with all else that was not acknowledged
	juliet.send(fmt.Sprintf("<message to='%s' type='groupchat'><body>I am back</body></message>", roomTea))
	juliet.expect("I am back")
	romeo = dialTLS(t, c.direct, "localhost").login("romeo", "pw", "two") // a new session: the old one ends
	juliet.expect("from='tea@conference.localhost/Romeo' type='unavailable'")
	romeo.send(fmt.Sprintf("<message to='%s' type='groupchat' id='z'><body>And I?</body></message>", roomTea))
	romeo.expect("not-acceptable")
}

// What operators may not do with rooms changes nothing, and what they do is said in the log.
func TestRoomCommands(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	for _, setting := range []string{"membersonly=maybe", "foo=1", "maxusers=-4", "whois=all", "passwordprotectedroom=1"} {
		c.fails(exitUsage, "", "room", "create", "tea", "--owner", "juliet", setting)
		c.fails(exitNotFound, "", "room", "show", "tea")
	}
	c.fails(exitNotFound, "", "room", "create", "tea", "--owner", "nobody")
	c.must("", "room", "create", "tea", "--owner", "juliet", "membersonly=1")
	c.fails(exitExists, "", "room", "create", "tea", "--owner", "juliet")
	contains(t, c.fails(exitUsage, "", "room", "affiliation", "tea", "localhost", "owner"), "is a whole domain, which does not run a room")
	contains(t, c.fails(exitUsage, "", "room", "affiliation", "tea", "juliet", "none"), "no other owner")
	c.must("", "room", "affiliation", "tea", "localhost", "member")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	juliet.enters(roomTea, "Juliet")
	juliet.expect("<subject")
	c.must("", "room", "config", "tea", "moderatedroom=1")
	juliet.expect("code='104'")
	code, _ := c.stop()
	if log := c.log.String(); code != 0 || strings.Contains(log, "ERROR") {
		t.Errorf("exit code %d and\n%s", code, log)
	} else {
		contains(t, log, `msg="room made"`, `msg="room configured"`, `msg="affiliation changed"`)
	}
	contains(t, c.must("", "room", "show", "tea"), "moderatedroom          1") // of a stopped server
	c.must("", "room", "destroy", "tea")
	c.fails(exitNotFound, "", "room", "show", "tea")
}

// TestRoomsOutliveCrashes kills the process at random moments while people talk in a room: what
// one of them has seen said is in the archive, once and in that order; what was acknowledged of
// lists, subject and configuration is there.
func TestRoomsOutliveCrashes(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	c.must("pw\n", "user", "add", "romeo")
	c.must("", "room", "create", "tea", "--owner", "juliet")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 45))
	body := regexp.MustCompile(`<body>(m[0-9]+)</body>`)
	var heard []string
	subject, members, said := "", map[string]bool{}, 0
	for range 15 {
		juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
		juliet.enters(roomTea, "Juliet")
		juliet.expect("<subject")
		juliet.expect("</message>")
		for range 5 + rnd.IntN(20) {
			said++
			juliet.send(fmt.Sprintf("<message to='%s' type='groupchat' id='x'><body>m%d</body></message>", roomTea, said))
		}
		got := juliet.expect(fmt.Sprintf("<body>m%d</body>", said))
		for _, m := range body.FindAllStringSubmatch(got, -1) {
			if len(heard) == 0 || m[1] != heard[len(heard)-1] {
				heard = append(heard, m[1])
			}
		}
		juliet.expect("</message>")
		subject = fmt.Sprintf("subject %d", said)
		juliet.send(fmt.Sprintf("<message to='%s' type='groupchat'><subject>%s</subject></message>", roomTea, subject))
		juliet.expect("<subject>" + subject)
		who := fmt.Sprintf("m%d@localhost", said)
		juliet.send(fmt.Sprintf("<iq to='%s' type='set' id='a%d'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='%s'/></query></iq>", roomTea, said, who))
		juliet.expect(fmt.Sprintf("id='a%d' type='result'", said))
		members[who] = true
		said++ // this one may be lost: nobody has seen it
		juliet.send(fmt.Sprintf("<message to='%s' type='groupchat' id='x'><body>m%d</body></message>", roomTea, said))
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		c.kill()
		c.start()
	}
	var in muc.Info
	c.mustJSON(&in, "room", "show", "tea")
	if in.Subject != subject {
		t.Errorf("the subject is %q, and was acknowledged as %q", in.Subject, subject)
	}
	for _, a := range in.Affiliations {
		delete(members, a.Who)
	}
	if len(members) > 0 {
		t.Errorf("these are no members any more: %v", members)
	}
	archived := readRoom(t, c, body)
	at := 0
	for _, m := range archived {
		if at < len(heard) && m == heard[at] {
			at++
		}
	}
	if at < len(heard) {
		t.Errorf("%s was heard, and is not in the archive in its place; %d of %d are", heard[at], at, len(heard))
	}
	seen := map[string]int{}
	for _, m := range archived {
		if seen[m]++; seen[m] > 1 {
			t.Errorf("%s is in the archive twice", m)
		}
	}
}

// readRoom reads the archive of the room, page by page.
func readRoom(t *testing.T, c *child, body *regexp.Regexp) (all []string) {
	t.Helper()
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "reader")
	last := regexp.MustCompile(`<last>([^<]+)</last>`)
	for after, n := "", 0; ; n++ {
		juliet.send(fmt.Sprintf("<iq to='%s' type='set' id='q%d'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><after>%s</after></set></query></iq>", roomTea, n, after))
		if after == "" {
			juliet.t.Helper()
		}
		page := juliet.expect("</fin>")
		for _, m := range body.FindAllStringSubmatch(page, -1) {
			all = append(all, m[1])
		}
		m := last.FindStringSubmatch(page)
		if m == nil || strings.Contains(page, "complete='true'") {
			return all
		}
		after = m[1]
	}
}

// Whose account is removed may have been the only one to run a room: the operator hears of it
// before and after.
func TestRoomsWithoutOwner(t *testing.T) {
	for _, running := range []bool{true, false} {
		c := newChild(t)
		if running {
			c.start()
		}
		for _, user := range []string{"juliet", "romeo"} {
			c.must("pw\n", "user", "add", user)
		}
		for _, room := range []string{"tea", "garden", "crypt"} {
			c.must("", "room", "create", room, "--owner", "juliet")
		}
		c.must("", "room", "affiliation", "garden", "romeo@localhost", "owner")
		c.must("", "room", "affiliation", "tea", "romeo@localhost", "admin")
		const alone = "crypt@conference.localhost, tea@conference.localhost"
		contains(t, c.must("", "user", "show", "juliet"), "only owner of", alone)
		if got := c.must("", "user", "show", "romeo"); strings.Contains(got, "owner") {
			t.Errorf("%q", got)
		}
		contains(t, c.must("", "user", "del", "juliet"), "juliet@localhost removed", "without an owner now: "+alone)
		eventually(t, func() bool { return !strings.Contains(c.must("", "room", "affiliation", "garden"), "juliet") },
			func() string { return "a removed account owns a room" })
		if got := c.must("", "user", "del", "romeo"); !strings.Contains(got, "without an owner now: garden@conference.localhost\n") {
			t.Errorf("%q", got)
		}
		if running {
			eventually(t, func() bool { return strings.Count(c.log.String(), "a room has no owner any more") == 3 }, c.log.String)
			contains(t, c.log.String(), "a room has no owner any more", "room=tea@conference.localhost", "room=garden@conference.localhost")
		}
		c.must("", "room", "affiliation", "tea", "nurse@localhost", "owner") // it may be anybody's
	}
}
