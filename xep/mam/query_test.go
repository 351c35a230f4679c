package mam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

var (
	juliet = xmpp.MustJID("juliet@example.com/balcony")
	romeo  = xmpp.MustJID("romeo@example.net/orchard")
	desk   = xmpp.MustJID("romeo@example.net/desk")
	nurse  = xmpp.MustJID("nurse@example.com")
)

// conversations is an archive of nine messages, 1 to 9, a second apart; beside them are
// hidden rows, and the same of others.
func conversations(t testing.TB, archive mam.Archive) *scene {
	s := play(t, archive)
	fills(t, s.Store, func(k keeper) {
		for i, m := range []struct {
			peer  xmpp.JID
			flags int
		}{
			{romeo, incoming | content}, {romeo, outgoing | content}, {nurse, incoming | content}, {desk, incoming | content},
			{juliet.Bare(), incoming | outgoing}, {nurse, outgoing | content}, {romeo, incoming | content}, {desk, outgoing | content},
			{romeo, incoming | content},
		} {
			k.said(s.owner, juliet, at(i+1), m.peer, m.flags, fmt.Sprint(i+1), fmt.Sprintf("<body>%d</body>", i+1))
			k.said(s.owner, juliet, at(i+1)+5, m.peer, incoming|hidden, "hidden", "")
			k.said(s.owner+1000, juliet, at(i+1)+7, m.peer, m.flags, "other", "")
		}
		k.takes(s.owner, at(100))
	})
	return s
}

// TestFilters: each filter of XEP-0313 §4.1, alone and together.
func TestFilters(t *testing.T) {
	s := conversations(t, mam.Archive{})
	id := func(n int) string { return s.Store.Opaque(at(n)) }
	for _, c := range []struct {
		fields, want string
		count        string
	}{
		{"", "1 2 3 4 5 6 7 8 9", "9"},
		{"with=romeo@example.net", "1 2 4 7 8 9", "6"},
		{"with=Romeo@EXAMPLE.net", "1 2 4 7 8 9", "6"},
		{"with=romeo@example.net/orchard", "1 2 7 9", "4"},
		{"with=romeo@example.net/desk", "4 8", "2"},
		{"with=romeo@example.net/nowhere", "", "0"},
		{"with=nurse@example.com", "3 6", "2"},
		{"with=juliet@example.com", "5", "1"},
		{"with=example.net", "", "0"},
		{"with=stranger@example.net", "", "0"},
		{"with=", "1 2 3 4 5 6 7 8 9", "9"},
		{"start=" + stampOf(at(4)), "4 5 6 7 8 9", "6"},
		{"end=" + stampOf(at(4)), "1 2 3 4", "4"},
		{"start=2023-11-14T23:13:24+01:00|end=2023-11-14T22:13:26.5Z", "4 5 6", "3"},
		{"start=" + stampOf(at(4)) + "|end=" + stampOf(at(3)), "", "0"},
		{"start=0001-01-01T00:00:00Z|end=9999-12-31T23:59:59Z", "1 2 3 4 5 6 7 8 9", "9"},
		{"start=9999-12-31T23:59:59Z", "", "0"},
		{"end=1969-12-31T23:59:59Z", "", "0"},
		{"after-id=" + id(3), "4 5 6 7 8 9", "6"},
		{"before-id=" + id(3), "1 2", "2"},
		{"after-id=" + id(3) + "|before-id=" + id(7), "4 5 6", "3"},
		{"after-id=" + id(7) + "|before-id=" + id(3), "", "0"},
		{"after-id=" + id(3) + "|with=romeo@example.net", "4 7 8 9", "4"},
		{"after-id=" + id(3) + "|with=romeo@example.net/desk", "4 8", "2"},
		{"after-id=" + id(3) + "|start=" + stampOf(at(6)), "6 7 8 9", "4"},
		{"ids=" + id(7) + " " + id(2) + " " + id(7), "2 7", "2"},
		{"ids=" + id(7) + " " + id(3) + "|with=nurse@example.com", "3", "1"},
		{"ids=" + id(7) + " " + id(4) + "|with=romeo@example.net/desk", "4", "1"},
		{"include-groupchat=true", "1 2 3 4 5 6 7 8 9", "9"},
		{"include-groupchat=0|with=nurse@example.com", "3 6", "2"},
	} {
		var fields []string
		if c.fields != "" {
			fields = strings.Split(c.fields, "|")
		}
		results, answer := s.asks("set", form("", fields...))
		fin := finOf(t, answer)
		if got := names(results); got != c.want || fin.count != c.count || !fin.complete {
			t.Errorf("%s: %q, %+v", c.fields, got, fin)
		}
		if fields == nil {
			continue
		}
		results, answer = s.asks("set", form(rsm("<max>1</max><before/>"), fields...)) // the same from its end
		list := strings.Fields(c.want)
		want := strings.Join(list[max(0, len(list)-1):], " ")
		if got := names(results); got != want || finOf(t, answer).count != c.count || finOf(t, answer).complete != (len(list) < 2) {
			t.Errorf("%s, backwards: %q, %+v", c.fields, got, finOf(t, answer))
		}
	}
}

// TestPages: pages of XEP-0059, in both directions, by item and by index.
func TestPages(t *testing.T) {
	s := conversations(t, mam.Archive{})
	id := func(n int) string { return s.Store.Opaque(at(n)) }
	for _, c := range []struct {
		set, with, want string
		index, count    string
		complete        bool
	}{
		{"<max>4</max>", "", "1 2 3 4", "0", "9", false},
		{"<max>9</max>", "", "1 2 3 4 5 6 7 8 9", "0", "9", true},
		{"<max>4</max><after>" + id(4) + "</after>", "", "5 6 7 8", "4", "9", false},
		{"<max>4</max><after>" + id(8) + "</after>", "", "9", "8", "9", true},
		{"<max>4</max><after>" + id(9) + "</after>", "", "", "", "9", true},
		{"<max>4</max><before/>", "", "6 7 8 9", "5", "9", false},
		{"<max>4</max><before>" + id(6) + "</before>", "", "2 3 4 5", "1", "9", false},
		{"<max>4</max><before>" + id(2) + "</before>", "", "1", "0", "9", true},
		{"<max>4</max><before>" + id(1) + "</before>", "", "", "", "9", true},
		{"<max>2</max><after>" + id(2) + "</after><before>" + id(7) + "</before>", "", "5 6", "4", "9", false},
		{"<max>2</max><index>7</index>", "", "8 9", "7", "9", true},
		{"<max>2</max><index>0</index>", "", "1 2", "0", "9", false},
		{"<max>2</max><index>8</index>", "", "9", "8", "9", true},
		{"<max>2</max><index>9</index>", "", "", "", "9", true},
		{"<max>2</max><index>2000000000</index>", "", "", "", "9", true},
		{"<max>0</max>", "", "", "", "9", false},
		{"<max>2147483647</max>", "", "1 2 3 4 5 6 7 8 9", "0", "9", true},
		{"<max>2</max><after>" + id(3) + "</after>", "romeo@example.net", "4 7", "2", "6", false},
		{"<max>2</max><before>" + id(3) + "</before>", "romeo@example.net", "1 2", "0", "6", true},
		{"<max>2</max><index>3</index>", "romeo@example.net", "7 8", "3", "6", false},
		{"<max>2</max><index>2</index>", "romeo@example.net/orchard", "7 9", "2", "4", true},
		{"<max>2</max><index>4</index>", "romeo@example.net/orchard", "", "", "4", true},
		{"<max>2</max><before/>", "romeo@example.net/orchard", "7 9", "2", "4", false},
		{"<max>2</max><index>1</index>", "nobody@example.net", "", "", "0", true},
		{"<max>0</max>", "nobody@example.net", "", "", "0", true},
	} {
		var fields []string
		if c.with != "" {
			fields = []string{"with=" + c.with}
		}
		results, answer := s.asks("set", form(rsm(c.set), fields...))
		fin := finOf(t, answer)
		if got := names(results); got != c.want || fin.index != c.index || fin.count != c.count || fin.complete != c.complete {
			t.Errorf("%s with %s: %q, %+v", c.set, c.with, got, fin)
		}
		if list := strings.Fields(c.want); len(list) > 0 && (fin.first != results[0].Child("urn:xmpp:mam:2", "result").Attr("id") ||
			fin.last != results[len(results)-1].Child("urn:xmpp:mam:2", "result").Attr("id")) {
			t.Errorf("%s: %+v", c.set, fin)
		}
		flipped, answer := s.asks("set", form(rsm(c.set)+"<flip-page/>", fields...))
		var back []string
		for _, name := range strings.Fields(c.want) {
			back = append([]string{name}, back...)
		}
		if got := names(flipped); got != strings.Join(back, " ") || finOf(t, answer) != fin {
			t.Errorf("%s, flipped: %q, %+v", c.set, got, finOf(t, answer))
		}
	}
}

// TestRefused: what is wrong with a query is said, and nothing is sent.
func TestRefused(t *testing.T) {
	s := conversations(t, mam.Archive{})
	gone, theirs, hides := s.Store.Opaque(at(500)), s.Store.Opaque(at(1)+7), s.Store.Opaque(at(1)+5)
	many := make([]string, 251)
	for i := range many {
		many[i] = s.Store.Opaque(at(i + 1))
	}
	const x = `<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='%s'><field var='FORM_TYPE'><value>%s</value></field>%s</x></query>`
	for query, condition := range map[string]string{
		form("", "after-id="+gone):                          "item-not-found",
		form("", "before-id="+theirs):                       "item-not-found",
		form("", "ids="+hides):                              "item-not-found",
		form("", "ids="+s.Store.Opaque(at(1))+" "+gone):     "item-not-found",
		form("", "ids=nonsense"):                            "item-not-found",
		form("", "ids="+strings.Join(many, " ")):            "policy-violation",
		form(rsm("<after>" + gone + "</after>")):            "item-not-found",
		form(rsm("<before>" + theirs + "</before>")):        "item-not-found",
		form(rsm("<before>1</before>")):                     "item-not-found",
		form(rsm("<max>-1</max>")):                          "bad-request",
		form(rsm("<max>99999999999</max>")):                 "bad-request",
		form(rsm("<max>x</max>")):                           "bad-request",
		form(rsm("<index>-1</index>")):                      "bad-request",
		form(rsm("<index>1</index><before/>")):              "bad-request",
		form("", "with=@"):                                  "bad-request",
		form("", "start=yesterday"):                         "bad-request",
		form("", "start=20230101T00:00:00"):                 "bad-request",
		form("", "start=99999-01-01T00:00:00Z"):             "bad-request",
		form("", "end=2023-01-01T00:00:00"):                 "bad-request",
		form("", "include-groupchat=maybe"):                 "bad-request",
		form("", "with=a@b.c", "with=a@b.c"):                "bad-request",
		form("", "{http://example.com/}free-text-search=x"): "feature-not-implemented",
		fmt.Sprintf(x, "submit", "other", ""):               "bad-request",
		fmt.Sprintf(x, "form", "urn:xmpp:mam:2", ""):        "bad-request",
		fmt.Sprintf(x, "submit", "urn:xmpp:mam:2", strings.Repeat("<field var='with'/>", 40)):                        "bad-request",
		fmt.Sprintf(x, "submit", "urn:xmpp:mam:2", "<field var='with'><value>a@b</value><value>c@d</value></field>"): "bad-request",
		`<query xmlns='urn:xmpp:mam:2' node='princely_musings'/>`:                                                    "feature-not-implemented",
		`<query xmlns='urn:xmpp:mam:2' queryid='` + strings.Repeat("x", 5000) + `'/>`:                                "bad-request",
	} {
		results, answer := s.asks("set", query)
		refused(t, query, answer, condition)
		if len(results) > 0 {
			t.Errorf("%s: %d results", query, len(results))
		}
	}
}

// TestPrivate: an archive is for its owner alone, and nobody learns whether there is one
// (XEP-0313 §8.1).
func TestPrivate(t *testing.T) {
	s := conversations(t, mam.Archive{})
	mallory := s.Connected("mallory@example.com/x")
	for _, c := range [][2]string{
		{"set", "<query xmlns='urn:xmpp:mam:2'/>"}, {"get", "<query xmlns='urn:xmpp:mam:2'/>"}, {"get", "<metadata xmlns='urn:xmpp:mam:2'/>"},
	} {
		for _, whose := range []string{"juliet@example.com", "nobody@example.com"} {
			results, answer := s.asksAs(mallory, c[0], whose, c[1])
			refused(t, c[1]+" to "+whose, answer, "forbidden")
			if len(results) > 0 {
				t.Errorf("%d results", len(results))
			}
		}
	}
	results, answer := s.asksAs(mallory, "set", "", form("", "ids="+s.Store.Opaque(at(1))))
	refused(t, "a message of somebody else", answer, "item-not-found")
	if len(results) > 0 {
		t.Errorf("%d results", len(results))
	}
}

// TestResult: what a result looks like.
func TestResult(t *testing.T) {
	s := play(t, mam.Archive{})
	fills(t, s.Store, func(k keeper) {
		k.said(s.owner, juliet, at(1)+123456, romeo, incoming, "a&apos;b", "<body>&lt;hi&gt;</body><x xmlns='test:x'><y/></x>")
	})
	name := s.Store.Opaque(at(1) + 123456)
	s.juliet.Sends(`<iq type='set' id='1' to='juliet@example.com'><query xmlns='urn:xmpp:mam:2' queryid='&lt;&apos;"'/></iq>`)
	s.juliet.Gets(fmt.Sprintf(`<message from='juliet@example.com' to='juliet@example.com/balcony'>
		<result xmlns='urn:xmpp:mam:2' queryid='&lt;&apos;"' id='%s'><forwarded xmlns='urn:xmpp:forward:0'>
		<delay xmlns='urn:xmpp:delay' stamp='2023-11-14T22:13:21.123Z'/>
		<message xmlns='jabber:client' from='romeo@example.net/orchard' to='juliet@example.com/balcony' type='chat' id='a&apos;b'>
		<body>&lt;hi&gt;</body><x xmlns='test:x'><y/></x></message></forwarded></result></message>`, name))
	s.juliet.Gets(fmt.Sprintf(`<iq type='result' id='1' from='juliet@example.com'><fin xmlns='urn:xmpp:mam:2' complete='true'>
		<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>%s</first><last>%[1]s</last><count>1</count></set></fin></iq>`, name))
	// what is shown as its time selects it
	for _, fields := range [][]string{{"start=2023-11-14T22:13:21.123Z"}, {"end=2023-11-14T22:13:21.123Z"}, {"start=2023-11-14T22:13:21.123Z", "end=2023-11-14T22:13:21.123Z"}} {
		if results, _ := s.asks("set", form("", fields...)); len(results) != 1 {
			t.Errorf("%v: %d results", fields, len(results))
		}
	}
	s.juliet.Sends(`<iq type='get' id='2'><query xmlns='urn:xmpp:mam:2'/></iq>`)
	s.juliet.Gets(`<iq type='result' id='2'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='form'>
		<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>
		<field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/>
		<field type='text-single' var='before-id'/><field type='text-single' var='after-id'/>
		<field type='list-multi' var='ids'><validate xmlns="http://jabber.org/protocol/xdata-validate" datatype="xs:string"><open/></validate></field>
		<field type='boolean' var='include-groupchat'/><field type='text-single' var='{urn:xmpp:fulltext:0}fulltext'/></x></query></iq>`)
}

// TestMetadata: the ends of an archive, also with Bind 2 and at that moment.
func TestMetadata(t *testing.T) {
	s := play(t, mam.Archive{})
	const ask = `<metadata xmlns='urn:xmpp:mam:2'/>`
	_, answer := s.asks("get", ask)
	if why := routertest.Match(`<iq type='result'><metadata xmlns='urn:xmpp:mam:2'/></iq>`, answer); why != "" {
		t.Error(why)
	}
	fills(t, s.Store, func(k keeper) {
		for i := range 5 {
			flags := incoming
			if i == 0 || i == 4 {
				flags |= hidden
			}
			k.said(s.owner, juliet, at(i), romeo, flags, "x", "")
		}
	})
	want := fmt.Sprintf(`<metadata xmlns='urn:xmpp:mam:2'><start id='%s' timestamp='%s'/><end id='%s' timestamp='%s'/></metadata>`,
		s.Store.Opaque(at(1)), stampOf(at(1)), s.Store.Opaque(at(3)), stampOf(at(3)))
	_, answer = s.asks("get", ask)
	if why := routertest.Match(`<iq type='result'>`+want+`</iq>`, answer); why != "" {
		t.Error(why)
	}
}

// TestMetadataWhenBound: a client that binds its resource with Bind 2 is told the ends of the
// archive, whatever else it asks for; and what is said from then on it hears.
func TestMetadataWhenBound(t *testing.T) {
	s := play(t, mam.Archive{})
	if in := s.Router.Inline(); !slices.Contains(in, "urn:xmpp:mam:2") {
		t.Errorf("%v is announced", in)
	}
	r := s.Online("romeo@example.com/desk")
	bind := func(what string) (bound string, session *routertest.Session) {
		t.Helper()
		st, err := xmpp.ParseStanza(`<iq type='set' id='1'>` + what + `</iq>`)
		if err != nil {
			t.Fatal(err)
		}
		sender, p, err := s.Router.BindWith(juliet.Bare(), s.owner, s.Router.Forgets(), "", st.Payload(), func(j xmpp.JID) router.Session {
			session = routertest.NewSession(j)
			return session
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sender.Leave("") })
		return string(p), session
	}
	if bound, _ := bind(`<bind xmlns='urn:xmpp:bind:0'><tag>x</tag></bind>`); bound != "<metadata xmlns='urn:xmpp:mam:2'/>" {
		t.Errorf("with an empty archive: %s", bound)
	}
	r.Sends(`<message to='juliet@example.com' type='chat' id='1'><body>x</body></message>`)
	r.Sends(`<message to='juliet@example.com' type='chat' id='2'><body>x</body></message>`)
	s.juliet.Forgets()
	results, _ := s.asks("set", form(""))
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	id := func(i int) string { return results[i].Child("urn:xmpp:mam:2", "result").Attr("id") }
	if bound, _ := bind(`<bind xmlns='urn:xmpp:bind:0'/>`); !strings.Contains(bound, "<start id='"+id(0)+"' timestamp='") || !strings.Contains(bound, "<end id='"+id(1)+"' timestamp='") {
		t.Errorf("with two messages: %s", bound)
	}
}

// TestPageLimits: a page has as many messages, and as many bytes, as it may.
func TestPageLimits(t *testing.T) {
	s := play(t, mam.Archive{Page: 60})
	fills(t, s.Store, func(k keeper) {
		for i := range 100 {
			k.said(s.owner, juliet, at(i), romeo, incoming, fmt.Sprint(i), "")
		}
		for i := range 10 {
			k.said(s.owner, juliet, at(100+i), romeo, incoming, fmt.Sprint(100+i), "<body>"+strings.Repeat("x", 200_000)+"</body>")
		}
		k.said(s.owner, juliet, at(200), romeo, incoming, "200", "<body>"+strings.Repeat("x", 2<<20)+"</body>")
	})
	after := func(n int) string { return rsm("<max>1000</max><after>" + s.Store.Opaque(at(n)) + "</after>") }
	for query, want := range map[string]int{
		form(""):                     50,
		form(rsm("<max>1000</max>")): 60,
		form(after(99)):              5,
		form(after(104)):             5,
		form(after(109)):             1,
		form(rsm("<before/>")):       1,
		form(rsm("<before>" + s.Store.Opaque(at(200)) + "</before>")): 5,
	} {
		results, answer := s.asks("set", query)
		if fin := finOf(t, answer); len(results) != want || fin.complete != (query == form(after(109))) {
			t.Errorf("%s: %d results, %+v", query, len(results), fin)
		}
	}
}

// TestCollision: resources with the same hash are kept apart.
func TestCollision(t *testing.T) {
	s := play(t, mam.Archive{})
	fills(t, s.Store, func(k keeper) {
		for i := range 400 {
			k.said(s.owner, juliet, at(i), romeo, incoming, fmt.Sprint(i), "")
			if i%100 != 99 {
				k.exec(`update body set stanza = replace(stanza, '/orchard', '/orchid') where id = $1`, at(i))
			}
		}
	})
	for set, want := range map[string]string{"<max>3</max>": "99 199 299", "<max>3</max><before/>": "199 299 399", "": "99 199 299 399"} {
		results, answer := s.asks("set", form(rsm(set), "with=romeo@example.net/orchard"))
		if got := names(results); got != want || finOf(t, answer).complete != (set == "") {
			t.Errorf("%s: %q, %+v", set, got, finOf(t, answer))
		}
	}
}
