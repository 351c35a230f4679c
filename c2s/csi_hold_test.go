package c2s

import (
	"fmt"
	"testing"

	"parley/xmpp"
)

// TestHold: the list of what is held back has the last of each kind in order, keeps no
// gaps, and has an end.
func TestHold(t *testing.T) {
	h := &held{}
	say := func(xml string) bool {
		st, err := xmpp.ParseStanza(xml)
		if err != nil {
			t.Fatal(err)
		}
		return h.hold(st)
	}
	for i := range 10_000 {
		from := fmt.Sprintf("a%d@example.com/x", i%7)
		if !say("<presence xmlns='jabber:client' from='" + from + "' id='" + fmt.Sprint(i) + "'/>") {
			t.Fatalf("number %d is not held", i)
		}
	}
	if len(h.list) > 40 || len(h.last) != 7 {
		t.Errorf("%d entries for %d senders", len(h.list), len(h.last))
	}
	next := 9_993
	for _, st := range h.list {
		if st != nil {
			if st.ID != fmt.Sprint(next) {
				t.Errorf("%s in the place of %d", st.ID, next)
			}
			next++
		}
	}
	for i := 0; say(fmt.Sprintf("<presence xmlns='jabber:client' from='b%d@example.com/x'/>", i)); i++ {
		if i > maxHeld {
			t.Fatal("there is no end")
		}
	}
	event := "<message xmlns='jabber:client' type='headline' from='%s'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='%s'>%s</items></event></message>"
	h = &held{}
	for i, c := range []struct {
		from, node, items string
		waits             bool
		kept              int
	}{
		{"a@example.com", "mood", "<item id='1'/>", true, 1},
		{"a@example.com", "mood", "<retract id='1'/>", true, 1},
		{"a@example.com", "rooms", "<item id='1'/>", true, 2},
		{"a@example.com", "rooms", "<item id='2'/>", true, 3},
		{"a@example.com", "rooms", "<item/><item/>", false, 3}, // the last is not enough
		{"pubsub.example.com", "news", "<item/>", false, 3},
	} {
		if say(fmt.Sprintf(event, c.from, c.node, c.items)) != c.waits || len(h.last) != c.kept {
			t.Errorf("%d: %d are kept", i, len(h.last))
		}
	}
}
