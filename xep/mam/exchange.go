package mam

import (
	"context"
	"sync"
	"time"

	"parley/storage"
)

// How the conversations are kept behind what is written.
const (
	exchangeDelay = 300 * time.Millisecond // for rows to come that share pages
	exchangePause = 8 * time.Millisecond   // between two pieces: others stand in the line too
	exchangePiece = 500                    // messages of one piece, with two rows each
)

// An exchange keeps the table exchanged behind the rows of archives. That is soon, however
// many messages there are: what it costs is paid while they come. Who reads by peer has the
// rows of the owner put there first (see settle).
type exchange struct {
	indexer

	mu     sync.Mutex           // a leaf
	newest map[int64]storage.ID // what owners have that may not be there yet
	sure   bool                 // newest has all: what an earlier run has left is there

	rows []exchanged // the writer's, used again
}

func newExchange() *exchange {
	x := &exchange{newest: map[int64]storage.ID{}}
	x.indexer = indexer{delay: exchangeDelay, pause: exchangePause, piece: x.some}
	return x
}

// note notes that an owner has another row. It is called in the transaction that writes the
// row, so that nobody sees one that was not noted; if that fails, one piece is in vain.
func (x *exchange) note(owner int64, id storage.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.newest[owner] = id
}

// some is the next piece of all. Nobody asks for its outcome, so it is a Keep: what stands
// behind a savepoint costs half as much again.
func (x *exchange) some(ctx context.Context) (more bool, err error) {
	var got struct {
		upto storage.ID
		more bool
	}
	done := make(chan error, 1)
	x.store.Keep(0, func(tx *storage.Tx) (err error) {
		got.upto, got.more, err = x.exchangeSome(tx, exchangePiece)
		return err
	}, func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return false, err
		}
	case <-ctx.Done():
		return false, ctx.Err()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sure = x.sure || !got.more
	for owner, id := range x.newest {
		if id <= got.upto {
			delete(x.newest, owner)
		}
	}
	return got.more, nil
}

// lacks reports whether an owner has rows that may not be in exchanged, and up to where.
func (x *exchange) lacks(owner int64) (upto storage.ID, any bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	upto, any = x.newest[owner]
	return upto, any || !x.sure
}

// settle has all rows that an owner has by now be in exchanged. Where they are it costs
// nothing; else the owner's own go there before the others', by write.
func (x *exchange) settle(owner int64, write func(func(*storage.Tx) error) error) error {
	upto, any := x.lacks(owner)
	for n := exchangePiece; any && n == exchangePiece; {
		err := write(func(tx *storage.Tx) (err error) {
			n, err = x.exchangeOf(tx, owner, exchangePiece)
			return err
		})
		if err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if any && x.newest[owner] == upto {
		delete(x.newest, owner)
	}
	return nil
}
