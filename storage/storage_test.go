package storage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/storage"
	"parley/storage/storagetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// notes is a table to write to: what was said, in which place of the order.
func notes() storage.Schema {
	return storage.Schema{Name: "notes", Steps: []string{
		`create table notes (id integer primary key, sender integer not null, n integer not null, text text);
		 create unique index notes_sender on notes (sender, n)`,
	}}
}

const addNote = `insert into notes (id, sender, n, text) values ($1, $2, $3, $4)`

func add(tx *storage.Tx, sender, n int) error {
	return tx.Exec(addNote, tx.NextID(), sender, n, "note")
}

func count(t *testing.T, s *storage.Store) (n int) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.One("select count(*) from notes", nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settle waits until everything before it was told.
func settle(t *testing.T, s *storage.Store) {
	t.Helper()
	done := make(chan struct{})
	s.Keep(0, nil, func(error) { close(done) })
	<-done
}

// hold keeps the writer busy until the returned function is called; what is put in the
// line meanwhile shares the next batch.
func hold(s *storage.Store) (release func()) {
	begun, gate := make(chan struct{}), make(chan struct{})
	s.Keep(0, func(*storage.Tx) error {
		close(begun)
		<-gate
		return nil
	}, nil)
	<-begun
	return func() { close(gate) }
}

func TestFunctionsOfWriteRunTwice(t *testing.T) {
	s := storagetest.Open(t, notes())
	runs := 0
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		runs++
		return add(tx, 1, 1) // would be a conflict if the first had stayed
	})
	if err != nil || runs != 2 || count(t, s) != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

// TestOneOrder is the heart of the package: commits, ids and what the postman says are in
// one order, also for Write, and each sender's work stays in the order it came.
func TestOneOrder(t *testing.T) {
	const senders, each = 16, 400
	s, disk := storagetest.OpenFaulty(t, storage.Config{}, notes())
	disk.Slow(100 * time.Microsecond)
	var told []storage.ID // by the postman only
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for n := range each {
				if sender%4 == 0 && n%20 == 0 {
					err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, sender, n) })
					if err != nil {
						t.Error(err)
					}
					continue
				}
				var id storage.ID
				s.Keep(340, func(tx *storage.Tx) error {
					id = tx.NextID()
					return tx.Exec(addNote, id, sender, n, "note")
				}, func(err error) {
					if err != nil {
						t.Error(err)
					}
					told = append(told, id)
				})
			}
		})
	}
	wg.Wait()
	settle(t, s)
	if !slices.IsSorted(told) || len(slices.Compact(slices.Clone(told))) != len(told) {
		t.Error("the postman's order is not the order of ids")
	}
	next := map[int64]int64{}
	err := s.Read(t.Context(), func(tx *storage.Tx) error {
		return tx.Each("select sender, n from notes order by id", nil, func(r *storage.Row) error {
			if r.Int(1) != next[r.Int(0)] {
				t.Fatalf("sender %d: %d, want %d", r.Int(0), r.Int(1), next[r.Int(0)])
			}
			next[r.Int(0)]++
			return nil
		})
	})
	if err != nil || count(t, s) != senders*each {
		t.Errorf("%d rows, %v", count(t, s), err)
	}
}

func TestWriteWaitsForThePostman(t *testing.T) {
	s := storagetest.Open(t, notes())
	for round := range 50 {
		told := false
		s.Keep(1, nil, func(error) { time.Sleep(time.Millisecond); told = true })
		if err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 1, round) }); err != nil {
			t.Fatal(err)
		}
		if !told { // no lock: Write's return comes after it
			t.Fatal("Write returned before what was ahead of it")
		}
	}
}

func TestOneFailureIsItsOwn(t *testing.T) {
	s := storagetest.Open(t, notes())
	release := hold(s)
	refused := errors.New("refused")
	var outcomes []error
	keep := func(do func(*storage.Tx) error) {
		s.Keep(1, do, func(err error) { outcomes = append(outcomes, err) })
	}
	keep(func(tx *storage.Tx) error { return add(tx, 1, 1) })
	keep(func(tx *storage.Tx) error { return errors.Join(add(tx, 1, 2), refused) })
	keep(func(tx *storage.Tx) error { _ = add(tx, 1, 3); panic("oh") })
	keep(func(tx *storage.Tx) error { return add(tx, 1, 1) })
	keep(nil)
	keep(func(tx *storage.Tx) error { return add(tx, 1, 4) })
	release()
	settle(t, s)
	var p *storage.PanicError
	if len(outcomes) != 6 || outcomes[0] != nil || !errors.Is(outcomes[1], refused) || !errors.As(outcomes[2], &p) ||
		!errors.Is(outcomes[3], storage.ErrConflict) || outcomes[4] != nil || outcomes[5] != nil {
		t.Errorf("outcomes %v", outcomes)
	}
	if n := count(t, s); n != 2 {
		t.Errorf("%d rows, want those of the two that succeeded", n)
	}
	if st := s.Stats(); st.Panics != 1 || st.Failed != 3 || st.Again != 1 {
		t.Errorf("%+v", st)
	}
}

// TestABatchBeginsAnew: where a Keep fails alone, the others of its batch are run once more and
// are there once; a Write that fails costs nobody anything.
func TestABatchBeginsAnew(t *testing.T) {
	s := storagetest.Open(t, notes())
	refused := errors.New("refused")
	for _, c := range []struct {
		what        string
		keep, write error
		again       uint64
	}{{"all is well", nil, nil, 0}, {"a Write fails", nil, refused, 0}, {"a Keep fails", refused, nil, 1}, {"both fail", refused, refused, 1}} {
		before, was := s.Stats(), count(t, s)
		release := hold(s)
		n := was * 100
		var told []error
		tell := func(err error) { told = append(told, err) }
		wrote := make(chan error, 1)
		s.Keep(1, func(tx *storage.Tx) error { return add(tx, 7, n+1) }, tell)
		waiting := s.Stats().QueueJobs
		go func() {
			wrote <- s.Write(t.Context(), func(tx *storage.Tx) error { return errors.Join(add(tx, 7, n+2), c.write) })
		}()
		for s.Stats().QueueJobs == waiting {
			time.Sleep(time.Millisecond)
		}
		s.Keep(1, func(tx *storage.Tx) error { return errors.Join(add(tx, 7, n+3), c.keep) }, tell)
		s.Keep(1, func(tx *storage.Tx) error { return add(tx, 7, n+4) }, tell)
		release()
		settle(t, s)
		if err := <-wrote; !errors.Is(err, c.write) {
			t.Errorf("%s: the Write says %v", c.what, err)
		}
		if len(told) != 3 || told[0] != nil || !errors.Is(told[1], c.keep) || told[2] != nil {
			t.Errorf("%s: %v", c.what, told)
		}
		want := was + 4
		for _, err := range []error{c.keep, c.write} {
			if err != nil {
				want--
			}
		}
		if got := count(t, s); got != want {
			t.Errorf("%s: %d rows instead of %d", c.what, got, want)
		}
		if got := s.Stats().Again - before.Again; got != c.again {
			t.Errorf("%s: %d batches began anew", c.what, got)
		}
	}
}

func TestPanicInAHook(t *testing.T) {
	s := storagetest.Open(t, notes())
	s.Keep(1, nil, func(error) { panic("oh") })
	err := s.Read(t.Context(), func(*storage.Tx) error { panic("oh") })
	settle(t, s)
	if err == nil || s.Stats().Panics != 2 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
	for range storage.MaxReaders + 1 { // the connection came back
		count(t, s)
	}
}

func TestOnBatchFollowsWhatItTold(t *testing.T) {
	s := storagetest.Open(t, notes())
	open, flushed := 0, make(chan int, 200)
	s.OnBatch(func() { flushed <- open; open = 0 }) // both on the postman
	for range 100 {
		s.Keep(1, nil, func(error) { open++ })
	}
	for sum := 0; sum < 100; {
		select {
		case n := <-flushed:
			sum += n
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 100 were flushed", sum)
		}
	}
}

func TestSlowHookIsCounted(t *testing.T) {
	s := storagetest.Open(t, notes())
	s.Keep(1, nil, func(error) { time.Sleep(20 * time.Millisecond) })
	settle(t, s)
	if s.Stats().SlowHooks == 0 {
		t.Error("not counted")
	}
}

func TestLineHasALimit(t *testing.T) {
	s, _ := storagetest.OpenFaulty(t, storage.Config{QueueBytes: 10_000}, notes())
	release := hold(s)
	for n := range 10 {
		s.Keep(2_000, func(tx *storage.Tx) error { return add(tx, 1, n) }, nil)
	}
	if s.Room() {
		t.Error("20,000 bytes wait and there is room for 10,000")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	release()
	if err := s.Wait(t.Context()); err != nil || !s.Room() {
		t.Errorf("Wait: %v, room %v", err, s.Room())
	}
	settle(t, s)
	if n := count(t, s); n != 10 {
		t.Errorf("%d rows", n)
	}
}

func TestWriteThatGaveUpIsNeverRun(t *testing.T) {
	s := storagetest.Open(t, notes())
	release := hold(s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, func(tx *storage.Tx) error { return add(tx, 1, 2) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	release()
	settle(t, s)
	if n := count(t, s); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	s := storagetest.Open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := s.Read(ctx, func(tx *storage.Tx) error {
		_, err := tx.One("with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c", nil)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	s, err := storage.Open(t.Context(), storage.Config{Dir: dir}, notes())
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for n := range 3000 {
		s.Keep(1, func(tx *storage.Tx) error { return add(tx, 1, n) }, func(error) { told++ })
	}
	if err := s.Close(t.Context()); err != nil || told != 3000 {
		t.Fatalf("%d told, %v", told, err)
	}
	late := make(chan error)
	s.Keep(1, nil, func(err error) { late <- err })
	for what, err := range map[string]error{
		"Keep": <-late, "Wait": s.Wait(t.Context()),
		"Write":  s.Write(t.Context(), func(*storage.Tx) error { return nil }),
		"Read":   s.Read(t.Context(), func(*storage.Tx) error { return nil }),
		"Backup": s.Backup(t.Context(), filepath.Join(dir, "copy")),
	} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "parley.db-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
