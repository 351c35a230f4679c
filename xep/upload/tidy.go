package upload

import (
	"context"
	"errors"
	"time"

	"parley/storage"
)

// tidyAtOnce is how many files a step of tidying up is about.
const tidyAtOnce = 200

// tidy removes files whose time is over, what is left of users who are gone and of uploads that
// a crash has ended, and what lies on the shelf and is nobody's.
func (s *Service) tidy(ctx context.Context) error {
	if s.ready != nil {
		return nil
	}
	for n := int64(tidyAtOnce); n == tidyAtOnce && ctx.Err() == nil; {
		err := s.store.Write(ctx, func(tx *storage.Tx) (err error) {
			n, err = expire(tx, s.cfg.Now().Unix(), tidyAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.clear(ctx); err != nil {
		return err
	}
	if !s.sweeps() {
		return nil
	}
	n, err := s.cfg.Shelf.Strays(ctx, func(ids []string) (known map[string]bool, err error) {
		err = s.store.Read(ctx, func(tx *storage.Tx) (err error) {
			known, err = knownOf(tx, ids)
			return err
		})
		return known, err
	})
	if n > 0 {
		s.log.Warn("files that nobody knows of were removed", "files", n)
	}
	return err
}

// sweepEvery is how often the whole shelf is looked through.
const sweepEvery = day

// sweeps reports whether it is time to, which it is at first.
func (s *Service) sweeps() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if !s.swept.IsZero() && now.Sub(s.swept).Abs() < sweepEvery {
		return false
	}
	s.swept = now
	return true
}

// clear takes off the shelf what is for nobody any more. What cannot be removed is tried again
// when tidying up comes round; it does not hold up the rest.
func (s *Service) clear(ctx context.Context) error {
	var failed error
	tried := map[string]bool{}
	for ctx.Err() == nil {
		var list []file
		err := s.store.Read(ctx, func(tx *storage.Tx) (err error) {
			list, err = leftovers(tx, s.cfg.Now().Unix(), tidyAtOnce+len(tried))
			return err
		})
		if err != nil {
			return err
		}
		var done []file
		fresh := 0
		for _, f := range list {
			if tried[f.id] {
				continue
			}
			removed, err := s.takeOff(ctx, f)
			if !removed && err == nil { // its upload is under way, or has come to its end
				continue
			}
			fresh++
			if err != nil {
				tried[f.id], failed = true, errors.Join(failed, err)
				if len(tried) >= tidyAtOnce { // the shelf is not in order: in an hour
					return failed
				}
				continue
			}
			done = append(done, f)
		}
		if err := s.cleared(ctx, done); err != nil {
			return err
		}
		if fresh == 0 || len(list) < tidyAtOnce+len(tried) {
			break
		}
		time.Sleep(time.Millisecond) // let others write
	}
	return errors.Join(failed, ctx.Err())
}

// takeOff takes a file off the shelf, unless somebody puts it or has put it since it was found to be
// for nobody.
func (s *Service) takeOff(ctx context.Context, f file) (bool, error) {
	if !s.claim(f.id) {
		return false, nil
	}
	defer s.release(f.id)
	var is file
	err := s.store.Read(ctx, func(tx *storage.Tx) (err error) {
		is, _, err = fileOf(tx, f.id)
		return err
	})
	if err != nil || is.id != f.id || is.state != f.state {
		return false, err
	}
	return true, s.cfg.Shelf.Remove(ctx, f.id)
}

func (s *Service) cleared(ctx context.Context, done []file) error {
	if len(done) == 0 {
		return nil
	}
	now := s.cfg.Now().Unix()
	err := s.store.Write(ctx, func(tx *storage.Tx) error {
		for _, f := range done {
			if err := cleared(tx, f, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		for _, f := range done {
			if f.state == gone {
				s.stats.Removed.Add(1)
			}
		}
	}
	return err
}
