package xmpp

import (
	"strings"
	"testing"
)

// scanOne scans one stanza behind header.
func scanOne(t testing.TB, in string) *Stanza {
	t.Helper()
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	var st *Stanza
	if err := feed(&s, header+in, 1<<20, func(Event) { st = s.Stanza() }); err != ErrMore || st == nil {
		t.Fatalf("%s: %v", in, err)
	}
	return st
}

// What leaves the scanner means the same behind any stream header.
func TestSelfContained(t *testing.T) {
	for in, want := range map[string]string{
		// As it is.
		`<message><body>x</body><x xmlns='u'><y/></x></message>`:                               `<body>x</body><x xmlns='u'><y/></x>`,
		`<message><p:x xmlns:p='u' p:a='1'><p:y/></p:x></message>`:                             `<p:x xmlns:p='u' p:a='1'><p:y/></p:x>`,
		`<message><x xmlns='u'><message xmlns='jabber:client'><body/></message></x></message>`: `<x xmlns='u'><message xmlns='jabber:client'><body/></message></x>`,
		`<message><xml:x/></message>`:                                                          `<xml:x/>`,
		`<message xmlns='jabber:client' xmlns:p='u'><body/></message>`:                         `<body/>`,
		`<message><x xmlns='jabber:server'/></message>`:                                        `<x xmlns='jabber:server'/>`,
		// The content namespace is said by nobody, or by those who must.
		`<message xmlns='jabber:client'><body xmlns='jabber:client'>x</body></message>`:                                  `<body>x</body>`,
		`<c:message xmlns:c='jabber:client'><c:body  c:a = "1">x<![CDATA[<y>]]></c:body></c:message>`:                    `<body c:a = "1" xmlns:c='jabber:client'>x<![CDATA[<y>]]></body>`,
		`<message><x xmlns='u'><c:body xmlns:c='jabber:client'><c:y/></c:body></x></message>`:                            `<x xmlns='u'><c:body xmlns:c='jabber:client'><c:y/></c:body></x>`,
		`<c:message xmlns:c='jabber:client'><x xmlns='u'><c:body/></x><c:y/></c:message>`:                                `<x xmlns='u'><c:body xmlns:c='jabber:client'/></x><y/>`,
		`<message><p:x xmlns:p='u'><body><z/></body></p:x></message>`:                                                    `<p:x xmlns:p='u'><body xmlns='jabber:client'><z/></body></p:x>`,
		`<c:message xmlns:c='jabber:client' xmlns='u'><x/><c:body><y/></c:body></c:message>`:                             `<x xmlns='u'/><body><y xmlns='u'/></body>`,
		`<message><c:body xmlns:c='jabber:client' xmlns='v'><x/><c:y/><x xmlns='jabber:client'/></c:body><z/></message>`: `<body xmlns:c='jabber:client'><x xmlns='v'/><y/><x/></body><z/>`,
		// Prefixes from outside are declared where they are used.
		`<message><db:x/><db:x><db:y db:a='1'/></db:x></message>`:                         `<db:x xmlns:db='jabber:server:dialback'/><db:x xmlns:db='jabber:server:dialback'><db:y db:a='1'/></db:x>`,
		`<message><x xmlns='u' db:a='1' db:b='2'/></message>`:                             `<x xmlns='u' db:a='1' db:b='2' xmlns:db='jabber:server:dialback'/>`,
		`<message><body db:a='1'/></message>`:                                             `<body db:a='1' xmlns:db='jabber:server:dialback'/>`,
		`<message xmlns:p='u'><p:x><y xmlns='v'><p:z/></y></p:x></message>`:               `<p:x xmlns:p='u'><y xmlns='v'><p:z/></y></p:x>`,
		`<message xmlns:db='u'><db:x/><db:x xmlns:db='v'/></message>`:                     `<db:x xmlns:db='u'/><db:x xmlns:db='v'/>`,
		`<message xmlns:p='u'><p:x xmlns:q='w'><y xmlns:p='v'><p:z/></y></p:x></message>`: `<p:x xmlns:q='w' xmlns:p='u'><y xmlns:p='v' xmlns='jabber:client'><p:z/></y></p:x>`,
		`<message xmlns:p="it's"><p:x/></message>`:                                        `<p:x xmlns:p="it's"/>`,
		`<message><x xmlns=''><db:y/></x></message>`:                                      `<x xmlns=''><db:y xmlns:db='jabber:server:dialback'/></x>`,
		`<message><x xmlns='u'/><y xmlns='jabber:client'/> z </message>`:                  `<x xmlns='u'/><y/> z `,
	} {
		st := scanOne(t, in)
		if string(st.Body()) != want {
			t.Errorf("%s:\n%s\n%s", in, st.Body(), want)
		}
		if infoset(t, `<stream xmlns='jabber:client' xmlns:db='jabber:server:dialback'>`+in+`</stream>`) !=
			infoset(t, `<stream xmlns='jabber:client'>`+strings.Replace(st.String(), " xml:lang='en'", "", 1)+`</stream>`) {
			t.Errorf("%s became something else: %s", in, st)
		}
	}
}

func TestNonzas(t *testing.T) {
	st := scanOne(t, `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X' id='1' to='y' xml:lang='fr'><a/><b xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><c xmlns='u'/></auth>`)
	if st.Kind != Nonza || st.Name != (Name{NSSASL, "auth"}) || st.Lang != "fr" || st.Fault != nil {
		t.Errorf("%+v", st)
	}
	for local, want := range map[string]string{"mechanism": "X", "id": "1", "to": "y"} {
		if v, ok := st.Attr(local); v != want || !ok {
			t.Error(local, v, ok)
		}
	}
	if string(st.Body()) != `<a/><b/><c xmlns='u'/>` {
		t.Errorf("%s", st.Body())
	}
	for _, ns := range []string{"", NSSASL} {
		if a := st.Child(ns, "a"); !a.Is(NSSASL, "a") || !st.Has(ns, "b") {
			t.Errorf("%q: %v", ns, a.Name())
		}
	}
	if p := string(st.Child("", "a").Payload()); p != `<a xmlns='`+NSSASL+`'/>` {
		t.Error(p)
	}
	if st.Has("", "c") || !st.Has("u", "c") {
		t.Error("c")
	}
	st = scanOne(t, `<unknown to='a b'><x/></unknown>`)
	if st.Kind != Nonza || st.Name != (Name{NSClient, "unknown"}) || st.Fault != nil || !st.Has("", "x") {
		t.Errorf("%+v", st)
	}
	st = scanOne(t, `<db:result to='a'>key</db:result>`)
	if st.Name != (Name{"jabber:server:dialback", "result"}) || string(st.Body()) != "key" {
		t.Errorf("%+v", st)
	}
	st = scanOne(t, `<stream:error><x xmlns='u'/><y/></stream:error>`)
	if st.Name != (Name{NSStream, "error"}) || string(st.Body()) != `<x xmlns='u'/><y xmlns='jabber:client'/>` || !st.Has(NSClient, "y") {
		t.Errorf("%+v %s", st, st.Body())
	}
}

func TestHeadOfAStanza(t *testing.T) {
	st := scanOne(t, `<iq xmlns:p='u' type='get' p:to='x' id='a&amp;&#10;b' to='Romeo@Example.com' from="juliet&#x40;example.com/a'b" ext='&lt;' p:e='1'/>`)
	if st.Kind != IQ || st.Name != (Name{}) || st.Type != "get" || st.ID != "a&\nb" || st.To != MustJID("romeo@example.com") ||
		st.From != MustJID("juliet@example.com/a'b") || st.Lang != "en" || st.Fault != nil || len(st.Attrs) != 3 {
		t.Errorf("%+v", st)
	}
	if v, _ := st.Attr("ext"); v != "<" {
		t.Error(v)
	}
	if v, ok := st.Attr("to"); ok {
		t.Error("another attribute called to", v)
	}
	if want := `<iq to='romeo@example.com' from='juliet@example.com/a&apos;b' id='a&amp;&#10;b' type='get' xml:lang='en' xmlns:a0='u' a0:to='x' ext='&lt;' a0:e='1'/>`; st.String() != want {
		t.Errorf("%s\n%s", st, want)
	}
	st = scanOne(t, `<message to='a b' xml:lang='de'/>`)
	if st.Fault == nil || st.Fault.Condition != "jid-malformed" || !st.To.IsZero() || st.Lang != "de" {
		t.Errorf("%+v", st)
	}
	if st = scanOne(t, `<message from=''/>`); st.Fault == nil {
		t.Error("an empty address is none")
	}
}

// An element without a namespace is not one of the content namespace.
func TestNoNamespaceIsNotTheContentNamespace(t *testing.T) {
	st := scanOne(t, `<message><body xmlns=''>x<y/></body><p:z xmlns:p='u'><w xmlns=''/></p:z></message>`)
	b := st.Child(NSNone, "body")
	if st.Has("", "body") || b.IsZero() || b.First().Name() != (Name{NSNone, "y"}) {
		t.Errorf("%v", b.Name())
	}
	if p := string(b.First().Payload()); p != `<y xmlns=''/>` {
		t.Error(p)
	}
	again := st.With(Payload(`<body xmlns=''/>`))
	if again.PayloadCount() != 3 || again.Has("", "body") {
		t.Error("With")
	}
	if !st.Child("u", "z").Child(NSNone, "w").Is(NSNone, "w") {
		t.Error("w")
	}
}

func TestParseStanza(t *testing.T) {
	for in, want := range map[string]string{
		` <message id='1'/> `: `<message id='1'/>`,
		`<?xml version='1.0'?><message xmlns='jabber:client'><body/></message>`: `<message><body/></message>`,
		`<iq xmlns='jabber:server' type='get'><x xmlns='u'/></iq>`:              `<iq type='get'><x xmlns='u'/></iq>`,
		`<presence xmlns='jabber:component:accept'><show/></presence>`:          `<presence><show/></presence>`,
		`<c:presence xmlns:c='jabber:server'><c:show/></c:presence>`:            `<presence><show/></presence>`,
		`<r xmlns='urn:xmpp:sm:3'/>`:                                            `<r xmlns='urn:xmpp:sm:3'/>`,
		`<message><x xmlns=''/></message>`:                                      `<message><x xmlns=''/></message>`,
	} {
		st, err := ParseStanza(in)
		if err != nil || st.String() != want {
			t.Errorf("%s: %v %v", in, st, err)
		}
	}
	for _, in := range []string{"", " ", "<message>", "<message/><message/>", "<message/>x", "<message/></message>", "x", "<message", "<?xml version='1.0'?>", "<message/><"} {
		if st, err := ParseStanza(in); err == nil {
			t.Errorf("%q: %v", in, st)
		} else if _, ok := err.(*StreamError); !ok {
			t.Errorf("%q: %T", in, err)
		}
	}
	big := `<message><body>` + strings.Repeat("x", 2*DefaultStanza) + `</body></message>`
	if st, err := ParseStanzaBytes([]byte(big)); err != nil || st.String() != big {
		t.Error("stored stanzas may have grown", err)
	}
}

func TestRepeatedAddressesAreNotParsedAgain(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	var got []string
	in := `<message to='b\u00fccher@example.com/1' from='a@b'/>`
	err := feed(&s, header+strings.Repeat(in, 2)+`<message to='c@d' from='c@d'/><message from='a@b'/>`+in, 10, func(e Event) {
		if st := s.Stanza(); st != nil {
			got = append(got, st.To.String()+" "+st.From.String())
		}
	})
	one := `b\u00fccher@example.com/1 a@b`
	if err != ErrMore || strings.Join(got, "|") != one+"|"+one+"|c@d c@d| a@b|"+one {
		t.Error(err, got)
	}
}
