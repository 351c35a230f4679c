package pubsub

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/caps"
	"parley/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a house with personal eventing.
type world struct {
	*routertest.House
	s *Service
}

func newWorld(t testing.TB, cfg routertest.Config, limits Limits) *world {
	t.Helper()
	w := &world{s: New(Config{Limits: func() Limits { return limits }})}
	cfg.Features = around(w.s)
	w.House = routertest.NewWith(t, cfg)
	return w
}

func around(s *Service) []router.Feature {
	return []router.Feature{roster.New(), blocking.New(), Feature(s), caps.New(time.Now)}
}

func newHouse(t testing.TB, s *Service) *routertest.House { return routertest.New(t, around(s)...) }

// info is what a client that is interested in some nodes says of itself.
func info(nodes ...string) string {
	var b strings.Builder
	b.WriteString(`<identity category='client' type='pc'/>`)
	for _, n := range nodes {
		b.WriteString(`<feature var='` + n + notify + `'/>`)
	}
	return b.String()
}

// hash is the 'ver' that stands for it (XEP-0115 §5.1).
func hash(t testing.TB, nodes ...string) string {
	t.Helper()
	in := xmpp.Info{Identities: []xmpp.Identity{{Category: "client", Type: "pc"}}}
	for _, n := range nodes {
		in.Features = append(in.Features, n+notify)
	}
	s, err := in.Legacy()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(s)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// shown is the presence of such a client.
func shown(t testing.TB, nodes ...string) string {
	return `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='` + hash(t, nodes...) + `'/>`
}

// interested has a client come that is interested in nodes.
func (w *world) interested(t testing.TB, full string, nodes ...string) *routertest.Actor {
	t.Helper()
	a := w.Connected(full)
	tell(t, a, nodes...)
	return a
}

// tell has a client show its presence, and answer if it is asked.
func tell(t testing.TB, a *routertest.Actor, nodes ...string) {
	t.Helper()
	a.Says(`<presence>` + shown(t, nodes...) + `</presence>`)
	for {
		st := a.Hears()
		if st == nil {
			return
		}
		if st.Kind == xmpp.IQ && st.Type == "get" {
			a.Says(xmpp.Result(st, xmpp.Payload(`<query xmlns='`+xmpp.NSInfo+`'>`+info(nodes...)+`</query>`)).String())
		} else if st.Kind == xmpp.Message {
			t.Fatalf("%s heard %s too early", a.JID(), st)
		}
	}
}

// befriend lets two see each other. Both are connected.
func befriend(a, b *routertest.Actor) {
	a.Sends(`<presence type='subscribe' to='` + b.JID().Bare().String() + `'/>`)
	b.Sends(`<presence type='subscribed' to='` + a.JID().Bare().String() + `'/>`)
	b.Sends(`<presence type='subscribe' to='` + a.JID().Bare().String() + `'/>`)
	a.Sends(`<presence type='subscribed' to='` + b.JID().Bare().String() + `'/>`)
	a.Forgets()
	b.Forgets()
}

// publishes is a request to publish text under an id; options may be "".
func publishes(node, id, text, options string) string {
	return fmt.Sprintf(`<iq type='set' id='p'><pubsub xmlns='%s'><publish node='%s'><item id='%s'><x xmlns='urn:x'>%s</x></item></publish>%s</pubsub></iq>`, nsPubsub, node, id, text, options)
}

func options(pairs ...string) string {
	return `<publish-options>` + filled(formOptions, pairs...) + `</publish-options>`
}

// filled is a form that was filled in.
func filled(purpose string, pairs ...string) string {
	s := `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>` + purpose + `</value></field>`
	for i := 0; i < len(pairs); i += 2 {
		s += `<field var='pubsub#` + pairs[i] + `'><value>` + pairs[i+1] + `</value></field>`
	}
	return s + `</x>`
}

// published is what somebody hears of it.
func published(node, id, text string, late bool) string {
	delay := ""
	if late {
		delay = `<delay xmlns='urn:xmpp:delay' from='*' stamp='*'/>`
	}
	return fmt.Sprintf(`<message type='headline' id='pep-*'><event xmlns='%s'><items node='%s'><item id='%s'><x xmlns='urn:x'>%s</x></item></items></event>%s…</message>`, nsEvent, node, id, text, delay)
}

// texts returns what of a stanza is text of items, and whether it was late.
func texts(st *xmpp.Stanza) (node, text string, ok bool) {
	items := st.Child(nsEvent, "event").Child(nsEvent, "items")
	if items.IsZero() || st.Kind != xmpp.Message {
		return "", "", false
	}
	return items.Attr("node"), items.Child(nsEvent, "item").First().Text(), true
}
