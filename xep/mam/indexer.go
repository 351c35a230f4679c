package mam

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/storage"
)

// How the index of words is kept behind what is written.
const (
	indexDelay = 200 * time.Millisecond // for more to come, and between two looks at a long line
	indexPause = 20 * time.Millisecond  // between two pieces
	shortLine  = 64                     // what may stand in the store's line before the index waits
)

// An indexer puts messages into an index, behind their writing and a piece at a time. Its
// goroutine exists while there are any.
type indexer struct {
	store   *storage.Store
	fail    func(error)
	piece   func(context.Context) (more bool, err error)
	delay   time.Duration // before the first piece
	pause   time.Duration // between two pieces
	patient bool          // waits while the store's line is long

	mu      sync.Mutex // a leaf
	working bool
	again   bool // something was kept since it looked
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
}

// wake says that something was kept. It never waits.
func (x *indexer) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.again = true
	if x.working || x.ctx != nil && x.ctx.Err() != nil {
		return
	}
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancel(context.Background())
	}
	x.working = true
	x.done = make(chan struct{})
	go x.work(x.ctx, x.done)
}

// stop ends the work for good and waits for what is under way.
func (x *indexer) stop() {
	x.mu.Lock()
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancel(context.Background())
	}
	x.cancel()
	done := x.done
	x.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (x *indexer) work(ctx context.Context, done chan struct{}) {
	defer close(done)
	for wait := x.delay; ; {
		select {
		case <-ctx.Done():
			x.end()
			return
		case <-time.After(wait):
		}
		wait = x.pause
		if x.patient && x.store.Stats().QueueJobs > shortLine {
			wait = x.delay
			continue
		}
		x.mu.Lock()
		x.again = false
		x.mu.Unlock()
		more, err := x.piece(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrClosed) {
			x.fail(err)
		}
		switch {
		case more && err == nil:
		case err != nil || !x.more():
			x.end()
			return
		default:
			wait = x.delay
		}
	}
}

// more reports whether something was kept since the work looked last. Where not, the work
// is over.
func (x *indexer) more() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.working = x.again
	return x.again
}

func (x *indexer) end() {
	x.mu.Lock()
	x.working = false
	x.mu.Unlock()
}

// wordsOfSome is the next piece of the words.
func (f *feature) wordsOfSome(ctx context.Context) (more bool, err error) {
	n := 0
	err = f.store.Write(ctx, func(tx *storage.Tx) (err error) {
		n, err = indexSome(tx, everybody, indexBatch)
		return err
	})
	return n == indexBatch, err
}
