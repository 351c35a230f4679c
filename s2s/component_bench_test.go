package s2s

import (
	"strings"
	"testing"

	"parley/router"
	"parley/xmpp"
)

// carried is a message such as gateways get.
func carried(t testing.TB) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseStanza("<message to='#a@irc.example.com' from='ann@example.com/1' type='groupchat' id='abc'><body>" + strings.Repeat("word ", 20) + "</body></message>")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// BenchmarkWayToComponent is one stanza for a component that reads, from the question for its
// way to the system: alone, and 64 in a round.
func BenchmarkWayToComponent(b *testing.B) {
	for name, round := range map[string]int{"alone": 1, "round": 64} {
		b.Run(name, func(b *testing.B) {
			s := withComponents(b, nil)
			p := s.component("irc.example.com")
			done := make(chan struct{})
			go func() {
				defer close(done)
				for buf := make([]byte, 256<<10); ; {
					if _, err := p.Read(buf); err != nil {
						return
					}
				}
			}()
			ways, st := s.Ways(nil), carried(b)
			var rd router.Round
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w, _ := ways("example.com", "irc.example.com")
				for w.Carry(&rd, st, 0) != nil { // the reader is behind
					rd.Flush()
				}
				if n++; n%round == 0 {
					rd.Flush()
				}
			}
			rd.Flush()
			p.Close()
			<-done
		})
	}
}
