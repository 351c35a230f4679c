package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"
)

// TestReadingOutlivesCrashes kills the process at random moments while people talk in a room for
// members only: what a member has said to have displayed, and has seen the room say, is read, and
// all behind it is not; and of what it wants to be told is as it was told to be set.
func TestReadingOutlivesCrashes(t *testing.T) {
	c := startChild(t)
	for _, user := range []string{"juliet", "romeo"} {
		c.must("pw\n", "user", "add", user)
	}
	c.must("", "room", "create", "tea", "--owner", "juliet")
	c.must("", "room", "config", "tea", "membersonly=true")
	c.must("", "room", "affiliation", "tea", "romeo", "member")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 430))
	archived := regexp.MustCompile(`<stanza-id [^>]*\bid='([^']+)'`)
	levels := []string{"always", "on-mention", "never"}
	for round := range 8 {
		juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
		juliet.enters(roomTea, "Juliet")
		juliet.expect("<subject")
		juliet.expect("</message>")
		romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "two")
		romeo.enters(roomTea, "Romeo")
		romeo.expect("<subject")
		romeo.expect("</message>")
		before, behind := 1+rnd.IntN(5), rnd.IntN(5)
		id := ""
		for n := range before + behind {
			juliet.send(fmt.Sprintf("<message to='%s' type='groupchat'><body>r%dm%d</body></message>", roomTea, round, n))
			got := romeo.expect(fmt.Sprintf("<body>r%dm%d</body>", round, n)) + romeo.expect("</message>")
			if n == before-1 {
				id = archived.FindStringSubmatch(got)[1]
			}
		}
		level := levels[rnd.IntN(len(levels))]
		romeo.send(fmt.Sprintf("<iq to='%s' type='set' id='c'><command xmlns='http://jabber.org/protocol/commands' node='notifications'><x xmlns='jabber:x:data' type='submit'><field var='notify'><value>%s</value></field></x></command></iq>", roomTea, level))
		romeo.expect("status='completed'")
		romeo.send(fmt.Sprintf("<message to='%s' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='%s'/></message>", roomTea, id))
		juliet.expect("<displayed ")
		time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
		c.kill()
		c.start()
		romeo = dialTLS(t, c.direct, "localhost").login("romeo", "pw", "three")
		romeo.send("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1' messages='false'/></iq>")
		contains(t, romeo.expect("</fin>"), fmt.Sprintf("unread='%d' jid='%s'", behind, roomTea))
		romeo.send(fmt.Sprintf("<iq to='%s' type='set' id='d'><command xmlns='http://jabber.org/protocol/commands' node='notifications'/></iq>", roomTea))
		contains(t, romeo.expect("</command>"), "<required/><value>"+level+"</value>")
	}
}
