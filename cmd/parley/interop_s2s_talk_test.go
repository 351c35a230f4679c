//go:build interop

package main

import (
	"strings"
	"testing"
)

// A home is where users live: one domain of some server.
type home struct {
	domain string
	comes  func(t testing.TB, name, domain string) *citizen // logs in, with presence; makes the account if need be
}

// at is one of a stranger's domains.
func (s *stranger) at(domain string) home { return home{domain, s.comes} }

func (h home) welcome(t testing.TB, name string) *citizen { return h.comes(t, name, h.domain) }

// getAlong has Juliet of one domain and Romeo of another do all that RFC 6121 has for two people:
// messages, requests, subscriptions, probes, and what waits for who is away. Each beginning is
// Juliet's, so the first connection is made by her server.
func getAlong(t *testing.T, here, there home) {
	t.Helper()
	juliet, romeo := here.welcome(t, "juliet"), there.welcome(t, "romeo")
	exchange(t, juliet, romeo)
	befriend(t, juliet, romeo)
	befriend(t, romeo, juliet)
	request(t, juliet, romeo) // a stranger's would not reach a client of Parley's
	romeo = away(t, juliet, romeo, there)
	juliet = away(t, romeo, juliet, here)
	juliet.leaves()
	romeo.hears("<presence", "type='unavailable'", "from='"+juliet.jid.String()+"'")
	romeo.leaves()
}

// exchange is a message each way, with what must come as it was written.
func exchange(t *testing.T, a, b *citizen) {
	t.Helper()
	for _, way := range []struct{ from, to *citizen }{{a, b}, {b, a}} {
		id, body := way.from.id(), "But soft, &lt;what&gt; light "+way.from.jid.Domain()+" \u2603 &amp; more"
		way.from.says("<message type='chat' to='%s' id='%s'><body>%s</body><x xmlns='test:extra'><y a='1'/></x></message>", way.to.jid.Bare(), id, body)
		st := way.to.hears("<message", "id='"+id+"'")
		if got := st.Child("", "body").Text(); got != strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(body) || st.From.String() != way.from.jid.String() || !st.Has("test:extra", "x") {
			t.Errorf("%s got %s", way.to.jid, st)
		}
	}
}

// request is a request each way, to a client, which answers, and to the server.
func request(t *testing.T, a, b *citizen) {
	t.Helper()
	for _, way := range []struct{ from, to *citizen }{{a, b}, {b, a}} {
		id := way.from.id()
		way.from.says("<iq type='get' to='%s' id='%s'><query xmlns='jabber:iq:version'/></iq>", way.to.jid, id)
		way.to.hears("<iq", "id='"+id+"'", "jabber:iq:version", "from='"+way.from.jid.String()+"'")
		way.to.says("<iq type='result' to='%s' id='%s'><query xmlns='jabber:iq:version'><name>balcony</name></query></iq>", way.from.jid, id)
		way.from.hears("<iq", "id='"+id+"'", "type='result'", "balcony", "from='"+way.to.jid.String()+"'")
		for _, question := range []string{"<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>"} {
			id := way.from.id()
			way.from.says("<iq type='get' to='%s' id='%s'>%s</iq>", way.to.jid.Domain(), id, question)
			way.from.hears("<iq", "id='"+id+"'", "type='result'", "from='"+way.to.jid.Domain()+"'")
		}
	}
}

// befriend has a ask b for its presence, and get it (RFC 6121 §3.1).
func befriend(t *testing.T, a, b *citizen) {
	t.Helper()
	a.says("<presence type='subscribe' to='%s'/>", b.jid.Bare())
	b.hears("<presence", "type='subscribe'", "from='"+a.jid.Bare().String()+"'")
	b.says("<presence type='subscribed' to='%s'/>", a.jid.Bare())
	a.hears("<presence", "type='subscribed'", "from='"+b.jid.Bare().String()+"'")
	a.hears("<presence", "from='"+b.jid.String()+"'")
}

// away has b leave, be written to, and come back to what has waited. Both are friends: who comes
// is told who is there, since its server asks (RFC 6121 §4.3).
func away(t *testing.T, a, b *citizen, at home) *citizen {
	t.Helper()
	b.leaves()
	a.hears("<presence", "type='unavailable'", "from='"+b.jid.String()+"'")
	id := a.id()
	a.says("<message type='chat' to='%s' id='%s'><body>This waited for you</body></message>", b.jid.Bare(), id)
	ask := a.id() // what is behind it has been handled after it
	a.says("<iq type='get' to='%s' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>", b.jid.Domain(), ask)
	a.hears("<iq", "id='"+ask+"'", "type='result'")
	b = at.welcome(t, b.jid.Local())
	if st := b.hears("<message", "id='"+id+"'", "This waited for you"); !st.Has("urn:xmpp:delay", "delay") {
		t.Errorf("%s is not told that this has waited: %s", b.jid, st)
	}
	b.hears("<presence", "from='"+a.jid.String()+"'")
	a.hears("<presence", "from='"+b.jid.String()+"'")
	return b
}
