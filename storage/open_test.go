package storage_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"

	"parley/storage"
	"parley/storage/storagetest"
)

// open opens dir, or fails the test.
func open(t *testing.T, dir string, schemas ...storage.Schema) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), storage.Config{Dir: dir}, schemas...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t *testing.T, s *storage.Store) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTwoCannotOpenOneDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := storage.Open(t.Context(), storage.Config{Dir: dir})
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
	shut(t, s)
	shut(t, open(t, dir)) // and free again
}

func TestFilesAreOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b?c%20 d") // a name that a URI would take apart
	s := open(t, dir, notes())
	defer shut(t, s)
	settle(t, s)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestWhyItDoesNotOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	noise, foreign, torn := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(noise, "parley.db"), strings.Repeat("not a database ", 1000))
	other(t, filepath.Join(foreign, "parley.db"), "create table theirs (a)")
	tear(t, torn)
	for _, c := range []struct {
		name, dir, says string
		is              error
	}{
		{"nowhere", "", "no data directory", nil},
		{"a file in the way", filepath.Join(file, "data"), "cannot be made", nil},
		{"noise", noise, "restore a backup", storage.ErrDamaged},
		{"of another program", foreign, "is not a Parley database", nil},
		{"torn", torn, "restore a backup", storage.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := storage.Open(t.Context(), storage.Config{Dir: c.dir}, notes())
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// other runs SQL on a file without this package.
func other(t *testing.T, path, text string) {
	t.Helper()
	c, err := (&sqlite3.SQLiteDriver{}).Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.(*sqlite3.SQLiteConn).Exec(text, []driver.Value{}); err != nil {
		t.Fatal(err)
	}
}

// tear makes a good database and writes over its middle.
func tear(t *testing.T, dir string) {
	t.Helper()
	s := open(t, dir, notes())
	for n := range 2000 {
		s.Keep(1, func(tx *storage.Tx) error { return add(tx, 1, n) }, nil)
	}
	shut(t, s)
	path := filepath.Join(dir, "parley.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2:], strings.Repeat("\xff", 8000))
	write(t, path, string(data))
}

// book is the schema of notes and its next two versions.
func book(versions int) storage.Schema {
	sc := notes()
	sc.Steps = append(sc.Steps,
		`alter table notes add column read integer not null default 0;
		 create table readers (note integer not null references notes (id) on delete cascade, name text); -- the end`,
		`create table notes2 (id integer primary key, sender integer not null, n integer not null, text text, read integer);
		 insert into notes2 select id, sender, n, text, read from notes;
		 drop table notes; alter table notes2 rename to notes`)
	sc.Steps = sc.Steps[:versions]
	return sc
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, book(1))
	err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 1, 1) })
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, dir, book(2), storage.Schema{Name: "new", Steps: []string{"create table new (a)"}})
	err = s.Write(t.Context(), func(tx *storage.Tx) error {
		return tx.Exec("insert into readers select id, 'romeo' from notes where read = 0")
	})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, dir, book(3))
	readers := 0
	err = s.Read(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.One("select count(*) from readers, notes where note = id", nil, &readers)
		return err
	})
	if err != nil || readers != 1 || s.Check(t.Context()) != nil {
		t.Errorf("%d readers, %v, %v", readers, err, s.Check(t.Context()))
	}
	shut(t, s)
	shut(t, open(t, dir, book(3))) // nothing to do, so no copy

	copies, _ := filepath.Glob(filepath.Join(dir, "before-upgrade-*.db"))
	if len(copies) != 2 {
		t.Fatalf("copies %v, want two", copies)
	}
	old := t.TempDir()
	if err := os.Rename(copies[0], filepath.Join(old, "parley.db")); err != nil {
		t.Fatal(err)
	}
	s = open(t, old, book(1)) // the program of then works with the copy of then
	defer shut(t, s)
	if n := count(t, s); n != 1 {
		t.Errorf("%d notes in the copy", n)
	}
}

func TestNewerIsRefused(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir, book(2)))
	_, err := storage.Open(t.Context(), storage.Config{Dir: dir}, book(1))
	if !errors.Is(err, storage.ErrNewer) || !strings.Contains(err.Error(), "notes is at version 2") {
		t.Errorf("%v", err)
	}
	shut(t, open(t, dir)) // a feature that is not there any more leaves its tables
	shut(t, open(t, dir, book(2)))
}

func TestMigrationThatFailsLeavesAllAsItWas(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, book(2))
	err := s.Write(t.Context(), func(tx *storage.Tx) error { return add(tx, 1, 1) })
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	for _, step := range []string{
		"create table more (a); this is not SQL",
		"insert into readers values (12345, 'nobody wrote that')",
	} {
		sc := book(2)
		sc.Steps = append(sc.Steps, step)
		if _, err := storage.Open(t.Context(), storage.Config{Dir: dir}, sc); err == nil {
			t.Errorf("%q was taken", step)
		}
	}
	s = open(t, dir, book(2))
	defer shut(t, s)
	if n := count(t, s); n != 1 {
		t.Errorf("%d notes", n)
	}
	err = s.Read(t.Context(), func(tx *storage.Tx) error { _, err := tx.One("select 1 from more", nil); return err })
	if err == nil {
		t.Error("half of a step stayed")
	}
	err = s.Write(t.Context(), func(tx *storage.Tx) error { return tx.Exec("insert into readers values (12345, 'x')") })
	if err == nil {
		t.Error("foreign keys are off")
	}
}

func TestSchemasAreChecked(t *testing.T) {
	for name, schemas := range map[string][]storage.Schema{
		"twice":    {notes(), notes()},
		"nameless": {{Steps: []string{"create table a (a)"}}},
		"deferred": {{Name: "a", Steps: []string{"create table a (a references b DEFERRABLE initially deferred)"}}},
	} {
		if s, err := storage.Open(t.Context(), storage.Config{Dir: t.TempDir()}, schemas...); err == nil {
			shut(t, s)
			t.Errorf("%s: taken", name)
		}
	}
}

func TestFullTextIsThere(t *testing.T) {
	s := storagetest.Open(t, storage.Schema{Name: "text", Steps: []string{"create virtual table words using fts5 (said)"}})
	if err := s.Write(t.Context(), func(tx *storage.Tx) error { return tx.Exec("insert into words values ('what light')") }); err != nil {
		t.Fatal(err)
	}
	var said string
	err := s.Read(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.One("select said from words where words match $1", []any{"light"}, &said)
		return err
	})
	if err != nil || said != "what light" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestBackupWhileWriting(t *testing.T) {
	s := storagetest.Open(t, notes())
	stop, ctx := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	written := 0
	wg.Go(func() {
		for n := 0; stop.Err() == nil; n++ {
			if s.Wait(t.Context()) != nil {
				return
			}
			s.Keep(1, func(tx *storage.Tx) error { return add(tx, 1, n) }, func(err error) {
				if err != nil {
					t.Error(err)
				}
				written++
			})
		}
	})
	for written := 0; written < 5000; written = count(t, s) {
	}
	before := count(t, s)
	dir := t.TempDir()
	path := filepath.Join(dir, "parley.db")
	err := s.Backup(t.Context(), path)
	ctx()
	wg.Wait()
	settle(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	c := open(t, dir, notes())
	defer shut(t, c)
	in := count(t, c)
	var last int
	err = c.Read(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.One("select max(n) from notes", nil, &last)
		return err
	})
	if err != nil || in < before || in > written || last != in-1 || c.Check(t.Context()) != nil {
		t.Errorf("%d in the copy, %d before, %d after, last %d; %v", in, before, written, last, err)
	}
	text := s.Opaque(77)
	if id, ok := c.FromOpaque(text); !ok || id != 77 {
		t.Error("the copy has another key")
	}
}

func TestBackupThatIsStopped(t *testing.T) {
	s := storagetest.Open(t, notes())
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"stopped":        s.Backup(ctx, filepath.Join(dir, "a")),
		"into the blue":  s.Backup(t.Context(), filepath.Join(dir, "no", "such")),
		"over a symlink": errors.Join(os.Symlink("nowhere", filepath.Join(dir, "b")), s.Backup(t.Context(), filepath.Join(dir, "b"))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
