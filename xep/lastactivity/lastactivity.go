// Package lastactivity tells how long a user has been away, to those who may see the
// user's presence, and how long the server has been up (XEP-0012). What a device itself
// has to say of it goes to the device.
package lastactivity

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "jabber:iq:last"

// maxStatus is how many characters are kept of what somebody said when leaving.
const maxStatus = 1023

type feature struct {
	seen    router.Memo[leave] // of accounts that were left since they came into memory
	now     func() time.Time
	started time.Time
	router  *router.Router
	store   *storage.Store
	log     *slog.Logger
}

// New returns the feature. now is the clock.
func New(now func() time.Time) router.Feature {
	f := &feature{now: now}
	return router.Feature{
		Name: "last activity",
		XEPs: []router.XEP{
			{Number: 12, Version: "2.0"},
			{Number: 256, Version: "1.1", Note: "of absent contacts, where the operator wants it"},
		},
		Disco:        []string{ns},
		AccountDisco: []string{ns},
		IQ: []router.IQ{
			router.Get(router.ToServer, ns, "query", f.uptime),
			router.Get(router.ToAccount, ns, "query", f.account),
		},
		Presence: f.presence,
		Absent:   f.absent,
		Start:    func(h router.Hall) { f.router, f.store, f.log, f.started = h.Router, h.Store, h.Log, now() },
		Forget:   func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:   schema,
	}
}

// uptime answers for the server (XEP-0012 §5).
func (f *feature) uptime(context.Context, *router.Request) (xmpp.Payload, error) {
	return query(f.now().Sub(f.started), ""), nil
}

// account answers for a user. Who may not see the user's presence learns nothing, not even
// whether there is such a user (XEP-0012 §3, §8).
func (f *feature) account(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	q.Round.Flush() // who waits, flushes
	if q.Account == nil || !f.router.Trusted(ctx, q.Account, q.From()) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	if len(q.Account.Resources()) > 0 {
		return query(0, ""), nil // XEP-0012 §3
	}
	l, err := f.left(ctx, q.Account)
	switch {
	case err != nil:
		return nil, err
	case l == nil:
		return nil, xmpp.Refuse("item-not-found", "")
	}
	return query(f.now().Sub(l.at), l.status), nil
}

// A leave is when the last resource of an account went away, and with what words.
type leave struct {
	at     time.Time
	status string
}

// left returns how an account was left, nil where it was never there.
func (f *feature) left(ctx context.Context, a *router.Account) (*leave, error) {
	if l := f.seen.Of(a); l != nil { // it may not have been written yet
		return l, nil
	}
	var l leave
	found := false
	err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		l.at, l.status, found, err = last(tx, a.ID)
		return err
	})
	if err != nil || !found {
		return nil, err
	}
	return &l, nil
}

// absent tells in presence when a user left: with a stamp in any case (RFC 6121 §4.3.2),
// and in full (XEP-0256 §1, XEP-0012 §2) where the operator wants it. Whoever gets this may
// ask for it too (XEP-0012 §8).
func (f *feature) absent(t *router.Turn, a *router.Account) xmpp.Payload {
	t.Flush() // who waits, flushes
	l, err := f.left(context.Background(), a)
	if err != nil {
		f.log.Warn("when a user left cannot be read", "account", a.JID.String(), "error", err)
	}
	if l == nil {
		return nil
	}
	p := xmpp.Delay(a.JID.Host(), l.at)
	if f.router.LastActivity() {
		p = append(p, query(f.now().Sub(l.at), l.status)...)
	}
	return p
}

// query is the answer of XEP-0012 §2. A clock that was set back makes no time negative.
func query(ago time.Duration, status string) xmpp.Payload {
	var b xmpp.Builder
	seconds := max(0, int64(ago/time.Second))
	return b.Open(ns, "query", "seconds", strconv.FormatInt(seconds, 10)).Text(status).Payload()
}

// presence notes when the last resource of an account goes away, and with what words. It is
// written with whatever else is, and nobody waits for it. Of an account that is removed
// nothing is noted.
func (f *feature) presence(_ *router.Turn, a *router.Account, c router.PresenceChange) {
	if !c.Went() || a.Removed() {
		return
	}
	for _, res := range a.Resources() {
		if res.Available() {
			return
		}
	}
	now, status := f.now(), shorten(c.Stanza.Child("", "status").Text())
	f.seen.Set(a, &leave{now, status})
	f.store.Keep(len(status), func(tx *storage.Tx) error {
		if a.Removed() {
			return nil
		}
		return note(tx, a.ID, now, status)
	}, func(err error) {
		if err != nil && !errors.Is(err, storage.ErrClosed) {
			f.log.Warn("when a user left was not noted", "account", a.JID.String(), "error", err)
		}
	})
}

// shorten cuts s behind maxStatus characters.
func shorten(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxStatus {
			return s[:i]
		}
	}
	return s
}
