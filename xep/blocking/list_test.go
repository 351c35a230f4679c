package blocking

import (
	"strconv"
	"testing"

	"parley/xmpp"
)

// TestMatching has the four forms of XEP-0191 §6 against addresses.
func TestMatching(t *testing.T) {
	for _, c := range []struct {
		item    string
		yes, no []string
	}{
		{"romeo@example.net/desk", []string{"romeo@example.net/desk"},
			[]string{"romeo@example.net", "romeo@example.net/Desk", "example.net/desk", "example.net"}},
		{"romeo@example.net", []string{"romeo@example.net", "romeo@example.net/desk", "romeo@example.net/phone"},
			[]string{"example.net", "romeo2@example.net", "romeo@sub.example.net", "romeo@example.com"}},
		{"example.net/desk", []string{"example.net/desk"},
			[]string{"example.net", "example.net/phone", "romeo@example.net/desk"}},
		{"example.net", []string{"example.net", "example.net/desk", "romeo@example.net", "romeo@example.net/desk"},
			[]string{"sub.example.net", "example.com", "example.net@example.com"}},
	} {
		l := (*list)(nil).copy(nil)
		l.add(xmpp.MustJID(c.item))
		for _, s := range c.yes {
			if !l.has(xmpp.MustJID(s)) {
				t.Errorf("%s does not block %s", c.item, s)
			}
		}
		for _, s := range c.no {
			if l.has(xmpp.MustJID(s)) {
				t.Errorf("%s blocks %s", c.item, s)
			}
		}
		if l.has(xmpp.JID{}) {
			t.Errorf("%s blocks no address at all", c.item)
		}
	}
}

func TestListCountsItsBytes(t *testing.T) {
	l := (*list)(nil).copy(nil)
	a, b := xmpp.MustJID("a@example.net"), xmpp.MustJID("example.net")
	l.add(a)
	l.add(a)
	l.add(b)
	l.remove(a)
	l.remove(a)
	if l.bytes != len("example.net") || len(l.jids) != 1 {
		t.Errorf("%d bytes of %d addresses", l.bytes, len(l.jids))
	}
}

func BenchmarkMatching(b *testing.B) {
	l := (*list)(nil).copy(nil)
	j := xmpp.MustJID("romeo@example.net/desk")
	b.Run("nobody", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.has(j)
		}
	})
	for i := range 1000 {
		l.add(xmpp.MustJID("u" + strconv.Itoa(i) + "@example.com"))
	}
	b.Run("1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.has(j)
		}
	})
}
