package router

import (
	"context"

	"parley/storage"
	"parley/xmpp"
)

// A Memo is a feature's place in every account in use, for a value of one type that is
// wanted on a message's way and must not be asked of the disk there. The feature fills it
// in its Load. The zero Memo is ready for use and must not be copied.
type Memo[T any] struct{ _ byte } // its address is the key, so it has a size

// memo is what one feature remembers of one account.
type memo struct {
	key   any // *Memo[T]
	value any // *T
}

// Of returns what is remembered of an account, nil where nothing is. It may be asked by
// anyone; the value must not be changed.
func (m *Memo[T]) Of(a *Account) *T {
	if list := a.memos.Load(); list != nil {
		for i := range *list {
			if (*list)[i].key == any(m) {
				return (*list)[i].value.(*T)
			}
		}
	}
	return nil
}

// Set replaces what is remembered of an account. Only in Load or in a turn of the account.
func (m *Memo[T]) Set(a *Account, v *T) {
	var list []memo
	if old := a.memos.Load(); old != nil {
		for _, other := range *old {
			if other.key != any(m) {
				list = append(list, other)
			}
		}
	}
	list = append(list, memo{m, v})
	a.memos.Store(&list)
}

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
