package xmpp

import (
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"pgregory.net/rapid"
)

// RFC 7622 §3.5, table 1.
func TestLegalJIDs(t *testing.T) {
	for _, c := range []struct{ in, local, domain, resource string }{
		{"juliet@example.com", "juliet", "example.com", ""},
		{"juliet@example.com/foo", "juliet", "example.com", "foo"},
		{"juliet@example.com/foo bar", "juliet", "example.com", "foo bar"},
		{"juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"},
		{`foo\20bar@example.com`, `foo\20bar`, "example.com", ""},
		{"fussball@example.com", "fussball", "example.com", ""},
		{"fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""},
		{"\u03c0@example.com", "\u03c0", "example.com", ""},
		{"\u03a3@example.com/foo", "\u03c3", "example.com", "foo"},
		{"\u03c3@example.com/foo", "\u03c3", "example.com", "foo"},
		{"\u03c2@example.com/foo", "\u03c2", "example.com", "foo"},
		{"king@example.com/\u265a", "king", "example.com", "\u265a"},
		{"example.com", "", "example.com", ""},
		{"example.com/foobar", "", "example.com", "foobar"},
		{"a.example.com/b@example.net", "", "a.example.com", "b@example.net"},
	} {
		j, err := ParseJID(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if j.Local() != c.local || j.Domain() != c.domain || j.Resource() != c.resource {
			t.Errorf("%q: %q %q %q", c.in, j.Local(), j.Domain(), j.Resource())
		}
	}
}

// RFC 7622 §3.5, table 2.
func TestStringsThatAreNoJIDs(t *testing.T) {
	for _, s := range []string{
		`"juliet"@example.com`, "foo bar@example.com", "juliet@example.com/ foo", "@example.com/",
		"henry\u2163@example.com", "\u265a@example.com", "juliet@", "/foobar",
	} {
		if j, err := ParseJID(s); err == nil {
			t.Errorf("%q became %q", s, j)
		}
	}
}

func TestJIDNormalForms(t *testing.T) {
	for in, want := range map[string]string{
		"Romeo@Example.COM/Orchard":              "romeo@example.com/Orchard",
		"example.com.":                           "example.com",
		"a@xn--bcher-kva.example":                "a@b\u00fccher.example",
		"a@XN--BCHER-KVA.example":                "a@b\u00fccher.example",
		"a@B\u00dcCHER.example":                  "a@b\u00fccher.example",
		"a@bu\u0308cher.example":                 "a@b\u00fccher.example",
		"a@stra\u00dfe.example":                  "a@stra\u00dfe.example",
		"\uff32omeo@example.com":                 "romeo@example.com",
		"a@example\u3002com":                     "a@example.com",
		"a@example.com\u3002":                    "a@example.com",
		"a@127.0.0.1":                            "a@127.0.0.1",
		"a@[::1]":                                "a@[::1]",
		"a@[2001:DB8:0:0::1]/x":                  "a@[2001:db8::1]/x",
		"a@[fe80::1%25eth0]":                     "a@[fe80::1%25eth0]",
		"a@[::FFFF:1.2.3.4]":                     "a@[::ffff:1.2.3.4]",
		"a@example.com/x\u00a0y":                 "a@example.com/x y",
		"a@example.com/e\u0301":                  "a@example.com/\u00e9",
		"a@b/c/d@e":                              "a@b/c/d@e",
		"localhost":                              "localhost",
		"a@xn--e1afmkfd.xn--80akhbyknj4f/\u044f": "a@\u043f\u0440\u0438\u043c\u0435\u0440.\u0438\u0441\u043f\u044b\u0442\u0430\u043d\u0438\u0435/\u044f",
	} {
		j, err := ParseJID(in)
		if err != nil || j.String() != want {
			t.Errorf("%q: %q, %v, want %q", in, j, err, want)
		}
	}
}

func TestBadJIDs(t *testing.T) {
	for _, s := range []string{
		"", "@", "/", "a@/b", "@b", "a@b/", "a@@b", "a@b@c", "a b", "a@b c", "a@b_c", "a@-b", "a@b-", "a@b..c", "a@.b", "a@b..", "a@.",
		"a@ab--c", "a@xn--", "a@xn--a", "a@xn--bcher-kva-", "a@xn--hello-", "a@999.1.1.1", "a@1.2.3", "a@01.2.3.4", "a@[", "a@[]", "a@[1.2.3.4]",
		"a@[::1", "a@::1", "a@[::1%eth0]", "a@[::1%25]", "a@[::1%25a%20b]", "a@[v1.x]", "a@\u2603.example", "a@ex\u00e4mple\uff0fx", "a\uff20b@example.com", "a\uff1ab@example.com",
		"a@b\uff20c", "a\x00@b", "a\x7f@b", "a@b/\x00", "a@b/\x1f", "a@b/\u3000x", "a@b/\xff", "\xff@b", "a@\xff", "a@b/\u200e\u0600\ufffe",
		"a'@b", "a&b@c", "a:b@c", "a<b@c", "a>b@c", "\u1160@b", "a@\u200db.example",
		strings.Repeat("a", 1024) + "@b", "a@" + strings.Repeat("b", 64), "a@b/" + strings.Repeat("c", 1024),
		"a@" + strings.Repeat("b.", 127) + "c", "a@b/" + strings.Repeat("\u00e9", 512), "a@" + strings.Repeat("\u00fc", 60) + ".example",
	} {
		j, err := ParseJID(s)
		if err == nil {
			t.Errorf("%q became %q", s, j)
			continue
		}
		if e, ok := err.(*Error); !ok || e.Condition != "jid-malformed" || !j.IsZero() {
			t.Errorf("%q: %v, %q", s, err, j)
		}
	}
}

func TestLongestJID(t *testing.T) {
	local, resource := strings.Repeat("a", MaxPart), strings.Repeat("c", MaxPart)
	domain := strings.Repeat(strings.Repeat("b", 62)+".", 3) + strings.Repeat("b", 63)
	j, err := ParseJID(local + "@" + domain + "/" + resource)
	if err != nil || j.Local() != local || j.Domain() != domain || j.Resource() != resource {
		t.Fatal(err)
	}
	if _, err := ParseJID("a@" + domain + "." + "bb"); err == nil {
		t.Error("a domain of more than 253 bytes")
	}
}

func TestPartsOfAJID(t *testing.T) {
	j := MustJID("romeo@example.com/orchard")
	if j.Bare() != MustJID("romeo@example.com") || j.Host() != MustJID("example.com") || j.Bare().Host() != j.Host() {
		t.Error("parts are not equal to what is parsed")
	}
	if j.IsBare() || !j.Bare().IsBare() || j.IsHost() || !j.Host().IsHost() || j.Bare().IsHost() || MustJID("a.b/c").IsHost() {
		t.Error("IsBare, IsHost")
	}
	w, err := j.Host().WithResource("x")
	if err != nil || w != MustJID("example.com/x") {
		t.Error(w, err)
	}
	if w, err = j.WithResource(""); err != nil || w != j.Bare() {
		t.Error(w, err)
	}
	if w, err = j.WithResource("e\u0301"); err != nil || w != MustJID("romeo@example.com/\u00e9") {
		t.Error(w, err)
	}
	if _, err := j.WithResource("\x00"); err == nil {
		t.Error("NUL in a resource")
	}
	if _, err := (JID{}).WithResource("x"); err == nil {
		t.Error("a resource of nobody")
	}
	var z JID
	if z.Local() != "" || z.Domain() != "" || z.Resource() != "" || !z.IsZero() || z.Bare() != z || z.Host() != z || z.IsBare() || z.IsHost() {
		t.Error("the zero JID")
	}
	n, err := NewJID("Romeo", "EXAMPLE.com.", "")
	if err != nil || n != MustJID("romeo@example.com") {
		t.Error(n, err)
	}
	if n, err = NewJID("", "example.com", "a/b"); err != nil || n != MustJID("example.com/a/b") {
		t.Error(n, err)
	}
	for _, p := range [][3]string{{"a@b", "c", ""}, {"a", "b/c", ""}, {"a", "b@c", ""}, {"a", "", "c"}} {
		if j, err := NewJID(p[0], p[1], p[2]); err == nil {
			t.Errorf("%q became %q", p, j)
		}
	}
}

func TestJIDText(t *testing.T) {
	j := MustJID("romeo@example.com/orchard")
	b, _ := j.MarshalText()
	var k JID
	if err := k.UnmarshalText(b); err != nil || k != j {
		t.Error(k, err)
	}
	if err := k.UnmarshalText([]byte("a b")); err == nil || k != j {
		t.Error("a bad address changed the value")
	}
	if err := k.UnmarshalText(nil); err != nil || !k.IsZero() {
		t.Error(k, err)
	}
	if b, _ := j.AppendText([]byte("x")); string(b) != "x"+j.String() {
		t.Error(string(b))
	}
}

func TestMustJIDPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustJID("a b")
}

// anyJID draws strings that are near to addresses in every alphabet.
func anyJID() *rapid.Generator[string] {
	part := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9.\-]{0,12}`), rapid.String(),
		rapid.StringMatching(`[\x{300}-\x{36f}\x{ff00}-\x{ffef}\x{370}-\x{3ff}\x{5d0}-\x{6ff}\x{b7}\x{df}A-Z0-9]{1,6}`))
	return rapid.Custom(func(t *rapid.T) string {
		s := part.Draw(t, "a")
		if rapid.Bool().Draw(t, "at") {
			s += "@" + part.Draw(t, "b")
		}
		if rapid.Bool().Draw(t, "slash") {
			s += "/" + part.Draw(t, "c")
		}
		return s
	})
}

func TestParsingAJIDTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyJID().Draw(t, "s")
		j, err := ParseJID(s)
		if err != nil {
			return
		}
		checkJID(t, j)
	})
}

func checkJID(t interface{ Fatalf(string, ...any) }, j JID) {
	again, err := ParseJID(j.String())
	if err != nil || again != j {
		t.Fatalf("%q: again %q, %v", j, again, err)
	}
	parts, err := NewJID(j.Local(), j.Domain(), j.Resource())
	if err != nil || parts != j {
		t.Fatalf("%q: of its parts %q, %v", j, parts, err)
	}
	if !utf8.ValidString(j.String()) || len(j.Local()) > MaxPart || len(j.Domain()) > MaxPart || len(j.Resource()) > MaxPart {
		t.Fatalf("%q: not UTF-8 or too long", j)
	}
}

func TestASCIIWayAgreesWithProfiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[ -~]{1,20}`).Draw(t, "s")
		want, err := precis.UsernameCaseMapped.String(s)
		if err == nil && strings.ContainsAny(want, notInLocal) {
			err = errUnsettled
		}
		if got, gotErr := appendLocal(nil, s); (gotErr == nil) != (err == nil) || err == nil && string(got) != want {
			t.Fatalf("local %q: %q %v, want %q %v", s, got, gotErr, want, err)
		}
		if plainLocal(s) && (err != nil || want != s) {
			t.Fatalf("%q is not normal", s)
		}
		want, err = precis.OpaqueString.String(s)
		if plainResource(s) && (err != nil || want != s) || !plainResource(s) && err == nil && s[0] != ' ' {
			t.Fatalf("resource %q: %q %v", s, want, err)
		}
		d := rapid.StringMatching(`[a-zA-Z0-9.\-]{1,20}`).Draw(t, "d")
		u, err := uLabels(d)
		if plainDomain(d) && (err != nil || u != d) {
			t.Fatalf("domain %q: %q %v", d, u, err)
		}
	})
}

func FuzzParseJID(f *testing.F) {
	for _, s := range []string{"a@b/c", "Romeo@Example.com.", "a@xn--bcher-kva.example/\u265a", "[::1]", "\u05d0\u05d1@\u05d0.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if j, err := ParseJID(s); err == nil {
			checkJID(t, j)
		}
	})
}

func TestParsingANormalJIDAllocatesNothing(t *testing.T) {
	var j JID
	n := testing.AllocsPerRun(100, func() {
		j, _ = ParseJID("romeo@example.com/orchard")
		j = j.Bare().Host()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n = testing.AllocsPerRun(100, func() { j, _ = ParseJID("Romeo@Example.com/orchard") }); n != 1 {
		t.Errorf("%v allocations for one that has to be mapped", n)
	}
}

func BenchmarkParseJID(b *testing.B) {
	for name, s := range map[string]string{
		"normal": "romeo@example.com/orchard", "mapped": "Romeo@Example.com/orchard", "unicode": "ro\u00dfeo@b\u00fccher.example/\u265a",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseJID(s)
			}
		})
	}
}

// The profiles behind the normal forms are shared by all streams.
func TestManyParseAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if j, err := ParseJID("Fu\u00dfball@B\u00fccher.example/\u265a\u00a0x"); err != nil || j.String() != "fu\u00dfball@b\u00fccher.example/\u265a x" {
					t.Error(j, err)
				}
			}
		})
	}
	wg.Wait()
}
