package mam

import (
	"context"
	"time"

	"parley/router"
	"parley/storage"
)

// tidyPause is how long the store's writer is left alone between two pieces of work.
const tidyPause = 20 * time.Millisecond

// atOnce is how many rows are deleted in one turn of the store's writer, which has others
// to serve.
const atOnce = 500

// tidy has what waited longer than it may wait no more. What is in the archive stays there.
func (f *feature) tidy(ctx context.Context) error {
	e := f.limits().Expiry
	if e <= 0 {
		return nil
	}
	before := storage.IDAt(time.Now().Add(-e))
	f.router.Everybody(func(a *router.Account) bool { return f.trays.Of(a).oldest() < before },
		func(_ *router.Turn, a *router.Account) { f.expire(a, before) })
	expired := 0
	for more := true; more; {
		err := f.store.Write(ctx, func(tx *storage.Tx) error {
			n, err := removeHidden(tx, before, atOnce)
			more = n == atOnce
			expired += n
			return err
		})
		if err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if expired > 0 {
		f.log.Info("messages that nobody came for were deleted", "messages", expired)
	}
	return nil
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(tidyPause):
		return nil
	}
}

// expire takes what waited too long out of the tray of an account in use. In others it is
// left out when they come into use.
func (f *feature) expire(a *router.Account, before storage.ID) {
	if t := f.trays.Of(a); t.takeIf(func(p pending) bool { return p.id < before }) {
		f.late.mark(a, t)
	}
}
