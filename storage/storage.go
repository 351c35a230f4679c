// Package storage is the disk: transactions, their order, migrations and backup. Features
// own their tables and queries; this package owns when and how they are run.
//
// Everything that changes the database stands in one line. A writer takes all that waits
// into one transaction and commits it; a postman then tells each, in the order of the
// line. So what a feature hears is what is on disk, and in the same order.
package storage

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Defaults of Config.
const (
	DefaultQueueBytes = 64 << 20
	MaxReaders        = 4 // the default is a reading connection a CPU, within 2 and this
)

const databaseName = "parley.db"

// A Config says where a Store is and how large it may grow in memory.
type Config struct {
	Dir        string           // data directory; made, with mode 0700, if it is not there
	Readers    int              // reading connections; 0: one a CPU, but 2 to MaxReaders
	QueueBytes int64            // what may wait to be written before Wait waits; 0: DefaultQueueBytes
	Log        *slog.Logger     // nil: slog.Default()
	Now        func() time.Time // nil: time.Now
	Faults     *Faults          // for tests; nil in a server
}

// Faults lets tests see what a working disk seldom shows. Package storagetest uses it.
type Faults struct {
	// Twice runs the functions of Write twice, the first time undone, as an engine may.
	Twice bool
	// Commit, if set, is called where a batch would commit. Its error stands for the
	// commit's.
	Commit func() error
}

// A Schema is what one feature keeps: its tables, as steps that only go forward. Steps[i]
// is the SQL text of version i+1. A step that was ever released is never changed. All
// constraints are immediate: one that is checked at the commit would fail others' work.
type Schema struct {
	Name  string
	Steps []string
}

// A Store is one open database. All its methods may be called by anyone, except where a
// method says otherwise.
type Store struct {
	cfg    Config
	path   string
	lock   *os.File
	secret []byte
	ids    *ids
	count  counters

	queue    *queue
	writer   *conn
	tx       Tx         // the writer's
	refusing bool       // the writer's: the last batch was lost
	turn     sync.Mutex // held by the writer during a batch, by the checkpoint for its last pass
	post     chan *batch
	readers  chan *conn
	aside    chan struct{} // holds something while Backup or Check works
	onBatch  []func()
	pages    *checkpointer

	stopping  chan struct{} // closed by Close
	dead      chan struct{} // closed when a commit's outcome is unknown
	fatal     chan error
	written   chan struct{} // closed when the postman has ended
	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in cfg.Dir, which no other process may have open (ErrLocked), and
// brings it to the newest version of each schema, after a copy of the old one. Each of
// its errors is one sentence for the operator.
func Open(ctx context.Context, cfg Config, schemas ...Schema) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{
		cfg:      cfg,
		path:     filepath.Join(cfg.Dir, databaseName),
		queue:    newQueue(cfg.QueueBytes),
		post:     make(chan *batch, batchesAhead),
		readers:  make(chan *conn, cfg.Readers),
		aside:    make(chan struct{}, 1),
		stopping: make(chan struct{}),
		dead:     make(chan struct{}),
		fatal:    make(chan error, 1),
		written:  make(chan struct{}),
	}
	if err := s.open(ctx, schemas); err != nil {
		s.closeFiles()
		return nil, explain(cfg.Dir, err)
	}
	go s.write()
	go s.deliver()
	go s.pages.work()
	return s, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.Readers <= 0 {
		cfg.Readers = min(max(2, runtime.NumCPU()), MaxReaders)
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = DefaultQueueBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Faults == nil {
		cfg.Faults = &Faults{}
	}
	return cfg
}

func (s *Store) open(ctx context.Context, schemas []Schema) (err error) {
	if s.path, err = filepath.Abs(s.path); err != nil {
		return err
	}
	if s.lock, err = lockDir(s.cfg.Dir); err != nil {
		return err
	}
	if err = makeFile(s.path); err != nil {
		return err
	}
	if s.writer, err = openConn(s.path, writerCacheKiB); err != nil {
		return err
	}
	if err = checkEngine(s.writer); err != nil {
		return err
	}
	if err = s.checkDatabase(ctx); err != nil {
		return err
	}
	if err = s.migrate(ctx, append([]Schema{ownSchema()}, schemas...)); err != nil {
		return err
	}
	if err = s.loadState(); err != nil {
		return err
	}
	s.tx = Tx{s: s, c: s.writer, ctx: context.Background(), writes: true, over: true}
	return s.openOthers()
}

func (s *Store) openOthers() (err error) {
	for range s.cfg.Readers {
		c, err := openConn(s.path, readerCacheKiB)
		if err == nil {
			err = c.script("pragma query_only = on")
		}
		if err != nil {
			return err
		}
		s.readers <- c
	}
	s.pages, err = newCheckpointer(s)
	return err
}

// Fatal tells, once, that the outcome of a commit is unknown. From then on nothing is
// answered; the process is to say so and exit, and the next start tells.
func (s *Store) Fatal() <-chan error { return s.fatal }

// Secret returns 32 bytes that nobody can know, the same for a name as long as the
// database lives. They are derived (HKDF, SHA-256) from one random key in it.
func (s *Store) Secret(name string) []byte {
	key, err := hkdf.Key(sha256.New, s.secret, nil, name, 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return key
}

// Close finishes what is queued, moves the log into the database and closes it. If ctx
// ends first, it returns an error and what was not committed is lost, unacknowledged.
func (s *Store) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Store) close(ctx context.Context) error {
	s.queue.close()
	select {
	case <-s.written:
	case <-ctx.Done():
		jobs, _ := s.queue.waiting()
		return fmt.Errorf("storage: closed with %d writes waiting: %w", jobs, ctx.Err())
	}
	close(s.stopping)
	<-s.pages.ended
	for range s.cfg.Readers {
		select {
		case c := <-s.readers:
			c.close()
		case <-ctx.Done():
			return fmt.Errorf("storage: closed while something reads: %w", ctx.Err())
		}
	}
	select {
	case s.aside <- struct{}{}: // Backup and Check end when stopping is closed
	case <-ctx.Done():
		return fmt.Errorf("storage: closed during a backup: %w", ctx.Err())
	}
	return s.closeFiles()
}

// closeFiles closes what is open, the writer's connection last: closing the last
// connection moves the log into the database and removes it.
func (s *Store) closeFiles() error {
	var errs []error
	for len(s.readers) > 0 {
		(<-s.readers).close()
	}
	if s.pages != nil {
		errs = append(errs, s.pages.c.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
