package storage

import (
	"errors"
	"fmt"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// What an error of this package can be recognised by, with errors.Is.
var (
	// ErrFull: there is no room on the disk. Nothing of what was asked is kept; it may be
	// asked again later.
	ErrFull = errors.New("the disk is full")
	// ErrLocked: another server, or an offline command, has the data directory open.
	ErrLocked = errors.New("the data directory is in use by another process")
	// ErrBusy: another program holds the database's own lock for longer than busyTimeout.
	ErrBusy = errors.New("the database is held by another program")
	// ErrConflict: a row of this key is there already.
	ErrConflict = errors.New("there is such a row already")
	// ErrDamaged: the database does not hold together, or is none.
	ErrDamaged = errors.New("the database is damaged")
	// ErrNewer: a newer Parley wrote the database.
	ErrNewer = errors.New("the database was written by a newer version")
	// ErrClosed: the store was closed before the work began.
	ErrClosed = errors.New("the store is closed")
	// ErrFatal: a commit ended with an I/O error and nobody knows whether it counts.
	ErrFatal = errors.New("the outcome of a commit is unknown")
	// ErrReadOnly: a statement that changes something in Read.
	ErrReadOnly = errors.New("this transaction only reads")
	// ErrEnded: a Tx that is used after its function has returned.
	ErrEnded = errors.New("this transaction is over")
)

// A StatementError is what the engine said about a statement. It is for the log: nothing
// of it is for a peer.
type StatementError struct {
	Query string // the SQL text; the values are not in it
	Kind  error  // ErrFull, ErrBusy, ErrConflict, ErrDamaged, or nil
	Cause error
}

func (e *StatementError) Error() string {
	return fmt.Sprintf("storage: %v (%s)", e.Cause, strings.Join(strings.Fields(e.Query), " "))
}

// Unwrap gives the kind and the cause.
func (e *StatementError) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Cause}
	}
	return []error{e.Kind, e.Cause}
}

// A PanicError is the error of a function that panicked. The stack is in the log.
type PanicError struct{ Value any }

func (e *PanicError) Error() string { return fmt.Sprintf("storage: panic: %v", e.Value) }

func statementError(query string, err error) error {
	return &StatementError{Query: query, Kind: kindOf(err), Cause: err}
}

func kindOf(err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code {
	case sqlite3.ErrFull:
		return ErrFull
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return ErrBusy
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return ErrDamaged
	}
	switch e.ExtendedCode {
	case sqlite3.ErrConstraintUnique, sqlite3.ErrConstraintPrimaryKey, sqlite3.ErrConstraintRowID:
		return ErrConflict
	}
	return nil
}

// isIO says whether the engine could not read or write its files: after a COMMIT that
// means that nobody knows.
func isIO(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrIoErr
}
