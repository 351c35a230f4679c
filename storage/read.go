package storage

import "context"

// Read runs fn on a snapshot of what is committed, on a connection of its own; it waits
// for one if all are in use. fn is to be short, for the log cannot be shortened under it,
// and calls neither Read nor Write. It is stopped when ctx ends.
func (s *Store) Read(ctx context.Context, fn func(*Tx) error) error {
	select {
	case <-s.stopping:
		return s.whyEnded()
	case <-s.dead:
		return ErrFatal
	default:
	}
	select {
	case c := <-s.readers:
		defer func() { s.readers <- c }()
		return s.read(ctx, c, fn)
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopping:
		return s.whyEnded()
	}
}

func (s *Store) read(ctx context.Context, c *conn, fn func(*Tx) error) (err error) {
	if err := c.do("begin"); err != nil {
		return err
	}
	tx := &Tx{s: s, c: c, ctx: ctx}
	defer func() {
		tx.over = true
		if v := recover(); v != nil {
			err = s.panicked(v)
		}
		if e := c.do("rollback"); err == nil {
			err = e
		}
	}()
	return fn(tx)
}
