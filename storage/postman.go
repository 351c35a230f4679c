package storage

import "time"

const slowHook = 10 * time.Millisecond // a hook that takes longer is counted and logged

// OnBatch has the postman call fn after it has told all of a batch, before it takes the
// next. It is to be set before the store is used.
func (s *Store) OnBatch(fn func()) { s.onBatch = append(s.onBatch, fn) }

// deliver is the postman: it tells each job of a batch the outcome, in order.
func (s *Store) deliver() {
	defer close(s.written)
	for b := range s.post {
		at := time.Now()
		for i := range b.jobs {
			if j := &b.jobs[i]; j.then != nil {
				s.tell(j)
				at = s.watch(at)
			}
		}
		for _, fn := range s.onBatch {
			s.hook(fn)
			at = s.watch(at)
		}
		s.queue.done(b)
	}
}

func (s *Store) tell(j *job) {
	defer s.survive()
	j.then(j.err)
}

func (s *Store) hook(fn func()) {
	defer s.survive()
	fn()
}

// survive is deferred where a panic is to be logged and no more.
func (s *Store) survive() {
	if v := recover(); v != nil {
		_ = s.panicked(v)
	}
}

// watch counts a hook that kept the postman too long; since is when it began.
func (s *Store) watch(since time.Time) time.Time {
	now := time.Now()
	if took := now.Sub(since); took > slowHook {
		s.count.slowHooks.Add(1)
		s.cfg.Log.Warn("storage: a hook held up the postman", "took", took)
	}
	return now
}
