package auth

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// The mechanisms for tokens (draft-schmaus-sasl-ht-09, XEP-0484 §3.1): how the hash of a
// token is bound to the connection. They need one message of each side.
const (
	tokenPrefix   = "HT-SHA-256-"
	TokenEndPoint = tokenPrefix + "ENDP" // to tls-server-end-point
	TokenExporter = tokenPrefix + "EXPR" // to tls-exporter
	TokenUnbound  = tokenPrefix + "NONE" // not at all
)

// seedSize is the length of the random part of a token in bytes: 192 bits.
const seedSize = 24

// rotateAfter is the age at which a token that is used is followed by another one, if a
// quarter of its lifetime is not over before.
const rotateAfter = 24 * time.Hour

// A Token is what a client may log in with next time instead of a password.
type Token struct {
	Secret  string // never kept, never logged
	Expires time.Time
}

// storedToken is what the database has of a token.
type storedToken struct {
	fresh           bool // given out and not used yet
	mechanism       string
	seed            []byte
	issued, expires time.Time
}

// keeper derives tokens from what is stored. A table alone that has leaked opens nothing:
// the key is another one's.
type keeper struct{ key []byte }

// secret is the token of a client for a mechanism.
func (k keeper) secret(account int64, agent string, t storedToken) string {
	b := append(make([]byte, 0, 128), t.seed...)
	b = append(b, t.mechanism...)
	b = append(b, 0)
	b = append(b, agent...)
	for shift := 0; shift < 64; shift += 8 {
		b = append(b, byte(account>>shift))
	}
	return base64.RawURLEncoding.EncodeToString(SHA256.mac(k.key, b))
}

// tokenBinding returns the data that a mechanism binds to, and whether there is what it
// needs.
func (a *Auth) tokenBinding(mechanism string, ch Channel) (data []byte, ok bool) {
	switch {
	case !ch.TLS:
		return nil, false
	case mechanism == TokenUnbound:
		return nil, true
	case a.cfg.NoChannelBinding:
		return nil, false
	case mechanism == TokenEndPoint:
		return ch.EndPoint, len(ch.EndPoint) > 0
	case mechanism == TokenExporter:
		return ch.Exporter, len(ch.Exporter) > 0
	}
	return nil, false
}

// TokenMechanisms returns what to announce for tokens (XEP-0484 §3.1): none in clear, and
// each that is bound to something only where there is that.
func (a *Auth) TokenMechanisms(ch Channel) []string {
	if a.accounts.policy.Load().Lifetime < 0 {
		return nil
	}
	list := make([]string, 0, 3)
	for _, m := range []string{TokenEndPoint, TokenExporter, TokenUnbound} {
		if _, ok := a.tokenBinding(m, ch); ok {
			list = append(list, m)
		}
	}
	return list
}

// IsToken reports whether a mechanism is one for tokens.
func IsToken(mechanism string) bool { return strings.HasPrefix(mechanism, tokenPrefix) }

// StartToken begins a login with a token (XEP-0484 §3.4), by a client that says to be
// agent. It is Start for the mechanisms that TokenMechanisms returns.
func (a *Auth) StartToken(ctx context.Context, mechanism string, ch Channel, agent xmpp.UserAgent) (*Exchange, error) {
	switch {
	case !slices.Contains(a.TokenMechanisms(ch), mechanism):
		return nil, &Failure{Condition: InvalidMechanism, Cause: cause("a mechanism for tokens that was not offered")}
	case agent.ID == "": // XEP-0484 §4.1
		return nil, &Failure{Condition: MalformedRequest, Text: "a user-agent with an id is needed", Cause: cause("a token without a user agent")}
	case ctx.Err() != nil:
		return nil, ourFault(ctx.Err())
	}
	x := &Exchange{a: a, ch: ch, mechanism: mechanism, agent: agent.ID}
	x.next = x.token
	return x, nil
}

// token is the one step of the mechanisms: name, NUL, and the token hashed for the
// initiator (draft-schmaus-sasl-ht-09). An account that does not exist and one that has no
// such client take the same way.
func (x *Exchange) token(ctx context.Context, in []byte) ([]byte, bool, error) {
	name, hashed, ok := bytes.Cut(in, []byte{0})
	if !ok || len(name) == 0 || len(hashed) != SHA256.size() {
		return nil, false, malformed("not a message with a token")
	}
	if err := x.claim(string(name), ""); err != nil {
		return nil, false, err
	}
	if err := x.brake(ctx, true); err != nil {
		return nil, false, err
	}
	acc, list, err := x.a.accounts.findTokens(ctx, x.claimed, x.agent)
	if err != nil {
		return nil, false, err
	}
	binding, _ := x.a.tokenBinding(x.mechanism, x.ch)
	used, out := x.match(acc.ID, list, binding, hashed)
	switch {
	case used == nil || acc.ID == 0:
		return nil, false, refused("wrong token or no such account")
	case !x.a.cfg.Now().Before(used.expires): // XEP-0484 §4.2
		return nil, false, &Failure{Condition: CredentialsExpired, Cause: cause("the token has expired")}
	}
	if err := x.adopt(ctx, acc, used); err != nil {
		return nil, false, err
	}
	if err := x.accept(acc); err != nil {
		return nil, false, err
	}
	x.a.returned.Add(1)
	return out, true, nil
}

// match compares what the client sent with both tokens that it may have (XEP-0484 §5.1),
// and returns the one that fits with the answer to it. Each is computed in every case, also
// where there is none.
func (x *Exchange) match(account int64, list []storedToken, binding, hashed []byte) (used *storedToken, out []byte) {
	for slot := range 2 {
		t, there := storedToken{mechanism: x.mechanism, seed: make([]byte, seedSize)}, 0
		if slot < len(list) {
			t, there = list[slot], 1
		}
		secret := x.a.keeper.secret(account, x.agent, t)
		want, answer := hashToken(secret, "Initiator", binding), hashToken(secret, "Responder", binding)
		if subtle.ConstantTimeCompare(want, hashed)&there == 1 && t.mechanism == x.mechanism {
			used, out = &t, answer
		}
	}
	return used, out
}

// hashToken is the hashed token of one side: the token is the key, as the text that it was
// given out as (draft-schmaus-sasl-ht-09).
func hashToken(secret, side string, binding []byte) []byte {
	return SHA256.mac([]byte(secret), append([]byte(side), binding...))
}

// adopt takes note of which token was used: an unused one is now the one in use, and the
// one before is worth nothing (XEP-0484 §3.5).
func (x *Exchange) adopt(ctx context.Context, acc Account, used *storedToken) error {
	x.used = used
	if !used.fresh || acc.Disabled {
		return nil
	}
	there := false
	err := x.a.accounts.store.Write(ctx, func(tx *storage.Tx) (err error) {
		there, err = promote(tx, acc.ID, x.agent, used.seed)
		return err
	})
	if err == nil && !there {
		err = refused("the token has been taken back meanwhile")
	}
	return err
}

// findTokens reads an account and the tokens of one of its clients. An account that is not
// there costs the same and is zero.
func (a *Accounts) findTokens(ctx context.Context, jid xmpp.JID, agent string) (acc Account, list []storedToken, err error) {
	a.lookups.Add(1)
	err = a.store.Read(ctx, func(tx *storage.Tx) error {
		found := false
		if acc, found, err = getAccount(tx, jid); err != nil {
			return err
		}
		if !found {
			acc = Account{ID: nobody}
		}
		list, err = tokensOf(tx, acc.ID, agent)
		return err
	})
	return acc, list, err
}
