package pubsub

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
)

const domain = "pubsub.example.com"

// beside is a request to the service.
func beside(q string) string { return strings.Replace(q, "<iq ", "<iq to='"+domain+"' ", 1) }

func serving(t testing.TB, set Settings) *world {
	t.Helper()
	w := &world{s: New(Config{Prefix: "pubsub", Settings: func(string) Settings { return set }, Admin: func(j xmpp.JID) bool { return j.Local() == "admin" }})}
	w.House = newHouse(t, w.s)
	return w
}

// TestSubscribersOfAServiceElsewhere: users of other servers subscribe, hear, and are forgotten
// when nothing reaches them any more.
func TestSubscribersOfAServiceElsewhere(t *testing.T) {
	w := serving(t, Settings{})
	far := w.Service("example.org")
	juliet := w.Online("juliet@example.com/x")
	juliet.Does(beside(ask1("set", nsPubsub, `<create node='n'/>`)))
	far.Sends(`<iq type='set' id='s' from='romeo@example.org/x' to='` + domain + `'><pubsub xmlns='` + nsPubsub + `'><subscribe node='n' jid='romeo@example.org'/></pubsub></iq>`)
	far.Gets(`<iq type='result' id='s' from='` + domain + `'>…</iq>`)
	far.Sends(`<iq type='set' id='s' from='romeo@example.org/x' to='` + domain + `'><pubsub xmlns='` + nsPubsub + `'><create node='m'/></pubsub></iq>`)
	far.Gets(`<iq type='error' id='s'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	juliet.Does(beside(publishes("n", "1", "one", "")))
	st := far.Gets(strings.Replace(published("n", "1", "one", false), "<message ", "<message from='"+domain+"' to='romeo@example.org' ", 1))
	far.Sends(`<message type='error' id='` + st.ID + `' from='romeo@example.org' to='` + domain + `'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	juliet.Does(beside(publishes("n", "1", "two", "")))
	far.GetsNothing()
	if n := w.count(t, `select count(*) from pubsub_subscription`); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestServiceLimits: nodes, nodes of one user, bytes, subscriptions and affiliations have an end;
// who runs the server owns everything.
func TestServiceLimits(t *testing.T) {
	w := serving(t, Settings{Limits: Limits{Nodes: 3, Bytes: 300, Subscriptions: 1, Affiliations: 2}, PerUser: 2})
	juliet, romeo, admin := w.Online("juliet@example.com/x"), w.Online("romeo@example.com/x"), w.Online("admin@example.com/x")
	node := func(n string) string { return beside(ask1("set", nsPubsub, `<create node='`+n+`'/>`)) }
	juliet.Does(node("a"))
	juliet.Does(node("b"))
	juliet.Sends(node("c"))
	juliet.Gets(tooMuch)
	romeo.Does(node("c"))
	romeo.Sends(node("d"))
	romeo.Gets(tooMuch)
	juliet.Does(beside(publishes("a", "1", strings.Repeat("x", 200), "")))
	romeo.Sends(beside(publishes("c", "1", strings.Repeat("x", 200), "")))
	romeo.Gets(tooMuch)
	subscribe := func(a *routertest.Actor) {
		a.Sends(beside(ask1("set", nsPubsub, `<subscribe node='b' jid='`+a.JID().Bare().String()+`'/>`)))
	}
	subscribe(romeo)
	romeo.Gets(`<iq type='result' id='q'>…</iq>`)
	subscribe(juliet)
	juliet.Gets(`<iq type='error' id='q'><error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	affiliate := func(n int) string {
		return beside(ask1("set", nsOwner, fmt.Sprintf(`<affiliations node='a'><affiliation jid='r%d@example.com' affiliation='member'/></affiliations>`, n)))
	}
	juliet.Does(affiliate(1))
	juliet.Sends(affiliate(2))
	juliet.Gets(tooMuch)
	admin.Does(beside(ask1("set", nsOwner, `<delete node='a'/>`)))
	admin.Does(node("a"))
}

// TestServicesKeepApart: the services of two domains have nothing in common, and neither has one
// with an account.
func TestServicesKeepApart(t *testing.T) {
	w := serving(t, Settings{})
	juliet, ann := w.Online("juliet@example.com/x"), w.Online("ann@example.net/x")
	juliet.Does(beside(ask1("set", nsPubsub, `<create node='n'/>`)))
	other := func(q string) string { return strings.Replace(beside(q), domain, "pubsub.example.net", 1) }
	ann.Sends(other(ask1("get", nsPubsub, `<items node='n'/>`)))
	ann.Gets(`<iq type='error' id='q'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	ann.Does(other(ask1("set", nsPubsub, `<create node='n'/>`)))
	ann.Does(other(publishes("n", "1", "net", "")))
	juliet.Does(publishes("n", "1", "own", ""))
	juliet.Does(beside(publishes("n", "1", "com", "")))
	for _, q := range []string{beside(ask1("get", nsPubsub, `<items node='n'/>`)), other(ask1("get", nsPubsub, `<items node='n'/>`)), ask1("get", nsPubsub, `<items node='n'/>`)} {
		juliet.Sends(q)
	}
	for _, text := range []string{"com", "net", "own"} {
		juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsPubsub + `'><items node='n'><item id='1'><x xmlns='urn:x'>` + text + `</x></item></items></pubsub></iq>`)
	}
	if n := w.count(t, `select count(*) from pubsub_service`); n != 2 {
		t.Errorf("%d services", n)
	}
}

// TestServiceInOrder has two publish at one node at once: all subscribers hear the same, in the
// same order, which is that of the items.
func TestServiceInOrder(t *testing.T) {
	w := serving(t, Settings{})
	juliet, romeo := w.Online("juliet@example.com/x"), w.Online("romeo@example.com/x")
	juliet.Does(beside(ask1("set", nsPubsub, `<create node='n'/><configure>`+filled(formConfig, "publish_model", "open", "max_items", "max")+`</configure>`)))
	var heard [3][]string
	for i := range heard {
		jid := xmpp.MustJID(fmt.Sprintf("r%d@example.com", i))
		w.Exists(jid)
		p, err := w.Bind(xmpp.MustJID(jid.String() + "/x"))
		if err != nil {
			t.Fatal(err)
		}
		p.Session.Tap(func(st *xmpp.Stanza) {
			if _, text, ok := texts(st); ok {
				heard[i] = append(heard[i], text)
			}
		})
		say(t, p, `<presence/>`)
		say(t, p, beside(ask1("set", nsPubsub, `<subscribe node='n' jid='`+jid.String()+`'/>`)))
		t.Cleanup(func() { p.Sender.Leave("") })
	}
	var all sync.WaitGroup
	for _, a := range []*routertest.Actor{juliet, romeo} {
		a.Peer().Session.Tap(func(*xmpp.Stanza) {})
		all.Go(func() {
			for n := range 40 {
				id := a.JID().Local() + strconv.Itoa(n)
				say(t, a.Peer(), beside(publishes("n", id, id, "")))
			}
		})
	}
	all.Wait()
	w.Settle()
	if len(heard[0]) != 80 || strings.Join(heard[0], " ") != strings.Join(heard[1], " ") || strings.Join(heard[0], " ") != strings.Join(heard[2], " ") {
		t.Errorf("%v", heard)
	}
	reader := w.Connected("reader@example.com/x")
	reader.Sends(beside(ask1("get", nsPubsub, `<items node='n'/>`)))
	var kept []string
	for it := range reader.Hears().Payload().Child(nsPubsub, "items").Children {
		kept = append(kept, it.Attr("id"))
	}
	if strings.Join(kept, " ") != strings.Join(heard[0], " ") {
		t.Errorf("heard %v, kept %v", heard[0], kept)
	}
}

// TestServiceAnswersAll: every request to a service is answered, whatever it is called.
func TestServiceAnswersAll(t *testing.T) {
	w := serving(t, Settings{})
	mallory := w.Online("mallory@example.com/x")
	mallory.Forgets()
	long := strings.Repeat("x", 3000)
	for _, name := range []string{"hidden", long} {
		for _, q := range append(requests(), publishes("hidden", long, "text", "")) {
			mallory.Sends(strings.ReplaceAll(beside(q), "node='hidden'", "node='"+name+"'"))
			if st := mallory.Hears(); st == nil || st.Kind != xmpp.IQ {
				t.Errorf("%.100s: %v", q, st)
			}
			mallory.Forgets()
		}
	}
}
