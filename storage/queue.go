package storage

import (
	"context"
	"sync"
	"sync/atomic"
)

const (
	batchJobs  = 1000    // most jobs in a transaction
	batchBytes = 4 << 20 // a batch takes no further job from here on
	jobCost    = 256     // bytes that a job is counted as beside its own size
	writeCost  = 4 << 10 // what a Write is counted as: it cannot say
	keptFree   = 8       // empty batches kept for the next use
)

// A job is one place in the line.
type job struct {
	do    func(*Tx) error // nil: nothing to write
	then  func(error)
	size  int
	state *atomic.Int32 // of a Write, which may give up before it begins
	err   error
}

// States of a Write.
const (
	stateWaiting = iota
	stateBegun
	stateGivenUp
)

// A batch is what one transaction takes.
type batch struct {
	jobs   []job
	bytes  int64
	writes bool // some job has something to write
}

// A queue is the line. Whoever adds to it never waits.
type queue struct {
	limit int64
	wake  chan struct{} // tells the writer, which waits when asleep is set

	mu      sync.Mutex
	batches []*batch // the oldest first; all but the last are full
	free    []*batch
	jobs    int64 // from being added to being told
	bytes   int64
	added   int64 // since the store was opened
	arrival arrival
	asleep  bool
	closing bool          // to be ended when it is empty
	ended   bool          // takes nothing more
	room    chan struct{} // closed when bytes falls under limit; nil: nobody waits
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// add puts j at the end of the line. It returns false when the queue has ended.
func (q *queue) add(j job) bool {
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		return false
	}
	b := q.last()
	b.jobs = append(b.jobs, j)
	b.bytes += int64(j.size) + jobCost
	b.writes = b.writes || j.do != nil
	q.bytes += int64(j.size) + jobCost
	q.jobs++
	q.added++
	wake := q.asleep
	q.asleep = false
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
	return true
}

// last returns the batch that the next job joins. The lock is held.
func (q *queue) last() *batch {
	if n := len(q.batches); n > 0 && !q.batches[n-1].full() {
		return q.batches[n-1]
	}
	b := &batch{}
	if n := len(q.free); n > 0 {
		b, q.free = q.free[n-1], q.free[:n-1]
	}
	q.batches = append(q.batches, b)
	return b
}

func (b *batch) full() bool { return len(b.jobs) >= batchJobs || b.bytes >= batchBytes }

// take returns the oldest batch, waiting for one; nil when the queue has ended.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.batches) == 0 {
		if q.closing {
			q.ended = true
			return nil
		}
		q.asleep = true
		q.mu.Unlock()
		<-q.wake
		q.mu.Lock()
	}
	q.linger()
	b := q.batches[0]
	q.batches = append(q.batches[:0], q.batches[1:]...)
	return b
}

// done says that all of b were told; it may be used again.
func (q *queue) done(b *batch) {
	n, size := len(b.jobs), b.bytes
	clear(b.jobs)
	*b = batch{jobs: b.jobs[:0]}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs -= int64(n)
	q.bytes -= size
	if len(q.free) < keptFree {
		q.free = append(q.free, b)
	}
	if q.room != nil && q.bytes < q.limit {
		close(q.room)
		q.room = nil
	}
}

func (q *queue) waiting() (jobs, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs, q.bytes
}

// close lets the writer end when the line is empty.
func (q *queue) close() { q.stop(false) }

// kill ends the queue now.
func (q *queue) kill() { q.stop(true) }

func (q *queue) stop(now bool) {
	q.mu.Lock()
	q.closing, q.ended = true, q.ended || now
	wake := q.asleep
	q.asleep = false
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
}

// Keep puts do in the line of what is to be written, and returns. do only runs statements,
// assigns results and asks nothing back: it may run twice, with other IDs. nil means that
// there is nothing to write. size is about how many
// bytes it holds in memory.
//
// When its transaction is committed, or has failed, the postman calls then (which may be
// nil) with the outcome: exactly once, in the order of the line, and before anything
// behind it. then does not wait, does not write and asks nothing of the store.
//
// Keep itself never waits. Whoever brings work from outside calls Wait first.
func (s *Store) Keep(size int, do func(*Tx) error, then func(error)) {
	if !s.queue.add(job{do: do, then: then, size: size}) && then != nil {
		select {
		case <-s.dead: // nothing is answered
		default:
			go then(ErrClosed)
		}
	}
}

// Room says whether less than Config.QueueBytes wait in the line.
func (s *Store) Room() bool {
	_, bytes := s.queue.waiting()
	return bytes < s.queue.limit
}

// Wait waits until there is Room. It fails when ctx ends or the store is closed.
func (s *Store) Wait(ctx context.Context) error {
	q := s.queue
	for {
		q.mu.Lock()
		if q.closing {
			q.mu.Unlock()
			return s.whyEnded()
		}
		if q.bytes < q.limit {
			q.mu.Unlock()
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Store) whyEnded() error {
	select {
	case <-s.dead:
		return ErrFatal
	default:
		return ErrClosed
	}
}

// Write runs fn in a transaction, in its place in the line, and returns its error, or the
// commit's, after the postman has told everything before it. fn only runs statements and
// assigns results: it may run twice. If ctx ends before fn begins, fn is never run; after
// that Write waits for the outcome.
//
// The goroutines of this package (fn of Read, Write and Keep, then, OnBatch) do not call it.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	if err := s.Wait(ctx); err != nil {
		return err
	}
	var (
		state   atomic.Int32
		outcome = make(chan error, 1)
	)
	if !s.queue.add(job{do: fn, then: func(err error) { outcome <- err }, size: writeCost, state: &state}) {
		return s.whyEnded()
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		if state.CompareAndSwap(stateWaiting, stateGivenUp) {
			return ctx.Err()
		}
	case <-s.dead:
	}
	return s.await(ctx, outcome)
}

// await waits for the outcome of a Write that has begun. When that cannot be known, it
// lets nobody answer: it returns only when whoever asked is gone, or the store is closed.
func (s *Store) await(ctx context.Context, outcome chan error) error {
	select {
	case err := <-outcome:
		return err
	case <-s.dead:
	}
	select {
	case err := <-outcome: // committed before the one that is unknown
		return err
	case <-ctx.Done():
	case <-s.stopping:
	}
	return ErrFatal
}
