// Package mam keeps messages: the archive of each account (XEP-0313), and in the same rows
// what waits until some device of it has taken it (RFC 6121 §8.5.2.2.1, XEP-0160).
package mam

import (
	"context"
	"log/slog"
	"time"

	"parley/router"
	"parley/storage"
)

const (
	nsHints  = "urn:xmpp:hints"                        // XEP-0334
	nsStates = "http://jabber.org/protocol/chatstates" // XEP-0085
)

// Limits say how much is kept for one account.
type Limits struct {
	Messages int64         // that wait; 0 means 5,000
	Bytes    int64         // that they may have; 0 means 2 MiB
	Expiry   time.Duration // how long a message waits; 0 means for ever

	Archive func(host string) Archive // what holds for the archives of a domain; nil: the defaults
}

type feature struct {
	limits  func() Limits
	router  *router.Router
	store   *storage.Store
	log     *slog.Logger
	trays   router.Memo[tray]
	late    flusher
	peers   *peers
	resends *resends
	reading
}

// New returns the feature. limits is asked for each message, so that it may change while
// the server runs.
func New(limits func() Limits) router.Feature { return Feature(NewKeeper(limits)) }

// Feature returns the feature whose tables a keeper uses.
func Feature(k *Keeper) router.Feature { return k.feature }

// NewKeeper makes the feature, and who keeps the archives of rooms in its tables.
func NewKeeper(limits func() Limits) *Keeper {
	f := &feature{limits: limits, peers: newPeers(), resends: newResends()}
	f.late.flush = f.flush
	f.index = indexer{delay: indexDelay, pause: indexPause, patient: true, piece: f.wordsOfSome}
	f.sweeper = indexer{delay: indexDelay, pause: tidyPause, patient: true, piece: f.sweepSome}
	f.exchange = newExchange()
	r := router.Feature{
		Name: "message archive",
		XEPs: []router.XEP{
			{Number: 13, Version: "1.3"}, {Number: 160, Version: "1.0.1"}, {Number: 203, Version: "2.0"},
			{Number: 334, Version: "1.0.0", Note: "store, no-store and no-permanent-store"},
			{Number: 359, Version: "0.7.0", Note: "stanza-id; false ones are taken off"},
		},
		Disco:   []string{"msgoffline", nsFlexible}, // XEP-0160 §4, XEP-0013 §2.1
		OwnNode: f.node,
		IQ: []router.IQ{
			router.Get(router.ToAccount, nsFlexible, "offline", f.view),
			router.Set(router.ToAccount, nsFlexible, "offline", f.remove),
		},
		Sent:    router.Hooks{Mark: f.honest, Keep: f.keepSent},
		Arrived: router.Hooks{Mark: f.unnamed, Keep: f.keep},
		Bound:   f.bound,
		Due:     f.due,
		Took:    f.took,
		Left:    f.left,
		Load:    f.load,
		Tidy:    f.tidy,
		Unsure:  f.unsure,
		Start:   f.start,
		Stop:    f.stop,
		Schema:  schema,
	}
	f.reads(&r)
	return &Keeper{f, r}
}

func (f *feature) start(h router.Hall) {
	f.store, f.log, f.router = h.Store, h.Log, h.Router
	var was bool
	var last storage.ID
	err := f.store.Write(context.Background(), func(tx *storage.Tx) (err error) {
		last = tx.NextID()
		was, err = wasRunning(tx)
		return err
	})
	switch {
	case err != nil:
		f.log.Error("whether the server was stopped in good order could not be noted", "error", err)
	case was:
		f.crashed(last)
	}
}

// stop writes what was put off, and that the server is being stopped in good order.
func (f *feature) stop() {
	f.late.stop()
	f.store.Keep(0, runsNoMore, nil)
}

// load fills the account's tray from the disk.
func (f *feature) load(tx *storage.Tx, a *router.Account) error {
	before := storage.ID(0)
	if e := f.limits().Expiry; e > 0 {
		before = storage.IDAt(time.Now().Add(-e))
	}
	t, err := readTray(tx, a.ID, before)
	if err == nil {
		f.trays.Set(a, t)
	}
	return err
}

// bound has a client that has bound its resource by Bind 2 fetch what waits from the archive
// (XEP-0386 §3.2): it is taken, except what is in no archive.
func (f *feature) bound(_ *router.Turn, s *router.Sender) {
	a := s.Account()
	if t := f.trays.Of(a); t.takeIf(func(p pending) bool { return !p.hidden }) {
		f.late.mark(a, t)
	}
}

// took takes messages out of those that wait: a device has them.
func (f *feature) took(a *router.Account, ids []storage.ID) {
	if t := f.trays.Of(a); t.take(ids) {
		f.late.mark(a, t)
	}
}
