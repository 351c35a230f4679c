package vcard_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/vcard"
	"parley/xmpp"
)

const (
	romeo = "romeo@example.com/desk"
	get   = `<iq id='g' type='get'><vCard xmlns='vcard-temp'/></iq>`
)

func feature() router.Feature {
	return vcard.New(func() []string { return []string{"mailto:admin@example.com", "https://example.com/help?a&b"} })
}

func set(content string) string {
	return `<iq id='s' type='set'><vCard xmlns='vcard-temp'>` + content + `</vCard></iq>`
}

func has(content string) string {
	return `<iq id='g' type='result'><vCard xmlns='vcard-temp'>` + content + `</vCard></iq>`
}

func TestTooLarge(t *testing.T) {
	a := routertest.New(t, feature()).Connected(romeo)
	a.Does(set(`<FN>Romeo</FN>`))
	a.Sends(set(`<PHOTO><BINVAL>` + strings.Repeat("A", 192<<10) + `</BINVAL></PHOTO>`))
	a.Gets(`<iq id='s' type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	a.Sends(get) // it stays as it was
	a.Gets(has(`<FN>Romeo</FN>`))
	large := strings.Repeat("A", 191<<10)
	a.Does(set(`<PHOTO><BINVAL>` + large + `</BINVAL></PHOTO>`))
	a.Sends(get)
	a.Gets(has(`<PHOTO><BINVAL>` + large + `</BINVAL></PHOTO>`))
}

func TestTheServersOwn(t *testing.T) {
	a := routertest.New(t, feature()).Connected(romeo)
	a.Sends(`<iq id='g' type='get' to='example.net'><vCard xmlns='vcard-temp'/></iq>`)
	a.Gets(has(`<FN>example.net</FN><JABBERID>example.net</JABBERID>` +
		`<EMAIL><INTERNET/><USERID>admin@example.com</USERID></EMAIL><URL>https://example.com/help?a&amp;b</URL>`))
}

// TestNobodyIsLikeSomebodyWithout compares the two answers letter by letter.
func TestNobodyIsLikeSomebodyWithout(t *testing.T) {
	h := routertest.New(t, feature())
	a := h.Connected(romeo)
	h.Exists(xmpp.MustJID("nobody1@example.com"))
	var answers []string
	for _, who := range []string{"nobody1", "nobody2"} {
		a.Sends(`<iq id='g' type='get' to='` + who + `@example.com'><vCard xmlns='vcard-temp'/></iq>`)
		answers = append(answers, strings.ReplaceAll(a.Hears().String(), who, "nobody"))
	}
	if answers[0] != answers[1] || !strings.Contains(answers[0], "service-unavailable") {
		t.Errorf("who has no vCard:\n%s\nwho does not exist:\n%s", answers[0], answers[1])
	}
}

func TestPrefixesSurvive(t *testing.T) {
	a := routertest.New(t, feature()).Connected(romeo)
	a.Does(`<iq id='s' type='set'><v:vCard xmlns:v='vcard-temp' xmlns:o='other'><v:FN>Romeo</v:FN><o:x o:y='1'/></v:vCard></iq>`)
	a.Sends(get)
	a.Gets(has(`<FN>Romeo</FN><o:x xmlns:o='other' o:y='1'/>`))
}

func TestSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	house := func(t *testing.T) *routertest.House {
		return routertest.NewWith(t, routertest.Config{Features: []router.Feature{feature()}, Storage: storage.Config{Dir: dir}})
	}
	t.Run("before", func(t *testing.T) { house(t).Connected(romeo).Does(set(`<FN>Romeo</FN>`)) })
	t.Run("after", func(t *testing.T) {
		a := house(t).Connected(romeo)
		a.Sends(get)
		a.Gets(has(`<FN>Romeo</FN>`))
	})
}

func TestForgotten(t *testing.T) {
	f := feature()
	h := routertest.New(t, f)
	a := h.Connected(romeo)
	a.Does(set(`<FN>Romeo</FN>`))
	bare := a.JID().Bare()
	err := h.Store.Write(context.Background(), func(tx *storage.Tx) error { return f.Forget(tx, h.Dir.Add(bare), bare) })
	if err != nil {
		t.Fatal(err)
	}
	a.Sends(get)
	a.Gets(`<iq id='g' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
}

// TestTogether has devices write and another user read at once: what is read is whole.
func TestTogether(t *testing.T) {
	h := routertest.New(t, feature())
	h.Connected(romeo).Does(set(`<FN>one</FN><NICKNAME>one</NICKNAME>`))
	juliet := h.Connected("juliet@example.com/desk")
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
				st, err := xmpp.ParseStanza(set(`<FN>` + who + `</FN><NICKNAME>` + who + `</NICKNAME>`))
				if err == nil {
					err = p.Sender.Send(context.Background(), &rd, st)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		st, err := xmpp.ParseStanza(`<iq id='g' type='get' to='romeo@example.com'><vCard xmlns='vcard-temp'/></iq>`)
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		if err := juliet.Peer().Sender.Send(context.Background(), &rd, st); err != nil {
			t.Fatal(err)
		}
		rd.Flush()
		card := juliet.Hears().Payload()
		if a, b := card.ChildText("vcard-temp", "FN"), card.ChildText("vcard-temp", "NICKNAME"); a != b || a == "" {
			t.Errorf("half of a vCard is of %q and half of %q", a, b)
		}
	}
	all.Wait()
}
