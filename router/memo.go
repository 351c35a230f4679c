package router

import (
	"context"

	"parley/storage"
	"parley/xmpp"
)

// A Memo is a feature's typed place in the Data of every account in use, for what is wanted
// on a message's way and must not be asked of the disk there. The feature fills it in its
// Load. The zero Memo is ready for use and must not be copied.
type Memo[T any] struct{ _ byte } // its address is the key, so it has a size

// Of returns what is remembered of an account, nil where nothing is. It may be asked by
// anyone; the value must not be changed.
func (m *Memo[T]) Of(a *Account) *T {
	v, _ := a.Data(m).(*T)
	return v
}

// Set replaces what is remembered of an account. Only in Load or in a turn of the account.
func (m *Memo[T]) Set(a *Account, v *T) { a.SetData(m, v) }

// load makes the entry of an account, with what the features remember of it.
func (r *Router) load(ctx context.Context, bare xmpp.JID, id int64) (*Account, error) {
	a := &Account{JID: bare, ID: id}
	a.inbox.r = r
	if len(r.loads) == 0 {
		return a, nil
	}
	err := r.store.Read(ctx, func(tx *storage.Tx) error { return r.recall(tx, a) })
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (r *Router) recall(tx *storage.Tx, a *Account) error {
	var panicked *xmpp.Error
	err := func() error {
		defer r.caught("a load", &panicked)
		for _, load := range r.loads {
			if err := load(tx, a); err != nil {
				return err
			}
		}
		return nil
	}()
	if panicked != nil {
		return panicked
	}
	return err
}
