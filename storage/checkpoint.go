package storage

import (
	"context"
	"fmt"
	"time"
)

const (
	checkpointFrom  = 8 << 20                // bytes of log from which it is moved into the database
	checkpointShort = 1 << 20                // bytes that may be left for the pass that holds the writer
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
	size, _, err := p.pass("pragma wal_checkpoint(noop)")
	if err != nil {
		p.s.cfg.Log.Error("storage: the size of the log is unknown", "err", err)
		return checkpointAgain
	}
	p.s.count.log(size)
	if size < checkpointFrom {
		return checkpointPause
	}
	if err := p.move(); err != nil {
		p.s.cfg.Log.Error("storage: checkpoint", "err", err)
		return checkpointAgain
	}
	if size, _, _ = p.pass("pragma wal_checkpoint(noop)"); size >= checkpointFrom {
		p.poke() // a reader was in the way; nothing may be committed that would call us
		return checkpointAgain
	}
	return checkpointPause
}

func (p *checkpointer) move() error {
	for range checkpointTries {
		_, left, err := p.pass("pragma wal_checkpoint(passive)")
		if err != nil {
			return err
		}
		if left <= checkpointShort {
			break
		}
	}
	p.s.turn.Lock()
	defer p.s.turn.Unlock()
	began := time.Now()
	_, _, err := p.pass("pragma wal_checkpoint(restart)")
	p.s.count.checkpoint(time.Since(began))
	return err
}

// pass runs a checkpoint and returns how many bytes the log has and how many of them are
// not yet in the database.
func (p *checkpointer) pass(q string) (size, left int64, err error) {
	_, err = p.c.run(context.Background(), q, nil, func(r *Row) error {
		size, left = r.Int(1)*pageBytes, (r.Int(1)-r.Int(2))*pageBytes
		return nil
	})
	return size, left, err
}
