package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

const (
	applicationID  = 0x5061726c // "Parl", in the header of our databases
	checkUpTo      = 256 << 20  // bytes up to which the whole database is checked at each start
	keptSnapshots  = 3          // copies of earlier versions that stay
	snapshotPrefix = "before-upgrade-"
)

// ownSchema is what this package keeps: the last ID, and the key of all secrets.
func ownSchema() Schema {
	return Schema{Name: "storage", Steps: []string{
		`create table storage_state (name text primary key, number integer, value blob) without rowid`,
	}}
}

// checkEngine makes sure that the engine was built as we need it.
func checkEngine(c *conn) error {
	fts := false
	_, err := c.run(context.Background(), "select sqlite_compileoption_used('ENABLE_FTS5')", nil, func(r *Row) error {
		fts = r.Bool(0)
		return nil
	})
	if err == nil && !fts {
		err = errors.New("this program was built without the tag sqlite_fts5: use `make build`")
	}
	return err
}

// checkDatabase makes sure that this is a database of ours and holds together. A large
// one is not read whole: Check does that.
func (s *Store) checkDatabase(ctx context.Context) error {
	id, err := s.number(ctx, "pragma application_id")
	if err != nil {
		return err
	}
	tables, err := s.number(ctx, "select count(*) from sqlite_schema")
	switch {
	case err != nil:
		return err
	case id == 0 && tables == 0:
		return s.writer.script(fmt.Sprintf("pragma application_id = %d", applicationID))
	case id != applicationID:
		return fmt.Errorf("%s is not a Parley database", s.path)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Size() > checkUpTo {
		return err
	}
	if err := check(ctx, s.writer, "pragma quick_check(1)"); err != nil {
		return err
	}
	return s.writer.script("pragma shrink_memory") // all pages are in the cache now
}

func check(ctx context.Context, c *conn, q string) error {
	var found []string
	_, err := c.run(ctx, q, nil, func(r *Row) error {
		if text := r.Text(0); text != "ok" {
			found = append(found, text)
		}
		return nil
	})
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.Join(strings.Fields(strings.Join(found, "; ")), " "))
	}
	return err
}

func checkReferences(ctx context.Context, c *conn) error {
	_, err := c.run(ctx, "pragma foreign_key_check", nil, func(r *Row) error {
		return fmt.Errorf("%w: a row of %s refers to a row of %s that is not there", ErrDamaged, r.Text(0), r.Text(2))
	})
	return err
}

func (s *Store) number(ctx context.Context, q string, args ...any) (n int64, err error) {
	_, err = s.writer.run(ctx, q, args, func(r *Row) error {
		n = r.Int(0)
		return nil
	})
	return n, err
}

// migrate brings each schema to its newest version, all in one transaction, after a copy
// if a table that was there is going to change.
func (s *Store) migrate(ctx context.Context, schemas []Schema) error {
	if err := validate(schemas); err != nil {
		return err
	}
	err := s.writer.script(`create table if not exists storage_schema (name text primary key, version integer not null) without rowid`)
	if err != nil {
		return err
	}
	versions, pending, changes, err := s.versions(ctx, schemas)
	if err != nil || !pending {
		return err
	}
	if changes {
		if err := s.snapshot(ctx); err != nil {
			return fmt.Errorf("the copy before the upgrade failed: %w", err)
		}
	}
	// A table that is rebuilt is dropped in between; that must not delete what refers to it.
	if err := s.writer.script("pragma foreign_keys = off; begin immediate"); err != nil {
		return err
	}
	err = s.apply(ctx, schemas, versions)
	if err == nil {
		err = s.writer.do("commit")
	}
	if err != nil && !s.writer.db.AutoCommit() {
		err = errors.Join(err, s.writer.do("rollback"))
	}
	return errors.Join(err, s.writer.script("pragma foreign_keys = on"))
}

func validate(schemas []Schema) error {
	seen := map[string]bool{}
	for _, sc := range schemas {
		if sc.Name == "" || seen[sc.Name] {
			return fmt.Errorf("the schema %q is there twice, or has no name", sc.Name)
		}
		seen[sc.Name] = true
		for i, step := range sc.Steps {
			if strings.Contains(strings.ToLower(step), "deferr") {
				return fmt.Errorf("schema %s, version %d: constraints are not deferred", sc.Name, i+1)
			}
		}
	}
	return nil
}

// versions reads what is there. pending: some step is to be run; changes: on tables that
// are there already.
func (s *Store) versions(ctx context.Context, schemas []Schema) (have map[string]int, pending, changes bool, err error) {
	have = map[string]int{}
	for _, sc := range schemas {
		v, err := s.number(ctx, "select version from storage_schema where name = $1", sc.Name)
		if err != nil {
			return nil, false, false, err
		}
		if int(v) > len(sc.Steps) {
			return nil, false, false, fmt.Errorf("%w (%s is at version %d, this program knows %d)", ErrNewer, sc.Name, v, len(sc.Steps))
		}
		have[sc.Name] = int(v)
		pending = pending || int(v) < len(sc.Steps)
		changes = changes || v > 0 && int(v) < len(sc.Steps)
	}
	return have, pending, changes, nil
}

func (s *Store) apply(ctx context.Context, schemas []Schema, have map[string]int) error {
	for _, sc := range schemas {
		from := have[sc.Name]
		for i, step := range sc.Steps[from:] {
			if err := s.writer.script(step); err != nil {
				return fmt.Errorf("the upgrade of %s to version %d failed and was undone: %w", sc.Name, from+i+1, err)
			}
		}
		_, err := s.writer.run(ctx, `insert into storage_schema (name, version) values ($1, $2)
			on conflict (name) do update set version = excluded.version`, []any{sc.Name, len(sc.Steps)}, nil)
		if err != nil {
			return err
		}
		if from > 0 && from < len(sc.Steps) {
			s.cfg.Log.Info("storage: upgraded", "schema", sc.Name, "from", from, "to", len(sc.Steps))
		}
	}
	return checkReferences(ctx, s.writer)
}

// snapshot copies the database as it was before an upgrade, and lets the oldest of such
// copies go.
func (s *Store) snapshot(ctx context.Context) error {
	name := snapshotPrefix + s.cfg.Now().UTC().Format("20060102T150405.000000") + ".db"
	if err := copyTo(ctx, s.writer, filepath.Join(s.cfg.Dir, name)); err != nil {
		return err
	}
	s.cfg.Log.Info("storage: copied the database before the upgrade", "file", name)
	all, err := filepath.Glob(filepath.Join(globEscape(s.cfg.Dir), snapshotPrefix+"*.db"))
	if err != nil {
		return err
	}
	sort.Strings(all)
	for len(all) > keptSnapshots {
		if err := os.Remove(all[0]); err != nil {
			return err
		}
		all = all[1:]
	}
	return nil
}

func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// loadState reads the last ID and the secret, which is made at the first start.
func (s *Store) loadState() error {
	ctx := context.Background()
	last, err := s.number(ctx, "select number from storage_state where name = 'last id'")
	if err != nil {
		return err
	}
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return err
	}
	_, err = s.writer.run(ctx, `insert into storage_state (name, value) values ('secret', $1) on conflict (name) do nothing`, []any{fresh}, nil)
	if err != nil {
		return err
	}
	_, err = s.writer.run(ctx, "select value from storage_state where name = 'secret'", nil, func(r *Row) error {
		s.secret = r.Bytes(0)
		return nil
	})
	if err == nil && len(s.secret) != len(fresh) {
		err = fmt.Errorf("%w: the secret is gone", ErrDamaged)
	}
	if err != nil {
		return err
	}
	s.ids, err = newIDs(s.Secret("storage: ids"), last)
	return err
}

// saveLast keeps the last ID, in the transaction that uses it.
func (s *Store) saveLast(tx *Tx) error {
	_, err := tx.c.run(tx.ctx, `insert into storage_state (name, number) values ('last id', $1)
		on conflict (name) do update set number = excluded.number`, []any{s.ids.last.Load()}, nil)
	return err
}

// explain makes one sentence of what kept a store from opening.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("storage: the database in %s cannot be used, restore a backup: %w", dir, err)
	case errors.Is(err, ErrFull), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("storage: no room in the data directory %s: %w (%w)", dir, ErrFull, err)
	default:
		return fmt.Errorf("storage: the data directory %s cannot be opened: %w", dir, err)
	}
}
