package auth

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"unicode/utf8"
)

// plain is the mechanism PLAIN (RFC 4616 §2): one message with the password itself. It is
// hashed again, which costs a thousand times a SCRAM proof, so it goes through the gate.
func (x *Exchange) plain(ctx context.Context, in []byte) ([]byte, bool, error) {
	authzid, name, password, ok := parsePlain(in)
	if !ok {
		return nil, false, malformed("not a PLAIN message")
	}
	if err := x.claim(name, authzid); err != nil {
		return nil, false, err
	}
	return nil, true, x.password(ctx, password)
}

// Password logs in with a password outside of SASL: for web pages. It is as careful as
// PLAIN, and needs no Config.Plain. name is a localpart at ch.Host. The error is a
// *Failure.
func (a *Auth) Password(ctx context.Context, ch Channel, name, password string) (Account, error) {
	x := &Exchange{a: a, ch: ch}
	err := x.claim(name, "")
	if err == nil {
		err = x.password(ctx, password)
	}
	if err != nil {
		return Account{}, x.failure(err)
	}
	return x.account, nil
}

// password compares a password with that of the claimed account.
func (x *Exchange) password(ctx context.Context, password string) error {
	prepared, err := preparePassword(password, false)
	if err != nil {
		return &Failure{Condition: NotAuthorized, Cause: err}
	}
	if err := x.brake(ctx, true); err != nil {
		return err
	}
	acc, keys, err := x.a.accounts.lookUp(ctx, x.claimed, "")
	if err != nil {
		return err
	}
	right, err := x.verify(ctx, keys, prepared)
	if err != nil {
		return err
	}
	if !right || acc.ID == 0 {
		return refused("wrong password or no such account")
	}
	x.proved = cheapestOf(keys)
	return x.accept(acc)
}

// parsePlain splits a message (RFC 4616 §2).
func parsePlain(in []byte) (authzid, name, password string, ok bool) {
	parts := bytes.Split(in, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || !utf8.Valid(in) {
		return "", "", "", false
	}
	return string(parts[0]), string(parts[1]), string(parts[2]), true
}

// verify compares a prepared password with the cheapest of the account's credentials; an
// account without any, or none at all, costs what a new account costs.
func (x *Exchange) verify(ctx context.Context, keys []Credential, prepared string) (right bool, err error) {
	want := cheapestOf(keys)
	if want.Hash == "" {
		want = x.a.inventor.credential(SHA256, x.claimed.String())
	}
	err = x.a.accounts.gate.do(ctx, func() error {
		got, err := derive(want.Hash, prepared, want.Salt, want.Iterations)
		right = err == nil && subtle.ConstantTimeCompare(got.StoredKey, want.StoredKey) == 1
		return err
	})
	if errors.Is(err, ErrBusy) {
		err = &Failure{Condition: TemporaryAuthFailure, Text: "the server is busy, try again", Cause: err}
	}
	return right && len(keys) > 0, err
}

func cheapestOf(keys []Credential) Credential {
	for _, h := range cheapest() {
		for _, c := range keys {
			if c.Hash == h {
				return c
			}
		}
	}
	return Credential{}
}
