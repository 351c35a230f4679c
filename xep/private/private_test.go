package private_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/private"
	"parley/xmpp"
)

const (
	romeo   = "romeo@example.com/desk"
	refused = `<iq type='error'><error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`
)

func set(elements string) string {
	return `<iq id='s' type='set'><query xmlns='jabber:iq:private'>` + elements + `</query></iq>`
}

func get(element string) string {
	return `<iq id='g' type='get'><query xmlns='jabber:iq:private'>` + element + `</query></iq>`
}

func has(content string) string {
	return `<iq id='g' type='result'><query xmlns='jabber:iq:private'>` + content + `</query></iq>`
}

func TestLimits(t *testing.T) {
	h := routertest.New(t, private.New())
	a := h.Connected(romeo)
	a.Sends(set(`<a xmlns='x'>` + strings.Repeat("a", 128<<10) + `</a>`))
	a.Gets(fmt.Sprintf(refused, "modify", "policy-violation"))
	big := strings.Repeat("a", 100<<10)
	for i := range 10 {
		a.Does(set(fmt.Sprintf(`<e%d xmlns='x'>%s</e%d>`, i, big, i)))
	}
	a.Sends(set(`<small xmlns='x'/><big xmlns='x'>` + big + `</big>`))
	a.Gets(fmt.Sprintf(refused, "wait", "resource-constraint"))
	a.Sends(get(`<small xmlns='x'/>`))
	a.Gets(has(`<small xmlns='x'/>`))
	a.Does(set(`<e0 xmlns='x'/>`)) // what becomes smaller makes room
	a.Does(set(`<big xmlns='x'>` + big + `</big>`))
}

func TestHowManyNames(t *testing.T) {
	h := routertest.New(t, private.New())
	a := h.Connected(romeo)
	var all strings.Builder
	for i := range 256 {
		fmt.Fprintf(&all, "<e%d xmlns='x'/>", i)
	}
	a.Does(set(all.String()))
	a.Sends(set(`<e0 xmlns='x'>new</e0><more xmlns='x'/>`))
	a.Gets(fmt.Sprintf(refused, "wait", "resource-constraint"))
	a.Sends(get(`<e0 xmlns='x'/>`)) // nothing of it was kept
	a.Gets(has(`<e0 xmlns='x'/>`))
	a.Does(set(`<e0 xmlns='x'>new</e0>`))
}

func TestNamespacesSurvive(t *testing.T) {
	h := routertest.New(t, private.New())
	a := h.Connected(romeo)
	a.Does(`<iq id='s' type='set'><p:query xmlns:p='jabber:iq:private' xmlns:o='other'><o:e o:k='1'><o:f/><g xmlns='third'/></o:e></p:query></iq>`)
	a.Sends(get(`<e xmlns='other'/>`))
	a.Gets(has(`<o:e xmlns:o='other' o:k='1'><o:f/><g xmlns='third'/></o:e>`))
	a.Sends(set(`<e xmlns=''/>`))
	a.Gets(fmt.Sprintf(refused, "modify", "not-acceptable"))
}

func TestSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{private.New()}, Storage: storage.Config{Dir: dir}})
		h.Connected(romeo).Does(set(`<a xmlns='x'>kept</a>`))
	})
	t.Run("after", func(t *testing.T) {
		h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{private.New()}, Storage: storage.Config{Dir: dir}})
		a := h.Connected(romeo)
		a.Sends(get(`<a xmlns='x'/>`))
		a.Gets(has(`<a xmlns='x'>kept</a>`))
	})
}

func TestForgotten(t *testing.T) {
	f := private.New()
	h := routertest.New(t, f)
	a := h.Connected(romeo)
	a.Does(set(`<a xmlns='x'>kept</a>`))
	bare := a.JID().Bare()
	err := h.Store.Write(context.Background(), func(tx *storage.Tx) error { return f.Forget(tx, h.Dir.Add(bare), bare) })
	if err != nil {
		t.Fatal(err)
	}
	a.Sends(get(`<a xmlns='x'/>`))
	a.Gets(has(`<a xmlns='x'/>`))
}

// TestTogether has two devices write two elements at once: what is found is of one of them.
func TestTogether(t *testing.T) {
	h := routertest.New(t, private.New())
	a := h.Connected(romeo)
	var all sync.WaitGroup
	for _, who := range []string{"one", "two"} {
		p, err := h.Bind(xmpp.MustJID("romeo@example.com/" + who))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			var rd router.Round
			defer p.Sender.Leave("")
			for range 50 {
				st, err := xmpp.ParseStanza(set(`<a xmlns='x'>` + who + `</a><b xmlns='x'>` + who + `</b>`))
				if err == nil {
					err = p.Sender.Send(context.Background(), &rd, st)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	a.Sends(get(`<a xmlns='x'/>`))
	first := a.Hears().Payload().First().Text()
	a.Sends(get(`<b xmlns='x'/>`))
	if second := a.Hears().Payload().First().Text(); first != second || first == "" {
		t.Errorf("one element is from %q and the other from %q", first, second)
	}
}

// TestLimitOfBytes: the operator's limit holds, and is asked each time.
func TestLimitOfBytes(t *testing.T) {
	limit := 1000
	a := routertest.New(t, private.NewWith(func() int { return limit })).Connected(romeo)
	big := set(`<big xmlns='x'>` + strings.Repeat("a", 1000) + `</big>`)
	a.Sends(big)
	a.Gets(fmt.Sprintf(refused, "wait", "resource-constraint"))
	limit = 2000
	a.Does(big)
}
