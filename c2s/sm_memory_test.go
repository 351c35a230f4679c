package c2s_test

import (
	"errors"
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// What a session that waits to be resumed may hold, in bytes: by itself, and for each message
// of 200 bytes that waits in it.
const (
	sleeperBound = 4 << 10
	waitingBound = 2 << 10
)

// TestWaitingSessionIsSmall: a session without a connection holds little, and what waits in it
// about what it takes, up to the limits of SMStanzas and SMBytes (XEP-0198 §5).
func TestWaitingSessionIsSmall(t *testing.T) {
	const n, messages = 200, 50
	h := open(t, func(p *plan) { p.resources, p.set.SMSessions = n+50, n+50 })
	romeo := h.login("romeo", "x")
	h.account("juliet")
	o := h.options()
	var jids []xmpp.JID
	come := func() {
		c, err := xmpptest.Try(o)
		if err == nil {
			err = errors.Join(c.Start(), c.TryLogin(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Inline: enableXML}))
		}
		if err != nil {
			t.Fatal(err)
		}
		jids = append(jids, c.JID)
		c.Conn.Close()
	}
	for range 20 { // what is made once
		come()
	}
	routertest.Eventually(t, "all wait", func() bool { return h.Asleep() == 20 })
	before := held()
	for range n {
		come()
	}
	routertest.Eventually(t, "all wait", func() bool { return h.Asleep() == n+20 })
	asleep := (held() - before) / n
	for range messages {
		for _, to := range jids[20:] {
			romeo.Say("<message to='%s' type='chat'><body>%0200d</body></message>", to, 0)
		}
		romeo.Ping(nil)
	}
	each := (held() - before - asleep*n) / (n * messages)
	t.Logf("%d bytes a session, %d a message", asleep, each)
	if asleep > sleeperBound || each > waitingBound {
		t.Errorf("%d bytes a session, %d a message", asleep, each)
	}
}
