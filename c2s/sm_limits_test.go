package c2s_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/xmpp"
)

// A session that waits gives way to a new one of its name, and to the operator.
func TestReplacedWhileAway(t *testing.T) {
	h, k := keeping(t, nil)
	romeo := h.login("romeo", "x")
	away := func() *managed {
		m := h.managed("juliet", "a")
		m.sync()
		m.cut()
		h.gone("juliet")
		return m
	}
	m := away()
	say(romeo, m.JID.String(), "for the old one")
	romeo.Ping(nil)
	c := h.login("juliet", "a")
	eventually(t, "the old session is over", func() bool { _, left := k.lists(); return h.Asleep() == 0 && left != "" })
	if _, st := m.ask(); !strings.Contains(st.String(), "item-not-found") {
		t.Errorf("got %s", st)
	}
	if _, left := k.lists(); left != "for the old one" {
		t.Errorf("left: %q", left)
	}
	c.Bye()
	h.none("juliet")

	m = away()
	h.router.EachSession(func(_ *router.Account, res router.Resource) {
		if res.JID() == m.JID {
			res.End(xmpp.EndStream("policy-violation", "by the operator"))
		}
	})
	h.none("juliet")
	if h.Asleep() != 0 {
		t.Error("it still waits")
	}
}

// More sessions than may wait are ended, the oldest first; and one that waits never keeps its
// owner out.
func TestLimitOfThoseWhoWait(t *testing.T) {
	h := open(t, func(p *plan) { p.set.SMSessions, p.resources = 3, 4 })
	var all []*managed
	for range 5 {
		m := h.managed("juliet", "")
		m.cut()
		all = append(all, m)
		eventually(t, "it waits", func() bool { return h.Asleep() == min(len(all), 3) && h.router.Sessions() == int64(min(len(all), 3)) })
	}
	if _, st := all[1].ask(); st.Name.Local != "failed" {
		t.Errorf("the second one: %s", st)
	}
	h.login("juliet", "b")
	h.login("juliet", "c") // in the place of the third
	if _, st := all[2].ask(); st.Name.Local != "failed" {
		t.Errorf("the third one: %s", st)
	}
	all[3].resume()
	all[3].sync()
	all[4].resume()
	all[4].sync()
}

// What waits for somebody who is away is limited in number and in bytes. At the limit the
// session ends, and nothing is lost.
func TestTooMuchWaits(t *testing.T) {
	for _, c := range []struct {
		what           string
		stanzas, bytes int
	}{{"stanzas", 10, 1 << 20}, {"bytes", 1000, 5000}} {
		t.Run(c.what, func(t *testing.T) {
			h, k := keeping(t, func(p *plan) { p.set.SMStanzas, p.set.SMBytes = c.stanzas, c.bytes })
			m := h.managed("juliet", "a")
			romeo := h.login("romeo", "x")
			m.sync()
			m.ack()
			m.sync()
			m.cut()
			h.gone("juliet")
			var want []string
			for i := range 12 {
				body := fmt.Sprint(i, strings.Repeat("x", 300))
				want = append(want, body)
				say(romeo, m.JID.String(), body)
			}
			romeo.Ping(func(*xmpp.Stanza) {})
			h.none("juliet")
			h.router.Wait(t.Context()) // the turn in which it ends tells of it last
			_, left := k.lists()
			held := strings.Split(left, " ")
			for i, b := range held {
				if want[i] != b {
					t.Errorf("%d. %.10s instead of %.10s", i, b, want[i])
				}
			}
			if len(held) < 5 || len(held) > 11 {
				t.Errorf("%d were held", len(held))
			}
			if _, st := m.ask(); st.Name.Local != "failed" {
				t.Errorf("got %s", st)
			}
		})
	}
}

// A connected client that never acknowledges anything is asked, and then ended.
func TestNoAcknowledgements(t *testing.T) {
	h := open(t, func(p *plan) { p.set.SMStanzas, p.set.SMBytes, p.set.Queue = 10, 3000, 8<<10 })
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	m.mute = true
	go func() { // a few at a time: what is committed together is pushed together
		for range 20 {
			romeo.Write(strings.Repeat(fmt.Sprintf("<message type='chat' to='%s'><body>%0100d</body></message>", m.JID, 0), 5) +
				"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
			for st, err := romeo.Read(); err == nil && st.ID != "p"; {
				st, err = romeo.Read()
			}
		}
	}()
	got := 0
	for {
		st, err := m.Read()
		if err != nil {
			break
		}
		if st.Kind == xmpp.Message {
			got++
		}
		if st.Name.Local == "r" {
			m.asked++
		}
	}
	if m.asked == 0 || got < 20 || got > 80 {
		t.Errorf("asked %d times, sent %d", m.asked, got)
	}
	h.none("juliet")
}

// Nobody is asked for what it was not sent; a lone message is asked for at once, more a little
// later, and who does not answer that for too long is not there.
func TestAskedForAcknowledgements(t *testing.T) {
	h := open(t, func(p *plan) { p.set.PingTimeout = moment })
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	if st, err := m.ReadWithin(100 * time.Millisecond); err == nil {
		t.Fatalf("got %s", st)
	}
	m = h.managed("juliet", "b")
	say(romeo, m.JID.String(), "1")
	m.Expect("<body>1")
	m.Expect("<r xmlns='urn:xmpp:sm:3'/>")
	m.Say("<a xmlns='urn:xmpp:sm:3' h='1'/>")
	say(romeo, m.JID.String(), "2")
	m.Expect("<body>2")
	m.Expect("<r xmlns='urn:xmpp:sm:3'/>")
	m.in = 1
	m.ExpectEnd("connection-timeout")
	h.gone("juliet")
	m.resume()
	m.gets("<body>2")
	m.sync()
}
