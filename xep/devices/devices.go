// Package devices shows users which clients have access to their account, and takes access
// away from one of them (XEP-0494).
package devices

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"parley/router"
	"parley/xmpp"
)

const ns = "urn:xmpp:cam:0"

// A Device is a client that has access to an account: one that is remembered, or connected,
// or both.
type Device struct {
	ID          string // to speak of it (XEP-0494 §3.1)
	Agent       xmpp.UserAgent
	FirstSeen   time.Time
	LastSeen    time.Time
	Password    bool     // it has shown the account's password of today
	Certificate bool     // it has shown a certificate
	Token       bool     // it has a token that is good (XEP-0484)
	Sessions    []string // its connected resources
	Remembered  bool     // it is known as more than a session: after a login by its own id
}

// Accounts is what the feature needs of the accounts.
type Accounts interface {
	// Devices returns the clients that are remembered, without Sessions.
	Devices(ctx context.Context, account int64) ([]Device, error)
	// RevokeDevice forgets one of them, with its tokens. The error is an *xmpp.Error where
	// there is none with that ID.
	RevokeDevice(ctx context.Context, account int64, id string) error
	// TidyDevices forgets those that have not come for long.
	TidyDevices(ctx context.Context) error
}

// List returns the clients of an account: those that are remembered, and those that are
// connected and are not remembered, which are taken to know the password. account and bare
// are the same one's.
func List(ctx context.Context, r *router.Router, accounts Accounts, account int64, bare xmpp.JID) ([]Device, error) {
	list, err := accounts.Devices(ctx, account)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Remembered = true
	}
	now := time.Now()
	r.WithAccountInMemory(bare, func(a *router.Account) {
		for _, res := range a.Resources() {
			agent, name := res.Sender().Agent(), res.JID().Resource()
			i := slices.IndexFunc(list, func(d Device) bool { return agent.ID != "" && d.Agent.ID == agent.ID })
			if i < 0 {
				list = append(list, Device{ID: stranger(res), Agent: agent, FirstSeen: res.Since(), Password: true})
				i = len(list) - 1
			}
			list[i].LastSeen = now
			list[i].Sessions = append(list[i].Sessions, name)
		}
	})
	return list, nil
}

// stranger makes an ID for a session of a client that is not remembered. It lasts as long
// as the session.
func stranger(res router.Resource) string {
	sum := sha256.Sum256([]byte(res.JID().String() + "\x00" + res.Since().String()))
	return "session-" + hex.EncodeToString(sum[:8])
}

// End ends the sessions of a client, and returns how many. spare is left alone.
func End(r *router.Router, bare xmpp.JID, d Device, spare xmpp.JID) (n int) {
	r.WithAccountInMemory(bare, func(a *router.Account) {
		for _, res := range a.Resources() {
			agent := res.Sender().Agent()
			its := agent.ID != "" && agent.ID == d.Agent.ID || stranger(res) == d.ID
			if its && res.JID() != spare {
				n++
				res.End(xmpp.EndStream("reset", "the access of this client has been revoked")) // RFC 6120 §4.9.3.16
			}
		}
	})
	return n
}

// New returns the feature.
func New(accounts Accounts) router.Feature {
	f := &feature{accounts: accounts}
	return router.Feature{
		Name:         "devices",
		XEPs:         []router.XEP{{Number: 494, Version: "0.1.0"}},
		AccountDisco: []string{ns},
		Start:        func(h router.Hall) { f.router = h.Router },
		Tidy:         accounts.TidyDevices,
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "list", f.list),
			router.Set(router.ToOwn, ns, "revoke", f.revoke),
		},
	}
}

type feature struct {
	accounts Accounts
	router   *router.Router
}

// list answers with the clients of the own account (XEP-0494 §3.1).
func (f *feature) list(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil || !q.Own() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	q.Round.Flush()
	list, err := List(ctx, f.router, f.accounts, q.Account.ID, q.Account.JID)
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(ns, "clients")
	for _, d := range list {
		describe(&b, d)
	}
	return b.Payload(), nil
}

// describe writes one client. Whoever has a session may do everything.
func describe(b *xmpp.Builder, d Device) {
	connected := "false"
	if len(d.Sessions) > 0 {
		connected = "true"
	}
	b.Open("", "client", "connected", connected, "id", d.ID, "type", "session")
	b.Leaf("", "first-seen", d.FirstSeen.UTC().Format(time.RFC3339))
	b.Leaf("", "last-seen", d.LastSeen.UTC().Format(time.RFC3339))
	b.Open("", "auth")
	if d.Password {
		b.Open("", "password").Close()
	}
	if d.Token {
		b.Open("", "fast").Close()
	}
	b.Close().Open("", "permission", "status", "unrestricted").Close()
	if d.Agent.Software != "" || d.Agent.Device != "" {
		b.Open("", "user-agent")
		if d.Agent.Software != "" {
			b.Leaf("", "software", d.Agent.Software)
		}
		if d.Agent.Device != "" {
			b.Leaf("", "device", d.Agent.Device)
		}
		b.Close()
	}
	b.Close()
}

// revoke takes access away from a client of the own account (XEP-0494 §3.2). One that knows
// the password, or has a certificate, would come again: this is refused, and changes
// nothing. A session of a client that is not remembered is ended all the same: nobody can
// tell whether the password that it has shown is still the password.
func (f *feature) revoke(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	id := strings.TrimSpace(q.Payload.Attr("id"))
	switch {
	case q.Sender == nil || !q.Own():
		return nil, xmpp.Refuse("forbidden", "")
	case id == "":
		return nil, xmpp.Refuse("bad-request", "which client?")
	}
	q.Round.Flush()
	list, err := List(ctx, f.router, f.accounts, q.Account.ID, q.Account.JID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(d Device) bool { return d.ID == id })
	switch {
	case i < 0:
		return nil, xmpp.Refuse("item-not-found", "")
	case list[i].Password && list[i].Remembered:
		return nil, resetRequired()
	case list[i].Password:
		f.end(q, list[i])
		return nil, resetRequired()
	case list[i].Certificate:
		return nil, xmpp.Refuse("not-allowed", "this client logs in with a certificate, which only its authority can revoke")
	}
	if err := f.accounts.RevokeDevice(ctx, q.Account.ID, id); err != nil {
		return nil, err
	}
	f.end(q, list[i])
	return nil, nil
}

// end ends the sessions of a client, the asker's own behind the answer.
func (f *feature) end(q *router.Request, d Device) {
	bare := q.Account.JID
	End(f.router, bare, d, q.From())
	q.After(func(rd *router.Round) {
		rd.Flush()
		End(f.router, bare, d, xmpp.JID{})
	})
}

// resetRequired says that only another password helps (XEP-0494 §3.2).
func resetRequired() error {
	e := xmpp.Refuse("service-unavailable", "this client knows the password: change it")
	var b xmpp.Builder
	e.App = b.Open(ns, "password-reset-required").Payload()
	return e
}
