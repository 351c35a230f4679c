package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrBusy says that more passwords wait to be hashed than Config.HashQueue and
// Config.HashWait allow. It is nobody's fault; later is better.
var ErrBusy = errors.New("auth: too many passwords wait to be hashed")

// Sleeper waits for d or until ctx ends, then it returns ctx.Err().
type Sleeper func(ctx context.Context, d time.Duration) error

// sleep is the Sleeper of a real clock.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gate lets a few hashings run, a bounded number wait, and sends the rest away.
type gate struct {
	slots   chan struct{}
	queue   int64
	wait    time.Duration
	waiting atomic.Int64

	runs, turned atomic.Uint64 // hashings done, and sent away
}

func newGate(cfg Config) *gate {
	return &gate{slots: make(chan struct{}, cfg.Hashers), queue: int64(cfg.HashQueue), wait: cfg.HashWait}
}

// do runs fn when it is its turn. Errors: ErrBusy, ctx.Err(), and fn's.
func (g *gate) do(ctx context.Context, fn func() error) error {
	if err := g.enter(ctx); err != nil {
		g.turned.Add(1)
		return err
	}
	defer func() { <-g.slots }()
	g.runs.Add(1)
	return fn()
}

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.queue {
		return ErrBusy
	}
	t := time.NewTimer(g.wait)
	defer t.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-t.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}
