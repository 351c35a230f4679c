// Package router is the hall of the house: who is here, where a stanza goes, and what a
// feature is.
//
// A stanza's way has five verbs: Stream.Next, Sender.Send, Router.Deliver, Session.Push,
// Stream.Write (and its flush). Doors and rooms know only this package, not each other.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"parley/storage"
	"parley/xmpp"
)

// Config is what a Router is made of.
type Config struct {
	Hosts        []string // the domains of this house; the first is the default one
	Store        *storage.Store
	Accounts     Directory
	Features     []Feature
	MaxResources int // connected resources of one account; 0 means 10
	// UnknownErrors is how many errors for messages to addresses that do not exist one
	// sender gets in a minute; 0 means any number.
	UnknownErrors int
	Log           *slog.Logger
}

// defaultMaxResources is how many resources of one account may be connected.
const defaultMaxResources = 10

// A Router knows every account in use and every feature, and carries stanzas between
// them.
type Router struct {
	log      *slog.Logger
	store    *storage.Store
	dir      Directory
	accounts *accountMap
	features []Feature
	follows  map[string][]func(Edit, []string) error // Feature.Published, by node
	sent     steps
	arrived  steps
	loads    []func(*storage.Tx, *Account) error
	shows    []func(*Account, *xmpp.Stanza) *xmpp.Stanza
	handlers map[handlerKey]Handler
	disco    disco
	postman  Round // of the postman's goroutine alone
	stats    Stats
	unknown  unknown
	ways     Ways // nil: there are none
	services []Service
	showing  []func(*Round, *xmpp.Stanza)
	heeds    []func(int64) bool

	questions questions
	crossings crossings // messages on their way that are not written
	working   tally     // inboxes at work
	stopping  sync.Once

	hosts        atomic.Pointer[map[string]bool]
	maxResources atomic.Int64
	lastActivity atomic.Bool
	sessions     atomic.Int64
	forgets      atomic.Uint64 // accounts that were forgotten
}

// Stats are counters that only grow.
type Stats struct {
	Stanzas [4]atomic.Int64 // from local clients, by xmpp.Kind
	Refused atomic.Int64    // answered with an error by the router
	Unknown atomic.Int64    // messages to nobody that were dropped without an error
	Crossed atomic.Int64    // messages that had arrived before they were to be written
	Panics  atomic.Int64
}

// New makes the router of a house. It sets the store's OnBatch.
func New(cfg Config) *Router {
	r := &Router{
		log: cfg.Log, store: cfg.Store, dir: cfg.Accounts, features: cfg.Features,
		accounts: newAccountMap(), handlers: map[handlerKey]Handler{}, follows: map[string][]func(Edit, []string) error{},
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.SetHosts(cfg.Hosts)
	r.SetMaxResources(cfg.MaxResources)
	r.unknown.init(cfg.UnknownErrors)
	r.crossings.init()
	r.features = append([]Feature{r.discoFeature()}, cfg.Features...)
	for _, f := range r.features {
		r.sent.add(f.Sent)
		r.arrived.add(f.Arrived)
		if f.Load != nil {
			r.loads = append(r.loads, f.Load)
		}
		if f.Shown != nil {
			r.shows = append(r.shows, f.Shown)
		}
		if f.Shows != nil {
			r.showing = append(r.showing, f.Shows)
		}
		if f.Heeds != nil {
			r.heeds = append(r.heeds, f.Heeds)
		}
		if f.Service != nil {
			r.services = append(r.services, f.Service)
		}
		for node, fn := range f.Published {
			r.follows[node] = append(r.follows[node], fn)
		}
		for _, h := range f.IQ {
			r.handlers[handlerKey{h.At, h.Type, h.Space, h.Name}] = h.Handle
		}
	}
	r.disco.compile(r.features)
	r.store.OnBatch(r.postman.Flush)
	for _, f := range r.features {
		if f.Start != nil {
			f.Start(Hall{r, r.store, r.log})
		}
	}
	return r
}

// Features returns all features, the router's own first.
func (r *Router) Features() []Feature { return r.features }

// Stats returns the router's counters.
func (r *Router) Stats() *Stats { return &r.stats }

// Sessions returns how many sessions are bound.
func (r *Router) Sessions() int64 { return r.sessions.Load() }

// SetHosts replaces the domains that the house serves.
func (r *Router) SetHosts(hosts []string) {
	m := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		m[h] = true
	}
	r.hosts.Store(&m)
	r.disco.forgetCaps()
}

// SetMaxResources sets how many resources of one account may be connected; 0 means the
// default.
func (r *Router) SetMaxResources(n int) {
	if n <= 0 {
		n = defaultMaxResources
	}
	r.maxResources.Store(int64(n))
}

// SetLastActivity says whether users who come online hear of each contact who is absent,
// and when the contact left (XEP-0256 §1). In the beginning they do not.
func (r *Router) SetLastActivity(on bool) { r.lastActivity.Store(on) }

// LastActivity reports what SetLastActivity has said.
func (r *Router) LastActivity() bool { return r.lastActivity.Load() }

// SetUnknownErrors sets how many errors for messages to addresses that do not exist one
// sender gets in a minute; 0 means any number.
func (r *Router) SetUnknownErrors(n int) { r.unknown.most.Store(int64(n)) }

// Serves reports whether domain is one of this house.
func (r *Router) Serves(domain string) bool { return (*r.hosts.Load())[domain] }

// Wait waits until no inbox is at work, or ctx is over.
func (r *Router) Wait(ctx context.Context) { r.working.wait(ctx) }

// Stop waits until no inbox is at work, or ctx is over, and has every feature write what
// it has put off. No session is left then, and the store is still open.
func (r *Router) Stop(ctx context.Context) {
	r.Wait(ctx)
	r.Land(ctx)
	r.stopping.Do(func() {
		for _, f := range r.features {
			if f.Stop != nil {
				f.Stop()
			}
		}
	})
}

// Tidy has every feature delete what is too old. It takes its time, and is meant to be
// called about once an hour.
func (r *Router) Tidy(ctx context.Context) {
	for _, f := range r.features {
		if f.Tidy != nil && ctx.Err() == nil {
			r.tidy(ctx, f)
		}
	}
}

func (r *Router) tidy(ctx context.Context, f Feature) {
	defer r.caught("tidying up", nil)
	if err := f.Tidy(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrClosed) {
		r.log.Warn("what is too old could not be deleted; it is tried again in an hour", "feature", f.Name, "error", err)
	}
}

// failed makes a stanza error of what the store said.
func (r *Router) failed(err error) *xmpp.Error {
	var e *xmpp.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, storage.ErrFull):
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the server's disk is full", Cause: err}
	}
	return xmpp.Failure(err)
}

// caught is deferred around what features do: a panic is counted, logged, and an
// internal-server-error in err, if that is not nil.
func (r *Router) caught(what string, err **xmpp.Error) {
	v := recover()
	if v == nil {
		return
	}
	r.stats.Panics.Add(1)
	r.log.Error(what+" panicked", "panic", v, "stack", string(debug.Stack()))
	if err != nil {
		*err = xmpp.Failure(fmt.Errorf("panic: %v", v))
	}
}

// account returns the account with this bare JID, pinned, or nil where there is none.
func (r *Router) account(ctx context.Context, bare xmpp.JID) (*Account, error) {
	for {
		a, drops := r.accounts.get(bare)
		if a != nil {
			return a, nil
		}
		id, found, err := r.dir.Lookup(ctx, bare)
		if err != nil || !found {
			return nil, err
		}
		if a, err = r.load(ctx, bare, id); err != nil {
			return nil, err
		}
		if a = r.accounts.put(a, drops); a != nil {
			return a, nil
		}
	}
}

// Address returns the bare JID of the account with that number; found is false where there
// is none (any more).
func (r *Router) Address(ctx context.Context, id int64) (bare xmpp.JID, found bool, err error) {
	return r.dir.Address(ctx, id)
}

// WithAccount calls fn with the account of that bare JID, which stays in memory
// meanwhile; with nil where there is none.
func (r *Router) WithAccount(ctx context.Context, bare xmpp.JID, fn func(*Account) error) error {
	a, err := r.account(ctx, bare)
	if err != nil {
		return err
	}
	if a != nil {
		defer a.pins.Add(-1)
	}
	return fn(a)
}

// recipient returns the account that a message is for, pinned; nil where there is none.
func (r *Router) recipient(ctx context.Context, to xmpp.JID) (*Account, *xmpp.Error) {
	switch {
	case to.Local() == "":
		return nil, xmpp.Refuse("service-unavailable", "") // nobody reads the server's mail (RFC 6120 §10.5.1)
	}
	a, err := r.account(ctx, to.Bare())
	if err != nil {
		return nil, r.failed(err)
	}
	return a, nil
}

// Deliver carries a stanza that has its 'from' to whom it is for: the house, an account of
// it or one of its resources, or somebody elsewhere. It waits for no peer and no commit.
func (r *Router) Deliver(rd *Round, st *xmpp.Stanza) { r.deliver(context.Background(), rd, st, false) }

// Bounce answers a stanza that was on its way with an error of the house, where it may be
// answered with one. Nobody on the way back refuses that.
func (r *Router) Bounce(rd *Round, st *xmpp.Stanza, e *xmpp.Error) {
	if answer := xmpp.Bounce(st, e); answer != nil {
		r.deliver(context.Background(), rd, answer, true)
	}
}

// Return is Bounce for a message that had been taken to be sent and is given up: its sender's
// archive is to have the answer, too (Passage.Returned).
func (r *Router) Return(rd *Round, st *xmpp.Stanza, e *xmpp.Error) {
	if answer := xmpp.Bounce(st, e); answer != nil {
		(&Passage{r: r, Stanza: answer, size: answer.Len(), ours: true, returned: st}).deliver(context.Background(), rd)
	}
}

// deliver is Deliver; ours says that the stanza was made by the house itself.
func (r *Router) deliver(ctx context.Context, rd *Round, st *xmpp.Stanza, ours bool) {
	switch st.Kind {
	case xmpp.Message:
		(&Passage{r: r, Stanza: st, size: st.Len(), ours: ours}).deliver(ctx, rd)
	case xmpp.IQ:
		r.iq(ctx, rd, st, nil)
	case xmpp.Presence:
		switch {
		case !r.Serves(st.To.Domain()):
			err := r.abroad(rd, st)
			if err != nil && st.Type == "subscribe" { // RFC 6121 §3.1.2
				r.deliver(ctx, rd, xmpp.Bounce(st, err), true)
			}
		case st.To.Local() == "": // a domain has no presence of its own
		case speaks(st.Type):
			r.incoming(ctx, rd, st)
		default:
			r.directed(ctx, rd, st)
		}
	}
}
