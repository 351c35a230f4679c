package router_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// diary is a feature that writes down each step it is called in.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	d.lines = append(d.lines, line)
	d.mu.Unlock()
}

func (d *diary) hooks(side string, seen func(*router.Passage) bool) router.Hooks {
	note := func(step string, p *router.Passage) {
		if seen(p) {
			d.write(side + " " + step)
		}
	}
	return router.Hooks{
		Guard: func(p *router.Passage) *xmpp.Error { note("guard", p); return nil },
		Mark:  func(p *router.Passage) { note("mark", p) },
		Keep: func(p *router.Passage) *xmpp.Error {
			note("keep", p)
			p.Keep(routertest.Keeping(func(tx *storage.Tx, id storage.ID) error {
				d.write(side + " write")
				return nil
			}))
			return nil
		},
		Copy: func(p *router.Passage, _ *router.Round) {
			note("copy", p)
			if p.Reached() != 1 {
				d.write("reached nobody")
			}
		},
		Miss: func(p *router.Passage) { note("miss", p) },
	}
}

func TestStepsHaveOneOrder(t *testing.T) {
	d := &diary{}
	all := func(*router.Passage) bool { return true }
	f := router.Feature{Name: "diary", Sent: d.hooks("sent", all), Arrived: d.hooks("arrived", all)}
	h := routertest.New(t, f)
	romeo, juliet := h.Online("romeo@example.com/desk"), h.Online("juliet@example.net/balcony")
	juliet.Peer().Session.Tap(func(*xmpp.Stanza) { d.write("handed over") })
	romeo.Sends(`<message to='juliet@example.net' type='chat'><body>x</body></message>`)
	want := []string{"sent guard", "arrived guard", "sent mark", "arrived mark", "sent keep", "arrived keep",
		"sent write", "arrived write", "handed over", "sent copy", "arrived copy", "arrived miss"}
	if !reflect.DeepEqual(d.lines, want) {
		t.Errorf("%q", d.lines)
	}
}

func TestOneArchiveIDForAllThatKeep(t *testing.T) {
	var ids []storage.ID
	keep := router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
		p.Keep(routertest.Keeping(func(_ *storage.Tx, id storage.ID) error { ids = append(ids, id); return nil }))
		return nil
	}}
	h := routertest.New(t, router.Feature{Name: "archive", Sent: keep, Arrived: keep})
	romeo, juliet := h.Online("romeo@example.com/desk"), h.Online("juliet@example.com/balcony")
	romeo.Sends(`<message to='juliet@example.com'><body>x</body></message>`)
	juliet.Gets(`<message><body>x</body></message>`)
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == 0 {
		t.Errorf("written under %v", ids)
	}
}

// refusing returns a feature that refuses, panics or does nothing in one step, as the
// message says.
func refusing() router.Feature {
	step := func(name string) func(p *router.Passage) *xmpp.Error {
		return func(p *router.Passage) *xmpp.Error {
			if p.Stanza.Type == "error" { // the answer to what was refused
				return nil
			}
			switch p.Stanza.ID {
			case "refuse-" + name:
				return xmpp.Refuse("policy-violation", "")
			case "panic-" + name:
				panic("as it was told")
			}
			return nil
		}
	}
	return router.Feature{Name: "refusing", Arrived: router.Hooks{
		Guard: step("guard"),
		Mark:  func(p *router.Passage) { step("mark")(p) },
		Keep:  step("keep"),
		Copy:  func(p *router.Passage, _ *router.Round) { step("copy")(p) },
		Miss:  func(p *router.Passage) { step("miss")(p) },
	}}
}

func TestStepsMayRefuseAndPanic(t *testing.T) {
	for _, kept := range []bool{false, true} {
		f := &archive{}
		h := routertest.New(t, refusing(), f.feature())
		romeo, juliet := h.Online("romeo@example.com/desk"), h.Online("juliet@example.com/balcony")
		body := "<body>x</body>"
		if kept {
			body += "<keep xmlns='test'/>"
		}
		for id, condition := range map[string]string{
			"refuse-guard": "policy-violation", "refuse-keep": "policy-violation",
			"panic-guard": "internal-server-error", "panic-mark": "internal-server-error", "panic-keep": "internal-server-error",
		} {
			romeo.Sends(`<message id='` + id + `' to='juliet@example.com'>` + body + `</message>`)
			romeo.Gets(`<message id='` + id + `' type='error' from='juliet@example.com'><error type='*'><` + condition +
				` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
			juliet.GetsNothing()
		}
		for _, id := range []string{"panic-copy", "panic-miss"} { // it was handed over before
			romeo.Sends(`<message id='` + id + `' to='juliet@example.com'>` + body + `</message>`)
			juliet.Gets(`<message id='` + id + `'><body>x</body>…</message>`)
			romeo.GetsNothing()
		}
		if n := h.Router.Stats().Panics.Load(); n != 5 {
			t.Errorf("%d panics were counted", n)
		}
	}
}

func TestIQIsAnsweredOnce(t *testing.T) {
	failing := router.Feature{Name: "failing", IQ: []router.IQ{
		router.Get(router.ToServer, "test", "panic", func(context.Context, *router.Request) (xmpp.Payload, error) { panic("as it was told") }),
		router.Get(router.ToServer, "test", "fail", func(context.Context, *router.Request) (xmpp.Payload, error) {
			return nil, errors.New("a secret of the server")
		}),
		router.Get(router.ToServer, "test", "refuse", func(context.Context, *router.Request) (xmpp.Payload, error) {
			return nil, xmpp.Refuse("forbidden", "")
		}),
		router.Get(router.ToOwn, "test", "turn", func(_ context.Context, q *router.Request) (xmpp.Payload, error) {
			return nil, q.Turn(func(*router.Turn) error { panic("in a turn") })
		}),
		router.Get(router.ToOwn, "test", "after", func(_ context.Context, q *router.Request) (xmpp.Payload, error) {
			q.After(func(rd *router.Round) {
				rd.Push(q.Sender.Account().Resources()[0].Session, xmpp.NewStanza(xmpp.Message, nil))
			})
			return nil, nil
		}),
	}}
	h := routertest.New(t, failing)
	romeo := h.Online("romeo@example.com/desk")
	for name, condition := range map[string]string{
		"panic": "internal-server-error", "fail": "internal-server-error", "refuse": "forbidden", "unknown": "service-unavailable",
	} {
		romeo.Sends(`<iq type='get' id='` + name + `' to='example.com'><` + name + ` xmlns='test'/></iq>`)
		romeo.Gets(`<iq type='error' id='` + name + `' from='example.com'><error type='*'><` + condition +
			` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
		romeo.GetsNothing()
	}
	romeo.Sends(`<iq type='get' id='t'><turn xmlns='test'/></iq>`)
	romeo.Gets(`<iq type='error' id='t'><error type='wait'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	romeo.Sends(`<iq type='get' id='a'><after xmlns='test'/></iq>`)
	romeo.Gets(`<iq type='result' id='a'/>`)
	romeo.Gets(`<message/>`)
	romeo.GetsNothing()
	for _, xml := range []string{`<iq type='result' id='x'/>`, `<iq type='error' id='x'/>`, `<iq type='result' id='x' to='juliet@example.com/x'/>`,
		`<iq type='error' id='x' to='elsewhere.example'/>`, `<message type='error' to='juliet@example.com/x'/>`} {
		romeo.Sends(xml)
		romeo.GetsNothing()
	}
	for _, xml := range []string{`<iq id='x'><a xmlns='test'/></iq>`, `<iq type='get' id='x'/>`, `<iq type='get' id='x'><a xmlns='test'/><b xmlns='test'/></iq>`,
		`<iq type='nonsense' id='x'><a xmlns='test'/></iq>`, `<iq type='get'><a xmlns='test'/></iq>`} {
		romeo.Sends(xml)
		if st := romeo.Hears(); st == nil || routertest.Match(`<iq type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`, st) != "" {
			t.Errorf("%s: heard %v", xml, st)
		}
		romeo.GetsNothing()
	}
}
