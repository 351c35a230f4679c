package storage

import (
	"context"
	"fmt"
	"time"
)

const (
	checkpointFrom  = 8 << 20                // bytes of log from which it is moved into the database
	checkpointShort = 1 << 20                // bytes that may be left for the pass that holds the writer
	checkpointMost  = 32 << 20               // bytes of log from which the writer is held at once
	checkpointTries = 4                      // passes beside the writer before that one
	checkpointPause = 20 * time.Millisecond  // between two looks at the log
	checkpointAgain = 200 * time.Millisecond // before the next try after one that a reader spoilt
	checkpointWait  = 100                    // ms that the last pass waits for readers, with the writer held
	pageBytes       = 4096 + 24              // a page in the log
)

// A checkpointer moves the log into the database, on a connection of its own. While the
// writer goes on appending, the log cannot start anew; so after the long passes beside
// the writer a short one holds it.
type checkpointer struct {
	s     *Store
	c     *conn
	again chan struct{}
	ended chan struct{}

	failing bool // and the log was told
}

func newCheckpointer(s *Store) (*checkpointer, error) {
	c, err := openConn(s.path, asideCacheKiB)
	if err != nil {
		return nil, err
	}
	p := &checkpointer{s: s, c: c, again: make(chan struct{}, 1), ended: make(chan struct{})}
	return p, c.script(fmt.Sprintf("pragma busy_timeout = %d", checkpointWait))
}

// poke says that something was committed.
func (p *checkpointer) poke() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

func (p *checkpointer) work() {
	defer close(p.ended)
	for {
		select {
		case <-p.again:
		case <-p.s.stopping:
			return
		}
		pause := p.look()
		select {
		case <-time.After(pause):
		case <-p.s.stopping:
			return
		}
	}
}

// look checks the size of the log and moves it if it is long. It returns how long to wait
// before the next look.
func (p *checkpointer) look() time.Duration {
	at, err := p.pass("pragma wal_checkpoint(noop)")
	moved := true
	if err == nil {
		p.s.count.log(at.size)
		if at.size >= checkpointFrom {
			moved, err = p.move()
		}
	}
	if err != nil && !p.failing {
		p.s.cfg.Log.Error("storage: the log cannot be moved into the database", "err", err)
	}
	p.failing = err != nil
	if err == nil && moved {
		return checkpointPause
	}
	p.poke() // perhaps nothing will be committed that would call us
	return checkpointAgain
}

// move copies the log into the database and lets the next write start it anew; moved is
// false when a reader was in the way of that for too long.
func (p *checkpointer) move() (moved bool, err error) {
	for range checkpointTries {
		at, err := p.pass("pragma wal_checkpoint(passive)")
		if err != nil {
			return false, err
		}
		if at.left <= checkpointShort || at.size >= checkpointMost {
			break
		}
	}
	p.s.turn.Lock()
	defer p.s.turn.Unlock()
	began := time.Now()
	at, err := p.pass("pragma wal_checkpoint(restart)")
	p.s.count.checkpoint(time.Since(began), err == nil && !at.busy)
	return !at.busy, err
}

// A logState is what a checkpoint says of the log.
type logState struct {
	busy bool  // somebody was in the way
	size int64 // bytes of log
	left int64 // of them not yet in the database
}

func (p *checkpointer) pass(q string) (at logState, err error) {
	_, err = p.c.run(context.Background(), q, nil, func(r *Row) error {
		at = logState{busy: r.Bool(0), size: r.Int(1) * pageBytes, left: (r.Int(1) - r.Int(2)) * pageBytes}
		return nil
	})
	return at, err
}
