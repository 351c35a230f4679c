// Package routertest is a house with people and no network: a router with real storage,
// accounts in memory, and sessions that remember what they were pushed. It also plays the
// conversations of testdata/talk, here or through any other door.
package routertest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/storage"
	"parley/storage/storagetest"
	"parley/xmpp"
)

// Config is what a House is made of. The zero Config is a house without features.
type Config struct {
	Hosts        []string // none: example.com and example.net
	Features     []router.Feature
	MaxResources int            // as in router.Config
	Storage      storage.Config // as far as it is set
	Log          *slog.Logger   // nil: the test's output
	Dir          *Directory     // nil: a new one
}

// A House is a router in memory, on a real database.
type House struct {
	Router *router.Router
	Store  *storage.Store
	Disk   *storagetest.Disk // makes the store fail
	Dir    *Directory

	t     testing.TB
	peers []*Peer // who is connected through Connect; the test's goroutine alone

	mu       sync.Mutex
	services map[string]*Service
}

// New returns a house with these features. It is closed when the test ends.
func New(t testing.TB, features ...router.Feature) *House {
	t.Helper()
	return NewWith(t, Config{Features: features})
}

// NewWith is New with a configuration of the test's own.
func NewWith(t testing.TB, cfg Config) *House {
	t.Helper()
	if len(cfg.Hosts) == 0 {
		cfg.Hosts = []string{"example.com", "example.net"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	var schemas []storage.Schema
	for _, f := range cfg.Features {
		if f.Schema.Name != "" {
			schemas = append(schemas, f.Schema)
		}
	}
	h := &House{t: t, Dir: cfg.Dir}
	if h.Dir == nil {
		h.Dir = &Directory{}
	}
	h.Store, h.Disk = storagetest.OpenFaulty(t, cfg.Storage, schemas...)
	h.Router = router.New(router.Config{
		Hosts: cfg.Hosts, Store: h.Store, Accounts: h.Dir, Features: cfg.Features,
		MaxResources: cfg.MaxResources, Log: cfg.Log,
	})
	t.Cleanup(func() { // before the store is closed
		for _, p := range h.peers {
			p.leave()
		}
		h.Router.Stop(context.Background())
	})
	return h
}

// Online connects somebody, who then sends initial presence. The account is made if it is
// not there.
func (h *House) Online(full string) *Actor {
	h.t.Helper()
	a := h.Connected(full)
	a.Comes("<presence/>")
	return a
}

// Connected connects somebody who sends no presence.
func (h *House) Connected(full string) *Actor {
	h.t.Helper()
	jid := mustJID(h.t, full)
	h.Exists(jid.Bare())
	return &Actor{t: h.t, jid: jid, Person: h.Connect(jid)}
}

// Exists makes an account, if it is not there. It is part of People.
func (h *House) Exists(bare xmpp.JID) {
	if _, there, _ := h.Dir.Lookup(context.Background(), bare); !there {
		h.Dir.Add(bare)
		h.Router.Joined(bare)
		h.Settle()
	}
}

// Connect binds a session to an account that exists. It is part of People.
func (h *House) Connect(full xmpp.JID) Person {
	h.t.Helper()
	p, err := h.Bind(full)
	if err != nil {
		h.t.Fatalf("%s cannot come: %v", full, err)
	}
	h.peers = append(h.peers, p)
	h.Settle()
	return p
}

// Bind binds a session and leaves everything else to the caller, also its Leave. Unlike
// the rest of a House it may be called by anyone.
func (h *House) Bind(full xmpp.JID) (*Peer, error) {
	p := &Peer{house: h}
	var err error
	unknown := h.Router.Forgets() + 1 // nobody has logged in: the directory is asked
	p.Sender, err = h.Router.Bind(full.Bare(), 0, unknown, full.Resource(), func(j xmpp.JID) router.Session {
		p.Session = &Session{jid: j}
		return p.Session
	})
	if err == nil {
		p.Session.mu.Lock()
		p.Session.sender = p.Sender
		p.Session.mu.Unlock()
	}
	return p, err
}

// Settle waits until nothing is on its way any more: what was sent is settled, the store's
// line is empty, no turn is under way, and whoever was ended has left. Nobody else may use
// the house meanwhile.
func (h *House) Settle() {
	var rd router.Round
	for again := true; again; {
		again = false
		for _, p := range h.peers {
			if !p.left {
				p.Sender.Settle(&rd)
			}
		}
		rd.Flush()
		for range 3 { // turns put something into the line, and what is in the line has turns follow
			h.Barrier()
			h.Router.Wait(context.Background()) // an inbox flushes when its turns are over, not with each
		}
		h.Barrier()
		for _, p := range h.peers {
			if !p.left && p.Session.Err() != nil {
				p.leave()
				again = true
			}
		}
	}
}

// Barrier waits until all that stood in the store's line, and what that put there, is
// written and told.
func (h *House) Barrier() {
	for range 3 {
		told := make(chan struct{})
		h.Store.Keep(0, nil, func(error) { close(told) })
		<-told
	}
}

// Eventually waits until ok says so: for what a test cannot wait for by its own doing.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func mustJID(t testing.TB, s string) xmpp.JID {
	t.Helper()
	j, err := xmpp.ParseJID(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return j
}

// A Directory knows the accounts that a test has made. It implements router.Directory.
type Directory struct {
	mu   sync.Mutex
	ids  map[xmpp.JID]int64
	last int64
	hook func(bare xmpp.JID)
}

// Add makes an account if it is not there and returns its number. No number is used twice.
func (d *Directory) Add(bare xmpp.JID) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.ids[bare]; ok {
		return id
	}
	if d.ids == nil {
		d.ids = map[xmpp.JID]int64{}
	}
	d.last++
	d.ids[bare] = d.last
	return d.last
}

// EachAccount calls each for every account of a domain.
func (d *Directory) EachAccount(_ context.Context, domain string, each func(bare xmpp.JID)) error {
	d.mu.Lock()
	all := slices.Collect(maps.Keys(d.ids))
	d.mu.Unlock()
	for _, bare := range all {
		if bare.Domain() == domain {
			each(bare)
		}
	}
	return nil
}

// Remove forgets an account.
func (d *Directory) Remove(bare xmpp.JID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ids, bare)
}

// All returns the accounts in the order of their addresses.
func (d *Directory) All() []xmpp.JID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.ids), func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
}

// OnLookup has fn called in every Lookup, after the answer is known and before it is given.
func (d *Directory) OnLookup(fn func(bare xmpp.JID)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = fn
}

// Lookup implements router.Directory.
func (d *Directory) Lookup(_ context.Context, bare xmpp.JID) (int64, bool, error) {
	d.mu.Lock()
	id, ok := d.ids[bare]
	hook := d.hook
	d.mu.Unlock()
	if hook != nil {
		hook(bare)
	}
	return id, ok, nil
}

// Address implements router.Directory.
func (d *Directory) Address(_ context.Context, id int64) (xmpp.JID, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for bare, n := range d.ids {
		if n == id {
			return bare, true, nil
		}
	}
	return xmpp.JID{}, false, nil
}
