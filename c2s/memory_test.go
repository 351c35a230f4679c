package c2s_test

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// idleBound is what one idle session under TLS may hold of heap and stack, in bytes, the
// client's side of the connection in this process included. See the log for what was
// measured; the race detector adds to it.
const idleBound = 24 << 10

// Requirement 56: an idle session is small, with stream management too.
func TestIdleSessionIsSmall(t *testing.T) {
	t.Run("plain", func(t *testing.T) { idleIsSmall(t, "") })
	t.Run("managed", func(t *testing.T) { idleIsSmall(t, enableXML) })
}

func idleIsSmall(t *testing.T, inline string) {
	const n = 300
	h := open(t, func(p *plan) { p.resources = n + 50 })
	h.account("juliet")
	o := h.options() // shared, for the clients count here
	for range 20 {   // what is made once
		h.idle(o, inline)
	}
	before := held()
	clients := make([]*xmpptest.Client, n)
	for i := range clients {
		clients[i] = h.idle(o, inline)
	}
	time.Sleep(9 * time.Second) // what is silent for 8 s is parked
	perSession := (held() - before) / n
	t.Logf("%d bytes a session, its client included", perSession)
	if perSession > idleBound {
		t.Errorf("an idle session holds %d bytes", perSession)
	}
	runtime.KeepAlive(clients)
}

// idle opens a session that has nothing to say.
func (h *house) idle(o xmpptest.Options, inline string) *xmpptest.Client {
	h.t.Helper()
	c := xmpptest.Dial(h.t, o)
	c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Inline: inline})
	c.Ping(nil)
	if inline != "" {
		c.Expect("<r xmlns='urn:xmpp:sm:3'/>")
		c.Say("<a xmlns='urn:xmpp:sm:3' h='1'/>")
	}
	return c
}

// held is heap and stacks after collection, which halves a stack each time.
func held() int64 {
	for range 4 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkLogin is a whole login over loopback, both sides: TCP, TLS 1.3 and SCRAM.
func BenchmarkLogin(b *testing.B) {
	for _, direct := range []bool{false, true} {
		for _, sasl2 := range []bool{false, true} {
			b.Run(fmt.Sprintf("direct=%v/sasl2=%v", direct, sasl2), func(b *testing.B) {
				h := open(b, nil)
				h.account("juliet")
				o := h.options()
				if direct {
					o.Addr, o.Direct = h.direct, true
				}
				l := xmpptest.Login{User: "juliet", Password: password, SASL2: sasl2, Mechanism: "SCRAM-SHA-1"}
				b.ReportAllocs()
				for b.Loop() {
					c, err := xmpptest.Try(o)
					if err != nil {
						b.Fatal(err)
					}
					if err := errors.Join(c.Start(), c.TryLogin(l)); err != nil {
						b.Fatal(err)
					}
					c.Close()
				}
			})
		}
	}
}

// BenchmarkMessage is one message from one session to another.
func BenchmarkMessage(b *testing.B) {
	h := open(b, nil)
	juliet, romeo := h.login("juliet", "x"), h.login("romeo", "x")
	text := fmt.Sprintf("<message to='%s' type='chat' id='1'><body>Wherefore art thou?</body></message>", juliet.JID)
	b.ReportAllocs()
	for b.Loop() {
		if err := romeo.Write(text); err != nil {
			b.Fatal(err)
		}
		if _, err := juliet.Read(); err != nil {
			b.Fatal(err)
		}
	}
}
