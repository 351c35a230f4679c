package pubsub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

func ask1(typ, ns, content string) string {
	return `<iq type='` + typ + `' id='q'><pubsub xmlns='` + ns + `'>` + content + `</pubsub></iq>`
}

// requests are requests of every kind.
func requests() (list []string) {
	for _, c := range []string{
		`<items node='hidden'/>`, `<items node='none'/>`, `<items node='hidden'><item id='1'/></items>`, `<items/>`, `<subscriptions/>`,
		`<affiliations/>`, `<subscriptions node='hidden'/>`, `<options node='hidden' jid='m@example.net'/>`, `<default/>`, ``, `<unknown node='hidden'/>`,
	} {
		list = append(list, ask1("get", nsPubsub, c))
	}
	for _, c := range []string{
		`<publish node='hidden'><item id='1'><x xmlns='urn:x'/></item></publish>`, `<publish node='none'><item><x xmlns='urn:x'/></item></publish>`,
		`<retract node='hidden'><item id='1'/></retract>`, `<retract node='hidden'/>`, `<subscribe node='hidden' jid='mallory@example.com'/>`, `<subscribe node='none' jid='mallory@example.com'/>`,
		`<subscribe node='hidden' jid='other@example.com'/>`, `<unsubscribe node='hidden' jid='mallory@example.com'/>`, `<create node='hidden'/>`, `<create/>`, `<create node='new'/>`, ``, `<unknown/>`,
	} {
		list = append(list, ask1("set", nsPubsub, c))
	}
	for _, c := range []string{`<configure node='hidden'/>`, `<default/>`, `<subscriptions node='hidden'/>`, `<affiliations node='hidden'/>`, ``} {
		list = append(list, ask1("get", nsOwner, c))
	}
	for _, c := range []string{`<configure node='hidden'><x xmlns='jabber:x:data' type='submit'/></configure>`, `<delete node='hidden'/>`, `<purge node='none'/>`,
		`<subscriptions node='hidden'><subscription jid='mallory@example.com' subscription='subscribed'/></subscriptions>`,
		`<affiliations node='hidden'><affiliation jid='mallory@example.com' affiliation='owner'/></affiliations>`} {
		list = append(list, ask1("set", nsOwner, c))
	}
	for _, ns := range []string{xmpp.NSInfo, nsItems} {
		for _, node := range []string{``, ` node='hidden'`, ` node='none'`} {
			list = append(list, `<iq type='get' id='q'><query xmlns='`+ns+`'`+node+`/></iq>`)
		}
	}
	return list
}

// TestStrangersLearnNothing compares, letter by letter, what a stranger is told of somebody whose
// nodes are not for strangers, of somebody without nodes, of somebody who has blocked the stranger,
// and of nobody.
func TestStrangersLearnNothing(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	hides, blocks := w.Online("hides@example.com/x"), w.Online("blocks@example.com/x")
	w.Exists(xmpp.MustJID("nodes@example.com"))
	for _, access := range []string{"presence", "roster", "whitelist"} {
		hides.Does(publishes("hidden", "1", "secret", options("access_model", access)))
		blocks.Does(publishes("hidden", "1", "secret", options("access_model", access)))
		blocks.Sends(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='mallory@example.com'/></block></iq>`)
		mallory := w.Online("mallory@example.com/x")
		mallory.Forgets()
		for _, q := range requests() {
			var answers []string
			for _, who := range []string{"hides", "nodes", "blocks", "nobod"} {
				mallory.Sends(strings.Replace(q, "<iq ", "<iq to='"+who+"@example.com' ", 1))
				st := mallory.Hears()
				if st == nil {
					t.Fatalf("%s of %s is not answered", q, who)
				}
				mallory.GetsNothing()
				answers = append(answers, strings.ReplaceAll(st.String(), who+"@", "who@"))
			}
			for _, a := range answers[1:] {
				if a != answers[0] {
					t.Errorf("%s\n%s", q, strings.Join(answers, "\n"))
					break
				}
			}
			if strings.Contains(answers[0], "secret") {
				t.Errorf("%s: %s", q, answers[0])
			}
		}
		mallory.Leaves()
		hides.Does(ask1("set", nsOwner, `<delete node='hidden'/>`))
		blocks.Does(ask1("set", nsOwner, `<delete node='hidden'/>`))
	}
	hides.Forgets()
	hides.Sends(ask1("get", nsPubsub, `<items node='hidden'/>`))
	hides.Gets(`<iq type='error' id='q'>…</iq>`)
}

// TestNobodyWritesToAnother has a stranger and a contact try everything on nodes for all and for
// contacts; they stay as they are (XEP-0060 §14.2).
func TestNobodyWritesToAnother(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet, romeo := w.Online("juliet@example.com/x"), w.Online("romeo@example.com/x")
	befriend(juliet, romeo)
	mallory := w.Online("mallory@example.com/x")
	for _, access := range []string{"open", "presence", "authorize"} {
		juliet.Does(publishes("hidden", "1", access, options("access_model", access)))
		for _, q := range requests() {
			if !strings.Contains(q, "'set'") || strings.Contains(q, "subscribe node") {
				continue
			}
			for _, who := range []*routertest.Actor{romeo, mallory} {
				who.Forgets()
				who.Sends(strings.Replace(q, "<iq ", "<iq to='juliet@example.com' ", 1))
				if st := who.Hears(); st == nil || st.Type != "error" {
					t.Errorf("%s: %v", q, st)
				}
			}
		}
		juliet.Forgets()
		juliet.Sends(ask1("get", nsPubsub, `<items node='hidden'/>`))
		juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsPubsub + `'><items node='hidden'><item id='1'><x xmlns='urn:x'>` + access + `</x></item></items></pubsub></iq>`)
		juliet.Does(ask1("set", nsOwner, `<delete node='hidden'/>`))
	}
}

// TestLongNames: whatever a node or an item is called, there is an answer.
func TestLongNames(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet := w.Online("juliet@example.com/x")
	juliet.Forgets()
	long := strings.Repeat("x", 3000)
	for _, q := range append(requests(), publishes("n", long, "text", "")) {
		q = strings.NewReplacer("node='hidden'", "node='"+long+"'", "node='none'", "node='"+long+"'").Replace(q)
		juliet.Sends(q)
		if st := juliet.Hears(); st == nil || st.Kind != xmpp.IQ || strings.Contains(q, "xxx") && st.Type == "result" && st.Len() > 20000 {
			t.Errorf("%.80s: %v", q, st)
		}
		juliet.Forgets()
	}
	if n := w.count(t, `select count(*) from pubsub_node where length(name) > 1023`); n != 0 {
		t.Errorf("%d nodes with long names", n)
	}
	juliet.Sends(ask1("set", nsPubsub, `<create node='n'/><configure>`+filled(formConfig, "title", strings.Repeat("x", 2000))+`</configure>`))
	juliet.Gets(`<iq type='error' id='q'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	var values strings.Builder
	for i := range 99 {
		fmt.Fprintf(&values, `<value>%s%d</value>`, strings.Repeat("y", 900), i)
	}
	juliet.Sends(ask1("set", nsPubsub, `<create node='n'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#contact'>`+values.String()+`</field></x></configure>`))
	juliet.Gets(`<iq type='error' id='q'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
}

func (w *world) count(t testing.TB, q string) (n int64) {
	t.Helper()
	err := w.Store.Read(context.Background(), func(tx *storage.Tx) error {
		_, err := tx.One(q, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const tooMuch = `<iq type='error' id='*'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`

// TestLimits: nodes, items, bytes, subscriptions and affiliations have an end.
func TestLimits(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{Nodes: 3, Items: 4, Bytes: 400, Payload: 200, Subscriptions: 2, Affiliations: 2})
	juliet, mallory := w.Online("juliet@example.com/x"), w.Online("mallory@example.com/x")
	big := strings.Repeat("x", 100)
	juliet.Does(publishes("a", "1", big, options("access_model", "open", "max_items", "max")))
	juliet.Does(publishes("a", "2", big, ""))
	juliet.Does(publishes("a", "3", big, ""))
	juliet.Sends(publishes("a", "4", big, ""))
	juliet.Gets(tooMuch)
	juliet.Does(publishes("a", "3", big, "")) // in place of itself
	juliet.Sends(publishes("a", "3", strings.Repeat("x", 300), ""))
	juliet.Gets(`<iq type='error' id='p'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><payload-too-big xmlns='` + nsErrors + `'/></error></iq>`)
	for i := range 4 {
		juliet.Does(publishes("a", fmt.Sprint(i), "", ""))
	}
	juliet.Does(publishes("a", "5", "", ""))
	if n := w.count(t, `select count(*) from pubsub_item`); n != 4 {
		t.Errorf("%d items", n)
	}
	if n := w.count(t, `select sum(items) + 1000 * sum(bytes) from pubsub_node`); n != 4+1000*w.count(t, `select sum(length(payload)) from pubsub_item`) {
		t.Errorf("the tally is %d", n)
	}
	juliet.Does(publishes("b", "1", "", ""))
	juliet.Does(ask1("set", nsPubsub, `<create node='c'/>`))
	juliet.Sends(publishes("d", "1", "", ""))
	juliet.Gets(tooMuch)
	juliet.Sends(ask1("set", nsPubsub, `<create node='d'/>`))
	juliet.Gets(tooMuch)
	juliet.Forgets()
	subscribe := func(jid string) string {
		return `<iq type='set' id='s' to='juliet@example.com'><pubsub xmlns='` + nsPubsub + `'><subscribe node='a' jid='` + jid + `'/></pubsub></iq>`
	}
	mallory.Sends(subscribe("mallory@example.com/1"))
	mallory.Sends(subscribe("mallory@example.com/2"))
	mallory.Forgets()
	mallory.Sends(subscribe("mallory@example.com/3"))
	mallory.Gets(`<iq type='error' id='s'><error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><too-many-subscriptions xmlns='` + nsErrors + `'/></error></iq>`)
	affiliate := func(n int) string {
		return ask1("set", nsOwner, fmt.Sprintf(`<affiliations node='a'><affiliation jid='r%d@example.com' affiliation='member'/></affiliations>`, n))
	}
	juliet.Does(affiliate(1))
	juliet.Does(affiliate(2))
	juliet.Sends(affiliate(3))
	juliet.Gets(tooMuch)
	if n := w.s.Stats().Refused.Load(); n != 5 {
		t.Errorf("%d refused", n)
	}
}

// TestFullDisk: what is not written is told to nobody, and is not there.
func TestFullDisk(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet := w.interested(t, "juliet@example.com/x", "n")
	juliet.Sends(publishes("n", "1", "one", ""))
	juliet.Gets(published("n", "1", "one", false))
	juliet.Gets(`<iq type='result' id='p'>…</iq>`)
	w.Disk.FullEvery(1)
	for _, q := range []string{publishes("n", "1", "two", ""), publishes("m", "1", "two", ""), ask1("set", nsPubsub, `<retract node='n' notify='1'><item id='1'/></retract>`), ask1("set", nsOwner, `<delete node='n'/>`), ask1("set", nsOwner, `<purge node='n'/>`), ask1("set", nsOwner, `<configure node='n'>`+filled(formConfig, "notify_config", "1")+`</configure>`)} {
		juliet.Sends(q)
		juliet.Gets(`<iq type='error' id='*'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
		juliet.GetsNothing()
	}
	w.Disk.FullEvery(0)
	juliet.Sends(ask1("get", nsPubsub, `<items node='n'/>`))
	juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsPubsub + `'><items node='n'><item id='1'><x xmlns='urn:x'>one</x></item></items></pubsub></iq>`)
	juliet.Sends(ask1("get", nsPubsub, `<items node='m'/>`))
	juliet.Gets(`<iq type='error' id='q'>…</iq>`)
}

// TestPrefixesSurvive: what a client declares around a payload is in it when it comes out.
func TestPrefixesSurvive(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet := w.interested(t, "juliet@example.com/x", "n")
	juliet.Sends(`<iq type='set' id='p'><p:pubsub xmlns:p='` + nsPubsub + `' xmlns:o='urn:o'><p:publish node='n'><p:item id='1'><o:x o:y='1'><p:z/></o:x></p:item></p:publish></p:pubsub></iq>`)
	want := `<o:x xmlns:o='urn:o' o:y='1'><z xmlns='` + nsPubsub + `'/></o:x>`
	juliet.Gets(`<message type='headline'><event xmlns='` + nsEvent + `'><items node='n'><item id='1'>` + want + `</item></items></event>…</message>`)
	juliet.Gets(`<iq type='result' id='p'>…</iq>`)
	juliet.Sends(ask1("get", nsPubsub, `<items node='n'/>`))
	juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsPubsub + `'><items node='n'><item id='1'>` + want + `</item></items></pubsub></iq>`)
}

// TestForgeries: nobody else's event is taken for the owner's answer, and no client can make the
// server send events in another's name.
func TestForgeries(t *testing.T) {
	w := newWorld(t, routertest.Config{}, Limits{})
	juliet, tybalt := w.Online("juliet@example.com/x"), w.Online("tybalt@example.com/x")
	juliet.Does(ask1("set", nsPubsub, `<create node='n'/><configure>`+filled(formConfig, "access_model", "authorize")+`</configure>`))
	tybalt.Does(strings.Replace(ask1("set", nsPubsub, `<subscribe node='n' jid='tybalt@example.com'/>`), "<iq ", "<iq to='juliet@example.com' ", 1))
	juliet.Gets(`<message id='pep-*'>…</message>`)
	form := filled(formAuthorise, "node", "n", "subscriber_jid", "tybalt@example.com", "allow", "1")
	tybalt.Sends(`<message to='juliet@example.com' id='x'>` + form + `</message>`)
	juliet.Gets(`<message from='tybalt@example.com/x'>…</message>`) // as what it is: somebody's message
	tybalt.Sends(`<message to='juliet@example.com' type='error' id='pep-x'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	juliet.GetsNothing()
	tybalt.GetsNothing()
	juliet.Sends(ask1("get", nsOwner, `<subscriptions node='n'/>`))
	juliet.Gets(`<iq type='result' id='q'><pubsub xmlns='` + nsOwner + `'><subscriptions node='n'><subscription jid='tybalt@example.com' subid='*' subscription='pending'/></subscriptions></pubsub></iq>`)
	juliet.Sends(`<message to='juliet@example.com' id='x'>` + form + `</message>`)
	tybalt.Gets(`<message from='juliet@example.com'>…</message>`)
}
