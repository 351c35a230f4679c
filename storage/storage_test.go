package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestWhatIsWrittenIsRead(t *testing.T) {
	s := storagetest.Open(t, storage.Schema{Name: "kinds", Steps: []string{
		`create table kinds (i integer, s text, b blob, t integer, yes integer, f real, none text)`}})
	at := time.Date(2026, 11, 21, 6, 0, 0, 123456000, time.UTC)
	type word string
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		return tx.Exec(`insert into kinds values ($1, $2, $3, $4, $5, $6, $7)`,
			int64(-5), word("wherefore"), []byte{}, at, true, 1.5, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		i       int
		text    string
		b       []byte
		when    time.Time
		yes     bool
		f       float64
		nothing = "x"
	)
	err = s.Read(t.Context(), func(tx *storage.Tx) error {
		found, err := tx.One("select * from kinds where i = $1", []any{-5}, &i, &text, &b, &when, &yes, &f, &nothing)
		if !found {
			t.Error("not found")
		}
		return err
	})
	if err != nil || i != -5 || text != "wherefore" || b == nil || len(b) != 0 || !when.Equal(at) || !yes || f != 1.5 || nothing != "" {
		t.Errorf("read %v %q %v %v %v %v %q, %v", i, text, b, when, yes, f, nothing, err)
	}
}

func TestPlacesStandInAnyOrder(t *testing.T) {
	s := storagetest.Open(t, notes())
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		return tx.Exec(`insert into notes (n, sender, text, id) values ($2, $1, '$3 "$1"' || $3, $4) -- $9`, 1, 2, "three", tx.NextID())
	})
	if err != nil {
		t.Fatal(err)
	}
	var text string
	err = s.Read(t.Context(), func(tx *storage.Tx) error {
		found, err := tx.One(`select text from notes where n = $2 and sender = $1 /* $3 */`, []any{1, 2}, &text)
		if !found {
			t.Error("$2 before $1 found nothing")
		}
		return err
	})
	if want := `$3 "$1"three`; err != nil || text != want {
		t.Errorf("%q, %v; want %q", text, err, want)
	}
}

func TestMisuseIsAnError(t *testing.T) {
	s := storagetest.Open(t, notes())
	read := func(fn func(tx *storage.Tx) error) error { return s.Read(t.Context(), fn) }
	write := func(fn func(tx *storage.Tx) error) error { return s.Write(t.Context(), fn) }
	var kept *storage.Tx
	for name, err := range map[string]error{
		"too few values":  write(func(tx *storage.Tx) error { return tx.Exec(addNote, 1) }),
		"a strange type":  write(func(tx *storage.Tx) error { return tx.Exec(addNote, 1, 2, 3, struct{}{}) }),
		"two statements":  write(func(tx *storage.Tx) error { return tx.Exec("delete from notes; delete from notes") }),
		"its own commit":  write(func(tx *storage.Tx) error { return tx.Exec("commit") }),
		"again":           write(func(tx *storage.Tx) error { return tx.Exec("begin immediate") }),
		"writing in Read": read(func(tx *storage.Tx) error { return tx.Exec("delete from notes") }),
		"writing in a query": read(func(tx *storage.Tx) error {
			return tx.Each("insert into notes values (1, 1, 1, '') returning id", nil, func(*storage.Row) error { return nil })
		}),
		"text as a number": read(func(tx *storage.Tx) error {
			return tx.Each("select 'x'", nil, func(r *storage.Row) error { _ = r.Int(0); return nil })
		}),
		"no such table":   read(func(tx *storage.Tx) error { kept = tx; _, err := tx.One("select 1 from nothing", nil); return err }),
		"a Tx afterwards": kept.Each("select 1", nil, nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := count(t, s); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestStatementsInsideEach(t *testing.T) {
	s := storagetest.Open(t, notes())
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		for n := range 10 {
			if err := add(tx, 1, n); err != nil {
				return err
			}
		}
		const q = "select n from notes where n > $1 order by n"
		seen := 0
		err := tx.Each(q, []any{7}, func(outer *storage.Row) error {
			return tx.Each(q, []any{outer.Int(0)}, func(inner *storage.Row) error {
				seen++
				if inner.Int(0) <= outer.Int(0) {
					t.Errorf("inner %d, outer %d", inner.Int(0), outer.Int(0))
				}
				return tx.Exec("update notes set text = 'seen' where n = $1", inner.Int(0))
			})
		})
		if seen != 1 {
			t.Errorf("saw %d rows", seen)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReturningRunsToItsEnd(t *testing.T) {
	s := storagetest.Open(t, notes())
	var ids []storage.ID
	err := s.Write(t.Context(), func(tx *storage.Tx) error {
		ids = nil
		if err := tx.Exec("insert into notes values ($1, 1, 1, ''), ($2, 1, 2, '') returning id", tx.NextID(), tx.NextID()); err != nil {
			return err
		}
		return tx.Each("update notes set text = 'x' returning id", nil, func(r *storage.Row) error {
			ids = append(ids, r.ID(0))
			return nil
		})
	})
	if err != nil || len(ids) != 2 || count(t, s) != 2 {
		t.Errorf("ids %v, %v", ids, err)
	}
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
	if st := s.Stats(); st.Panics != 1 || st.Failed != 3 {
		t.Errorf("%+v", st)
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

func TestIDsNeverGoBack(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	var last storage.ID
	for start := range 3 { // each start an hour earlier than the one before
		s, err := storage.Open(t.Context(), storage.Config{Dir: dir, Now: clock}, notes())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			err := s.Write(t.Context(), func(tx *storage.Tx) error {
				id := tx.NextID()
				if id <= last {
					t.Errorf("%d after %d", id, last)
				}
				last = id
				return tx.Exec(addNote, id, start, n, "")
			})
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(-time.Minute)
		}
		if text := s.Opaque(last); len(text) != 26 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("opaque %q", text)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(-time.Hour)
	}
}

func TestOpaqueIsItsOwnReverse(t *testing.T) {
	s, other := storagetest.Open(t), storagetest.Open(t)
	for _, id := range []storage.ID{1, 2, 1 << 40, 1<<63 - 1, storage.IDAt(time.Now())} {
		text := s.Opaque(id)
		if got, ok := s.FromOpaque(text); !ok || got != id {
			t.Errorf("%d came back as %d, %v", id, got, ok)
		}
		if other.Opaque(id) == text {
			t.Error("two stores write the same")
		}
		last := "abcdefghijklmnopqrstuvwxyz234567"[(strings.IndexByte("abcdefghijklmnopqrstuvwxyz234567", text[25])+1)%32]
		for _, bad := range []string{"", text[1:], text + "a", strings.ToUpper(text), "a" + text[1:25] + "b", text + "\n",
			text[:25] + string(last), other.Opaque(id)} {
			if got, ok := s.FromOpaque(bad); ok && bad != text {
				t.Errorf("%q was taken for %d", bad, got)
			}
		}
	}
}

func TestSecretsStay(t *testing.T) {
	dir := t.TempDir()
	var first string
	for range 2 {
		s, err := storage.Open(t.Context(), storage.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a, b := s.Secret("a"), s.Secret("b")
		if len(a) != 32 || string(a) == string(b) || first != "" && first != string(a) {
			t.Errorf("%x %x", a, b)
		}
		first = string(a)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
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
	s = storagetest.Open(t, notes())
	fmt.Fprint(t.Output(), count(t, s))
}
