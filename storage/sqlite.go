package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const (
	busyTimeout     = 5000 // ms that a statement waits for another program's lock
	writerCacheKiB  = 64 << 10
	readerCacheKiB  = 16 << 10
	logFileKeepSize = 32 << 20 // bytes: a longer log file is cut when the log starts anew
	maxStatements   = 512      // prepared statements a connection keeps
)

// A conn is one connection with its prepared statements. One goroutine at a time uses it.
type conn struct {
	db         *sqlite3.SQLiteConn
	statements map[string]*statement // by the text as the feature wrote it
	args       []driver.NamedValue   // used again by each call
}

// A statement is prepared, and knows what it takes and gives.
type statement struct {
	s       *sqlite3.SQLiteStmt
	inputs  int
	columns int
	busy    bool // its rows are being read
	control bool // it begins or ends a transaction
	row     Row
}

// openConn opens a connection with the settings that all of ours share.
func openConn(path string, cacheKiB int) (*conn, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf("_mutex=no&_busy_timeout=%d", busyTimeout)}
	db, err := (&sqlite3.SQLiteDriver{}).Open(dsn.String())
	if err != nil {
		return nil, statementError("open "+path, err)
	}
	c := &conn{db: db.(*sqlite3.SQLiteConn), statements: map[string]*statement{}}
	err = c.script(fmt.Sprintf(`pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;
		pragma wal_autocheckpoint = 0; pragma journal_size_limit = %d; pragma temp_store = memory;
		pragma trusted_schema = off; pragma cache_size = -%d`, logFileKeepSize, cacheKiB))
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// script runs statements that take no values. It is for settings and migrations.
func (c *conn) script(text string) error {
	if _, err := c.db.Exec(text, nil); err != nil {
		return statementError(text, err)
	}
	return nil
}

// do runs a statement that takes and gives nothing.
func (c *conn) do(text string) error {
	_, err := c.run(context.Background(), text, nil, nil)
	return err
}

func (c *conn) close() error {
	for _, st := range c.statements {
		st.s.Close()
	}
	c.statements = nil
	return c.db.Close()
}

// prepare returns the statement of text, kept from the last time if there was one.
func (c *conn) prepare(text string) (*statement, error) {
	if st := c.statements[text]; st != nil && !st.busy {
		return st, nil
	}
	ours, err := numbered(text)
	if err != nil {
		return nil, statementError(text, err)
	}
	s, err := c.db.Prepare(ours)
	if err != nil {
		return nil, statementError(text, err)
	}
	st := &statement{s: s.(*sqlite3.SQLiteStmt), inputs: s.NumInput(), control: isControl(text)}
	if st.columns, err = countColumns(st.s); err != nil {
		s.Close()
		return nil, statementError(text, err)
	}
	st.row.values = make([]driver.Value, st.columns)
	if c.statements[text] == nil {
		c.makeRoom()
		c.statements[text] = st
	}
	return st, nil
}

// makeRoom forgets some statement when there are too many. Texts are constants, so this
// happens only to code that builds them.
func (c *conn) makeRoom() {
	if len(c.statements) < maxStatements {
		return
	}
	for text, st := range c.statements {
		if !st.busy {
			st.s.Close()
			delete(c.statements, text)
			return
		}
	}
}

// done ends the use of st. One that is not kept (its text was in use when it was
// prepared) is closed.
func (c *conn) done(text string, st *statement) {
	st.busy, st.row.err = false, nil
	clear(st.row.values)
	if c.statements[text] != st {
		st.s.Close()
	}
}

// countColumns asks the driver, which tells it of rows only; nothing is run.
func countColumns(s *sqlite3.SQLiteStmt) (int, error) {
	rows, err := s.Query(nil)
	if err != nil {
		return 0, err
	}
	n := len(rows.Columns())
	return n, rows.Close()
}

// run runs a statement and calls each for each row, if any. changed is the number of rows
// that a statement without result rows changed.
func (c *conn) run(ctx context.Context, text string, args []any, each func(*Row) error) (changed int64, err error) {
	st, err := c.prepare(text)
	if err != nil {
		return 0, err
	}
	st.busy = true
	defer c.done(text, st)
	if len(args) != st.inputs {
		return 0, statementError(text, fmt.Errorf("%d values for %d places", len(args), st.inputs))
	}
	if c.args, err = bind(c.args[:0], args); err != nil {
		return 0, statementError(text, err)
	}
	defer clear(c.args)
	if st.columns == 0 {
		res, err := st.s.ExecContext(ctx, c.args)
		if err != nil {
			return 0, statementError(text, err)
		}
		return res.RowsAffected()
	}
	return 0, st.walk(ctx, text, c.args, each)
}

// walk runs to the last row also when nobody wants to see them: a statement that is left
// half-way would keep the transaction from ending.
func (st *statement) walk(ctx context.Context, text string, args []driver.NamedValue, each func(*Row) error) (err error) {
	rows, err := st.s.QueryContext(ctx, args)
	if err != nil {
		return statementError(text, err)
	}
	defer func() {
		if e := rows.Close(); err == nil && e != nil {
			err = statementError(text, e)
		}
	}()
	for {
		switch err := rows.Next(st.row.values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return statementError(text, err)
		}
		if each == nil {
			continue
		}
		err := each(&st.row)
		if err == nil {
			err = st.row.err
		}
		if err != nil {
			return err
		}
	}
}
