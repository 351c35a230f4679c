package c2s_test

import (
	"strings"
	"testing"

	"parley/xmpp"
)

// What a session leaves unacknowledged goes by the rules, and never to somebody who has it:
// what another device was handed too is not given out again, what nobody else has is, at the
// next login, once.
func TestHandedOverAtTheEnd(t *testing.T) {
	h := open(t, func(p *plan) { p.set.SMTimeout = moment })
	romeo := h.login("romeo", "x")
	bodies := func(st *xmpp.Stanza, into *[]string) {
		if b := st.Child("", "body"); st.Kind == xmpp.Message && !b.IsZero() {
			*into = append(*into, b.Text())
		}
	}
	phone, desk := h.managed("juliet", "phone"), h.managed("juliet", "desk")
	for _, m := range []*managed{phone, desk} {
		m.Say("<presence/>")
		m.sync()
	}
	phone.mute = true
	say(romeo, "juliet@"+host, "to both")
	for !strings.Contains(strings.Join(phone.heard, " "), "to both") {
		phone.get()
	}
	desk.gets("<body>to both")
	desk.ack()
	desk.sync()
	phone.cut()
	h.gone("juliet")
	say(romeo, phone.JID.String(), "to the phone")
	romeo.Ping(nil)
	for h.Asleep() > 0 || h.router.Sessions() > 2 { // until it has expired
		desk.sync()
	}
	h.router.Wait(t.Context())
	desk.sync()
	desk.ack()
	desk.sync()
	desk.Bye()
	eventually(t, "they are gone", func() bool { return h.router.Sessions() == 1 })
	h.router.Wait(t.Context())
	var later []string
	fresh := h.login("juliet", "fresh")
	fresh.Say("<presence/>")
	fresh.Ping(func(st *xmpp.Stanza) { bodies(st, &later) })
	fresh.Ping(func(st *xmpp.Stanza) { bodies(st, &later) })
	got := strings.Join(append(desk.heard, later...), ", ")
	if got != "to both, to the phone" {
		t.Errorf("heard in the end: %s", got)
	}
}
