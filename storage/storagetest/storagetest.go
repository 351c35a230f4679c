// Package storagetest opens stores for tests, on a real disk, and makes that disk fail.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"

	"parley/storage"
)

// closeIn is how long a store may take to finish what a test left queued.
const closeIn = 30 * time.Second

// Open opens a new store in a directory that goes with the test. It runs each function of
// Write twice, the first time undone, so that one which does more than SQL is found out.
// In such a function use t.Error, not t.Fatal: it runs on the store's goroutine.
func Open(t testing.TB, schemas ...storage.Schema) *storage.Store {
	t.Helper()
	s, _ := OpenFaulty(t, storage.Config{}, schemas...)
	return s
}

// OpenFaulty is Open with a configuration of the test's own, as far as it is set, and a
// disk that can fail.
func OpenFaulty(t testing.TB, cfg storage.Config, schemas ...storage.Schema) (*storage.Store, *Disk) {
	t.Helper()
	d := &Disk{}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	cfg.Faults = &storage.Faults{Twice: true, Commit: d.commit}
	s, err := storage.Open(context.Background(), cfg, schemas...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeIn)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s, d
}

// A Disk fails as it is told to. It works until then, and its methods may be called at
// any time.
type Disk struct {
	slow    atomic.Int64
	every   atomic.Int64
	broken  atomic.Bool
	commits atomic.Int64
}

// Slow makes every commit take d longer.
func (d *Disk) Slow(by time.Duration) { d.slow.Store(int64(by)) }

// FullEvery makes every n-th commit fail for lack of room; 0 ends that.
func (d *Disk) FullEvery(n int) { d.every.Store(int64(n)) }

// Break makes the next commit end in an I/O error, after which nothing is known.
func (d *Disk) Break() { d.broken.Store(true) }

// Commits returns how many commits were tried.
func (d *Disk) Commits() int64 { return d.commits.Load() }

func (d *Disk) commit() error {
	n := d.commits.Add(1)
	if by := d.slow.Load(); by > 0 {
		time.Sleep(time.Duration(by))
	}
	if d.broken.Load() {
		return sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrFsync}
	}
	if every := d.every.Load(); every > 0 && n%every == 0 {
		return sqlite3.Error{Code: sqlite3.ErrFull}
	}
	return nil
}

// Fill leaves the database room for so many further pages of 4 KiB and no more: what the
// engine then does is what it does on a full disk. Free ends that.
func Fill(t testing.TB, s *storage.Store, pages int) {
	t.Helper()
	_ = limit(t, s, func(tx *storage.Tx) (int64, error) {
		var n int64
		_, err := tx.One("pragma page_count", nil, &n)
		return n + int64(pages), err
	})
}

// Free gives back the room that Fill took.
func Free(t testing.TB, s *storage.Store) {
	t.Helper()
	for limit(t, s, func(*storage.Tx) (int64, error) { return 1 << 30, nil }) != nil {
		// it stood in a batch that found the disk full
	}
}

func limit(t testing.TB, s *storage.Store, pages func(*storage.Tx) (int64, error)) error {
	t.Helper()
	err := s.Write(context.Background(), func(tx *storage.Tx) error {
		n, err := pages(tx)
		if err != nil {
			return err
		}
		return tx.Exec(fmt.Sprintf("pragma max_page_count = %d", n)) // a pragma takes no values
	})
	if err != nil && !errors.Is(err, storage.ErrFull) {
		t.Error(err) // it may not be the test's own goroutine
		return nil
	}
	return err
}
