package storage

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

const batchesAhead = 4 // how far the writer may be ahead of the postman

// write is the writer: one batch, one transaction, until the queue ends.
func (s *Store) write() {
	defer close(s.post)
	for b := s.queue.take(); b != nil; b = s.queue.take() {
		if b.writes {
			s.turn.Lock()
			err := s.commit(b)
			s.turn.Unlock()
			if err != nil {
				s.die(err)
				return
			}
			s.pages.poke()
		}
		s.post <- b
	}
}

// die ends everything: the outcome of a commit is unknown.
func (s *Store) die(err error) {
	err = fmt.Errorf("%w: %w", ErrFatal, err)
	s.cfg.Log.Error("storage: the disk failed during a commit; restart to learn what was kept", "err", err)
	close(s.dead)
	s.queue.kill()
	s.fatal <- err
}

// commit runs a batch in one transaction. Errors go to the jobs; what it returns is an
// error that leaves the outcome unknown.
func (s *Store) commit(b *batch) error {
	began := time.Now()
	c, tx := s.writer, &s.tx
	tx.gone, tx.drew = nil, false
	err := c.do("begin immediate")
	if err == nil {
		err = s.runJobs(b)
	}
	if err == nil && tx.drew {
		err = s.saveLast(tx)
	}
	if err == nil {
		if err = s.end(); err != nil && isIO(err) {
			return err
		}
	}
	if err != nil {
		s.undo(b, err)
	} else if s.refusing {
		s.refusing = false
		s.cfg.Log.Info("storage: the disk takes what is written again")
	}
	s.count.batch(b, err != nil, time.Since(began))
	return nil
}

func (s *Store) end() error {
	if f := s.cfg.Faults.Commit; f != nil {
		if err := f(); err != nil {
			return statementError("commit", err)
		}
	}
	return s.writer.do("commit")
}

// undo takes the whole batch back and gives each job that wrote its reason.
func (s *Store) undo(b *batch, cause error) {
	if !s.writer.db.AutoCommit() {
		if err := s.writer.do("rollback"); err != nil {
			s.cfg.Log.Error("storage: rollback", "err", err)
		}
	}
	if !s.refusing { // a full disk does not fill the log too
		s.refusing = true
		s.cfg.Log.Error("storage: what is written is refused until further notice", "err", cause)
	}
	for i := range b.jobs {
		if j := &b.jobs[i]; j.do != nil && j.err == nil {
			j.err = cause
		}
	}
}

// errAgain says that a batch is to be run once more, each job behind a savepoint.
var errAgain = errors.New("storage: a job without a savepoint has failed")

// runJobs runs the jobs of a batch in the transaction that has begun. It returns an error
// when that is lost as a whole: the engine has ended it, or the disk is full.
//
// A Keep asks nothing and hardly ever fails, so at first none has a savepoint: each would
// cost as much as a statement, and a copy of every page that is changed behind it. If one
// fails nevertheless, the batch begins anew, and then nobody else suffers from it.
func (s *Store) runJobs(b *batch) error {
	err := s.runAll(b, false)
	if !errors.Is(err, errAgain) {
		return err
	}
	for _, q := range []string{"rollback", "begin immediate"} {
		if err := s.writer.do(q); err != nil {
			return err
		}
	}
	s.count.again.Add(1)
	for i := range b.jobs {
		b.jobs[i].err = nil
	}
	return s.runAll(b, true)
}

// runAll runs each job: a Write, which may fail by what it finds, behind a savepoint, a Keep
// so if careful is set.
func (s *Store) runAll(b *batch, careful bool) error {
	for i := range b.jobs {
		j := &b.jobs[i]
		if j.do == nil || !j.begins() {
			continue
		}
		if j.state != nil && s.cfg.Faults.Twice {
			s.rehearse(j.do)
		}
		run := s.runKeep
		if careful || j.state != nil {
			run = s.runJob
		}
		if err := run(j); err != nil {
			return err
		}
	}
	return nil
}

// begins reports whether a job is to be run: one that has begun cannot be given up any more.
func (j *job) begins() bool {
	return j.state == nil || j.state.CompareAndSwap(stateWaiting, stateBegun) || j.state.Load() == stateBegun
}

// rehearse runs do and takes it back, whatever it says.
func (s *Store) rehearse(do func(*Tx) error) {
	if s.writer.do("savepoint rehearsal") != nil {
		return
	}
	_ = s.call(do)
	if s.tx.gone == nil {
		_ = s.writer.do("rollback to rehearsal")
		_ = s.writer.do("release rehearsal")
	}
}

// runKeep runs a job without a savepoint; errAgain says that it has failed alone.
func (s *Store) runKeep(j *job) error {
	err := s.call(j.do)
	switch {
	case s.tx.gone != nil:
		return s.tx.gone
	case err == nil, errors.Is(err, ErrFull):
		return err
	}
	return errAgain
}

// runJob runs a job behind a savepoint.
func (s *Store) runJob(j *job) error {
	c := s.writer
	if err := c.do("savepoint job"); err != nil {
		return err
	}
	j.err = s.call(j.do)
	switch {
	case s.tx.gone != nil:
		return s.tx.gone
	case j.err == nil:
		return c.do("release job")
	case errors.Is(j.err, ErrFull):
		return j.err
	}
	if err := c.do("rollback to job"); err != nil {
		return err
	}
	return c.do("release job")
}

// call runs a job's function; a panic is its error.
func (s *Store) call(fn func(*Tx) error) (err error) {
	s.tx.over = false
	defer func() {
		s.tx.over = true
		if v := recover(); v != nil {
			err = s.panicked(v)
		}
	}()
	return fn(&s.tx)
}

func (s *Store) panicked(v any) error {
	s.count.panics.Add(1)
	s.cfg.Log.Error("storage: panic", "value", v, "stack", string(debug.Stack()))
	return &PanicError{Value: v}
}
