package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// ErrNoDevice says that an account has no device with that id.
var ErrNoDevice = errors.New("auth: no such device")

// DevicePolicy says what is kept of the clients that log in. The zero value is a good
// choice: each field says what it means then.
type DevicePolicy struct {
	// Lifetime is how long a token is good (XEP-0484 §4.2). A client that logs in with one
	// gets another one before that, once a day at most. Default 21 days; negative: no tokens
	// are given out, and none is taken.
	Lifetime time.Duration
	// Remember is how long a device that does not log in stays in the list of its owner, if
	// it has no token that is good longer. Default 90 days; negative: only devices with
	// tokens are kept, without their names (XEP-0494 §6).
	Remember time.Duration
	// Most is how many devices of one account are remembered; the ones that have not come for
	// the longest time are forgotten with their tokens. Default 50.
	Most int
}

func (p DevicePolicy) withDefaults() DevicePolicy {
	if p.Lifetime == 0 {
		p.Lifetime = 21 * 24 * time.Hour
	}
	if p.Remember == 0 {
		p.Remember = 90 * 24 * time.Hour
	}
	def(&p.Most, 50)
	return p
}

// SetDevices changes what is kept of clients from now on. Tokens stay good for as long as it
// was said, unless none are taken any more.
func (a *Accounts) SetDevices(p DevicePolicy) {
	p = p.withDefaults()
	a.policy.Store(&p)
}

// A Device is a client that has logged in to an account and has said which one it is.
type Device struct {
	ID        string // to speak of it; not the id in Agent, which is the client's and the server's
	Agent     xmpp.UserAgent
	FirstSeen time.Time
	LastSeen  time.Time // to about Config.LoginEvery

	Password    bool // it has shown the account's password of today
	Certificate bool // it has shown a certificate
	Token       bool // it has a token that is good
}

// deviceID makes an ID: 80 bits.
func deviceID() string { return strings.ToLower(rand.Text()[:16]) }

// Devices returns those of an account, the one that came last first.
func (a *Accounts) Devices(ctx context.Context, account int64) (list []Device, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = clientsOf(tx, account, a.cfg.Now())
		return err
	})
	return list, err
}

// RevokeDevice forgets a device by its ID, with its tokens, and returns what it was. Its
// sessions are the caller's to end. Errors: ErrNoDevice and the store's.
func (a *Accounts) RevokeDevice(ctx context.Context, account int64, id string) (was Device, err error) {
	err = a.store.Write(ctx, func(tx *storage.Tx) error {
		list, err := clientsOf(tx, account, a.cfg.Now())
		if err != nil {
			return err
		}
		for _, d := range list {
			if d.ID == id {
				was = d
				return dropClient(tx, account, d.Agent.ID)
			}
		}
		return ErrNoDevice
	})
	return was, err
}

// RevokeDevices is RevokeDevice for all devices of an account. It returns how many there
// were.
func (a *Accounts) RevokeDevices(ctx context.Context, account int64) (n int, err error) {
	err = a.store.Write(ctx, func(tx *storage.Tx) error {
		list, err := clientsOf(tx, account, a.cfg.Now())
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := dropClient(tx, account, d.Agent.ID); err != nil {
				return err
			}
		}
		n = len(list)
		return dropTokens(tx, account)
	})
	return n, err
}

// DropTokens makes the tokens of clients worth nothing, by the ids of their user agents; of
// all clients of the account where there are no ids. Errors: ErrNotFound and the store's.
func (a *Accounts) DropTokens(ctx context.Context, jid xmpp.JID, agents ...string) error {
	return a.change(ctx, jid, func(tx *storage.Tx, id int64) error {
		if len(agents) == 0 {
			return dropTokens(tx, id)
		}
		for _, agent := range agents {
			if err := dropTokensOf(tx, id, agent); err != nil {
				return err
			}
		}
		return nil
	})
}

// clientKey names a row.
type clientKey struct {
	account int64
	agent   string
}

// forgetAtOnce is how many devices are forgotten in one transaction.
const forgetAtOnce = 500

// TidyDevices forgets devices that have not logged in for long and have no token that is
// good, a few hundred at a time.
func (a *Accounts) TidyDevices(ctx context.Context) error {
	for {
		n, now := 0, a.cfg.Now()
		before := now.Add(-max(0, a.policy.Load().Remember))
		err := a.store.Write(ctx, func(tx *storage.Tx) error {
			list, err := staleClients(tx, before, now, forgetAtOnce)
			n = len(list)
			for _, c := range list {
				if err = errors.Join(err, dropClient(tx, c.account, c.agent)); err != nil {
					return err
				}
			}
			return err
		})
		if err != nil || n < forgetAtOnce {
			return err
		}
	}
}
