package push_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xep/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	enable  = `<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='app@example.com/server' node='%s'/></iq>`
	disable = `<iq type='set' id='d'><disable xmlns='urn:xmpp:push:0' jid='app@example.com/server'/></iq>`
	content = `<message type='chat' to='juliet@example.com' id='m'><body>Wherefore</body></message>`
	told    = `<iq type='set' from='example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='%s'><item><notification xmlns='urn:xmpp:push:0'/></item></publish></pubsub></iq>`
)

type world struct {
	*routertest.House
	t                  *testing.T
	app, romeo, juliet *routertest.Actor
}

func newWorld(t *testing.T, cfg push.Config, dir string) *world {
	h := routertest.NewWith(t, routertest.Config{Storage: storage.Config{Dir: dir},
		Features: []router.Feature{mam.New(func() mam.Limits { return mam.Limits{} }), push.New(cfg)}})
	w := &world{House: h, t: t, app: h.Online("app@example.com/server"), romeo: h.Online("romeo@example.com/x")}
	w.juliet = h.Online("juliet@example.com/phone")
	return w
}

// told wants the app server to be told, which answers.
func (w *world) told(node, answer string) {
	w.t.Helper()
	routertest.Eventually(w.t, "the app server is told", func() bool { w.Settle(); return w.app.Peer().Session.Heard() })
	w.app.Gets(fmt.Sprintf(told, node))
	w.app.Answers(answer)
}

// quiet wants it not to be told.
func (w *world) quiet() {
	w.t.Helper()
	time.Sleep(30 * time.Millisecond)
	w.Settle()
	w.app.GetsNothing()
}

// TestWho: each device decides for its own node, whatever the others do.
func TestWho(t *testing.T) {
	w := newWorld(t, push.Config{Grace: time.Second}, t.TempDir())
	w.juliet.Does(fmt.Sprintf(enable, "phone"))
	w.juliet.Does(fmt.Sprintf(enable, "phone"))
	session := w.juliet.Peer().Session
	w.romeo.Sends(content) // somebody looks at it
	w.quiet()
	w.Online("juliet@example.com/desk")
	session.Attend(router.Gone)
	w.romeo.Sends(content)
	w.told("phone", "")
	for _, nothing := range []string{
		`<message type='chat' to='juliet@example.com'><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
		`<message type='chat' to='juliet@example.com'><received xmlns='urn:xmpp:receipts' id='1'/></message>`,
		`<message type='headline' to='juliet@example.com'><body>News</body></message>`,
	} {
		w.romeo.Sends(nothing)
	}
	w.quiet()
	session.Attend(router.Inactive) // nobody looks at it, but it acknowledges
	w.romeo.Sends(content)
	time.Sleep(1200 * time.Millisecond)
	w.quiet()
	session.Silent()
	w.romeo.Sends(content)
	w.quiet()
	time.Sleep(1200 * time.Millisecond)
	w.told("phone", "")
	w.juliet.Peer().Sender.Lost()
	w.told("phone", "")
	w.juliet.Leaves()
	w.romeo.Sends(content)
	w.told("phone", "")
	desk := w.Online("juliet@example.com/desk2")
	desk.Does(disable)
	w.romeo.Sends(content)
	w.quiet()
}

// TestRestart: what is enabled stays so, with its options.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, push.Config{}, dir)
	options := `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='secret'><value>s</value></field></x>`
	w.juliet.Does(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='app@example.com/server' node='n'>` + options + `</enable></iq>`)
	for _, p := range []*routertest.Actor{w.juliet, w.app, w.romeo} {
		p.Leaves()
	}
	w.Router.Stop(t.Context())
	w.Store.Close(t.Context())
	w = newWorld(t, push.Config{Summary: func() bool { return true }}, dir)
	w.juliet.Leaves()
	w.romeo.Sends(content)
	routertest.Eventually(t, "the app server is told", func() bool { w.Settle(); return w.app.Peer().Session.Heard() })
	w.app.Gets(`<iq type='set' from='example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item><notification xmlns='urn:xmpp:push:0'>
		<x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>
		<field var='message-count'><value>1</value></field><field var='last-message-sender'><value>romeo@example.com/x</value></field>
		<field var='last-message-body'><value>Wherefore</value></field></x></notification></item></publish>
		<publish-options>` + options + `</publish-options></pubsub></iq>`)
	for range 50 { // one notification stands for all that comes while it is on its way
		w.romeo.Sends(content)
	}
	w.app.GetsNothing()
	w.app.Answers("")
	routertest.Eventually(t, "the app server is told", func() bool { w.Settle(); return w.app.Peer().Session.Heard() })
	w.app.Gets(`<iq type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>…</pubsub></iq>`)
	w.app.Answers("")
	w.quiet()
}

// TestErrors: what may pass is tried again, what will not drops the node, of which nobody
// hears then.
func TestErrors(t *testing.T) {
	w := newWorld(t, push.Config{Retry: 20 * time.Millisecond}, t.TempDir())
	w.juliet.Does(fmt.Sprintf(enable, "a"))
	w.juliet.Leaves()
	w.romeo.Sends(content)
	for range 3 {
		w.told("a", `<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`)
	}
	w.app.Leaves() // it cannot be reached for a while
	time.Sleep(50 * time.Millisecond)
	w.app = w.Online("app@example.com/server")
	w.told("a", `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`)
	w.Settle()
	w.romeo.Sends(content)
	w.quiet()
	var n int
	err := w.Store.Read(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.One(`select count(*) from push_node`, nil, &n)
		return err
	})
	if err != nil || n != 0 {
		t.Errorf("%d nodes are left: %v", n, err)
	}
}

// TestBadRequests: errors for what cannot be meant, and a limit.
func TestBadRequests(t *testing.T) {
	w := newWorld(t, push.Config{}, t.TempDir())
	for payload, condition := range map[string]string{
		`<enable xmlns='urn:xmpp:push:0' node='n'/>`:                                             "bad-request",
		`<enable xmlns='urn:xmpp:push:0' jid='@' node='n'/>`:                                     "bad-request",
		`<enable xmlns='urn:xmpp:push:0' jid='a@b'><x xmlns='jabber:x:data' type='x'/></enable>`: "bad-request",
		`<disable xmlns='urn:xmpp:push:0'/>`:                                                     "bad-request",
	} {
		w.juliet.Says(`<iq type='set' id='b'>` + payload + `</iq>`)
		w.juliet.Gets(`<iq type='error' id='b'>…<error type='*'><` + condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	}
	for i := range 20 {
		w.juliet.Does(fmt.Sprintf(enable, fmt.Sprint(i)))
	}
	w.juliet.Says(fmt.Sprintf(enable, "more"))
	w.juliet.Gets(`<iq type='error' id='e'>…<error type='*'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	w.juliet.Says(`<iq type='set' id='o' to='romeo@example.com'><enable xmlns='urn:xmpp:push:0' jid='a@b'/></iq>`)
	w.juliet.Gets(`<iq type='error' id='o'>…<error type='*'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
}
