package vcard_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/xep/vcard"
)

func searching(t *testing.T, results int) *routertest.House {
	return routertest.New(t, feature(), vcard.Search(true, func() int { return results }))
}

func look(fields string) string {
	return `<iq id='q' type='set' to='example.com'><query xmlns='jabber:iq:search'>` + fields + `</query></iq>`
}

// finds returns the addresses that a search answers with, or the condition of its error.
func finds(a *routertest.Actor, fields string) string {
	a.Sends(look(fields))
	st := a.Hears()
	if st.Type == "error" {
		e := st.Child("", "error")
		if e.IsZero() {
			e = st.Child("jabber:client", "error")
		}
		return e.First().Name().Local
	}
	var list []string
	for it := range st.Payload().Children {
		list = append(list, strings.TrimSuffix(it.Attr("jid"), "@example.com"))
	}
	return strings.Join(list, " ")
}

func name(given, family string) string {
	return set(`<N><FAMILY>` + family + `</FAMILY><GIVEN>` + given + `</GIVEN></N>`)
}

func TestSearchPatterns(t *testing.T) {
	h := searching(t, 50)
	h.Connected("a@example.com/x").Does(name("Élodie", "O_Neil"))
	h.Connected("b@example.com/x").Does(name("elodie", "ONeil"))
	h.Connected("c@example.com/x").Does(name("Ann", "Str\\ange"))
	h.Connected("d@example.com/x").Does(set(`<FN>Dan Brown</FN><EMAIL><USERID>Dan@Example.ORG</USERID></EMAIL>`))
	h.Connected("e@example.com/x").Does(set(`<NOTE>nothing to be found</NOTE>`))
	h.Connected("f@example.net/x").Does(name("Ann", "Elsewhere"))
	a := h.Connected("asker@example.com/x")
	for fields, want := range map[string]string{
		"<first>LODI</first>":                             "a b",
		"<first>élodie</first>":                           "a",
		"<first>ÉLODIE</first>":                           "a",
		"<first>e\u0301lodie</first>":                     "a", // composed of two signs
		"<last>o_n</last>":                                "a",
		"<last>onei*</last>":                              "b",
		"<last>*eil</last>":                               "a b",
		"<last>neil*</last>":                              "",
		"<last>r\\a</last>":                               "c",
		"<last>%</last>":                                  "",
		"<first>brown</first>":                            "d", // who has only a full name
		"<email>dan@example</email>":                      "d",
		"<first>ann</first><last>strange</last>":          "",
		"<first>ann</first>":                              "c", // nobody of another domain
		"<first>*</first>":                                "a b c d",
		"<first>a*b*c*d*</first>":                         "not-acceptable",
		"<first>" + strings.Repeat("a", 101) + "</first>": "not-acceptable",
		"<first/>":                                        "bad-request",
		"<x>ann</x>":                                      "bad-request",
		"<jid>c</jid>":                                    "bad-request",
	} {
		if got := finds(a, fields); got != want {
			t.Errorf("%s finds %q and not %q", fields, got, want)
		}
	}
}

func TestSearchIsBounded(t *testing.T) {
	h := searching(t, 3)
	for i := range 5 {
		h.Connected(fmt.Sprintf("u%d@example.com/x", i)).Does(name("Ann", strings.Repeat("é", 300)))
	}
	a := h.Connected("asker@example.com/x")
	if got := finds(a, "<first>ann</first>"); got != "u0 u1 u2" {
		t.Errorf("found are %q", got)
	}
	a.Sends(look("<first>ann</first>"))
	last := a.Hears().Payload().First().ChildText("jabber:iq:search", "last")
	if n := len(last); n == 0 || n > 255 || strings.Trim(last, "é") != "" {
		t.Errorf("a long name is shown as %d bytes: %q", n, last)
	}
}

func TestSearchFollowsTheVCard(t *testing.T) {
	h := searching(t, 50)
	r := h.Connected(romeo)
	r.Does(name("Romeo", "Montague"))
	a := h.Connected("asker@example.com/x")
	r.Does(name("Romeo", "Capulet"))
	if got := finds(a, "<last>montague</last>") + finds(a, "<last>capulet</last>"); got != "romeo" {
		t.Errorf("after a change found are %q", got)
	}
	r.Does(set(`<NOTE/>`))
	if got := finds(a, "<last>capulet</last>"); got != "" {
		t.Errorf("without a name found are %q", got)
	}
}

// TestSearchSwitchedOff: nobody can tell that it could be.
func TestSearchSwitchedOff(t *testing.T) {
	h := routertest.New(t, feature(), vcard.Search(false, nil))
	a := h.Connected(romeo)
	a.Does(name("Romeo", "Montague"))
	if got := finds(a, "<last>montague</last>"); got != "service-unavailable" {
		t.Errorf("found are %q", got)
	}
	a.Sends(`<iq id='d' type='get' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`)
	if st := a.Hears().String(); strings.Contains(st, "search") || strings.Contains(st, "directory") {
		t.Errorf("announced: %s", st)
	}
	on := searching(t, 1).Connected(romeo)
	on.Sends(`<iq id='d' type='get' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`)
	if st := on.Hears().String(); !strings.Contains(st, "jabber:iq:search") || !strings.Contains(st, "directory") {
		t.Errorf("not announced: %s", st)
	}
}

// TestSearchCancelled: a form that is cancelled is no search (XEP-0004).
func TestSearchCancelled(t *testing.T) {
	a := searching(t, 1).Connected(romeo)
	a.Does(look(`<x xmlns='jabber:x:data' type='cancel'/>`))
}

// TestVCardLimit: the limit is asked each time.
func TestVCardLimit(t *testing.T) {
	limit := 100
	h := routertest.New(t, vcard.NewWith(func() []string { return nil }, func() int { return limit }))
	a := h.Connected(romeo)
	long := set(`<FN>` + strings.Repeat("a", 200) + `</FN>`)
	a.Sends(long)
	a.Gets(`<iq id='s' type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	limit = 1000
	a.Does(long)
}
