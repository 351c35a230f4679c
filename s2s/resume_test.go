package s2s

import (
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
)

// TestResumedTwice has a stream be resumed, and that connection be lost too, before what came in the
// stream is written: who resumes it then is told that it has come, once it has.
func TestResumedTwice(t *testing.T) {
	ca := newCA(t, "authority", nil)
	mine := server(t, ca, names{dns: []string{"a.example"}})
	b := open(t, certified(t, ca, nil), "b.example")
	bob := b.Online("bob@b.example/2")
	first := dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	first.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	_, id, _ := strings.Cut(first.hears("resume="), " id='")
	id, _, _ = strings.Cut(id, "'")
	second, third := dialRaw(t, b.starttls).known(mine, "a.example", "b.example"), dialRaw(t, b.starttls).known(mine, "a.example", "b.example")
	lost := b.resumable(id, pair{"b.example", "a.example"})
	b.Disk.Slow(2 * time.Second)
	defer b.Disk.Slow(0)
	first.say("%s", "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message><r xmlns='urn:xmpp:sm:3'/>")
	first.hears("<a xmlns='urn:xmpp:sm:3' h='0'/>") // it is on its way
	first.conn.Close()
	resume := "<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>"
	second.say("%s", resume)
	routertest.Eventually(t, "the second has it", func() bool { return b.resumable(id, pair{"b.example", "a.example"}) != lost })
	second.conn.Close()
	third.say("%s", resume)
	third.hears("<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='1'/>")
	wants(t, bob, helloHeard)
}
