package mam

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"parley/storage"
)

// How the conversations are kept behind what is written.
const (
	exchangeDelay = 300 * time.Millisecond // for rows to come that share pages
	exchangePause = 5 * time.Millisecond   // between two pieces: others stand in the line too
	exchangePiece = 1500                   // rows of one piece
	exchangeAhead = 200_000                // rows that are remembered; for others the disk is asked
)

// An exchange keeps the table exchanged behind the rows of archives. That is soon, however
// many messages there are: what it costs is paid while they come. Who reads by peer has the
// rows of the owner put there first (see settle).
type exchange struct {
	work indexer

	mu     sync.Mutex           // a leaf
	list   []exchanged          // what may not be there yet, in the order of ids
	newest map[int64]storage.ID // the last of that for each owner
	begun  bool                 // nothing is left of an earlier run: newest has all
	sure   bool                 // and so has the list
	last   storage.ID           // of what was noted
	lost   storage.ID           // up to it the list is not to be believed
}

func newExchange() *exchange {
	x := &exchange{newest: map[int64]storage.ID{}}
	x.work = indexer{delay: exchangeDelay, pause: exchangePause, piece: x.piece}
	return x
}

// note notes that a message is being written, in the transaction that does it: nobody can see
// a row that was not noted.
func (x *exchange) note(id storage.ID, parts []part) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = id
	for _, p := range parts {
		if p.flags&hidden == 0 {
			x.newest[p.owner] = id
		}
	}
}

// written notes the rows of a message that are to be seen, in the order of commits.
func (x *exchange) written(id storage.ID, parts []part) {
	x.mu.Lock()
	for _, p := range parts {
		if p.flags&hidden == 0 {
			x.list = append(x.list, exchanged{p.owner, p.peer, id, p.flags, p.resource})
		}
	}
	if len(x.list) > exchangeAhead {
		x.list, x.sure, x.lost = nil, false, id
	}
	x.mu.Unlock()
	x.work.wake()
}

// doubt is called where rows that are to be seen are changed or deleted, in that transaction:
// the disk is asked for all that were noted so far.
func (x *exchange) doubt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sure, x.lost = false, x.last
}

// noted returns the last message that was noted, in a transaction: what was before it is on
// the disk by then, or will never be.
func (x *exchange) noted() storage.ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

// trusts reports whether the list can be believed, in a transaction.
func (x *exchange) trusts() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sure
}

// next returns the rows of the next piece, those of a message together; known is false where
// the disk is to be asked for them.
func (x *exchange) next() (list []exchanged, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := min(len(x.list), exchangePiece)
	for n > 0 && n < len(x.list) && x.list[n].id == x.list[n-1].id {
		n++
	}
	return slices.Clone(x.list[:n]), x.sure
}

// piece puts the next piece of all there. It is a Keep, for a Write has a savepoint, which
// costs half as much again.
func (x *exchange) piece(ctx context.Context) (more bool, err error) {
	list, known := x.next()
	if known && len(list) == 0 {
		return false, nil
	}
	var upto storage.ID
	var all bool
	type outcome struct {
		more bool
		err  error
	}
	done := make(chan outcome, 1)
	x.work.store.Keep(len(list)*24, func(tx *storage.Tx) (err error) {
		if all = false; known && x.trusts() {
			upto = slices.MaxFunc(list, func(a, b exchanged) int { return cmp.Compare(a.id, b.id) }).id
			return exchangeUpTo(tx, list, upto)
		}
		left := false
		if upto, left, err = exchangeSome(tx, exchangePiece/2); !left {
			upto, all = max(upto, x.noted()), true
		}
		return err
	}, func(err error) {
		o := outcome{err: err}
		if err == nil {
			o.more = x.reached(upto, all)
		}
		done <- o
	})
	select {
	case o := <-done:
		return o.more, o.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// reached notes that all rows up to an id are there; all says that there were no more on the
// disk. It reports whether there is another piece.
func (x *exchange) reached(upto storage.ID, all bool) (more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun = x.begun || all
	x.sure = x.sure || all && upto >= x.lost
	i := slices.IndexFunc(x.list, func(r exchanged) bool { return r.id > upto })
	if i < 0 {
		i = len(x.list)
	}
	x.list = append(x.list[:0], x.list[i:]...)
	for owner, id := range x.newest {
		if id <= upto {
			delete(x.newest, owner)
		}
	}
	return !x.sure || len(x.list) >= exchangePiece
}

// lacks reports whether an owner has rows that may not be in exchanged, and up to where.
func (x *exchange) lacks(owner int64) (upto storage.ID, some bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	upto, some = x.newest[owner]
	return upto, some || !x.begun
}

// settle has all rows that an owner has by now be in exchanged. Where they are it costs
// nothing; else the owner's own go there before the others', by write.
func (x *exchange) settle(owner int64, write writing) error {
	upto, lacks := x.lacks(owner)
	if !lacks {
		return nil
	}
	for n := exchangePiece; n == exchangePiece; {
		err := write(func(tx *storage.Tx) (err error) {
			n, err = exchangeOf(tx, owner, exchangePiece)
			return err
		})
		if err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.newest[owner] == upto {
		delete(x.newest, owner)
	}
	return nil
}
