package storage

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are counters since the store was opened, and the state of the line now.
type Stats struct {
	QueueJobs  int64 // in the line, until they were told
	QueueBytes int64
	Batches    uint64
	Jobs       uint64 // in these batches
	Failed     uint64 // jobs whose outcome was an error
	Undone     uint64 // batches of which nothing was kept
	Again      uint64 // batches that began anew, since a Keep has failed
	Panics     uint64
	SlowHooks  uint64    // hooks that held up the postman for more than 10 ms
	Commits    Histogram // from beginning a transaction to its end

	LogBytes    int64         // the write-ahead log, when last looked at
	Checkpoints uint64        // times that the log could start anew
	HoldMax     time.Duration // the longest that a checkpoint held the writer
}

// A Histogram counts durations. Counts[i] are those up to Bounds[i]; the last count are
// the rest.
type Histogram struct {
	Bounds []time.Duration
	Counts []uint64
	Sum    time.Duration
	Max    time.Duration
}

// commitBounds are the limits of Stats.Commits.
func commitBounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{ms / 4, ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 500 * ms, 2000 * ms}
}

type counters struct {
	panics    atomic.Uint64
	again     atomic.Uint64
	slowHooks atomic.Uint64

	mu sync.Mutex
	s  Stats
}

func (c *counters) batch(b *batch, undone bool, took time.Duration) {
	failed := uint64(0)
	for i := range b.jobs {
		if b.jobs[i].err != nil {
			failed++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Batches++
	c.s.Jobs += uint64(len(b.jobs))
	c.s.Failed += failed
	if undone {
		c.s.Undone++
	}
	h := &c.s.Commits
	if h.Counts == nil {
		h.Bounds = commitBounds()
		h.Counts = make([]uint64, len(h.Bounds)+1)
	}
	i := 0
	for i < len(h.Bounds) && took > h.Bounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += took
	h.Max = max(h.Max, took)
}

func (c *counters) log(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.LogBytes = bytes
}

func (c *counters) checkpoint(held time.Duration, moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if moved {
		c.s.Checkpoints++
	}
	c.s.HoldMax = max(c.s.HoldMax, held)
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	s.count.mu.Lock()
	st := s.count.s
	st.Commits.Counts = append([]uint64(nil), st.Commits.Counts...)
	s.count.mu.Unlock()
	st.Panics, st.SlowHooks, st.Again = s.count.panics.Load(), s.count.slowHooks.Load(), s.count.again.Load()
	st.QueueJobs, st.QueueBytes = s.queue.waiting()
	return st
}
