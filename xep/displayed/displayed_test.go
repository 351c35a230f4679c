package displayed_test

import (
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/xep/displayed"
	"parley/xep/pubsub"
)

const (
	node  = "urn:xmpp:mds:displayed:0"
	items = `<iq id='i' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='` + node + `'/></pubsub></iq>`
)

func says(attrs, id string) string {
	return `<message ` + attrs + `><body>x</body><displayed xmlns='` + node + `'><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='` + id + `'/></displayed>` +
		`<displayed xmlns='` + node + `'/></message>`
}

// TestStrippedInAnyCase: nobody else sees what was displayed, whether it can be published or not.
func TestStrippedInAnyCase(t *testing.T) {
	limits := pubsub.Limits{Payload: 200}
	h := routertest.New(t, displayed.New(), pubsub.Feature(pubsub.New(pubsub.Config{Limits: func() pubsub.Limits { return limits }})))
	juliet, romeo := h.Online("juliet@example.com/phone"), h.Online("romeo@example.com/desk")
	for _, m := range []struct{ attrs, id, want string }{
		{"type='chat' to='romeo@example.com'", "one", `id='one'`},
		{"type='error' to='romeo@example.com/desk'", "two", `id='one'`},
		{"type='chat' to='romeo@example.com'", strings.Repeat("large", 100), `id='one'`},
		{"type='chat' to='romeo@example.com'", "three", `id='three'`},
	} {
		juliet.Sends(says(m.attrs, m.id))
		romeo.Gets(`<message ` + m.attrs + ` from='juliet@example.com/phone'><body>x</body></message>`)
		juliet.Sends(items)
		if got := juliet.Hears().String(); !strings.Contains(got, m.want) || strings.Count(got, "<item ") != 1 {
			t.Errorf("%s %s: %s", m.attrs, m.id, got)
		}
	}
}

// TestSomebodyElsesNode: who is written to cannot be made to publish.
func TestSomebodyElsesNode(t *testing.T) {
	h := routertest.New(t, displayed.New(), pubsub.Feature(pubsub.New(pubsub.Config{})))
	juliet, romeo := h.Online("juliet@example.com/phone"), h.Online("romeo@example.com/desk")
	juliet.Sends(says("type='chat' to='romeo@example.com'", "one"))
	romeo.Forgets()
	romeo.Sends(items)
	romeo.Gets(`<iq type='error'>…</iq>`)
}
