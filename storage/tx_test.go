package storage_test

import (
	"testing"
	"time"

	"parley/storage"
	"parley/storage/storagetest"
)

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
