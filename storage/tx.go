package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Tx is what a function of Read, Write or Keep works with. It is that function's only,
// until it returns, and no other goroutine's.
type Tx struct {
	s       *Store
	c       *conn
	ctx     context.Context
	writes  bool
	over    bool
	changed int64
	gone    error // why the engine has ended the whole transaction
	drew    bool  // an ID was drawn since the last commit
}

// Exec runs a statement. Values stand in q as $1, $2 and so on, in any order.
func (tx *Tx) Exec(q string, args ...any) error {
	if !tx.writes {
		return statementError(q, ErrReadOnly)
	}
	return tx.run(q, args, nil)
}

// Each runs a query and calls fn for each row; an error of fn ends it and is returned.
// fn may run other statements.
func (tx *Tx) Each(q string, args []any, fn func(*Row) error) error {
	return tx.run(q, args, fn)
}

// One runs a query and reads the first row's columns into dest, as Row.Scan does. found
// is false if there is no row.
func (tx *Tx) One(q string, args []any, dest ...any) (found bool, err error) {
	err = tx.run(q, args, func(r *Row) error {
		if found {
			return nil // walked to its end: it may be an insert that returns rows
		}
		found = true
		return r.Scan(dest...)
	})
	return found && err == nil, err
}

// Changes returns how many rows the last Exec inserted, changed or deleted. A statement
// with "returning" does not count.
func (tx *Tx) Changes() int64 { return tx.changed }

// Now is the store's clock.
func (tx *Tx) Now() time.Time { return tx.s.cfg.Now() }

// NextID draws an ID greater than all before it, whatever the clock does. It is kept with
// the transaction. Only in Write and Keep.
func (tx *Tx) NextID() ID {
	if !tx.writes || tx.over {
		panic("storage: NextID outside Write and Keep")
	}
	tx.drew = true
	return tx.s.ids.next(tx.Now())
}

func (tx *Tx) run(q string, args []any, fn func(*Row) error) error {
	switch {
	case tx.over:
		return statementError(q, ErrEnded)
	case tx.gone != nil:
		return tx.gone // what came now would commit by itself
	case tx.c.controls(q):
		return statementError(q, errors.New("transactions are begun and ended by storage"))
	}
	changed, err := tx.c.run(tx.ctx, q, args, fn)
	tx.changed = changed
	if err != nil && tx.writes && tx.c.db.AutoCommit() {
		tx.gone = fmt.Errorf("storage: the transaction is gone: %w", err)
	}
	return err
}

// isControl says whether a statement would change the transaction under us.
func isControl(q string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(q), " ")
	switch strings.ToLower(strings.TrimRight(word, ";")) {
	case "begin", "commit", "end", "rollback", "savepoint", "release", "attach", "detach", "vacuum":
		return true
	}
	return false
}

// controls is isControl, known from the statement if it was seen before.
func (c *conn) controls(q string) bool {
	if st := c.statements[q]; st != nil {
		return st.control
	}
	return isControl(q)
}
