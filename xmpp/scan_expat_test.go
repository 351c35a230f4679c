//go:build expat

package xmpp

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"parley/xmpp/xmpptest/expat"
)

// Names are those of XML 1.0 fourth edition, as expat has them.
func TestNamesAgreeWithExpat(t *testing.T) {
	for r := rune(0x80); r <= 0x10FFFF; r++ {
		if r >= 0xD800 && r < 0xE000 {
			continue
		}
		if got, want := isNameStart(r), expat.IsName(string(r)); got != want {
			t.Errorf("%U begins a name: %v, expat %v", r, got, want)
		}
		if got, want := isNameChar(r), expat.IsName("a"+string(r)); got != want {
			t.Errorf("%U in a name: %v, expat %v", r, got, want)
		}
	}
}

// verdict is what the scanner makes of a stream.
type verdict struct {
	ends      []int  // where each element ends
	printed   []byte // the elements as we would send them
	ended     int    // where the stream ends, 0 if it does not
	condition string
	text      string
}

func scanAll(in []byte, r *rand.Rand) verdict {
	var v verdict
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	given := 0
	for {
		e, err := s.Next()
		switch {
		case err == nil && e == EventStanza:
			v.printed = s.Stanza().Append(v.printed)
			v.ends = append(v.ends, given-s.Buffered())
		case err == nil && e == EventEnd:
			v.ended = given - s.Buffered()
			return v
		case err == nil:
		case err != ErrMore:
			v.condition, v.text = err.(*StreamError).Condition, err.(*StreamError).Text
			return v
		case given == len(in):
			return v
		default:
			n := min(len(in)-given, 1+r.IntN(1+len(in)/(1+r.IntN(12))))
			copy(s.Space(n), in[given:given+n])
			s.Filled(n)
			given += n
		}
	}
}

// wilful are the conditions of what we refuse although it is well-formed: comments and
// the like, other encodings, our limits, references in namespace declarations, text
// between stanzas, and headers that are none.
var wilful = map[string]bool{
	"restricted-xml": true, "unsupported-encoding": true, "policy-violation": true, "bad-format": true, "invalid-namespace": true,
}

// What we let pass and a peer's parser refuses would end the peer's stream; what we
// refuse and others let pass would end ours without need.
func TestScannerAgreesWithExpat(t *testing.T) {
	n := 1_000_000
	if v, err := strconv.Atoi(os.Getenv("PARLEY_DIFF_N")); err == nil {
		n = v
	}
	r := rand.New(rand.NewPCG(6120, 11))
	seeds := diffSeeds(t)
	accepted, refused, chosen := 0, 0, 0
	for i := range n {
		in := mutate(r, seeds)
		v := scanAll(in, r)
		doc := in
		if v.ended > 0 {
			doc = in[:v.ended] // what follows the end is nobody's business
		}
		x := expat.Parse(doc)
		switch {
		case v.ended > 0:
			accepted++
			if !x.OK || !slices.Equal(v.ends, x.Ends) {
				t.Fatalf("input %d: we accept %q with %v, expat: %v %v", i, doc, v.ends, x.Error, x.Ends)
			}
			sent := "<stream xmlns='jabber:client'>" + string(v.printed) + "</stream>"
			if x := expat.Parse([]byte(sent)); !x.OK || len(x.Ends) != len(v.ends) {
				t.Fatalf("input %d: we make %q of %q, expat: %v", i, sent, doc, x.Error)
			}
		case v.condition == "not-well-formed":
			refused++
			if x.OK || !slices.Equal(v.ends, x.Ends) {
				t.Fatalf("input %d: we refuse %q (%s) after %v, expat: %v %v", i, in, v.text, v.ends, x.Error, x.Ends)
			}
		case wilful[v.condition]:
			chosen++
			if len(v.ends) > len(x.Ends) || !slices.Equal(v.ends, x.Ends[:len(v.ends)]) {
				t.Fatalf("input %d: %q: we see %v, expat %v", i, in, v.ends, x.Ends)
			}
		case v.condition == "":
			if x.OK || len(v.ends) > len(x.Ends) || !slices.Equal(v.ends, x.Ends[:len(v.ends)]) {
				t.Fatalf("input %d: we wait in %q after %v, expat: %v %v", i, in, v.ends, x.Error, x.Ends)
			}
		default:
			t.Fatalf("input %d: %q: %s", i, in, v.condition)
		}
	}
	t.Logf("%d inputs: %d accepted, %d not well-formed, %d refused by choice", n, accepted, refused, chosen)
	if accepted < n/20 || refused < n/20 {
		t.Error("the mutations are too tame or too wild to say anything")
	}
}

// diffSeeds returns short streams to mutate.
func diffSeeds(t *testing.T) []string {
	const h = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='u'>`
	seeds := []string{header + footer, h + footer}
	for folder, weight := range map[string]int{"good": 8, "bad": 1} {
		for _, in := range corpus(t, folder) {
			if len(in) < 1500 {
				for range weight {
					seeds = append(seeds, h+in+footer)
				}
			}
		}
	}
	slices.Sort(seeds) // so that every run makes the same inputs
	return seeds
}

// fragments are what mutations put in.
var fragments = []string{
	"<", ">", "/>", "</", "'", "\"", "=", " ", "\t", "\n", "\r", "&", ";", "&amp;", "&lt;", "&#9;", "&#x0;", "&#xD800;", "&#x10FFFF;", "&#", "&x;",
	"]]>", "]]", "<![CDATA[", "<![CDATA[x]]>", "<!", "<?", "<?x?>", "<!-- -->", ":", "a:", "xmlns", " xmlns='u'", " xmlns=''", " xmlns:p='u'", " xmlns:p='v'", " xmlns:q='u'",
	" p:a='1'", " q:a='1'", " a='1'", "<p:x>", "</p:x>", "<p:x/>", "<x/>", "<x>", "</x>", "<x xmlns='u'>", "xml", "xml:lang='a'", "xmlns:xml='http://www.w3.org/XML/1998/namespace'",
	" xmlns:p=''", " xmlns:xmlns='u'", "http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace", "jabber:client", "stream:", "db:", "message", "<message>", "</message>",
	"\x00", "\x01", "\x7f", "\x80", "\xc0\x80", "\xc3", "\xc3\xa9", "\xe2\x82\xac", "\xe2\x82", "\xed\xa0\x80", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xef\xbb\xbf", "\xf0\x9f\x98\x80", "\xf4\x90\x80\x80",
	"\u0301", "\u00b7", "\u2c00", "\u5c71", "1", "-", ".", "_", "<1/>", "<:a/>", "<a:/>", "<a:b:c/>", "<_/>", "standalone='yes'", "</stream:stream>", "<?xml version='1.0'?>",
}

// mutate makes a stream that is a little wrong.
func mutate(r *rand.Rand, seeds []string) []byte {
	in := []byte(seeds[r.IntN(len(seeds))])
	for range r.IntN(4) {
		at := r.IntN(len(in) + 1)
		if r.IntN(4) > 0 && len(in) > 100 { // seldom in the header
			at = 90 + r.IntN(len(in)-89)
		}
		end := min(len(in), at+r.IntN(8))
		switch r.IntN(7) {
		case 0:
			in = append(in[:at:at], in[end:]...)
		case 1:
			if at < len(in) {
				in[at] = byte(r.IntN(256))
			}
		case 2: // repeat
			in = append(append(in[:end:end], in[at:end]...), in[end:]...)
		case 3: // a piece of another
			other := seeds[r.IntN(len(seeds))]
			from := r.IntN(len(other))
			piece := other[from:min(len(other), from+r.IntN(60))]
			in = append(append(in[:at:at], piece...), in[at:]...)
		default:
			in = append(append(in[:at:at], fragments[r.IntN(len(fragments))]...), in[at:]...)
		}
	}
	return in
}
