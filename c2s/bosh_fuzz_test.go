package c2s

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"parley/xmpp"
)

// FuzzBOSHBody: what a request is taken for is what a stream in frames would read, element by
// element, none of them in the namespace of BOSH by inheritance, and whatever it says for the type
// of answers is one.
func FuzzBOSHBody(f *testing.F) {
	for _, seed := range []string{
		"<body xmlns='" + nsBOSH + "' rid='1' to='example.com' content='text/html' wait='60' hold='1' ver='1.6'/>",
		"<body xmlns='" + nsBOSH + "' rid='2' sid='x' key='a' newkey='b' ack='1' pause='9'><message xmlns='jabber:client'><body>a</body></message><presence/></body>",
		"<b:body xmlns:b='" + nsBOSH + "' rid='3' type='terminate'><message id=\" xmlns='" + nsBOSH + "'\" xmlns='jabber:client'/></b:body>",
		"<body xmlns='" + nsBOSH + "' rid='3' xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true'><iq id=\" xmlns='" + nsBOSH + "'\"/></body>",
		"<body xmlns='" + nsBOSH + "' rid='4'><p:a xmlns:p='" + nsBOSH + "'><![CDATA[</body>]]></p:a></body>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseBody([]byte(text), xmpp.Limits{Stanza: len(text) + 1, Elements: boshStanzas * xmpp.DefaultElements})
		if err != nil {
			return
		}
		if c := p.contentType(); strings.ContainsAny(c, "\r\n\x00") || c != "" && !strings.HasPrefix(c, "text/") && !strings.HasPrefix(c, "application/") {
			t.Errorf("content type %q", c)
		}
		if p.rid > maxRID || p.wait < -1 || p.hold < -1 || p.pause < -1 {
			t.Errorf("%+v", p)
		}
		left := p.payload
		for len(left) > 0 {
			n := xmpp.ElementLen(left)
			var sc xmpp.Scanner
			sc.Reset(xmpp.NSClient, true, xmpp.Limits{Stanza: 1 << 20})
			for b := left[:n]; len(b) > 0; {
				k := copy(sc.Space(min(len(b), 4096)), b)
				sc.Filled(k)
				b = b[k:]
			}
			ev, err := sc.Next()
			if errors.Is(err, xmpp.ErrMore) || err == nil && sc.Buffered() > 0 {
				t.Fatalf("%q is not one element (%v, %v) of %q", left[:n], ev, err, p.payload)
			}
			sc.Release()
			left = left[n:]
		}
		if bytes.HasPrefix(p.payload, []byte("<message"+string(declaresBOSH))) {
			t.Errorf("%q", p.payload)
		}
	})
}
