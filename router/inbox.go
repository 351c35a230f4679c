package router

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// How many turns may wait in one inbox; more are refused with resource-constraint. Each of
// these gets in later than the one before is refused, so that strangers cannot keep an
// account from its own.
const (
	maxAsked = 512          // of others who ask, and may ask again
	maxTurns = 1024         // of features
	maxTold  = 4 * maxTurns // of others who say something once
	maxOwn   = 8 * maxTurns // of those who wait for their turn: sessions, one each
)

var errInboxFull = errors.New("too many turns wait in an inbox")

// insistEvery is how often one tries again who cannot be refused a turn.
const insistEvery = 10 * time.Millisecond

// turnsARound is how many turns are taken before what they pushed is written.
const turnsARound = 64

// An Inbox takes turns, one after the other, on a goroutine that exists while there are
// any. What changes an account (its sessions, roster, presence) is a turn: it decides,
// writes, waits, changes memory, then speaks.
type Inbox struct {
	r *Router

	mu      sync.Mutex // a leaf
	turns   []func(*Turn)
	running bool
}

// A Turn is what one turn works with. It is valid until the turn returns.
type Turn struct {
	Round
	r *Router
}

// Write runs fn in a transaction of the store and waits for its commit. What was pushed
// so far leaves first.
func (t *Turn) Write(ctx context.Context, fn func(*storage.Tx) error) error {
	t.Flush()
	return t.r.store.Write(ctx, fn)
}

// InOrder runs do in the store's line and then, in commit order, what follows from it
// on the postman, and waits for both: afterwards everything that was committed before do
// has been handed over, and nothing that is committed behind it. The turn's own goroutine
// stands still meanwhile, so then may do what the turn may, with the round it is given.
func (t *Turn) InOrder(do func(*storage.Tx) error, then func(*Round, error)) {
	t.Flush()
	done := make(chan struct{})
	t.r.store.Keep(0, do, func(err error) {
		defer close(done)
		rd := &t.r.postman
		if errors.Is(err, storage.ErrClosed) { // nobody's goroutine: there is no postman now
			rd = &t.Round
		}
		then(rd, err)
	})
	<-done
}

// Post puts a turn in the line without waiting for it.
func (b *Inbox) Post(turn func(*Turn)) error { return b.post(turn, maxTurns) }

// post is Post for a line that may have limit turns.
func (b *Inbox) post(turn func(*Turn), limit int) error {
	b.mu.Lock()
	if len(b.turns) >= limit {
		b.mu.Unlock()
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Cause: errInboxFull}
	}
	b.turns = append(b.turns, turn)
	start := !b.running
	b.running = true
	b.mu.Unlock()
	if start {
		b.r.working.add(1)
		go b.work()
	}
	return nil
}

// Do puts a turn in the line and waits until it is over. It must not be called from a
// turn. A turn that panicked is an internal-server-error: nobody may take it for done.
func (b *Inbox) Do(turn func(*Turn)) error {
	done := make(chan bool)
	err := b.post(func(t *Turn) {
		whole := false
		defer func() { done <- whole }()
		turn(t)
		whole = true
	}, maxOwn)
	if err == nil && !<-done {
		err = xmpp.Failure(errTurnPanicked)
	}
	return err
}

var errTurnPanicked = errors.New("a turn panicked")

// insist is Do for what cannot be left undone: where the line is full it waits for room.
func (b *Inbox) insist(turn func(*Turn)) {
	for errors.Is(b.Do(turn), errInboxFull) {
		time.Sleep(insistEvery)
	}
}

func (b *Inbox) work() {
	defer b.r.working.add(-1)
	t := &Turn{r: b.r}
	for n := 1; ; n++ {
		b.mu.Lock()
		if len(b.turns) == 0 {
			b.turns = nil
			if t.Empty() {
				b.running = false
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
			t.Flush()
			continue
		}
		turn := b.turns[0]
		b.turns[0] = nil
		b.turns = b.turns[1:]
		b.mu.Unlock()
		b.take(t, turn)
		if n%turnsARound == 0 {
			t.Flush()
		}
	}
}

// take runs one turn; a panic ends the turn, not the house.
func (b *Inbox) take(t *Turn, turn func(*Turn)) {
	defer b.r.caught("a turn", nil)
	turn(t)
}

// Beside runs fn on a goroutine of its own, which the house waits for as it does for turns.
func (r *Router) Beside(fn func()) {
	r.working.add(1)
	go func() {
		defer r.working.add(-1)
		defer r.caught("work beside a turn", nil)
		fn()
	}()
}

// A tally counts goroutines at work. Unlike a sync.WaitGroup it may be waited for while
// more begin, as they do when not every session has ended in time.
type tally struct {
	mu   sync.Mutex // a leaf
	n    int
	none sync.Cond
}

func (w *tally) add(n int) {
	w.mu.Lock()
	if w.n += n; w.n == 0 && w.none.L != nil {
		w.none.Broadcast()
	}
	w.mu.Unlock()
}

// wait waits until nobody is at work, or ctx is over.
func (w *tally) wait(ctx context.Context) {
	w.mu.Lock()
	w.none.L = &w.mu
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.none.Broadcast()
		w.mu.Unlock()
	})
	defer stop()
	for w.n > 0 && ctx.Err() == nil {
		w.none.Wait()
	}
	w.mu.Unlock()
}
