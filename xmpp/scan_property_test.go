package xmpp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// same compares stanzas: what they say, not where their parts lie in memory.
func same(t interface{ Fatalf(string, ...any) }, got, want *Stanza) {
	if d := cmp.Diff(view2(want), view2(got)); d != "" {
		t.Fatalf("not the same (-want +got):\n%s", d)
	}
}

type seen struct {
	Kind                               Kind
	Name                               Name
	To, From, ID, Type, Lang, Body, Is string
	Attrs                              []Attr
	Kids                               []Name
}

func view2(st *Stanza) seen {
	v := seen{Kind: st.Kind, Name: st.Name, To: st.To.String(), From: st.From.String(), ID: st.ID, Type: st.Type, Lang: st.Lang, Body: string(st.Body()), Attrs: st.Attrs}
	for c := range st.Children {
		v.Kids = append(v.Kids, c.Name())
	}
	return v
}

// anyElement draws an element of nested prefixes and namespaces. bound are the prefixes
// in force.
func anyElement(t *rapid.T, local string, bound []string, depth int) string {
	var attrs []string
	declare := func(key string, values ...string) {
		attrs = append(attrs, key+"='"+rapid.SampledFrom(values).Draw(t, "ns")+"'")
	}
	if rapid.IntRange(0, 3).Draw(t, "default") == 0 {
		declare("xmlns", "u", "v", NSClient, "", NSSASL)
	}
	for _, p := range []string{"p", "q"} {
		if rapid.IntRange(0, 4).Draw(t, "bind") == 0 {
			declare("xmlns:"+p, "u", "v", NSClient, NSStream)
			bound = append(bound[:len(bound):len(bound)], p)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "attr") == 0 {
		attrs = append(attrs, "a='1'")
	}
	if rapid.IntRange(0, 3).Draw(t, "foreign") == 0 {
		attrs = append(attrs, rapid.SampledFrom(bound).Draw(t, "of")+":b='2'")
	}
	name := local
	if rapid.IntRange(0, 2).Draw(t, "prefixed") == 0 {
		name = rapid.SampledFrom(bound).Draw(t, "prefix") + ":" + local
	}
	out := "<" + strings.Join(append([]string{name}, rapid.Permutation(attrs).Draw(t, "order")...), " ")
	n := 0
	if depth > 0 {
		n = rapid.IntRange(0, 3).Draw(t, "kids")
	}
	if n == 0 {
		return out + "/>"
	}
	out += ">"
	for range n {
		out += rapid.SampledFrom([]string{"", "t", "<![CDATA[<c>]]>", "&lt;"}).Draw(t, "text")
		out += anyElement(t, rapid.SampledFrom([]string{"x", "y", "body"}).Draw(t, "local"), bound, depth-1)
	}
	return out + "</" + name + ">"
}

const plainHeader = `<stream xmlns='jabber:client' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>`

// Whatever prefixes and defaults a stanza is written with, it leaves the scanner with the
// same meaning behind a header that declares nothing, and reads the same again.
func TestMeaningIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		local := rapid.SampledFrom([]string{"message", "iq", "other"}).Draw(rt, "top")
		in := anyElement(rt, local, []string{"db", "stream", "c"}, 3)
		var s Scanner
		s.Reset(NSClient, false, Limits{})
		var st *Stanza
		head := strings.Replace(plainHeader, "<stream ", "<stream:stream ", 1)
		if err := feed(&s, head+in, rapid.IntRange(1, 200).Draw(rt, "size"), func(Event) { st = s.Stanza() }); err != ErrMore {
			rt.Fatalf("%s: %v", in, err)
		}
		out := st.String()
		if a, b := infoset(t, plainHeader+in+`</stream>`), infoset(t, `<stream xmlns='jabber:client'>`+out+`</stream>`); a != b {
			rt.Fatalf("%s became %s:\n%s\n%s", in, out, a, b)
		}
		again, err := ParseStanza(out)
		if err != nil {
			rt.Fatalf("%s: %v", out, err)
		}
		same(rt, again, st)
		s.Reset(NSClient, false, Limits{})
		if err := feed(&s, header+out, 4096, func(Event) {}); err != ErrMore {
			rt.Fatalf("another server would refuse %s: %v", out, err)
		}
		rebuilt := NewStanza(st.Kind, Payload(st.Body()))
		rebuilt.Name = st.Name
		if a, b := view2(rebuilt).Kids, view2(st).Kids; cmp.Diff(a, b) != "" {
			rt.Fatalf("%s: the index of NewStanza is %q, the scanner's %q", out, a, b)
		}
		checkParts(rt, st)
	})
}

// checkParts takes a stanza apart and puts it together again.
func checkParts(t *rapid.T, st *Stanza) {
	empty := st.Without(func(Element) bool { return true })
	if empty.PayloadCount() != 0 {
		t.Fatalf("%s without all: %s", st, empty)
	}
	built := empty
	for c := range st.Children {
		p := c.Payload()
		lone := NewStanza(Message, p)
		if st.Kind != Nonza && !lone.Has(c.Name().Space, c.Name().Local) {
			t.Fatalf("%s: alone %s", st, p)
		}
		built = built.With(p)
	}
	if a, b := view2(built).Kids, view2(st).Kids; cmp.Diff(a, b) != "" {
		t.Fatalf("%s: put together again %q, was %q", st, a, b)
	}
	if back := st.With(Payload("<zz xmlns='zz'/>")).Without(func(e Element) bool { return e.Is("zz", "zz") }); string(back.Body()) != string(st.Body()) {
		t.Fatalf("%s: there and back %s", st, back)
	}
}

// FuzzScanner reads a stream cut by the fuzzer's will.
func FuzzScanner(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, in := range corpus(f, folder) {
			f.Add([]byte(header+in+footer), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		next := func(left int) int { return min(left, 1+int(size)) }
		cut := transcript(string(in), false, Limits{Stanza: 4096}, next)
		one := transcript(string(in), false, Limits{Stanza: 4096}, whole)
		if before, _, ok := strings.Cut(cut, "pending true"); ok && strings.HasPrefix(one, before) {
			cut = one // what is wrong in a tag may be seen only when the tag ends
		}
		if one != cut {
			t.Fatalf("whole:\n%s\ncut:\n%s", one, cut)
		}
		var s Scanner
		s.Reset(NSClient, false, Limits{})
		feed(&s, string(in), 1+int(size), func(e Event) {
			st := s.Stanza()
			if st == nil {
				return
			}
			again, err := ParseStanza(st.String())
			if err != nil {
				t.Fatalf("%s: %v", st, err)
			}
			st.ID, again.ID = "", "" // an empty id is not written
			same(t, again, st)
			infoset(t, "<stream xmlns='jabber:client'>"+st.String()+"</stream>")
		})
	})
}
