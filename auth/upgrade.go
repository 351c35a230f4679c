package auth

import (
	"context"
	"io"
	"slices"
	"strings"

	"parley/storage"
)

// upgradePrefix stands before the name of a mechanism in the name of the task that makes it
// usable (XEP-0480 §2.1).
const upgradePrefix = "UPGR-"

// Upgrades returns the tasks to announce (XEP-0480 §2.1): those that some account needs, as
// they do that have come from a server that kept fewer verifiers. It is the same for all
// who ask, and says nothing of any account.
func (a *Auth) Upgrades() []string {
	var list []string
	for i, h := range hashes() {
		if a.accounts.lacking[i].Load() > 0 {
			list = append(list, upgradePrefix+scram+string(h))
		}
	}
	return list
}

// countLacking counts the accounts with a password that lack a verifier.
func (a *Accounts) countLacking(ctx context.Context) error {
	return a.store.Read(ctx, func(tx *storage.Tx) error {
		for i, h := range hashes() {
			n, err := lackingHash(tx, h)
			if err != nil {
				return err
			}
			a.lacking[i].Store(n)
		}
		return nil
	})
}

// noteLacking counts a new account with a password, if it lacks a verifier. If the account
// comes to nothing after all, a task is announced that nobody is asked for.
func (a *Accounts) noteLacking(keys []Credential) {
	for i, h := range hashes() {
		if len(keys) > 0 && !slices.ContainsFunc(keys, func(c Credential) bool { return c.Hash == h }) {
			a.lacking[i].Add(1)
		}
	}
}

// An Upgrade makes one more mechanism usable for an account (XEP-0480 §3).
type Upgrade struct {
	Task       string
	Salt       []byte
	Iterations int

	x    *Exchange
	hash Hash
}

// Upgrade prepares the first of the tasks that the client wants and its account needs; nil
// where there is none. Only who has shown the password may do that: who has no more than a
// token could else set a password by it. The error is a *Failure.
func (x *Exchange) Upgrade(ctx context.Context, wanted []string) (*Upgrade, error) {
	if len(wanted) == 0 || x.proved.Hash == "" {
		return nil, nil
	}
	var have []Hash
	err := x.a.accounts.store.Read(ctx, func(tx *storage.Tx) (err error) {
		have, err = hashesOf(tx, x.account.ID)
		return err
	})
	if err != nil {
		return nil, x.failure(err)
	}
	for _, task := range wanted {
		h := Hash(strings.TrimPrefix(task, upgradePrefix+scram))
		if !h.known() || task != upgradePrefix+scram+string(h) || slices.Contains(have, h) {
			continue
		}
		u := &Upgrade{Task: task, Salt: make([]byte, saltSize), Iterations: x.a.cfg.Iterations, x: x, hash: h}
		if _, err := io.ReadFull(x.a.cfg.Rand, u.Salt); err != nil {
			return nil, x.failure(err)
		}
		return u, nil
	}
	return nil, nil
}

// Finish takes the SaltedPassword (RFC 5802 §3) that the client has computed and keeps the
// verifier. Whether it is of the password cannot be known: the owner, who has just shown that,
// is believed. The error is a *Failure.
func (u *Upgrade) Finish(ctx context.Context, salted []byte) error {
	if len(salted) != u.hash.size() {
		return u.x.failure(malformed("a salted password of a wrong length"))
	}
	c := fromSalted(u.hash, salted, u.Salt, u.Iterations)
	added := false
	err := u.x.a.accounts.store.Write(ctx, func(tx *storage.Tx) (err error) {
		if err = u.x.holds(tx); err == nil {
			added, err = addCredential(tx, u.x.account.ID, c)
		}
		return err
	})
	if err != nil {
		return u.x.failure(err)
	}
	if all := hashes(); added { // and not by another device at the same time
		u.x.a.accounts.lacking[slices.Index(all[:], u.hash)].Add(-1)
	}
	return nil
}
