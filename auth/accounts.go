// Package auth knows who is who: accounts and the verifiers of their passwords, the SASL
// mechanisms, the brake on guessing, and the certificates of our own domains.
package auth

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// Errors about an account. They are the fault of whoever named it.
var (
	ErrExists    = errors.New("auth: the account exists already")
	ErrNotFound  = errors.New("auth: no such account")
	ErrNoAccount = errors.New("auth: an account's address has a localpart and no resource")
)

// MaxPage is the most accounts that one List returns.
const MaxPage = 1000

// An Account is somebody who may log in.
type Account struct {
	ID        int64 // never given to another account
	JID       xmpp.JID
	Created   time.Time
	LastLogin time.Time // to about Config.LoginEvery; zero: never
	Disabled  bool
}

// Accounts keeps the accounts of all our domains. Its methods may be called from many
// goroutines at once.
type Accounts struct {
	store *storage.Store
	cfg   Config
	gate  *gate

	policy  atomic.Pointer[DevicePolicy]
	lacking [3]atomic.Int64 // accounts without a credential for one of the hashes, in their order

	lookups atomic.Uint64
}

// NewAccounts is for tools that need no logins; a server gets its Accounts from New.
func NewAccounts(store *storage.Store, cfg Config) *Accounts {
	cfg = cfg.withDefaults()
	a := &Accounts{store: store, cfg: cfg, gate: newGate(cfg)}
	a.SetDevices(cfg.Devices)
	return a
}

// Hash makes the credentials of a password, one for each hash, each with a salt of its
// own. It takes some milliseconds of one core and may have to wait for its turn (ErrBusy).
// A password that cannot be used is a *PasswordError.
func (a *Accounts) Hash(ctx context.Context, password string) ([]Credential, error) {
	prepared, err := preparePassword(password, true)
	if err != nil {
		return nil, err
	}
	var keys []Credential
	err = a.gate.do(ctx, func() error {
		for _, h := range hashes() {
			salt := make([]byte, saltSize)
			if _, err := io.ReadFull(a.cfg.Rand, salt); err != nil {
				return err
			}
			c, err := derive(h, prepared, salt, a.cfg.Iterations)
			if err != nil {
				return err
			}
			keys = append(keys, c)
		}
		return nil
	})
	return keys, err
}

// Create makes an account. Errors: ErrExists, ErrNoAccount, *PasswordError, ErrBusy.
func (a *Accounts) Create(ctx context.Context, jid xmpp.JID, password string) (Account, error) {
	if !names(jid) {
		return Account{}, ErrNoAccount
	}
	keys, err := a.Hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	var acc Account
	err = a.store.Write(ctx, func(tx *storage.Tx) (err error) {
		acc, err = a.CreateTx(tx, jid, keys)
		return err
	})
	return acc, err
}

// CreateTx is Create in a transaction of the caller's: for a registration that also uses
// up an invitation, and for imports. No keys: the account has no password, and only
// EXTERNAL opens it.
func (a *Accounts) CreateTx(tx *storage.Tx, jid xmpp.JID, keys []Credential) (Account, error) {
	if !names(jid) {
		return Account{}, ErrNoAccount
	}
	if err := checkAll(keys); err != nil {
		return Account{}, err
	}
	created := a.cfg.Now().UTC().Truncate(time.Second)
	id, err := insertAccount(tx, jid, created)
	if err != nil {
		return Account{}, err
	}
	if id == 0 {
		return Account{}, ErrExists
	}
	a.noteLacking(keys)
	return Account{ID: id, JID: jid, Created: created}, replaceCredentials(tx, id, keys)
}

// names reports whether jid can be the address of an account.
func names(jid xmpp.JID) bool { return jid.IsBare() && jid.Local() != "" }

func checkAll(keys []Credential) error {
	seen := map[Hash]bool{}
	for _, c := range keys {
		if err := c.check(); err != nil {
			return err
		}
		if seen[c.Hash] {
			return errors.New("auth: two credentials for " + string(c.Hash))
		}
		seen[c.Hash] = true
	}
	return nil
}

// SetPassword replaces all credentials of an account, and with them its tokens. Errors: ErrNotFound,
// *PasswordError, ErrBusy.
func (a *Accounts) SetPassword(ctx context.Context, jid xmpp.JID, password string) error {
	keys, err := a.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.change(ctx, jid, func(tx *storage.Tx, id int64) error { return replacePassword(tx, id, keys) })
}

// Disable forbids logins, and makes tokens worth nothing. Sessions that are open are the router's to end.
func (a *Accounts) Disable(ctx context.Context, jid xmpp.JID) error {
	return a.change(ctx, jid, func(tx *storage.Tx, id int64) error { return disableAccount(tx, id, true) })
}

// Enable permits logins again.
func (a *Accounts) Enable(ctx context.Context, jid xmpp.JID) error {
	return a.change(ctx, jid, func(tx *storage.Tx, id int64) error { return disableAccount(tx, id, false) })
}

// Delete removes an account and its credentials, and nothing that other features keep:
// the router makes them forget it (Feature), in the same transaction with DeleteTx.
func (a *Accounts) Delete(ctx context.Context, jid xmpp.JID) error {
	return a.change(ctx, jid, a.DeleteTx)
}

// DeleteTx is Delete in a transaction of the caller's.
func (a *Accounts) DeleteTx(tx *storage.Tx, id int64) error { return deleteAccount(tx, id) }

func (a *Accounts) change(ctx context.Context, jid xmpp.JID, fn func(*storage.Tx, int64) error) error {
	return a.store.Write(ctx, func(tx *storage.Tx) error {
		acc, found, err := getAccount(tx, jid.Bare())
		if err != nil {
			return err
		}
		if !found {
			return ErrNotFound
		}
		return fn(tx, acc.ID)
	})
}

// Get returns the account with the bare address of jid.
func (a *Accounts) Get(ctx context.Context, jid xmpp.JID) (acc Account, found bool, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		acc, found, err = a.GetTx(tx, jid)
		return err
	})
	return acc, found, err
}

// GetTx is Get in a transaction of the caller's.
func (a *Accounts) GetTx(tx *storage.Tx, jid xmpp.JID) (Account, bool, error) {
	return getAccount(tx, jid.Bare())
}

// ByID returns the account with that number; found is false where there is none (any more).
func (a *Accounts) ByID(ctx context.Context, id int64) (acc Account, found bool, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		acc, found, err = accountByID(tx, id)
		return err
	})
	return acc, found, err
}

// List returns accounts of a domain in the order of their localparts, those after the
// localpart after ("": from the first), at most limit (0 and above MaxPage: MaxPage).
func (a *Accounts) List(ctx context.Context, host, after string, limit int) (list []Account, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = listAccounts(tx, host, after, limit)
		return err
	})
	return list, err
}

// EachAccount calls each for every account of a domain, also for disabled ones, in the
// order of their localparts.
func (a *Accounts) EachAccount(ctx context.Context, host string, each func(bare xmpp.JID)) error {
	for after := ""; ; {
		page, err := a.List(ctx, host, after, MaxPage)
		if err != nil {
			return err
		}
		for _, acc := range page {
			each(acc.JID)
			after = acc.JID.Local()
		}
		if len(page) < MaxPage {
			return nil
		}
	}
}

// Count returns how many accounts a domain has.
func (a *Accounts) Count(ctx context.Context, host string) (n int64, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		n, err = countAccounts(tx, host)
		return err
	})
	return n, err
}

// Disabled returns how many accounts of a domain are disabled.
func (a *Accounts) Disabled(ctx context.Context, host string) (n int64, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		n, err = countDisabled(tx, host)
		return err
	})
	return n, err
}

// ListDisabled is List for the accounts that are disabled.
func (a *Accounts) ListDisabled(ctx context.Context, host, after string, limit int) (list []Account, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = listDisabled(tx, host, after, limit)
		return err
	})
	return list, err
}

// Credentials returns what proves an account's password, for export (XEP-0227 §4.3).
func (a *Accounts) Credentials(ctx context.Context, id int64) (keys []Credential, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		keys, err = credentials(tx, id, "")
		return err
	})
	return keys, err
}

// lookUp finds an account and its credentials, or only the one for a hash, in one
// snapshot. An account that is not there costs the same and is zero.
func (a *Accounts) lookUp(ctx context.Context, jid xmpp.JID, only Hash) (acc Account, keys []Credential, err error) {
	a.lookups.Add(1)
	found := false
	err = a.store.Read(ctx, func(tx *storage.Tx) error {
		if acc, found, err = getAccount(tx, jid); err != nil {
			return err
		}
		id := acc.ID
		if !found {
			id = nobody
		}
		keys, err = credentials(tx, id, only)
		return err
	})
	if !found || err != nil {
		return Account{}, nil, err
	}
	return acc, keys, nil
}

// iterationsInUse counts the numbers of iterations of all credentials.
func (a *Accounts) iterationsInUse(ctx context.Context) (used map[Hash][]share, err error) {
	err = a.store.Read(ctx, func(tx *storage.Tx) (err error) {
		used, err = iterationShares(tx)
		return err
	})
	return used, err
}

// noteLogin writes the time of a login down, seldom and without waiting.
func (a *Accounts) noteLogin(acc Account) {
	now := a.cfg.Now()
	if now.Sub(acc.LastLogin) < a.cfg.LoginEvery {
		return
	}
	a.store.Keep(64, func(tx *storage.Tx) error { return loggedIn(tx, acc.ID, now) }, func(err error) {
		if err != nil {
			a.cfg.Log.Warn("the time of a login was not written", "jid", acc.JID.String(), "err", err)
		}
	})
}
