package s2s

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory[int, string](context.Background(), time.Now, 100, 4, time.Minute)
	for i := range 1000 {
		if _, err := m.get(testContext(t), i, func(context.Context) (string, time.Duration) { return "x", time.Hour }); err != nil {
			t.Fatal(err)
		}
	}
	m.get(testContext(t), 999, nil)
	if s := m.stats(); s != (MemoryStats{Remembered: 100, Asked: 1000, Known: 1}) {
		t.Errorf("%+v", s)
	}
	if _, err := m.get(testContext(t), 5000, func(context.Context) (string, time.Duration) { return "x", 0 }); err != nil || m.stats().Remembered != 100 {
		t.Error("an answer without an age was remembered")
	}
}

// Not more are asked at once than there are slots, and not more wait than there are flights.
func TestMemoryAsksFewAtOnce(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	m := newMemory[int, string](stopped, time.Now, 10, 3, time.Minute)
	var running, most atomic.Int32
	hold := make(chan struct{})
	ask := func(ctx context.Context) (string, time.Duration) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		select {
		case <-hold:
		case <-ctx.Done():
		}
		running.Add(-1)
		return "", 0
	}
	results := make(chan error, maxFlights)
	ctx := testContext(t)
	for i := range maxFlights {
		go func() {
			_, err := m.get(ctx, i, ask)
			results <- err
		}()
	}
	open := func() int { return m.stats().Open }
	for open() < maxFlights {
		time.Sleep(time.Millisecond)
	}
	if _, err := m.get(ctx, -1, ask); !errors.Is(err, errTooManyQuestions) || m.stats().Refused != 1 {
		t.Errorf("one too many: %v", err)
	}
	hold <- struct{}{}
	stop() // all the others fail at once
	failed := 0
	for range maxFlights {
		if <-results != nil {
			failed++
		}
	}
	if n := most.Load(); n > 3 {
		t.Errorf("%d at once", n)
	}
	if failed == 0 || open() != 0 { // some may have been asked before they heard of it
		t.Errorf("%d failed, %d are open", failed, open())
	}
}
