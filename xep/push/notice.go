package push

import (
	"context"
	"sync"

	"parley/router"
	"parley/storage"
)

// noticed tells the devices of an account of what was said where it belongs, as in a room: those
// that are not there, and those that nobody looks at. Such a message was handed to no session
// for the account, so there is no acknowledgement to wait for.
func (f *feature) noticed(a *router.Account, n router.Notice) (told bool) {
	for _, t := range f.of(a) {
		if res, there := a.Resource(t.resource); !there || res.Attention() != router.Awake {
			f.tell(a, t, n.Stanza)
			told = true
		}
	}
	return told
}

// owners are the accounts that have nodes, in memory or not: whoever has something to tell to
// thousands need not load those who have none. An account that was removed may stay among them.
type owners struct {
	mu sync.RWMutex // a leaf
	m  map[int64]struct{}
}

func (o *owners) has(account int64) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, has := o.m[account]
	return has
}

func (o *owners) set(account int64, has bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.m == nil {
		o.m = map[int64]struct{}{}
	}
	if has {
		o.m[account] = struct{}{}
	} else {
		delete(o.m, account)
	}
}

// read fills them from the disk.
func (o *owners) read(s *storage.Store) error {
	return s.Read(context.Background(), func(tx *storage.Tx) error {
		return eachOwner(tx, func(account int64) { o.set(account, true) })
	})
}
