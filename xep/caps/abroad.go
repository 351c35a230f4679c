package caps

import (
	"context"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Limits of finding out what clients of other servers can do.
const (
	maxAbroad  = 1024   // hashes that are being found out
	maxAsking  = 256    // who waits for the same hash
	maxDomains = 10_000 // domains whose budgets are remembered
)

// abroad is what is being found out of clients of other servers.
type abroad struct {
	open    map[digest][]inquiry // the first one is asked, or is about to be
	budgets *simplelru.LRU[string, budget]
}

// An inquiry is one client elsewhere, and who wants to know what it can do.
type inquiry struct {
	account *router.Account
	full    xmpp.JID
	said    announcement
	then    func([]string)
}

func newAbroad() abroad {
	budgets, _ := simplelru.NewLRU[string, budget](maxDomains, nil) // fails for sizes below one only
	return abroad{map[digest][]inquiry{}, budgets}
}

// inquire answers router.Inquire. A hash that nobody knows is asked for once, of one client at a
// time. A domain has a budget of such hashes as an account has (see afford).
func (f *feature) inquire(a *router.Account, st *xmpp.Stanza, then func([]string)) {
	said, ok := announced(st)
	if !ok || len(said.digests) == 0 {
		return // it could not be verified
	}
	in := inquiry{a, st.From, said, then}
	d := said.digests[0]
	f.mu.Lock()
	if e, found := f.cache.get(said.trusted()); found {
		f.mu.Unlock()
		then(e.info.Features)
		return
	}
	waiting := f.abroad.open[d]
	switch {
	case len(waiting) >= maxAsking, len(waiting) == 0 && (len(f.abroad.open) >= maxAbroad || !f.abroad.afford(st.From.Domain(), f.now())):
		f.mu.Unlock()
		return
	}
	f.abroad.open[d] = append(waiting, in)
	f.mu.Unlock()
	if a.Hold(); len(waiting) == 0 {
		f.router.Beside(func() { f.find(d, in) })
	}
}

// afford takes one from the budget of a domain. The lock is held.
func (b *abroad) afford(domain string, now time.Time) bool {
	left := budget{maxNews, now}
	if was, found := b.budgets.Get(domain); found {
		left.left = min(maxNews, was.left+max(0, float64(now.Sub(was.at))/float64(newsEvery)))
	}
	if left.left < 1 {
		return false
	}
	left.left--
	b.budgets.Add(domain, left)
	return true
}

// find looks into the table, and asks where there is nothing.
func (f *feature) find(d digest, in inquiry) {
	var info *Info
	found := d
	err := f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		for _, found = range in.said.trusted() {
			if info, err = find(tx, found); info != nil || err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.log.Warn("capabilities cannot be read; clients are asked", "error", err)
	}
	if info == nil {
		f.askAbroad(d, in)
		return
	}
	f.mu.Lock()
	f.cache.put(found, info, f.now())
	f.mu.Unlock()
	f.told(d, info)
}

// askAbroad asks one client, in the name of the account that it has shown itself to
// (XEP-0060 §9.2).
func (f *feature) askAbroad(d digest, in inquiry) {
	var b xmpp.Builder
	p := b.Open(xmpp.NSInfo, "query", "node", in.said.node).Payload()
	f.router.Ask(in.account.JID, in.full, "get", p, f.patience, func(st *xmpp.Stanza) {
		info, proven := judge(in.said, st)
		now := f.now()
		solved := false
		f.mu.Lock()
		for _, p := range proven {
			f.cache.put(p, info, now)
			solved = solved || p == d
		}
		f.mu.Unlock()
		for _, p := range proven {
			f.write(info.size(), func(tx *storage.Tx) error { return add(tx, p, info, now, f.rows) })
		}
		if solved {
			f.told(d, info)
			return
		}
		if info != nil { // it speaks for itself alone
			in.then(info.Features)
		}
		f.nextAbroad(d)
	})
}

// nextAbroad asks the next one who has announced the same.
func (f *feature) nextAbroad(d digest) {
	f.mu.Lock()
	list := f.abroad.open[d]
	list[0].account.Release()
	if list = list[1:]; len(list) == 0 {
		delete(f.abroad.open, d)
		f.mu.Unlock()
		return
	}
	f.abroad.open[d] = list
	f.mu.Unlock()
	f.router.Beside(func() { f.askAbroad(d, list[0]) })
}

// told tells all who have asked.
func (f *feature) told(d digest, info *Info) {
	f.mu.Lock()
	list := f.abroad.open[d]
	delete(f.abroad.open, d)
	f.mu.Unlock()
	for _, in := range list {
		in.then(info.Features)
		in.account.Release()
	}
}
