package router_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestNothingOvertakesWhatWaited: while a device is given what waited, messages for its full
// address do not overtake those for all devices that stand behind that.
func TestNothingOvertakesWhatWaited(t *testing.T) {
	begun, open := make(chan struct{}), make(chan struct{})
	h := routertest.New(t, router.Feature{Name: "slow", Due: func(t *router.Turn, _ *router.Account, res router.Resource, then func(*router.Round)) {
		if res.JID().Resource() == "phone" {
			close(begun)
			<-open
		}
		t.InOrder(nil, func(rd *router.Round, _ error) { then(rd) })
	}})
	h.Online("juliet@example.com/desk")
	romeo := h.Online("romeo@example.com/x")
	phone, err := h.Bind(jid(t, "juliet@example.com/phone"))
	if err != nil {
		t.Fatal(err)
	}
	got := &heard{}
	phone.Session.Tap(func(st *xmpp.Stanza) {
		if st.Kind == xmpp.Message {
			got.add(st.ID)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var rd router.Round
		mustSend(t, phone, &rd, "<presence/>")
		phone.Sender.Settle(&rd)
	}()
	<-begun
	for i, to := range []string{"juliet@example.com", "juliet@example.com/phone", "juliet@example.com", "juliet@example.com/phone"} {
		romeo.Sends("<message type='chat' id='" + string(rune('1'+i)) + "' to='" + to + "'><body>x</body></message>")
	}
	close(open)
	<-done
	if ids := strings.Join(got.ids, " "); ids != "1 2 3 4" {
		t.Errorf("it got %s", ids)
	}
}

// TestNewerSessionComesBehindTheOlder: a session that takes another's place begins when all
// that the older one has said is settled, and the older one says nothing after that.
func TestNewerSessionComesBehindTheOlder(t *testing.T) {
	open := make(chan struct{})
	h := routertest.New(t, gate(open))
	h.Exists(jid(t, "juliet@example.com"))
	old := h.Online("romeo@example.com/desk").Peer()
	said := "<message type='chat' to='juliet@example.com'><body>x</body><keep xmlns='test'/></message>"
	var rd router.Round
	mustSend(t, old, &rd, said)
	bound := make(chan *routertest.Peer)
	go func() {
		newer, err := h.Bind(jid(t, "romeo@example.com/desk"))
		if err != nil {
			t.Error(err)
		}
		bound <- newer
	}()
	select {
	case <-bound:
		t.Error("it has begun while the older one's message is in flight")
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	<-bound
	if n := old.Sender.Flying(); n != 0 {
		t.Errorf("%d messages of the older one are in flight", n)
	}
	var end *xmpp.StreamError
	st, err := xmpp.ParseStanza(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Sender.Send(t.Context(), &rd, st); !errors.As(err, &end) || end.Condition != "conflict" {
		t.Errorf("the older one may say something: %v", err)
	}
}
