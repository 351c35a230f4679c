package c2s_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// Somebody in a room who never reads slows nobody: the others hear everything at once, and that one
// is ended, which they hear of too.
func TestSlowOccupantSlowsNobody(t *testing.T) {
	const limit = 1 << 20
	h := open(t, func(p *plan) { p.set.Queue = limit })
	stalled, juliet, romeo := h.login("stalled", "x"), h.login("juliet", "x"), h.login("romeo", "x")
	const room = "verona@conference." + host
	enter := func(c *xmpptest.Client, nick string) {
		c.Say("<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room, nick)
	}
	enter(romeo, "Romeo")
	romeo.Expect("<presence", "/Romeo'")
	romeo.Expect("<subject")
	romeo.Say("<iq type='set' id='o' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>", room)
	romeo.Expect("id='o'", "result")
	enter(juliet, "Juliet")
	juliet.Expect("/Romeo'")
	juliet.Expect("/Juliet'")
	juliet.Expect("<subject")
	romeo.Expect("/Juliet'")
	enter(stalled, "Stalled")
	juliet.Expect("/Stalled'")
	romeo.Expect("/Stalled'")
	text := strings.Repeat("x", 32<<10)
	slowest, sent := time.Duration(0), 0
	for n := 0; sent < 64<<20; n++ {
		began := time.Now()
		romeo.Say("<message to='%s' type='groupchat'><body>%d:%s</body></message>", room, n, text)
		sent += len(text)
		gone := false
		for heard := false; !heard; {
			st := juliet.Next()
			gone = gone || st.Kind == xmpp.Presence && st.Type == "unavailable"
			heard = strings.HasPrefix(st.Child("", "body").Text(), fmt.Sprintf("%d:", n))
		}
		slowest = max(slowest, time.Since(began))
		for !strings.HasPrefix(romeo.Next().Child("", "body").Text(), fmt.Sprintf("%d:", n)) {
		}
		if gone {
			break
		}
	}
	if slowest > c2s.Defaults().Stall/2 {
		t.Errorf("others waited %v", slowest)
	}
	if n := h.router.Sessions(); n != 2 {
		t.Errorf("who read nothing of %d bytes is there yet", sent)
	}
	romeo.Bye()
	juliet.Bye()
}
