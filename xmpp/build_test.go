package xmpp

import (
	"testing"

	"pgregory.net/rapid"
)

func TestBuilder(t *testing.T) {
	var b Builder
	b.Open("jabber:iq:roster", "query", "ver", "7", "none", "").Attr("empty", "")
	b.Open("", "item", "jid", "a@b").Leaf("", "group", "R&D").Close()
	b.Leaf("u", "x", "").Raw(Payload("<raw xmlns='v'/>")).Text("").Text("<")
	want := `<query xmlns='jabber:iq:roster' ver='7' empty=''><item jid='a@b'><group>R&amp;D</group></item><x xmlns='u'/><raw xmlns='v'/>&lt;</query>`
	if got := string(b.Payload()); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	var f Builder
	f.Open("urn:xmpp:forward:0", "forwarded").Stanza(parse(t, "<message to='a@b'><body>x</body></message>"), NSClient)
	if got := string(f.Payload()); got != `<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' to='a@b'><body>x</body></message></forwarded>` {
		t.Error(got)
	}
	var q Builder
	q.Open("it's", "x").Open(NSNone, "y")
	if got := string(q.Payload()); got != `<x xmlns="it's"><y xmlns=''/></x>` {
		t.Error(got)
	}
	var r Builder // the namespace of that prefix is declared nowhere, or readers end the stream
	r.Open("u", "x").Leaf("http://www.w3.org/XML/1998/namespace", "a", "t").Open("", "y")
	if got := string(r.Payload()); got != `<x xmlns='u'><xml:a>t</xml:a><y/></x>` {
		t.Error(got)
	}
	if st := NewStanza(Message, Payload(`<x xmlns="it's"><y xmlns=''/></x>`)); !st.Child("it's", "x").First().Is(NSNone, "y") {
		t.Error(st)
	}
	if st := NewStanza(IQ, (&Builder{}).Leaf("http://x/?a&b", "q", "").Payload()); !st.Has("http://x/?a&b", "q") {
		t.Error(st)
	}
}

// An envelope is the stanza that it would be if its body had been looked through.
func TestEnvelope(t *testing.T) {
	for _, body := range []string{
		"<x xmlns='u'><y xmlns='v'/></x>", "<x/>", "<p:x xmlns:p='u' a='b'>t</p:x>", "<x xmlns=''>t</x>",
	} {
		a, b := NewEnvelope(Message, Payload(body)), NewStanza(Message, Payload(body))
		if a.String() != b.String() || a.PayloadCount() != 1 || a.kidName(0) != b.kidName(0) || a.kids[0] != b.kids[0] {
			t.Errorf("%s: %v instead of %v", body, a.kids, b.kids)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a\u00e9\U0001F600\t\r\n": "a\u00e9\U0001F600\t\r\n", "a\x00b": "a\ufffdb", "\xff\xfe": "\ufffd\ufffd", "\ufffe\uffff\x1f": "\ufffd\ufffd\ufffd", "\ufffd": "\ufffd",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// What a Builder writes is indexed by NewStanza as a scanner does.
func TestBuiltStanzasAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		n := rapid.IntRange(0, 8).Draw(t, "n")
		for range n {
			if rapid.IntRange(0, 3).Draw(t, "text") == 0 {
				b.Text(Clean(rapid.String().Draw(t, "s")))
			}
			ns := rapid.SampledFrom([]string{"", "u", "v", NSNone, "it's"}).Draw(t, "ns")
			b.Open(ns, "x", "a", Clean(rapid.String().Draw(t, "a"))).Leaf("", "y", Clean(rapid.String().Draw(t, "t"))).Close()
		}
		st := NewStanza(IQ, b.Payload())
		st.To, st.ID, st.Type, st.Lang = MustJID("a@b/c"), Clean(rapid.String().Draw(t, "id")), "set", "en"
		st.Attrs = []Attr{{"", "e", "1"}, {"ns", "f", "2"}, {"ns", "g", "<"}}
		again, err := ParseStanza(st.String())
		if err != nil || st.PayloadCount() != n {
			t.Fatalf("%s: %v", st, err)
		}
		same(t, again, st)
		for c := range st.Children {
			if c.First().Name() != (Name{c.Name().Space, "y"}) {
				t.Fatalf("%s: %v in %v", st, c.First().Name(), c.Name())
			}
		}
	})
}
