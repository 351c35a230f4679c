package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"slices"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// A Visit is what a client says and wants beside proving who its owner is.
type Visit struct {
	Agent      xmpp.UserAgent
	Mechanism  string // for which it asks for a token (XEP-0484 §3.2); "": it does not
	Invalidate bool   // the token that it has used is to be worth nothing (XEP-0484 §3.6)
}

// Admit is called once after the exchange is done and all that belongs to the login, before
// the client is told: it notes which client it is, and returns the token that it has asked
// for or that is due (XEP-0484 §3.3, §3.5), the zero Token for none. A client that does not
// say which one it is, or asks for a mechanism that was not announced to it, gets none. If
// its password or token was changed or taken back meanwhile, the error is a *Failure; so it
// is where a token cannot be made worth nothing. A token that cannot be written is only
// missing.
func (x *Exchange) Admit(ctx context.Context, v Visit) (Token, error) {
	p := x.a.accounts.policy.Load()
	if v.Agent.ID == "" || x.account.ID == 0 || x.used != nil && x.agent != v.Agent.ID {
		return Token{}, nil
	}
	mechanism := x.wanted(v, p)
	d := x.device(v.Agent, p)
	if mechanism == "" && !v.Invalidate {
		x.a.accounts.noteDevice(ctx, x.account, d, x.used != nil)
		return Token{}, nil
	}
	t, err := x.a.newToken(mechanism, p.Lifetime)
	if err == nil {
		err = x.a.accounts.store.Write(ctx, func(tx *storage.Tx) error { return x.keep(tx, d, t, v.Invalidate, p.Most) })
	}
	var f *Failure
	switch {
	case errors.As(err, &f), err != nil && v.Invalidate:
		return Token{}, x.failure(err)
	case err != nil:
		x.a.cfg.Log.Warn("a client got no token", "jid", x.account.JID.String(), "err", err)
		return Token{}, nil
	case v.Invalidate:
		x.used = nil // it is not asked for any more
	}
	if mechanism == "" {
		return Token{}, nil
	}
	x.a.issued.Add(1)
	return Token{x.a.keeper.secret(x.account.ID, v.Agent.ID, t), t.expires}, nil
}

// wanted returns the mechanism that a token is to be made for, "" for none.
func (x *Exchange) wanted(v Visit, p *DevicePolicy) string {
	switch {
	case p.Lifetime < 0:
		return ""
	case v.Mechanism != "" && slices.Contains(x.a.TokenMechanisms(x.ch), v.Mechanism):
		return v.Mechanism
	case x.used == nil || v.Invalidate:
		return ""
	case x.a.cfg.Now().Sub(x.used.issued) >= min(rotateAfter, p.Lifetime/4):
		return x.used.mechanism
	}
	return ""
}

// device is what is noted of the client.
func (x *Exchange) device(agent xmpp.UserAgent, p *DevicePolicy) Device {
	if p.Remember < 0 {
		agent.Software, agent.Device = "", ""
	}
	return Device{
		ID: deviceID(), Agent: agent, LastSeen: x.a.cfg.Now(),
		Password: x.proved.Hash != "", Certificate: x.mechanism == external,
	}
}

// newToken draws a token that is good from now on.
func (a *Auth) newToken(mechanism string, lifetime time.Duration) (storedToken, error) {
	now := a.cfg.Now().UTC().Truncate(time.Second)
	t := storedToken{fresh: true, mechanism: mechanism, seed: make([]byte, seedSize), issued: now, expires: now.Add(lifetime)}
	_, err := io.ReadFull(a.cfg.Rand, t.seed)
	return t, err
}

// keep writes what Admit has decided, if the login still holds.
func (x *Exchange) keep(tx *storage.Tx, d Device, t storedToken, invalidate bool, most int) error {
	if err := x.holds(tx); err != nil {
		return err
	}
	if invalidate {
		if err := dropTokensOf(tx, x.account.ID, d.Agent.ID); err != nil {
			return err
		}
	}
	if err := seen(tx, x.account.ID, d, most); err != nil {
		return err
	}
	if t.mechanism == "" {
		return nil
	}
	return setToken(tx, x.account.ID, d.Agent.ID, t)
}

// Holds reports whether what the client has shown is still good. Asked when its session is
// there to be ended, it leaves no gap for one whose access is taken away while it logs in.
// The error is a *Failure.
func (x *Exchange) Holds(ctx context.Context) error {
	err := x.a.accounts.store.Read(ctx, x.holds)
	if err != nil {
		return x.failure(err)
	}
	return nil
}

// holds reports whether what the client has shown is still good: nothing is given out for a
// password or a token that has been taken back meanwhile.
func (x *Exchange) holds(tx *storage.Tx) error {
	acc, found, err := getAccount(tx, x.account.JID)
	switch {
	case err != nil:
		return err
	case !found || acc.ID != x.account.ID:
		return refused("the account has been removed meanwhile")
	case acc.Disabled:
		return &Failure{Condition: AccountDisabled}
	}
	good := true
	if x.proved.Hash != "" {
		keys, failed := credentials(tx, acc.ID, x.proved.Hash)
		err, good = failed, len(keys) == 1 && subtle.ConstantTimeCompare(keys[0].StoredKey, x.proved.StoredKey) == 1
	}
	if x.used != nil {
		list, failed := tokensOf(tx, acc.ID, x.agent)
		err, good = failed, slices.ContainsFunc(list, func(t storedToken) bool {
			return subtle.ConstantTimeCompare(t.seed, x.used.seed) == 1
		})
	}
	if err == nil && !good {
		err = refused("the password or the token has changed meanwhile")
	}
	return err
}

// noteDevice writes down that a client has logged in, seldom and without waiting. token: it
// has shown no more than a token.
func (a *Accounts) noteDevice(ctx context.Context, acc Account, d Device, token bool) {
	p := a.policy.Load()
	was, found := Device{}, false
	err := a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		was, found, err = oneClient(tx, acc.ID, d.Agent.ID)
		return err
	})
	switch {
	case err != nil || !found && (token || p.Remember < 0): // one that has just been taken back does not come again by this
		return
	case found && was.Agent == d.Agent && (was.Password || !d.Password) && (was.Certificate || !d.Certificate) &&
		d.LastSeen.Sub(was.LastSeen) < a.cfg.LoginEvery:
		return
	}
	a.store.Keep(128, func(tx *storage.Tx) error { return a.noteSeen(tx, acc, d, token, p.Most) }, func(err error) {
		if err != nil {
			a.cfg.Log.Warn("a device was not noted", "jid", acc.JID.String(), "err", err)
		}
	})
}

// noteSeen is noteDevice in its transaction: the account or the client may be gone by then.
func (a *Accounts) noteSeen(tx *storage.Tx, acc Account, d Device, token bool, most int) error {
	now, found, err := getAccount(tx, acc.JID)
	if err != nil || !found || now.ID != acc.ID {
		return err
	}
	if token {
		if _, found, err = oneClient(tx, acc.ID, d.Agent.ID); err != nil || !found {
			return err
		}
	}
	return seen(tx, acc.ID, d, most)
}
