package c2s

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
)

// sink is a transport whose peer reads everything at once.
type sink struct{ bytes, writes int }

func (s *sink) Wait() error                 { select {} }
func (s *sink) Read([]byte) (int, error)    { return 0, xmpp.ErrMore }
func (s *sink) Write(p []byte) error        { s.bytes += len(p); s.writes++; return nil }
func (s *sink) Backlog() (int, time.Time)   { return 0, time.Time{} }
func (s *sink) WhenSent(func()) bool        { return false }
func (s *sink) Close(_ time.Duration) error { return nil }

func queueOf(t xmpp.Transport) *queue {
	return &queue{stream: xmpp.NewStream(t, xmpp.NSClient, false, xmpp.Limits{}), set: &Settings{Queue: 1 << 20, Stall: time.Second}}
}

func chat(tb testing.TB) *xmpp.Stanza {
	tb.Helper()
	st, err := xmpp.ParseStanza("<message from='romeo@example.com/x' to='juliet@example.com' type='chat' id='1'><body>" +
		strings.Repeat("x", 200) + "</body></message>")
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

// A queue that is pushed to and flushed borrows its buffer and gives it back.
func TestPushDoesNotAllocate(t *testing.T) {
	q, st := queueOf(&sink{}), chat(t)
	n := testing.AllocsPerRun(1000, func() {
		for range 8 {
			q.push(st, 0)
		}
		q.flush()
	})
	if n > 0.5 {
		t.Errorf("eight messages and a flush made %v allocations", n)
	}
	if q.waiting != nil {
		t.Error("an empty queue holds memory")
	}
}

func BenchmarkQueue(b *testing.B) {
	for _, burst := range []int{1, 10, 64} {
		b.Run(fmt.Sprintf("burst %d", burst), func(b *testing.B) {
			s := &sink{}
			q, st := queueOf(s), chat(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q.push(st, 0)
				if i%burst == 0 {
					q.flush()
				}
			}
			q.flush()
			b.SetBytes(int64(st.Len()))
		})
	}
}
