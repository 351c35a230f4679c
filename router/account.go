package router

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"parley/xmpp"
)

// An Account is one account in use, online or not: who is connected, and what features
// remember of it. It is loaded when somebody needs it and forgotten when nobody has for a
// while. The list of resources is changed by turns of the account's inbox alone and may
// be read by anyone.
type Account struct {
	JID xmpp.JID // bare
	ID  int64    // of auth's table

	inbox     Inbox
	resources atomic.Pointer[[]Resource]
	pins      atomic.Int32
	gone      atomic.Bool // removed; what still holds it must not use it
	data      atomic.Pointer[[]datum]
}

// datum is what one feature remembers of an account.
type datum struct{ key, value any }

// Data returns what a feature has put there under its key, nil where there is nothing.
// Anyone may ask, so what is put there must not change. It goes when the account is
// forgotten, which happens at any time while no session of it is connected.
func (a *Account) Data(key any) any {
	if l := a.data.Load(); l != nil {
		for i := range *l {
			if (*l)[i].key == key {
				return (*l)[i].value
			}
		}
	}
	return nil
}

// SetData puts a value there instead of the one before; nil takes it away. Only in a turn,
// or in Load.
func (a *Account) SetData(key, value any) {
	var list []datum
	if l := a.data.Load(); l != nil {
		for _, d := range *l {
			if d.key != key {
				list = append(list, d)
			}
		}
	}
	if value != nil {
		list = append(list, datum{key, value})
	}
	a.data.Store(&list)
}

// Resources returns the connected resources, in the order in which they were bound. The
// slice must not be changed.
func (a *Account) Resources() []Resource {
	if l := a.resources.Load(); l != nil {
		return *l
	}
	return nil
}

// Resource returns the connected resource of that name.
func (a *Account) Resource(name string) (Resource, bool) {
	for _, r := range a.Resources() {
		if r.JID().Resource() == name {
			return r, true
		}
	}
	return Resource{}, false
}

// Removed reports whether the account was removed or disabled since it was loaded. Nothing
// is to be kept for it any more.
func (a *Account) Removed() bool { return a.gone.Load() }

// Hold keeps the account in memory until Release.
func (a *Account) Hold() { a.pins.Add(1) }

// Release takes back one Hold.
func (a *Account) Release() { a.pins.Add(-1) }

// Post puts a turn in the account's line. The caller holds the account in memory; from
// then on the turn does, until it is over.
func (a *Account) Post(turn func(*Turn)) error { return a.post(turn, maxTurns) }

func (a *Account) post(turn func(*Turn), limit int) error {
	a.pins.Add(1)
	err := a.inbox.post(func(t *Turn) {
		defer a.pins.Add(-1)
		if !a.gone.Load() {
			turn(t)
		}
	}, limit)
	if err != nil {
		a.pins.Add(-1)
	}
	return err
}

// Do takes a turn and waits for it. It must not be called from a turn.
func (a *Account) Do(turn func(*Turn)) error { return a.inbox.Do(turn) }

// change replaces the entry of one session by what f makes of it. Only in a turn.
func (a *Account) change(s Session, f func(*Resource)) (before, after Resource, ok bool) {
	old := a.Resources()
	list := make([]Resource, len(old))
	copy(list, old)
	for i := range list {
		if list[i].Session == s {
			before = list[i]
			f(&list[i])
			after = list[i]
			ok = true
		}
	}
	if ok {
		a.resources.Store(&list)
	}
	return before, after, ok
}

// SetInterest marks a resource as one that has asked for the roster. Only in a turn.
func (a *Account) SetInterest(s *Sender) {
	a.change(s.session, func(r *Resource) { r.Interest = true })
}

// SetCopies says whether a resource wants copies of messages (XEP-0280 §4, §5). Only in a
// turn.
func (a *Account) SetCopies(s *Sender, on bool) {
	a.change(s.session, func(r *Resource) { r.Copies = on })
}

// wantsCopies reports whether any resource wants copies of messages.
func (a *Account) wantsCopies() bool {
	return slices.ContainsFunc(a.Resources(), func(r Resource) bool { return r.Copies })
}

// add puts a resource at the end of the list. Only in a turn.
func (a *Account) add(res Resource) {
	old := a.Resources()
	list := append(make([]Resource, 0, len(old)+1), old...)
	list = append(list, res)
	a.resources.Store(&list)
}

// remove takes a session out of the list. Only in a turn.
func (a *Account) remove(s Session) (was Resource, ok bool) {
	old := a.Resources()
	list := make([]Resource, 0, len(old))
	for _, r := range old {
		if r.Session == s {
			was, ok = r, true
			continue
		}
		list = append(list, r)
	}
	if ok {
		a.resources.Store(&list)
	}
	return was, ok
}

// A Directory says which accounts exist.
type Directory interface {
	// Lookup returns the number of the account with this bare JID; found is false for
	// one that does not exist. A disabled account exists.
	Lookup(ctx context.Context, bare xmpp.JID) (id int64, found bool, err error)
	// Address is the reverse of Lookup.
	Address(ctx context.Context, id int64) (bare xmpp.JID, found bool, err error)
}

// shards is how many parts the map of accounts has, each with its own lock.
const shards = 64

// idleAccounts is how many accounts that nobody uses one shard remembers, or as many as
// are in use, if these are more.
const idleAccounts = 256

type accountMap struct {
	seed  maphash.Seed
	parts [shards]accountPart
}

type accountPart struct {
	mu    sync.Mutex // a leaf
	m     map[xmpp.JID]*Account
	full  int    // how many accounts there are when those that nobody uses are forgotten
	drops uint64 // accounts that were dropped: what was looked up before is not to be believed
}

// evict forgets the accounts that nobody uses. It is called when the part has grown by as
// many as it may, so that each new account costs the same, however many are in use. The
// lock is held.
func (p *accountPart) evict() {
	for bare, a := range p.m {
		if a.pins.Load() == 0 {
			delete(p.m, bare)
			p.drops++ // somebody may be reading what this one has just changed
		}
	}
	p.full = len(p.m) + max(len(p.m), idleAccounts)
}

func newAccountMap() *accountMap {
	m := &accountMap{seed: maphash.MakeSeed()}
	for i := range m.parts {
		m.parts[i].m, m.parts[i].full = map[xmpp.JID]*Account{}, idleAccounts
	}
	return m
}

func (m *accountMap) part(bare xmpp.JID) *accountPart {
	return &m.parts[maphash.String(m.seed, bare.String())%shards]
}

// get returns a pinned account that is in memory, or nil, and what put wants to know.
func (m *accountMap) get(bare xmpp.JID) (a *Account, drops uint64) {
	p := m.part(bare)
	p.mu.Lock()
	a = p.m[bare]
	if a != nil {
		a.pins.Add(1)
	}
	drops = p.drops
	p.mu.Unlock()
	return a, drops
}

// put adds a and returns it pinned, or the one that was there already; nil if an account
// was dropped since get, which may have been this one.
func (m *accountMap) put(a *Account, drops uint64) *Account {
	p := m.part(a.JID)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch was := p.m[a.JID]; {
	case was != nil:
		a = was
	case p.drops != drops:
		return nil
	default:
		if len(p.m) >= p.full {
			p.evict()
		}
		p.m[a.JID] = a
	}
	a.pins.Add(1)
	return a
}

// drop forgets an account for good and returns it, if it was in memory.
func (m *accountMap) drop(bare xmpp.JID) *Account {
	p := m.part(bare)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops++
	a := p.m[bare]
	delete(p.m, bare)
	return a
}
