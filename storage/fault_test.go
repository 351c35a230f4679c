package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/storage"
	"parley/storage/storagetest"
)

// big is a note of its own pages.
func big(tx *storage.Tx, sender, n int) error {
	return tx.Exec(addNote, tx.NextID(), sender, n, strings.Repeat("x", 40<<10))
}

func TestFullDisk(t *testing.T) {
	s := storagetest.Open(t, notes())
	if err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 0, 0) }); err != nil {
		t.Fatal(err)
	}
	storagetest.Fill(t, s, 40) // room for three or four of ten
	release := hold(s)
	var order []int
	for n := range 10 {
		s.Keep(40<<10, func(tx *storage.Tx) error { return big(tx, 1, n) }, func(err error) {
			if !errors.Is(err, storage.ErrFull) {
				t.Errorf("%d: %v", n, err)
			}
			order = append(order, n)
		})
	}
	stood := false
	s.Keep(1, nil, func(err error) { stood = err == nil })
	release()
	settle(t, s) // the server is up, and what needs no room goes on
	if fmt.Sprint(order) != "[0 1 2 3 4 5 6 7 8 9]" || !stood {
		t.Errorf("told %v, %v", order, stood)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows, want nothing of the batch", n)
	}
	storagetest.Free(t, s)
	for n := range 10 {
		if err := s.Write(t.Context(), func(tx *storage.Tx) error { return big(tx, 1, n) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s); n != 11 || s.Check(t.Context()) != nil {
		t.Errorf("%d rows, %v", n, s.Check(t.Context()))
	}
}

// TestAnErrorThatIsHidden: a function that swallows the engine's error cannot make what
// it does next commit by itself.
func TestAnErrorThatIsHidden(t *testing.T) {
	s := storagetest.Open(t, notes())
	storagetest.Fill(t, s, 5)
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		_ = big(tx, 1, 1)
		_ = add(tx, 1, 2)
		return nil
	})
	storagetest.Free(t, s)
	if n := count(t, s); err == nil && n == 0 || err != nil && n != 0 {
		t.Errorf("%d rows, outcome %v", n, err)
	}
}

func TestCommitsThatFindNoRoom(t *testing.T) {
	s, disk := storagetest.OpenFaulty(t, storage.Config{}, notes())
	disk.FullEvery(3)
	kept, refused := 0, 0
	for n := range 300 {
		err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 1, n) })
		switch {
		case err == nil:
			kept++
		case errors.Is(err, storage.ErrFull):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if n := count(t, s); n != kept || refused != 100 {
		t.Errorf("%d rows, %d kept, %d refused", n, kept, refused)
	}
}

func TestUnknownOutcome(t *testing.T) {
	s, disk := storagetest.OpenFaulty(t, storage.Config{}, notes())
	if err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 1, 1) }); err != nil {
		t.Fatal(err)
	}
	disk.Break()
	var answered atomic.Int32
	s.Keep(1, func(tx *storage.Tx) error { return add(tx, 1, 2) }, func(error) { answered.Add(1) })
	select {
	case err := <-s.Fatal():
		if !errors.Is(err, storage.ErrFatal) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	s.Keep(1, nil, func(error) { answered.Add(1) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for what, err := range map[string]error{
		"Write": s.Write(ctx, func(tx *storage.Tx) error { return nil }),
		"Read":  s.Read(ctx, func(*storage.Tx) error { return nil }),
		"Wait":  s.Wait(ctx),
	} {
		if !errors.Is(err, storage.ErrFatal) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if answered.Load() != 0 {
		t.Error("something was answered")
	}
}

// TestWriteIsNotAnsweredEither: an IQ that was written in the commit nobody knows of gets
// no answer while the one who asked is there.
func TestWriteIsNotAnsweredEither(t *testing.T) {
	s, disk := storagetest.OpenFaulty(t, storage.Config{}, notes())
	disk.Break()
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan error, 1)
	go func() {
		outcome <- s.Write(ctx, func(tx *storage.Tx) error { return add(tx, 1, 1) })
	}()
	<-s.Fatal()
	select {
	case err := <-outcome:
		t.Errorf("answered: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-outcome; !errors.Is(err, storage.ErrFatal) {
		t.Errorf("%v", err)
	}
}

// TestLogStaysShort writes much more than the log may hold, beside readers who always
// have a snapshot open.
func TestLogStaysShort(t *testing.T) {
	dir := t.TempDir()
	s, _ := storagetest.OpenFaulty(t, storage.Config{Dir: dir}, notes())
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		go func() {
			for stop.Err() == nil {
				_ = s.Read(stop, func(tx *storage.Tx) error {
					_, err := tx.One("select max(id) from notes", nil)
					time.Sleep(time.Millisecond)
					return err
				})
			}
		}()
	}
	const total, each = 100 << 20, 40 << 10
	longest := int64(0)
	for n := range total / each {
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Keep(each, func(tx *storage.Tx) error { return big(tx, 1, n) }, nil)
		if n%32 == 0 {
			settle(t, s)
		}
		if info, err := os.Stat(filepath.Join(dir, "parley.db-wal")); err == nil {
			longest = max(longest, info.Size())
		}
	}
	settle(t, s)
	st := s.Stats()
	t.Logf("longest log %d MiB, %d checkpoints, held for %v at most", longest>>20, st.Checkpoints, st.HoldMax)
	if longest > 48<<20 || st.Checkpoints == 0 {
		t.Errorf("the log grew to %d bytes while %d were written", longest, total)
	}
}
