package xmpp

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
)

// infoset writes down what namespace-aware software sees in a well-formed document: the
// expanded names, attributes in order of name, and text.
func infoset(t testing.TB, doc string) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	var out strings.Builder
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			var attrs []string
			for _, a := range tok.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					attrs = append(attrs, " {"+a.Name.Space+"}"+a.Name.Local+"="+a.Value)
				}
			}
			slices.Sort(attrs)
			out.WriteString("<{" + tok.Name.Space + "}" + tok.Name.Local + strings.Join(attrs, "") + ">")
		case xml.EndElement:
			out.WriteString("</>")
		case xml.CharData:
			out.Write(tok)
		}
	}
}
