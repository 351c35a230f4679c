package announce

import (
	"context"
	"errors"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A chunk of accounts is delivered to and committed before the next is read, so that an
// announcement to all leaves room in the store's line for everybody else.
const (
	chunk    = 100
	tryAgain = 5 * time.Second // after an error of the store
)

// run is an announcement to all that is on its way.
type run struct {
	id       int64
	host, by string
	text     Text
	after    string // the localpart of the last account that has it
	reached  int
}

// All announces to all users of a domain: at once to who is there, and to the others when
// they come. It returns when the announcement is on the disk; Run carries it out.
func (a *Announcer) All(ctx context.Context, host string, t Text, by string) error {
	if err := t.Check(); err != nil {
		return err
	}
	taken := false
	err := a.store.Write(ctx, func(tx *storage.Tx) (err error) {
		taken, err = addRun(tx, host, t, by)
		return err
	})
	if err != nil {
		return err
	}
	if !taken {
		return xmpp.Refuse("resource-constraint", "too many announcements are on their way")
	}
	a.log.Info("announcement to all begins", "domain", host, "by", by)
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run carries out the announcements to all, one after the other, until ctx is over. What is
// not through then goes on with the next Run, also of another process: nobody is left out,
// and after a crash at most one chunk gets it twice.
func (a *Announcer) Run(ctx context.Context) {
	for {
		worked, err := a.next(ctx)
		var again <-chan time.Time
		switch {
		case ctx.Err() != nil || errors.Is(err, storage.ErrClosed):
			return
		case err != nil:
			a.log.Error("an announcement to all is held up", "error", err)
			again = time.After(tryAgain)
		case worked:
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-again:
		}
	}
}

// next carries out the oldest announcement; worked is false where there is none.
func (a *Announcer) next(ctx context.Context) (worked bool, err error) {
	var r run
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		r, worked, err = firstRun(tx)
		return err
	})
	if err != nil || !worked {
		return false, err
	}
	if !a.router.Serves(r.host) {
		a.log.Warn("announcement to all is dropped: the domain is gone", "domain", r.host, "by", r.by)
		return true, a.store.Write(ctx, func(tx *storage.Tx) error { return endRun(tx, r.id) })
	}
	st := r.text.message("normal", r.host)
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		// A chunk that has begun is brought to its end, so that nobody gets it twice.
		if more, err = a.chunk(context.WithoutCancel(ctx), &r, st); err != nil {
			return true, err
		}
	}
	a.log.Info("announcement to all is through", "domain", r.host, "accounts", r.reached, "by", r.by,
		"took", time.Since(r.began()).Round(time.Millisecond).String())
	return true, nil
}

// chunk delivers to some accounts and writes down how far the announcement is. The commit
// of that is behind theirs.
func (a *Announcer) chunk(ctx context.Context, r *run, st *xmpp.Stanza) (more bool, err error) {
	list, next, err := a.accounts.Enabled(ctx, r.host, r.after, chunk)
	if err != nil {
		return false, err
	}
	var rd router.Round
	for _, bare := range list {
		a.router.Deliver(&rd, st.Readdressed(bare, st.From))
	}
	rd.Flush()
	ahead := *r
	ahead.after, ahead.reached = next, r.reached+len(list)
	err = a.store.Write(ctx, func(tx *storage.Tx) error {
		if next == "" {
			return endRun(tx, r.id)
		}
		return advance(tx, ahead)
	})
	if err != nil {
		return false, err
	}
	*r = ahead
	return next != "", nil
}
