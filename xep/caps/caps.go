// Package caps finds out what clients can do, once for all clients that can do the same
// (XEP-0115, XEP-0390). A client says in its presence of what hash the answer to disco#info
// is; the server asks one client for each hash, computes the hash again, and remembers the
// answer, in memory and in a table, only if it is the same. So nobody can say anything of
// other people's clients.
//
// An answer that cannot be verified, or is not what was announced, speaks for that client
// alone while it is there; an ill-formed one for nobody.
package caps

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// maxRows is how many hashes are remembered in the table.
const maxRows = 10000

// noteEvery is how often the table hears that a hash is in use.
const noteEvery = 24 * time.Hour

type feature struct {
	now      func() time.Time
	patience time.Duration // how long a client may take to answer before another is asked
	rows     int64
	budgets  router.Memo[budget]
	router   *router.Router
	store    *storage.Store
	log      *slog.Logger

	mu    sync.Mutex // a leaf
	cache cache
	there map[xmpp.JID]*client
	open  map[digest]*question

	abroad abroad
}

// New returns the feature. now is the clock.
func New(now func() time.Time) router.Feature { return newFeature(now).feature() }

func newFeature(now func() time.Time) *feature {
	return &feature{
		now: now, patience: patience, rows: maxRows,
		there: map[xmpp.JID]*client{}, open: map[digest]*question{}, abroad: newAbroad(),
	}
}

func (f *feature) feature() router.Feature {
	return router.Feature{
		Name: "capabilities of clients",
		XEPs: []router.XEP{
			{Number: 115, Version: "1.6.0", Note: "clients': verified, and remembered"},
			{Number: 390, Version: "0.3.2", Note: "clients': verified, and remembered"},
		},
		Presence:     f.presence,
		Restore:      f.restore,
		Capabilities: f.capabilities,
		Inquire:      f.inquire,
		Start:        func(h router.Hall) { f.router, f.store, f.log = h.Router, h.Store, h.Log },
		Schema:       schema,
	}
}

// A client is an available resource that has announced something: what it announced last.
// It does not change but for info and question.
type client struct {
	account  *router.Account
	session  router.Session
	sender   *router.Sender
	said     announcement
	info     *Info     // nil while it is not known
	question *question // that it is asked, or whose answer it waits for
}

func (c *client) jid() xmpp.JID { return c.session.JID() }

// presence looks at what a resource announces, and has it asked if nobody knows what that
// is. Presence without an announcement leaves the last one in force (XEP-0115 §8.4,
// XEP-0390 §6.2).
func (f *feature) presence(t *router.Turn, a *router.Account, c router.PresenceChange) {
	if c.Went() {
		f.went(t, c.Before.Session)
		return
	}
	said, ok := announced(c.Stanza)
	if !ok {
		return
	}
	cl := &client{account: a, session: c.After.Session, sender: c.After.Sender(), said: said}
	if !f.enter(t, cl) {
		return
	}
	info, ask := f.recall(t, cl)
	if info == nil && ask {
		info = f.ask(t, cl)
	}
	if info != nil {
		f.router.Known(t, a, c.After, info.Features)
	}
}

// restore is presence for a resource that is there again after a restart.
func (f *feature) restore(t *router.Turn, a *router.Account, res router.Resource, _ []byte) error {
	if res.Available() {
		f.presence(t, a, router.PresenceChange{After: res, Stanza: res.Presence})
	}
	return nil
}

// enter notes what a resource announces, and reports whether that is news.
func (f *feature) enter(t *router.Turn, cl *client) bool {
	f.mu.Lock()
	was := f.there[cl.jid()]
	if was != nil && was.session == cl.session && was.said.same(cl.said) {
		f.mu.Unlock()
		return false
	}
	var q *question
	var next *client
	if was != nil {
		q, next = f.leave(was)
	}
	f.there[cl.jid()] = cl
	f.mu.Unlock()
	f.pose(&t.Round, next, q)
	return true
}

// went forgets a resource that is no longer available.
func (f *feature) went(t *router.Turn, s router.Session) {
	f.mu.Lock()
	cl := f.there[s.JID()]
	if cl == nil || cl.session != s {
		f.mu.Unlock()
		return
	}
	delete(f.there, s.JID())
	q, next := f.leave(cl)
	f.mu.Unlock()
	f.pose(&t.Round, next, q)
}

// recall returns what is known of an announcement, from memory or from the table. ask says
// that the client may be asked where nothing is.
func (f *feature) recall(t *router.Turn, cl *client) (info *Info, ask bool) {
	now := f.now()
	f.mu.Lock()
	e, found := f.cache.get(cl.said.trusted())
	stale := false
	if found {
		cl.info = e.info
		if stale = now.Sub(e.noted) >= noteEvery; stale {
			e.noted = now
		}
	}
	f.mu.Unlock()
	switch {
	case stale:
		f.write(64, func(tx *storage.Tx) error { return use(tx, e.digest, now) })
		fallthrough
	case found:
		return cl.info, false
	case !f.afford(cl.account, now):
		return nil, false
	}
	d, info := f.read(t, cl.said.trusted())
	if info == nil {
		return nil, true
	}
	f.mu.Lock()
	f.cache.put(d, info, now)
	cl.info = info
	f.mu.Unlock()
	f.write(64, func(tx *storage.Tx) error { return use(tx, d, now) })
	return info, false
}

// read looks for digests in the table.
func (f *feature) read(t *router.Turn, digests []digest) (found digest, info *Info) {
	if len(digests) == 0 {
		return found, nil
	}
	t.Flush() // who waits, flushes
	err := f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		for _, d := range digests {
			found = d
			if info, err = find(tx, d); info != nil || err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.log.Warn("capabilities cannot be read; clients are asked", "error", err)
		return found, nil
	}
	return found, info
}

// write has something written some time; nobody waits for it.
func (f *feature) write(size int, do func(*storage.Tx) error) {
	f.store.Keep(size, do, func(err error) {
		if err != nil && !errors.Is(err, storage.ErrClosed) {
			f.log.Warn("capabilities were not written", "error", err)
		}
	})
}

// capabilities answers router.Capabilities, from memory.
func (f *feature) capabilities(full xmpp.JID, st *xmpp.Stanza) ([]string, bool) {
	said, ok := announced(st)
	f.mu.Lock()
	defer f.mu.Unlock()
	if cl := f.there[full]; cl != nil && cl.info != nil && (!ok || cl.said.same(said)) {
		return cl.info.Features, true
	}
	if e, found := f.cache.get(said.trusted()); ok && found {
		return e.info.Features, true
	}
	return nil, false
}
