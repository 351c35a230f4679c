package router

import (
	"testing"

	"parley/storage"
	"parley/xmpp"
)

type named struct{ jid xmpp.JID }

func (n named) JID() xmpp.JID                       { return n.jid }
func (n named) Push(*xmpp.Stanza) error             { return nil }
func (n named) Hand(*xmpp.Stanza, storage.ID) error { return nil }
func (n named) Attention() Attention                { return Awake }
func (n named) Flush()                              {}
func (n named) End(*xmpp.StreamError)               {}
func (n named) resource(f func(*Resource)) Resource {
	r := Resource{Session: n, Presence: &xmpp.Stanza{Kind: xmpp.Presence}, Ready: true}
	f(&r)
	return r
}

// TestDeliveryRules goes through Table 1 of RFC 6121 §8.5.4 row by row: 'to' on the left,
// who is there, and what becomes of each type. It is written out again on purpose.
func TestDeliveryRules(t *testing.T) {
	full := func(resource string) xmpp.JID {
		j, err := xmpp.ParseJID("juliet@example.com/" + resource)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	balcony := named{full("balcony")}
	here := balcony.resource(func(*Resource) {})
	negative := balcony.resource(func(r *Resource) { r.Priority = -1 })
	connected := balcony.resource(func(r *Resource) { r.Presence, r.Ready = nil, false })
	reading := balcony.resource(func(r *Resource) { r.Ready = false })
	ended := balcony.resource(func(r *Resource) { r.sender = &Sender{}; r.sender.deaf.Store(true) })
	phone := named{full("phone")}.resource(func(*Resource) {})
	types := []string{"", "normal", "nonsense", "chat", "groupchat", "headline", "error"}
	for _, c := range []struct {
		what   string
		to     string // resource
		nobody bool   // no such account
		list   []Resource
		want   string // one letter for each of normal, chat, groupchat, headline, error
	}{
		{"no such account, bare", "", true, nil, "RRRII"},
		{"no such account, full", "balcony", true, nil, "RRRII"},
		{"bare, nobody", "", false, nil, "SSRII"},
		{"bare, connected without presence", "", false, []Resource{connected}, "SSRII"},
		{"bare, negative priority", "", false, []Resource{negative}, "SSRII"},
		{"bare, still given what waits", "", false, []Resource{reading}, "SSRII"},
		{"bare, a session that has ended", "", false, []Resource{ended}, "SSRII"},
		{"bare, one", "", false, []Resource{here}, "AARAI"},
		{"bare, one and a negative one", "", false, []Resource{negative, phone}, "AARAI"},
		{"bare, two", "", false, []Resource{here, phone}, "AARAI"},
		{"full, there", "balcony", false, []Resource{here}, "11111"},
		{"full, there and another", "balcony", false, []Resource{phone, here}, "11111"},
		{"full, connected without presence", "balcony", false, []Resource{connected}, "11111"},
		{"full, negative priority", "balcony", false, []Resource{negative}, "11111"},
		{"full, gone, nobody else", "balcony", false, nil, "RSRII"},
		{"full, gone, a negative one", "phone", false, []Resource{negative}, "RSRII"},
		{"full, gone, another", "balcony", false, []Resource{phone}, "RARII"},
		{"full, ended, nobody else", "balcony", false, []Resource{ended}, "RSRII"},
		{"full, ended, another", "balcony", false, []Resource{ended, phone}, "RARII"},
	} {
		for i, typ := range types {
			column := max(0, i-2) // absent and unknown types are normal (RFC 6121 §5.2.2)
			want := map[byte]fate{'R': refuse, 'I': ignore, 'S': store, 'A': all, '1': one}[c.want[column]]
			if got := fateOf(typ, c.to, !c.nobody, c.list); got != want {
				t.Errorf("%s, type %q: %v instead of %v", c.what, typ, got, want)
			}
		}
	}
}
