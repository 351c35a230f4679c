package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killings is how often TestKilledAtWork kills the server.
const killings = 12

// A witness remembers what a server has acknowledged, over all its lives.
type witness struct {
	t   *testing.T
	c   *child
	rnd *rand.Rand

	sent  int             // messages that romeo has sent
	acked []int           // messages that stood before a ping that was answered
	heard map[int]bool    // messages that juliet was given
	sure  map[int]bool    // those of them that she has answered for, and not been given again
	items map[string]bool // contacts whose roster set was answered
	told  int             // the number that romeo has published last, and was answered
	tried int             // the same, answered or not
	asked bool            // a ping behind romeo's request was answered
	added int
}

// TestKilledAtWork kills the server in the middle of messages for somebody who is away,
// changes of a roster, publications and a request for a subscription. Whatever it has acknowledged, with
// a result or with the answer to a later ping, is there after each restart, once and in
// order.
func TestKilledAtWork(t *testing.T) {
	c := startChild(t, "PARLEY_LIMITS_STRANGER_MESSAGES=0")
	c.must("pw\n", "user", "add", "romeo@localhost")
	c.must("pw\n", "user", "add", "juliet@localhost")
	w := &witness{t: t, c: c, rnd: rand.New(rand.NewPCG(1, 2)), heard: map[int]bool{}, sure: map[int]bool{}, items: map[string]bool{}}
	for n := range killings {
		if n%3 == 2 { // while she is given what waits, or just behind it
			w.killWithin(5, 20)
			w.takes(true)
		} else {
			w.killWithin(30, 330)
		}
		w.works()
		c.wait(10 * time.Second)
		c.start()
		w.compare()
		if n%3 != 1 {
			w.takes(false)
		}
	}
	t.Logf("%d messages sent, %d acknowledged, %d heard, %d contacts", w.sent, len(w.acked), len(w.heard), len(w.items))
	if len(w.acked) < 5*killings || len(w.items) < killings || w.told < killings {
		t.Error("too little happened to prove anything")
	}
}

// killWithin kills the server at some time between these, in milliseconds.
func (w *witness) killWithin(least, most int) {
	p := w.c.cmd.Process
	time.AfterFunc(time.Duration(least+w.rnd.IntN(most-least))*time.Millisecond, func() { p.Signal(syscall.SIGKILL) })
}

// try sends a text and waits for another. It returns what came, and false when the server
// has died meanwhile.
func try(c *client, send, want string) (string, bool) {
	if _, err := io.WriteString(c.conn, send); err != nil {
		return "", false
	}
	out, err := c.until(want)
	return out, err == nil
}

// enter logs somebody in, unless the server dies meanwhile.
func (w *witness) enter(user string) *client {
	c, err := reach(w.t, w.c.direct, "localhost")
	if err != nil {
		return nil
	}
	if last, err := c.authenticate(user, "pw"); err != nil || last != "success" {
		return nil
	}
	if _, ok := try(c, strings.ReplaceAll(streamHead, "%s", c.host), "</stream:features>"); !ok {
		return nil
	}
	if _, ok := try(c, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>"); !ok {
		return nil
	}
	return c
}

// works is romeo, who writes, changes his roster and asks until the server dies.
func (w *witness) works() {
	c := w.enter("romeo")
	for n := 0; c != nil; n++ {
		var b strings.Builder
		var batch []int
		for range 1 + w.rnd.IntN(9) {
			batch = append(batch, w.sent)
			fmt.Fprintf(&b, "<message to='juliet@localhost' type='chat' id='m%d'><body>%d</body></message>", w.sent, w.sent)
			w.sent++
		}
		if n == 3 {
			b.WriteString("<presence to='juliet@localhost' type='subscribe'/>")
		}
		fmt.Fprintf(&b, "<iq type='get' id='p%d'><ping xmlns='urn:xmpp:ping'/></iq>", n)
		if _, ok := try(c, b.String(), fmt.Sprintf("id='p%d'", n)); !ok {
			return
		}
		w.acked = append(w.acked, batch...)
		w.asked = w.asked || n == 3
		contact := fmt.Sprintf("contact%d@localhost", w.added)
		w.added++
		set := fmt.Sprintf("<iq type='set' id='r%d'><query xmlns='jabber:iq:roster'><item jid='%s' name='x'><group>G</group></item></query></iq>", n, contact)
		if _, ok := try(c, set, fmt.Sprintf("id='r%d'", n)); !ok {
			return
		}
		w.items[contact] = true
		w.tried++
		publish := fmt.Sprintf("<iq type='set' id='e%d'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='numbers'><item id='1'><n xmlns='urn:n'>%d.</n></item></publish></pubsub></iq>", n, w.tried)
		if _, ok := try(c, publish, fmt.Sprintf("id='e%d'", n)); !ok {
			return
		}
		w.told = w.tried
	}
}

var (
	messageID = regexp.MustCompile(`<message[^>]* id=['"]m(\d+)['"]`)
	serverAsk = regexp.MustCompile(`<iq[^>]* id=['"](read-[^'"]*)['"]`)
)

// takes is juliet, who comes for what waits. With dying the server may die meanwhile. Else
// she answers for it, and comes again: by then nothing waits any more.
func (w *witness) takes(dying bool) {
	c := w.enter("juliet")
	if c == nil {
		if !dying {
			w.t.Fatalf("nobody can log in\n%s", w.c.log)
		}
		return
	}
	given := w.given(c)
	if dying {
		try(c, "</stream:stream>", "</stream:stream>")
		c.until("")
		return
	}
	if w.asked && !strings.Contains(given, "type='subscribe'") {
		w.t.Errorf("the request for a subscription is lost")
	}
	for _, n := range w.acked {
		if !w.heard[n] {
			w.t.Fatalf("message %d is lost", n)
		}
	}
	w.quit(c)
	again := w.enter("juliet")
	if out := w.given(again); messageID.MatchString(out) {
		w.t.Errorf("what was answered for comes again:\n%s", out)
	}
	w.quit(again)
	time.Sleep(1100 * time.Millisecond) // so late it may be on disk that messages were taken
	for n := range w.heard {
		w.sure[n] = true
	}
}

// quit ends a stream and waits for the end: the server knows that the session is over.
// (What it hands to one whose connection is gone without its knowing is another matter.)
func (w *witness) quit(c *client) {
	if _, ok := try(c, "</stream:stream>", "</stream:stream>"); !ok {
		w.t.Errorf("the stream does not end")
	}
	c.until("")
}

// given has somebody come, and returns what they are given up to the answer to a ping of
// their own. The server's ping is answered.
func (w *witness) given(c *client) string {
	if _, ok := try(c, "<presence/>", "<presence"); !ok {
		return ""
	}
	all, _ := try(c, "<iq type='get' id='now'><ping xmlns='urn:xmpp:ping'/></iq>", "id='now'")
	last := -1
	for _, m := range messageID.FindAllStringSubmatch(all, -1) {
		var n int
		fmt.Sscan(m[1], &n)
		if n <= last {
			w.t.Errorf("message %d comes behind %d", n, last)
		}
		if w.sure[n] {
			w.t.Errorf("message %d comes again", n)
		}
		w.heard[n], last = true, n
	}
	for m := serverAsk.FindStringSubmatch(all); m != nil; {
		answer := "<iq type='result' id='" + m[1] + "' to='localhost'/><iq type='get' id='then'><ping xmlns='urn:xmpp:ping'/></iq>"
		more, _ := try(c, answer, "id='then'")
		m = serverAsk.FindStringSubmatch(more)
	}
	return all
}

// published looks at what romeo has published: the last that was answered, or the one behind it.
func (w *witness) published(c *client) {
	items, _ := try(c, "<iq type='get' id='items'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='numbers'/></pubsub></iq>", "</pubsub></iq>")
	last, next := fmt.Sprintf(">%d.<", w.told), fmt.Sprintf(">%d.<", w.tried)
	if w.told > 0 && !strings.Contains(items, last) && !strings.Contains(items, next) || strings.Count(items, "<item ") > 1 {
		w.t.Errorf("%d was published and answered, %d was tried: %s", w.told, w.tried, items)
	}
}

// compare looks at romeo's roster after a restart.
func (w *witness) compare() {
	c := w.enter("romeo")
	if c == nil {
		w.t.Fatalf("nobody can log in\n%s", w.c.log)
	}
	roster, _ := try(c, "<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>", "</query>")
	w.published(c)
	c.conn.Close()
	for contact := range w.items {
		if strings.Count(roster, "'"+contact+"'") != 1 {
			w.t.Fatalf("%s is lost or doubled:\n%s", contact, roster)
		}
	}
	if w.asked && !strings.Contains(roster, "ask='subscribe'") {
		w.t.Errorf("the roster has no request:\n%s", roster)
	}
}
