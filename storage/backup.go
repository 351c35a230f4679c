package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const asideCacheKiB = 8 << 10 // of a connection that reads everything once

// Backup writes a copy of the database as it is at one moment to path, which must not
// exist. The store goes on working meanwhile, but its log grows. A copy that was not
// finished is left as path + ".part" only if the process ends.
func (s *Store) Backup(ctx context.Context, path string) error {
	return s.beside(ctx, func(ctx context.Context, c *conn) error { return copyTo(ctx, c, path) })
}

// Check reads the whole database and returns ErrDamaged if it does not hold together. It
// takes seconds a gigabyte; the store goes on working.
func (s *Store) Check(ctx context.Context) error {
	return s.beside(ctx, func(ctx context.Context, c *conn) error {
		if err := check(ctx, c, "pragma integrity_check(10)"); err != nil {
			return err
		}
		return checkReferences(ctx, c)
	})
}

// beside runs what takes long, one at a time, on a connection of its own, until Close.
func (s *Store) beside(ctx context.Context, fn func(context.Context, *conn) error) error {
	select {
	case s.aside <- struct{}{}:
		defer func() { <-s.aside }()
	case <-s.stopping:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // not left to chance between two that were ready
	case <-s.stopping:
		return ErrClosed
	default:
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopping:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	}()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	c, err := openConn(s.path, asideCacheKiB)
	if err != nil {
		return err
	}
	defer c.close()
	err = fn(ctx, c)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// copyTo writes a copy beside path, makes it last, and gives it its name.
func copyTo(ctx context.Context, c *conn, path string) (err error) {
	part := path + ".part"
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("storage: %s exists, and a backup overwrites nothing: %w", path, os.ErrExist)
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("storage: backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(part)
		}
	}()
	if _, err := c.run(ctx, "vacuum into $1", []any{part}, nil); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // the engine does not, for this
		return fmt.Errorf("storage: backup: %w", err)
	}
	if err := giveName(part, path); err != nil {
		return fmt.Errorf("storage: backup: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// giveName renames, but never over a file that came to be meanwhile. A file system
// without hard links has to do with a look beforehand.
func giveName(part, path string) error {
	err := os.Link(part, path)
	if err == nil {
		return os.Remove(part)
	}
	if errors.Is(err, os.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return os.ErrExist
	}
	return os.Rename(part, path)
}
