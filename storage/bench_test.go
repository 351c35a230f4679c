package storage_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/storage"
)

// archive is the layout that the house's archive has: a body once, and a narrow row for
// each of the two who keep it.
func archive() storage.Schema {
	return storage.Schema{Name: "archive", Steps: []string{
		`create table bodies (id integer primary key, body blob not null);
		 create table archive (owner integer not null, id integer not null, peer integer not null,
			primary key (owner, id)) without rowid`,
	}}
}

const (
	addBody  = "insert into bodies (id, body) values ($1, $2)"
	addOwned = "insert into archive (owner, id, peer) values ($1, $2, $3)"
)

func keepMessage(s *storage.Store, body []byte, then func(error)) {
	a, b := rand.IntN(5000), rand.IntN(5000)
	s.Keep(len(body), func(tx *storage.Tx) error {
		id := tx.NextID()
		if err := tx.Exec(addBody, id, body); err != nil {
			return err
		}
		if err := tx.Exec(addOwned, a, id, b); err != nil {
			return err
		}
		return tx.Exec(addOwned, b+5000, id, a)
	}, then)
}

func openBench(b *testing.B) *storage.Store {
	b.Helper()
	s, err := storage.Open(b.Context(), storage.Config{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}, archive(), notes())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkKeep measures one message kept by both, at so many in the line at a time.
func BenchmarkKeep(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s := openBench(b)
			body := []byte(strings.Repeat("x", 340))
			room := make(chan struct{}, n)
			began := cpu()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				room <- struct{}{}
				keepMessage(s, body, func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-room
				})
			}
			for range n {
				room <- struct{}{}
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/msg")
			st := s.Stats()
			b.ReportMetric(float64(st.Jobs)/float64(st.Batches), "msg/commit")
		})
	}
}

// BenchmarkOffered measures messages that come at a rate, as from a town of clients.
func BenchmarkOffered(b *testing.B) {
	for _, rate := range []int{1000, 5000, 10000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			s := openBench(b)
			body := []byte(strings.Repeat("x", 340))
			var waited atomic.Int64
			began, start := cpu(), time.Now()
			for n := range b.N {
				if due := start.Add(time.Duration(n) * time.Second / time.Duration(rate)); time.Until(due) > 0 {
					time.Sleep(time.Until(due))
				}
				at := time.Now()
				keepMessage(s, body, func(error) { waited.Add(int64(time.Since(at))) })
			}
			done := make(chan struct{})
			s.Keep(0, nil, func(error) { close(done) })
			<-done
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/msg")
			b.ReportMetric(float64(waited.Load())/float64(b.N)/1e6, "ms-wait")
			st := s.Stats()
			b.ReportMetric(float64(st.Jobs)/float64(st.Batches), "msg/commit")
		})
	}
}

// BenchmarkWaiting measures writers who each wait for the outcome.
func BenchmarkWaiting(b *testing.B) {
	for _, writers := range []int{1, 16, 200} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openBench(b)
			began := cpu()
			b.SetParallelism((writers + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				sender := rand.IntN(1 << 40)
				for n := 0; pb.Next(); n++ {
					if err := s.Write(b.Context(), func(tx *storage.Tx) error { return add(tx, sender, n) }); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/msg")
		})
	}
}

func BenchmarkReadPage(b *testing.B) {
	s := openBench(b)
	for range 50_000 {
		keepMessage(s, []byte(strings.Repeat("x", 340)), nil)
	}
	done := make(chan struct{})
	s.Keep(0, nil, func(error) { close(done) })
	<-done
	b.ReportAllocs()
	for b.Loop() {
		rows := 0
		err := s.Read(b.Context(), func(tx *storage.Tx) error {
			return tx.Each(`select a.id, peer, body from archive a join bodies using (id)
				where owner = $1 order by a.id desc limit 50`, []any{rand.IntN(5000)}, func(r *storage.Row) error {
				rows += min(1, len(r.Bytes(2)))
				return nil
			})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadPoint(b *testing.B) {
	s := openBench(b)
	b.ReportAllocs()
	for b.Loop() {
		var id storage.ID
		err := s.Read(b.Context(), func(tx *storage.Tx) error {
			_, err := tx.One("select id from notes where sender = $1 and n = $2", []any{1, 2}, &id)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestKeepDoesNotAllocate: standing in the line costs nothing beside what the caller's
// own functions are.
func TestKeepDoesNotAllocate(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	then := func(error) {}
	work := func() {
		for range 2000 {
			s.Keep(340, nil, then)
		}
		done := make(chan struct{})
		s.Keep(0, nil, func(error) { close(done) })
		<-done
	}
	work()
	if n := testing.AllocsPerRun(20, work); n > 40 {
		t.Errorf("2,000 calls of Keep made %v allocations", n)
	}
}
