package xmpp

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func condition(err error) string {
	if e, ok := err.(*StreamError); ok {
		return e.Condition
	}
	return fmt.Sprint(err)
}

// Each limit lets pass what just keeps it and stops the next, however the bytes come.
func TestLimits(t *testing.T) {
	l := Limits{Stanza: 300, Depth: 4, Attrs: 8, Elements: 6, Name: 10}
	pad := func(n int) string { return "<message>" + strings.Repeat("x", n-19) + "</message>" }
	for _, c := range []struct{ name, ok, bad string }{
		{"stanza", pad(300), pad(301)},
		{"tag", `<message id='` + strings.Repeat("x", 284) + `'/>`, `<message id='` + strings.Repeat("x", 285) + `'/>`},
		{"white space in a tag", `<message` + strings.Repeat(" ", 290) + `/>`, `<message` + strings.Repeat(" ", 291) + `/>`},
		{"white space in an end tag", `<message></message` + strings.Repeat(" ", 281) + `>`, `<message></message` + strings.Repeat(" ", 282) + `>`},
		{"depth", "<message><a><b><c/></b></a></message>", "<message><a><b><c><d/></c></b></a></message>"},
		{"attributes", "<message><x a='' b='' c='' d='' e='' f='' g='' h=''/></message>", "<message><x a='' b='' c='' d='' e='' f='' g='' h='' i=''/></message>"},
		{"head", "<message to='a' id='b' c='' d=''/>", "<message a='' b='' c=''/>"}, // from, to, id, type, xml:lang and xmlns may be added
		{"declarations", "<message><x xmlns='u' xmlns:b='u' c='' d='' e='' f='' g='' h=''/></message>", "<message><x xmlns='u' xmlns:b='u' b:c='' d='' e='' f='' g='' h='' i=''/></message>"},
		{"elements", "<message><x/><x/><x/><x/><x/></message>", "<message><x/><x/><x/><x/><x/><x/></message>"},
		{"name", "<message><abcdefghij/></message>", "<message><abcdefghijk/></message>"},
		{"prefix and name", "<message><xml:efghij/></message>", "<message><xml:efghijk/></message>"},
		{"attribute name", "<message abcdefghij=''/>", "<message abcdefghijk=''/>"},
	} {
		for _, size := range []int{1, 1000} {
			var s Scanner
			s.Reset(NSClient, true, l)
			s.root.ns = NSClient // as behind a header
			found := 0
			if err := feed(&s, c.ok+c.ok, size, func(Event) { found++ }); err != ErrMore || found != 2 {
				t.Errorf("%s: %v, %d", c.name, err, found)
			}
			if err := feed(&s, c.bad, size, func(Event) { found++ }); condition(err) != "policy-violation" || found != 2 {
				t.Errorf("%s: %v, %d", c.name, err, found)
			}
		}
	}
}

// A scanner never holds more than the limit and one read, whatever comes.
func TestNeverBuffersMoreThanTheLimit(t *testing.T) {
	const limit, read = 64 << 10, 4 << 10
	junk := strings.Repeat("x", 10<<20)
	for name, start := range map[string]string{
		"text": header + "<message><body>", "attribute": header + "<message id='", "name": header + "<message><", "cdata": header + "<message><![CDATA[",
		"reference": header + "<message>&#", "header": "<stream:stream to='", "declaration": "<?xml version='", "end tag": header + "<message></message", "space": header + "<message",
	} {
		var s Scanner
		s.Reset(NSClient, false, Limits{Stanza: limit})
		in, most := start+junk, 0
		if name == "reference" {
			in = start + strings.Repeat("0", 10<<20)
		} else if strings.HasSuffix(name, "tag") || name == "space" {
			in = start + strings.Repeat(" ", 10<<20)
		}
		var err error = ErrMore
		for at := 0; err == ErrMore && at < len(in); {
			n := min(read, len(in)-at)
			copy(s.Space(n), in[at:at+n])
			s.Filled(n)
			at += n
			most = max(most, cap(s.w.buf))
			for err = error(nil); err == nil; {
				_, err = s.Next()
			}
		}
		if condition(err) != "policy-violation" || most > limit+2*read {
			t.Errorf("%s: %v with a buffer of %d", name, err, most)
		}
	}
}

// Space between elements is not kept.
func TestWhiteSpaceCostsNothing(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	if err := feed(&s, header+strings.Repeat(" \n\t\r", 1<<20), 1<<12, func(Event) {}); err != ErrMore || s.Buffered() != 0 || cap(s.w.buf) > 2*readSize {
		t.Error(err, s.Buffered(), cap(s.w.buf))
	}
	if s.Pending() {
		t.Error("white space is pending")
	}
}

// Whatever is legal and large takes time in proportion to its size, also byte by byte.
func TestTimeIsLinear(t *testing.T) {
	tags := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	attrs := " " + tags(48, func(i int) string { return fmt.Sprintf("a%d='' ", i) })
	prefixes := tags(45, func(i int) string { return fmt.Sprintf(" xmlns:p%d='u%d'", i, i) })
	uses := tags(45, func(i int) string { return fmt.Sprintf(" p%d:a=''", i) })
	for name, in := range map[string]string{
		"text":       "<message><body>" + strings.Repeat("x", 250_000) + "</body></message>",
		"brackets":   "<message><body>" + strings.Repeat("]", 250_000) + "</body></message>",
		"cdata":      "<message><![CDATA[" + strings.Repeat("]]", 120_000) + "]]></message>",
		"attribute":  "<message id='" + strings.Repeat("x", 250_000) + "'/>",
		"space":      "<message" + strings.Repeat(" ", 250_000) + "/>",
		"end tag":    "<message></message" + strings.Repeat(" ", 250_000) + ">",
		"reference":  "<message>&#" + strings.Repeat("0", 250_000) + "65;</message>",
		"in value":   "<message id='&#" + strings.Repeat("0", 250_000) + "65;'/>",
		"elements":   "<message>" + strings.Repeat("<x/>", 4998) + "</message>",
		"depth":      "<message>" + strings.Repeat(strings.Repeat("<x>", 63)+strings.Repeat("</x>", 63), 75) + "</message>",
		"attributes": "<message>" + strings.Repeat("<x"+attrs+"/>", 700) + "</message>",
		"long names": "<message>" + strings.Repeat("<"+strings.Repeat("n", 256)+"></"+strings.Repeat("n", 256)+">", 450) + "</message>",
		"prefixes":   "<message>" + strings.Repeat("<x"+prefixes+"><x"+uses+"/></x>", 200) + "</message>",
		"outer":      "<message" + prefixes + ">" + strings.Repeat("<x/><p1:x/>", 2400) + "</message>",
	} {
		if len(in) > DefaultStanza {
			t.Fatal(name, len(in))
		}
		for _, size := range []int{1, 4096} {
			var s Scanner
			s.Reset(NSClient, false, Limits{})
			start, found := time.Now(), 0
			err := feed(&s, header+in, size, func(e Event) {
				found++
				s.Stanza()
			})
			if took := time.Since(start); err != ErrMore || found != 2 || took > 2*time.Second {
				t.Errorf("%s in reads of %d: %v, %d events, %v", name, size, err, found, took)
			}
		}
	}
}

// Declarations that have to be written into a stanza must not blow it up.
func TestRewritingIsBounded(t *testing.T) {
	ns := strings.Repeat("n", 50_000)
	head := strings.Replace(header, "<stream:stream", "<stream:stream xmlns:big='"+ns+"'", 1)
	for name, in := range map[string]string{
		"elements":   "<message>" + strings.Repeat("<big:x/>", 4000) + "</message>",
		"attributes": "<message>" + strings.Repeat("<x big:a=''/>", 4000) + "</message>",
	} {
		var s Scanner
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.Reset(NSClient, false, Limits{})
		err := feed(&s, head+in, 4096, func(Event) {})
		runtime.ReadMemStats(&after)
		if condition(err) != "policy-violation" || after.TotalAlloc-before.TotalAlloc > 8<<20 {
			t.Errorf("%s: %v, %d bytes", name, err, after.TotalAlloc-before.TotalAlloc)
		}
	}
	// What we send must keep the limits that others have for attributes too.
	var decls, uses string
	for i := range 40 {
		decls += fmt.Sprintf(" xmlns:p%d='u%d'", i, i)
		uses += fmt.Sprintf(" p%d:a=''", i)
	}
	for _, in := range []string{"<message" + uses + "/>", "<message><x" + uses + "/></message>"} {
		var s Scanner
		s.Reset(NSClient, false, Limits{})
		if err := feed(&s, strings.Replace(header, "<stream:stream", "<stream:stream"+decls, 1)+in, 4096, func(Event) {}); condition(err) != "policy-violation" {
			t.Errorf("%.40s: %v", in, err)
		}
	}
}

func TestAllocations(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	if err := feed(&s, header+chat, 4096, func(Event) { s.Stanza() }); err != ErrMore {
		t.Fatal(err)
	}
	in := []byte(chat)
	next := func() {
		copy(s.Space(len(in)), in)
		s.Filled(len(in))
		s.Next()
	}
	if n := testing.AllocsPerRun(200, next); n != 0 {
		t.Errorf("Next makes %v allocations", n)
	}
	if n := testing.AllocsPerRun(200, func() { next(); s.Stanza() }); n > 2 {
		t.Errorf("Next and Stanza make %v allocations", n)
	}
	st := scanOne(t, chat)
	if n := testing.AllocsPerRun(200, func() { st.Has("urn:xmpp:receipts", "request") }); n != 0 {
		t.Errorf("Has makes %v allocations", n)
	}
	if n := testing.AllocsPerRun(200, func() { st = st.Readdressed(st.To, st.From) }); n != 1 {
		t.Errorf("Readdressed makes %v allocations", n)
	}
}

// A stanza must stay what it is when the scanner goes on, and an idle scanner holds nothing.
func TestStanzasOutliveTheBuffer(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	var kept []*Stanza
	in := header
	for i := range 100 {
		in += fmt.Sprintf("<message id='%d' to='u%d@example.com' x='%d'><body>b%d</body><x xmlns='n%d'/></message>", i, i, i, i, i)
	}
	if err := feed(&s, in, 50, func(Event) {
		if st := s.Stanza(); st != nil {
			kept = append(kept, st)
		}
	}); err != ErrMore {
		t.Fatal(err)
	}
	s.Release()
	if s.w != nil || s.hdr != nil || s.Buffered() != 0 {
		t.Error("an idle scanner holds memory")
	}
	w := spare.Get().(*work)
	for i := range w.buf[:cap(w.buf)] {
		w.buf[:cap(w.buf)][i] = '#'
	}
	for i, st := range kept {
		want := fmt.Sprintf("<message to='u%d@example.com' id='%d' xml:lang='en' x='%d'><body>b%d</body><x xmlns='n%d'/></message>", i, i, i, i, i)
		if st.String() != want || !st.Has(fmt.Sprintf("n%d", i), "x") {
			t.Fatalf("%s, want %s", st, want)
		}
	}
	if err := feed(&s, "<message/>", 3, func(Event) { kept = append(kept, s.Stanza()) }); err != ErrMore || kept[100].Lang != "en" {
		t.Error(err)
	}
}

func TestReleaseKeepsWhatIsBuffered(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	n := 0
	for _, part := range []string{header[:30], header[30:] + "<message><bo", "dy/></mess", "age>"} {
		feed(&s, part, 1000, func(Event) { n++ })
		s.Release()
	}
	if n != 2 {
		t.Error(n)
	}
}
