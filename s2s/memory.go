package s2s

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxFlights is how many different questions of a kind may be open at once. One more fails,
// as temporarily as if nobody had answered.
const maxFlights = 1024

var errTooManyQuestions = errors.New("too many questions are open")

// A memory asks each question once for all who want to know at the same time, and remembers
// the answers for as long as they say. The oldest are forgotten first.
type memory[K comparable, V any] struct {
	now     func() time.Time
	limit   time.Duration // how long one question may take, waiting for a slot included
	slots   chan struct{} // how many are asked at once
	stopped context.Context

	mu      sync.Mutex // a leaf
	known   *simplelru.LRU[K, remembered[V]]
	flights map[K]*flight[V]
	count   MemoryStats // those since the start
}

type remembered[V any] struct {
	value V
	until time.Time
}

// A flight is a question that is being asked.
type flight[V any] struct {
	done  chan struct{} // closed when value is there
	value V
	err   error
}

func newMemory[K comparable, V any](stopped context.Context, now func() time.Time, entries, atOnce int, limit time.Duration) *memory[K, V] {
	known, err := simplelru.NewLRU[K, remembered[V]](entries, nil)
	if err != nil {
		panic(err) // a constant that is not above 0
	}
	return &memory[K, V]{
		now: now, limit: limit, slots: make(chan struct{}, atOnce), stopped: stopped,
		known: known, flights: map[K]*flight[V]{},
	}
}

// get returns what is known, or asks. ask returns for how long its answer is good; with 0 it
// is only for those who wait now. The error is that of ctx, or says that too much is being
// asked: who asks at the same time shares an answer, so ask knows nothing of one caller.
func (m *memory[K, V]) get(ctx context.Context, key K, ask func(context.Context) (V, time.Duration)) (V, error) {
	var none V
	m.mu.Lock()
	if r, ok := m.known.Get(key); ok {
		if m.now().Before(r.until) {
			m.count.Known++
			m.mu.Unlock()
			return r.value, nil
		}
		m.known.Remove(key)
	}
	f := m.flights[key]
	if f == nil {
		if len(m.flights) >= maxFlights {
			m.count.Refused++
			m.mu.Unlock()
			return none, errTooManyQuestions
		}
		f = &flight[V]{done: make(chan struct{})}
		m.flights[key] = f
		m.count.Asked++
		go m.fly(key, f, ask)
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// fly asks, for everybody who waits.
func (m *memory[K, V]) fly(key K, f *flight[V], ask func(context.Context) (V, time.Duration)) {
	ctx, cancel := context.WithTimeout(m.stopped, m.limit)
	defer cancel()
	var good time.Duration
	select {
	case m.slots <- struct{}{}:
		f.value, good = ask(ctx)
		<-m.slots
	case <-ctx.Done():
		f.err = ctx.Err()
	}
	m.mu.Lock()
	delete(m.flights, key)
	if good > 0 {
		m.known.Add(key, remembered[V]{f.value, m.now().Add(good)})
	}
	m.mu.Unlock()
	close(f.done)
}

// MemoryStats are the figures of what is asked of DNS or of web servers, and remembered.
type MemoryStats struct {
	Remembered int    // answers, now
	Open       int    // questions, now
	Asked      uint64 // questions, since the start
	Known      uint64 // answered from memory, since the start
	Refused    uint64 // because too many were open, since the start
}

func (m *memory[K, V]) stats() MemoryStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.count
	s.Remembered, s.Open = m.known.Len(), len(m.flights)
	return s
}
