package xmpp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// header declares more than stanzas should need, so that it can be taken away.
const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'` +
	` xmlns:db='jabber:server:dialback' to='example.com' version='1.0' xml:lang='en'>`

const footer = `</stream:stream>`

// transcript scans in, cut into pieces by next, and writes down all that happens.
func transcript(in string, framed bool, l Limits, next func(left int) int) string {
	var s Scanner
	var out strings.Builder
	s.Reset(NSClient, framed, l)
	for {
		e, err := s.Next()
		switch {
		case err == nil:
			fmt.Fprintln(&out, e, describe(&s, e))
		case err != ErrMore:
			var se *StreamError
			errors.As(err, &se)
			fmt.Fprintln(&out, se.Condition, se.Text)
			return out.String()
		case in == "":
			fmt.Fprintln(&out, "pending", s.Pending(), s.Buffered())
			return out.String()
		default:
			n := next(len(in))
			copy(s.Space(n), in[:n])
			s.Filled(n)
			in = in[n:]
			if s.Buffered() == 0 {
				s.Release()
			}
		}
	}
}

func describe(s *Scanner, e Event) string {
	switch e {
	case EventHeader:
		return fmt.Sprintf("%+v", *s.Header())
	case EventStanza:
		st := s.Stanza()
		out := fmt.Sprintf("%v %v %v", st.Kind, st, st.Fault)
		for c := range st.Children {
			out += fmt.Sprintf(" %q", c.Name())
		}
		return out
	}
	return ""
}

func whole(left int) int { return left }

// corpus returns the files of a folder of testdata/xml by name.
func corpus(t testing.TB, folder string) map[string]string {
	files, _ := filepath.Glob("../testdata/xml/" + folder + "/*.xml")
	if len(files) == 0 {
		t.Fatal("no corpus")
	}
	m := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[strings.TrimSuffix(filepath.Base(f), ".xml")] = string(b)
	}
	return m
}

// However the bytes are cut, the same is found in them.
func TestSplitsChangeNothing(t *testing.T) {
	all := corpus(t, "good")
	for name, in := range corpus(t, "bad") {
		all[name] = in
	}
	for name, in := range all {
		in = header + in + footer
		want := transcript(in, false, Limits{}, whole)
		if got := transcript(in, false, Limits{}, func(int) int { return 1 }); got != want {
			t.Fatalf("%s byte by byte:\n%s\nwant\n%s", name, got, want)
		}
		if len(in) > 6000 {
			continue
		}
		for cut := 1; cut < len(in); cut++ {
			first := true
			got := transcript(in, false, Limits{}, func(left int) int {
				if first {
					first = false
					return cut
				}
				return left
			})
			if got != want {
				t.Fatalf("%s cut at %d:\n%s\nwant\n%s", name, cut, got, want)
			}
		}
	}
}

func TestGoodCorpus(t *testing.T) {
	for name, in := range corpus(t, "good") {
		out := transcript(header+in+footer, false, Limits{}, whole)
		if !strings.Contains(out, "\nend \npending false 0\n") || strings.Count(out, "stanza ") == 0 {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

func TestBadCorpus(t *testing.T) {
	for name, in := range corpus(t, "bad") {
		condition, _, _ := strings.Cut(name, "--")
		out := transcript(header+in+footer, false, Limits{}, whole)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, condition+" ") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}

func TestHeaders(t *testing.T) {
	const ok = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com'>`
	for in, want := range map[string]string{
		ok:                                 "header",
		" \n" + ok:                         "header",
		"\ufeff" + ok:                      "header",
		"\ufeff " + ok:                     "header",
		"\ufeff<?xml version='1.0'?>" + ok: "header",
		"\ufeff\ufeff" + ok:                "bad-format",
		"\xef\xbbx" + ok:                   "not-well-formed",
		"<?xml version='1.0'?>\n" + ok:     "header",
		"<?xml version=\"1.0\" encoding='utf-8' standalone = 'yes' ?>" + ok: "header",
		"<?xml version='1.0' standalone='no'?>" + ok:                        "header",
		"<?xml version='1.0' standalone='perhaps'?>" + ok:                   "not-well-formed",
		"<?xml version='1.0' encoding='UTF-16'?>" + ok:                      "unsupported-encoding",
		"<?xml version='1.0' encoding='ISO-8859-1'?>" + ok:                  "unsupported-encoding",
		"<?xml version='1.1'?>" + ok:                                        "bad-format",
		"<?xml?>" + ok:                                                      "restricted-xml",
		"<?xml version='1.0'encoding='UTF-8'?>" + ok:                        "not-well-formed",
		"<?xml encoding='UTF-8'?>" + ok:                                     "not-well-formed",
		"<?xml encoding='UTF-8' version='1.0'?>" + ok:                       "not-well-formed",
		"<?xml version='1.0' version='1.0'?>" + ok:                          "not-well-formed",
		"<?xml version='1.0' x='y'?>" + ok:                                  "not-well-formed",
		"<?xml version=1.0?>" + ok:                                          "not-well-formed",
		"<?xml-stylesheet href='x'?>" + ok:                                  "restricted-xml",
		"<?x?>" + ok:                                                        "restricted-xml",
		" <?xml version='1.0'?>" + ok:                                       "restricted-xml",
		"<?xml version='1.0'?><?xml version='1.0'?>" + ok:                   "restricted-xml",
		"<!DOCTYPE x [<!ENTITY a 'b'>]>" + ok:                               "restricted-xml",
		"<!-- x -->" + ok:                                                   "restricted-xml",
		"x" + ok:                                                            "bad-format",
		"</stream:stream>":                                                  "not-well-formed",
		"\xff\xfe<\x00":                                                     "unsupported-encoding",
		"\xfe\xff\x00<":                                                     "unsupported-encoding",
		"<\x00?\x00":                                                        "unsupported-encoding",
		"\x00<":                                                             "unsupported-encoding",
		`<stream xmlns='http://etherx.jabber.org/streams'>`:                 "header",
		`<x:stream xmlns:x='http://etherx.jabber.org/streams'>`:             "header",
		`<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server'>`:                 "invalid-namespace",
		`<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>`:                                  "invalid-namespace",
		`<stream xmlns='jabber:client'>`:                                                              "invalid-namespace",
		`<stream>`:                                                                                    "invalid-namespace",
		`<stream:stream xmlns='jabber:client'>`:                                                       "not-well-formed",
		`<s:flow xmlns:s='http://etherx.jabber.org/streams'>`:                                         "bad-format",
		strings.Replace(ok, "to=", "x:y='1' to=", 1):                                                  "not-well-formed",
		strings.Replace(ok, "to=", "to='a' to=", 1):                                                   "not-well-formed",
		strings.Replace(ok, "client'", "client' xmlns:a='"+strings.Repeat("x", DefaultStanza)+"'", 1): "policy-violation",
	} {
		out := transcript(in, false, Limits{}, whole)
		if !strings.HasPrefix(out, want+" ") {
			t.Errorf("%.80q: %.200s, want %s", in, out, want)
		}
		if got := transcript(in, false, Limits{}, func(int) int { return 1 }); got != out {
			t.Errorf("%.80q byte by byte: %.200s", in, got)
		}
	}
}

func TestWhatTheHeaderSays(t *testing.T) {
	var s Scanner
	s.Reset(NSServer, false, Limits{})
	in := `<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'` +
		` xmlns:xml='http://www.w3.org/XML/1998/namespace' to='Capulet.Example' from='not a jid' id='a&amp;b' version='1.10' xml:lang='de'>`
	var h *Header
	if err := feed(&s, in, 7, func(Event) { h = s.Header() }); err != ErrMore || h == nil {
		t.Fatal(err)
	}
	if h.Name != (Name{NSStream, "stream"}) || h.To != "Capulet.Example" || h.ToJID != MustJID("capulet.example") || h.From != "not a jid" || !h.FromJID.IsZero() ||
		h.ID != "a&b" || h.Version != "1.10" || h.Major != 1 || h.Minor != 10 || h.Lang != "de" || h.NS != NSServer {
		t.Errorf("%+v", h)
	}
	if fmt.Sprint(h.Prefixes) != "[{s http://etherx.jabber.org/streams} {db jabber:server:dialback}]" {
		t.Error(h.Prefixes)
	}
	for v, want := range map[string][2]int{"": {-1, -1}, "1": {-1, -1}, "1.x": {-1, -1}, "0.9": {0, 9}, "1.0": {1, 0}, "+1.0": {-1, -1}} {
		if a, b := parseVersion(v); a != want[0] || b != want[1] {
			t.Error(v, a, b)
		}
	}
}

func TestStreamEnd(t *testing.T) {
	for in, want := range map[string]string{
		header + `</stream:stream>garbage <`: "end",
		header + "</stream:stream\n\t>":      "end",
		`<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'/>`: "end",
		header + `</stream:strea>`:   "not-well-formed",
		header + `</stream>`:         "not-well-formed",
		header + `</stream:stream x`: "not-well-formed",
	} {
		out := transcript(in, false, Limits{}, func(int) int { return 1 })
		if !strings.Contains(out, "\n"+want+" ") {
			t.Errorf("%s: %s", in, out)
		}
	}
}

// RFC 7395 §3.3: every element stands alone.
func TestFramed(t *testing.T) {
	in := `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>` +
		`<?xml version='1.0'?><message xmlns='jabber:client'><body>x</body></message>` + "\ufeff" + `<message/><stream:features xmlns:stream='http://etherx.jabber.org/streams'><a xmlns='u'/></stream:features>`
	want := `stanza nonza <open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/> <nil>
stanza message <message><body>x</body></message> <nil> {"" "body"}
stanza nonza <message xmlns=''/> <nil>
stanza nonza <features xmlns='http://etherx.jabber.org/streams'><a xmlns='u'/></features> <nil> {"u" "a"}
pending false 0
`
	if got := transcript(in, true, Limits{}, whole); got != want {
		t.Errorf("%s", got)
	}
	if got := transcript("<stream:features/>", true, Limits{}, whole); !strings.HasPrefix(got, "not-well-formed") {
		t.Error(got)
	}
	if got := transcript("</message>", true, Limits{}, whole); !strings.HasPrefix(got, "not-well-formed") {
		t.Error(got)
	}
}

func TestErrorsStay(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	err := feed(&s, header+"<message></x>", 1000, func(Event) {})
	if e, ok := err.(*StreamError); !ok || e.Condition != "not-well-formed" {
		t.Fatal(err)
	}
	if again := feed(&s, "<message/>", 1000, func(Event) { t.Error("an event after an error") }); again != err {
		t.Error(again)
	}
	s.Reset(NSClient, false, Limits{})
	if s.Buffered() != 0 || s.Pending() || s.w != nil {
		t.Error("Reset keeps something")
	}
	if err := feed(&s, header, 1000, func(Event) {}); err != ErrMore {
		t.Error(err)
	}
}

// Nothing of what came before STARTTLS or SASL may be looked at after it.
func TestResetDropsWhatIsBuffered(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	feed(&s, header+"<message><x><![CDATA[ <message ", 1000, func(Event) {})
	if !s.Pending() {
		t.Error("not pending")
	}
	s.Reset(NSClient, false, Limits{})
	n := 0
	if err := feed(&s, header+"<message id='new'/>", 1000, func(e Event) {
		if n++; e == EventStanza && s.Stanza().ID != "new" {
			t.Error(s.Stanza())
		}
	}); err != ErrMore || n != 2 {
		t.Error(err, n)
	}
}
