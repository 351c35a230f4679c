package xmpp

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func parse(t testing.TB, in string) *Stanza {
	t.Helper()
	st, err := ParseStanza(in)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	return st
}

// Readers of text join text, references and CDATA (XML 1.0 §2.7), with the line ends of §2.11.
func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"a &lt;b&gt; &amp;amp; &#39;c": "a <b> &amp; 'c",
		"&#x41;&#65;&#x1F600;":         "AA\U0001F600",
		"<![CDATA[<a>&amp;]]>":         "<a>&amp;",
		"a<![CDATA[b]]>&#99;<![CDATA[d]]]]><![CDATA[>]]>e": "abcd]]>e",
		"a\r\nb\rc\nd&#13;e":        "a\nb\nc\nd\re",
		"<![CDATA[a\r\nb]]>":        "a\nb",
		"a<x>no</x>b<x/>c":          "abc",
		"a<x b='/>'>n<y/></x >b":    "ab",
		"a<x><![CDATA[</x>]]></x>b": "ab",
	} {
		st := parse(t, "<message><body>"+in+"</body></message>")
		if got := st.Child("", "body").Text(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// XML 1.0 §3.3.3: white space in attribute values, but not references to it, is a space.
func TestAttributeValues(t *testing.T) {
	st := parse(t, "<message><x a='a\tb\nc\r\nd\re&#9;&#10;&#13;&quot;&apos;' b = \"it's >\" p:c='1' xmlns:p='u' xml:lang='de' empty=''/></message>")
	x := st.Child("", "x")
	if v := x.Attr("a"); v != "a b c d e\t\n\r\"'" {
		t.Errorf("%q", v)
	}
	if x.Attr("b") != "it's >" || x.Attr("c") != "" || x.Lang() != "de" {
		t.Error(x.Attr("b"), x.Attr("c"), x.Lang())
	}
	if _, ok := x.LookupAttr("empty"); !ok {
		t.Error("an empty attribute is one")
	}
	if _, ok := x.LookupAttr("absent"); ok {
		t.Error("absent")
	}
}

func TestChildren(t *testing.T) {
	st := parse(t, `<iq type='get'><query xmlns='u' xmlns:p='v'><a/><p:a>1</p:a><a xmlns='w'>2</a><b xmlns:p='x'><p:c/></b></query></iq>`)
	q := st.Payload()
	var names []Name
	q.Children(func(e Element) bool { names = append(names, e.Name()); return len(names) < 4 })
	want := []Name{{"u", "a"}, {"v", "a"}, {"w", "a"}, {"u", "b"}}
	for i := range want {
		if names[i] != want[i] {
			t.Error(names)
		}
	}
	if q.First().Name() != want[0] || q.ChildText("v", "a") != "1" || q.ChildText("w", "a") != "2" || !q.Child("", "b").Child("x", "c").Is("x", "c") {
		t.Error("Child")
	}
	if !q.Child("u", "none").IsZero() || !q.Child("v", "b").IsZero() {
		t.Error("children that are not there")
	}
	for _, c := range []Element{q.Child("v", "a"), q.Child("", "b"), q.Child("", "b").First()} {
		p := string(c.Payload())
		if lone := parse(t, "<message>"+p+"</message>"); !lone.Has(c.Name().Space, c.Name().Local) {
			t.Errorf("%s is not %v", p, c.Name())
		}
	}
}

func TestTheZeroElement(t *testing.T) {
	var e Element
	e.Children(func(Element) bool { t.Error("a child"); return true })
	if !e.IsZero() || e.Attr("a") != "" || e.Text() != "" || e.Lang() != "" || e.Payload() != nil || !e.Child("a", "b").IsZero() || !e.First().IsZero() {
		t.Error("the zero element is something")
	}
}

func TestWithAndWithout(t *testing.T) {
	st := parse(t, `<message> a <x xmlns='u'/><body>b</body><x xmlns='u'/> c </message>`)
	two := st.Without(func(e Element) bool { return e.Is("u", "x") })
	if string(two.Body()) != ` a <body>b</body> c ` || two.PayloadCount() != 1 {
		t.Errorf("%s", two)
	}
	if st.Without(func(Element) bool { return false }) != st {
		t.Error("nothing to drop, but another stanza")
	}
	three := two.With(Payload(`<y xmlns='v' z='1'/><p:w xmlns:p='q'/>`))
	if three.Child("v", "y").Attr("z") != "1" || !three.Has("q", "w") || !three.Has("", "body") || two.PayloadCount() != 1 {
		t.Errorf("%s", three)
	}
	n := 0
	st.Without(func(Element) bool { n++; return true })
	if n != 3 {
		t.Errorf("drop was asked %d times for 3 children", n)
	}
}

// The same body goes into streams of every kind.
func TestAppend(t *testing.T) {
	st := parse(t, `<message xmlns='jabber:server' to='a@b' from="c@d/e'f" id='&lt;' type='chat' xml:lang='de' x='y'><body/></message>`)
	if got, want := st.String(), `<message to='a@b' from='c@d/e&apos;f' id='&lt;' type='chat' xml:lang='de' x='y'><body/></message>`; got != want {
		t.Error(got)
	}
	for _, ns := range []string{NSClient, NSServer, NSComponent} {
		got := string(st.AppendNS([]byte("..."), ns))
		if !strings.HasPrefix(got, "...<message xmlns='"+ns+"' to=") {
			t.Error(got)
		}
		same(t, parse(t, got[3:]), st)
	}
	if n := st.Len(); n < len(st.String())-20 || n > len(st.String())+100 {
		t.Error(n, len(st.String()))
	}
	if r := st.Readdressed(MustJID("x@y"), JID{}); r.String() != `<message to='x@y' id='&lt;' type='chat' xml:lang='de' x='y'><body/></message>` || st.To != MustJID("a@b") {
		t.Error(r)
	}
}

func TestEscapingIsUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Clean(rapid.String().Draw(t, "s"))
		st, err := ParseStanza("<message id='" + string(AppendEscaped(nil, s)) + "'><body>" + string(AppendEscaped(nil, s)) + "</body></message>")
		if err != nil || st.ID != s || st.Child("", "body").Text() != s {
			t.Fatalf("%q: %v %v", s, st, err)
		}
	})
}
