// Package register lets users change their password and remove their account in-band
// (XEP-0077 §3.2, §3.3). Making accounts happens before login, at the door.
package register

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

const ns = "jabber:iq:register"

// Accounts is what the feature needs of the accounts. Each method returns a stanza error
// for what is the user's fault.
type Accounts interface {
	ChangePassword(ctx context.Context, bare xmpp.JID, password string) error
	// Remove forgets the account and everything that is kept for it.
	Remove(ctx context.Context, bare xmpp.JID) error
}

// New returns the feature.
func New(accounts Accounts) router.Feature {
	f := &feature{accounts: accounts}
	return router.Feature{
		Name:  "registration",
		XEPs:  []router.XEP{{Number: 77, Version: "2.4", Note: "creation only where the operator allows it"}},
		Disco: []string{ns},
		Start: func(h router.Hall) { f.router = h.Router },
		IQ: []router.IQ{
			router.Get(router.ToServer, ns, "query", f.get), router.Get(router.ToOwn, ns, "query", f.get),
			router.Set(router.ToServer, ns, "query", f.set), router.Set(router.ToOwn, ns, "query", f.set),
		},
	}
}

type feature struct {
	accounts Accounts
	router   *router.Router
}

// get tells a user that there is an account (XEP-0077 §3.1).
func (f *feature) get(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	var b xmpp.Builder
	b.Open(ns, "query").Open("", "registered").Close()
	b.Leaf("", "username", q.From().Local()).Open("", "password").Close()
	return b.Payload(), nil
}

// set removes the account or changes the password of the session that asks; nobody else's
// can be named (XEP-0077 §3.3).
func (f *feature) set(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	own := q.From().Bare()
	if !q.Payload.Child(ns, "remove").IsZero() { // XEP-0077 §3.2
		if first := q.Payload.First(); !first.Is(ns, "remove") {
			return nil, xmpp.Refuse("bad-request", "")
		}
		q.Round.Flush()
		if err := f.router.Leaving(ctx, own); err != nil {
			return nil, err
		}
		if err := f.accounts.Remove(ctx, own); err != nil {
			return nil, err
		}
		q.After(func(rd *router.Round) { // the answer leaves before the sessions end
			rd.Flush()
			f.router.Forget(own, xmpp.EndStream("not-authorized", "the account has been removed"))
		})
		return nil, nil
	}
	name, password := q.Payload.ChildText(ns, "username"), q.Payload.ChildText(ns, "password")
	if name == "" || password == "" {
		return nil, xmpp.Refuse("bad-request", "")
	}
	if j, err := xmpp.NewJID(name, own.Domain(), ""); err != nil || j != own { // XEP-0077 §3.3
		return nil, xmpp.Refuse("not-allowed", "")
	}
	q.Round.Flush()
	return nil, f.accounts.ChangePassword(ctx, own, password)
}
