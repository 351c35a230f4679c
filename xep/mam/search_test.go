package mam_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
)

const words = "{urn:xmpp:fulltext:0}fulltext="

// library is an archive with things to find.
func library(t testing.TB) *scene {
	s := play(t, mam.Archive{})
	fills(t, s.Store, func(k keeper) {
		for i, inside := range []string{
			"<body>But soft, what light through yonder window breaks?</body>",
			"<body>It is the east, and Juliet is the sun.</body>",
			"<body xml:lang='cs'>Ale ticho! Jaké světlo?</body><body>light</body>",
			"<body>I sent you an encrypted light</body><encrypted xmlns='eu.siacs.conversations.axolotl'><payload>light</payload></encrypted>",
			"<body>light</body><encryption xmlns='urn:xmpp:eme:0' namespace='x'/>",
			"<subject>light</subject><x xmlns='test'><body>light</body></x>",
			`<body>a "quoted" o1 AND-OR text:light* NEAR(x) user@example.net C++</body>`,
			"<body>&lt;light&gt; &amp; shade</body>",
			"<body>東京 light-house</body>",
		} {
			peer := romeo
			if i%2 == 1 {
				peer = desk
			}
			k.said(s.owner, juliet, at(i+1), peer, incoming|content, fmt.Sprint(i+1), inside)
			k.said(s.owner+1, juliet, at(i+1)+1, peer, incoming|content, "other", inside)
			k.said(s.owner, juliet, at(i+1)+2, peer, incoming|hidden, "hidden", inside)
		}
		k.takes(s.owner, at(100))
	})
	return s
}

// TestSearch: what is found, and that nothing anybody types means anything but itself.
func TestSearch(t *testing.T) {
	s := library(t)
	for text, want := range map[string]string{
		"light":                   "1 3 7 8 9",
		"LIGHT":                   "1 3 7 8 9",
		"light soft":              "1",
		"soft light breaks":       "1",
		"svetlo":                  "3",
		"světlo":                  "3",
		"encrypted":               "",
		"sun":                     "2",
		"su":                      "",
		"quoted":                  "7",
		`"quoted"`:                "7",
		`"`:                       "",
		`""" OR light`:            "7",
		"light OR sun":            "",
		"text:light":              "7",
		"o1":                      "7",
		"light*":                  "1 3 7 8 9",
		"NEAR(x":                  "7",
		"user@example.net":        "7",
		"example.net@user":        "",
		"C++":                     "7",
		"owners:o1":               "",
		"hidden":                  "",
		"light-house":             "9",
		"東京":                      "9",
		"-light":                  "1 3 7 8 9",
		"'; drop table words; --": "",
		"^light":                  "1 3 7 8 9",
		"{text} : light":          "7",
		"  ":                      "1 2 3 4 5 6 7 8 9",
		"!!! ???":                 "",
		"(light":                  "1 3 7 8 9",
		"light \u00a0shade":       "8",
		"\u0301":                  "",
		"\U0001F600":              "",
		"and":                     "2 7",
	} {
		results, answer := s.asks("set", form("", words+text))
		fin := finOf(t, answer)
		if got := names(results); got != want || !fin.complete || fin.count != fmt.Sprint(len(strings.Fields(want))) {
			t.Errorf("%q: %q instead of %q, %+v", text, got, want, fin)
		}
		results, _ = s.asks("set", form(rsm("<max>1</max><before/>"), words+text))
		if list := strings.Fields(want); names(results) != strings.Join(list[max(0, len(list)-1):], " ") {
			t.Errorf("%q, the last one: %q", text, names(results))
		}
	}
	id := func(n int) string { return s.Store.Opaque(at(n)) }
	for query, want := range map[string]string{
		form("", words+"light", "with=romeo@example.net/desk"):                          "8",
		form("", words+"light", "with=romeo@example.net"):                               "1 3 7 8 9",
		form("", words+"light", "with=nurse@example.com"):                               "",
		form("", words+"light", "start="+stampOf(at(3)), "before-id="+id(9)):            "3 7 8",
		form(rsm("<max>2</max><after>"+id(2)+"</after>"), words+"light"):                "3 7",
		form(rsm("<max>2</max><index>1</index>"), words+"light"):                        "3 7",
		form(rsm("<max>2</max><index>5</index>"), words+"light"):                        "",
		form(rsm("<max>2</max><index>1</index>"), words+"light", "with="+desk.String()): "",
	} {
		if results, answer := s.asks("set", query); names(results) != want {
			t.Errorf("%s: %q, %s", query, names(results), answer)
		}
	}
	for text, condition := range map[string]string{
		strings.Repeat("a ", 33):  "bad-request",
		strings.Repeat("a", 1024): "bad-request",
	} {
		_, answer := s.asks("set", form("", words+text))
		refused(t, text[:10], answer, condition)
	}
	_, answer := s.asks("set", form(rsm("<max>2</max><index>10000</index>"), words+"light"))
	refused(t, "an index far away", answer, "feature-not-implemented")
}

// TestIndexFollows: what is kept is put into the index behind it, also what another start
// has left, and what a search needs at once.
func TestIndexFollows(t *testing.T) {
	s := play(t, mam.Archive{})
	r := s.Online("romeo@example.com/desk")
	for i := range 450 {
		r.Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>word%d everywhere</body></message>", i, i))
		if i == 200 {
			if results, _ := s.asks("set", form("", words+"word200")); names(results) != "200" {
				t.Errorf("at once: %q", names(results))
			}
		}
	}
	indexed := func() (upto, last storage.ID, n int) {
		err := s.Store.Read(t.Context(), func(tx *storage.Tx) error {
			if _, err := tx.One(`select upto from indexed where owner = 0`, nil, &upto); err != nil {
				return err
			}
			if _, err := tx.One(`select max(id) from body`, nil, &last); err != nil {
				return err
			}
			_, err := tx.One(`select count(*) from words where words match 'everywhere'`, nil, &n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return upto, last, n
	}
	routertest.Eventually(t, "the index is complete", func() bool {
		upto, last, n := indexed()
		return upto == last && n == 450
	})
	results, answer := s.asks("set", form(rsm("<before/>"), words+"everywhere"))
	if fin := finOf(t, answer); len(results) != 50 || fin.count != "450" || fin.index != "400" {
		t.Errorf("%d results, %+v", len(results), fin)
	}
}
