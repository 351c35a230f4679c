package mam

import (
	"context"
	"time"

	"parley/storage"
)

// tidyPause is how long the store's writer is left alone between two pieces of work.
const tidyPause = 20 * time.Millisecond

// tidy deletes what has waited longer than it may, a little at a time.
func (f *feature) tidy(ctx context.Context) error {
	before := storage.ID(0) // nothing is older: only what a crash left is deleted
	if e := f.limits().Expiry; e > 0 {
		before = storage.IDAt(time.Now().Add(-e))
	}
	expired := 0
	for behind := int64(0); ; {
		var gone int
		err := f.store.Write(ctx, func(tx *storage.Tx) (err error) {
			gone, behind, err = expire(tx, before, behind, atOnce)
			return err
		})
		if err != nil {
			return err
		}
		expired += gone
		if behind == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tidyPause):
		}
	}
	if expired > 0 {
		f.log.Info("messages that nobody came for were deleted", "messages", expired)
	}
	return nil
}
