package xmpp

import (
	"fmt"
	"strings"
	"testing"
)

// feed gives the scanner in, at most size bytes at a time, and calls found at each event
// until it wants more or an error occurs.
func feed(s *Scanner, in string, size int, found func(Event)) error {
	for {
		e, err := s.Next()
		if err == nil {
			found(e)
			continue
		}
		if err != ErrMore || in == "" {
			return err
		}
		n := min(size, len(in))
		copy(s.Space(n), in[:n])
		s.Filled(n)
		in = in[n:]
	}
}

// chat is an ordinary message of 341 bytes.
const chat = `<message to='juliet@capulet.example/balcony' from='romeo@montague.example/orchard' id='ktx72v49-1f2a' type='chat' xml:lang='en'>` +
	`<body>Art thou not Romeo, and a Montague? Neither, fair saint.</body>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>` +
	`<origin-id xmlns='urn:xmpp:sid:0' id='8a'/></message>`

// omemo is an encrypted message of about 5 KB.
var omemo = func() string {
	var b strings.Builder
	b.WriteString(`<message to='juliet@capulet.example' type='chat' id='0d9b'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1234567'>`)
	for i := range 16 {
		fmt.Fprintf(&b, `<key prekey='true' rid='%d'>%s</key>`, 1000000+i, strings.Repeat("MwohBd9K", 23)+"==")
	}
	b.WriteString(`<iv>AAAAAAAAAAAAAAAA</iv></header><payload>` + strings.Repeat("c2VjcmV0IHRleHQg", 80) + `</payload></encrypted>` +
		`<store xmlns='urn:xmpp:hints'/><body>I sent you an OMEMO message.</body></message>`)
	return b.String()
}()

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct{ name, stanza string }{{"message", chat}, {"omemo", omemo}} {
		for _, size := range []int{4096, 1400, 64} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				var s Scanner
				s.Reset(NSClient, false, Limits{})
				if err := feed(&s, header, 4096, func(Event) {}); err != ErrMore {
					b.Fatal(err)
				}
				in := strings.Repeat(c.stanza, 64)
				b.SetBytes(int64(len(c.stanza)))
				b.ReportAllocs()
				n := 0
				for n < b.N {
					if err := feed(&s, in, size, func(Event) { n++ }); err != ErrMore {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkStanza(b *testing.B) {
	for _, c := range []struct{ name, stanza string }{{"message", chat}, {"omemo", omemo}} {
		b.Run(c.name, func(b *testing.B) {
			var s Scanner
			s.Reset(NSClient, false, Limits{})
			if err := feed(&s, header+c.stanza, 1<<16, func(Event) {}); err != ErrMore {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				copy(s.Space(len(c.stanza)), c.stanza)
				s.Filled(len(c.stanza))
				s.Next()
				s.Stanza()
			}
		})
	}
}
