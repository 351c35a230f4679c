package auth

import (
	"context"
	"errors"
	"time"

	"parley/xmpp"
)

// An Exchange is one attempt to log in. It belongs to one goroutine.
type Exchange struct {
	a       *Auth
	ch      Channel
	next    step
	asked   bool
	over    bool
	claimed xmpp.JID
	account Account

	mechanism string
	proved    Credential   // of the password that was shown; zero if none was
	agent     string       // which client shows a token
	used      *storedToken // the one that was shown
}

// step handles one message of the client.
type step func(ctx context.Context, in []byte) (out []byte, done bool, err error)

// Step takes what the client sent, decoded from base64, and gives what to send. in is nil
// only in the first step, where the client sent no initial response: then out is the
// empty challenge that asks for it (RFC 6120 §6.4.2). An initial response of "=" is not
// nil but empty.
//
// When done, out is additional data with success, nil for none, and Account says who it
// is. An error is a *Failure and ends the exchange. Step may wait: for the disk, for its
// turn to hash, and for the delay of a client that fails often; not longer than ctx.
func (x *Exchange) Step(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	if x.over {
		return nil, false, malformed("a message after the end of the exchange")
	}
	if in == nil && !x.asked {
		x.asked = true
		return []byte{}, false, nil
	}
	x.asked = true
	if len(in) > MaxMessage {
		err = malformed("a message that is too long")
	} else {
		out, done, err = x.next(ctx, in)
	}
	if err != nil {
		x.over = true
		return nil, false, x.failure(err)
	}
	x.over = done
	return out, done, nil
}

// failure counts what is a failure of the client's, and makes every error a *Failure.
func (x *Exchange) failure(err error) error {
	var f *Failure
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f = ourFault(err) // the connection ended, or took too long
	case !errors.As(err, &f):
		f = ourFault(err)
		x.a.cfg.Log.Error("a login failed on our side", "jid", x.claimed.String(), "err", err)
	case f.Condition == NotAuthorized || f.Condition == InvalidAuthzid || f.Condition == MalformedRequest:
		x.a.lockout.fail(x.ch.Peer, x.claimed)
	}
	x.a.failed.Add(1)
	return f
}

// Claimed is the account that the client says it is, for the log; zero until it said so.
func (x *Exchange) Claimed() xmpp.JID { return x.claimed }

// Account is who has logged in. It is zero before Step was done.
func (x *Exchange) Account() Account { return x.account }

// claim notes whom the client says it is, and checks the identity it wants to act as.
func (x *Exchange) claim(name, authzid string) error {
	jid, err := accountOf(name, x.ch.Host)
	if err != nil {
		return &Failure{Condition: NotAuthorized, Cause: err}
	}
	x.claimed = jid
	if !authorised(authzid, jid) {
		return badAuthzid("a foreign authorization identity")
	}
	return nil
}

// brake waits as long as the client has to, or refuses it. Before anything is computed.
func (x *Exchange) brake(ctx context.Context, wait bool) error {
	d, ok := x.a.lockout.verdict(x.ch.Peer, x.claimed)
	if !ok {
		return tooOften(d)
	}
	if wait && d > 0 {
		x.a.lockout.delayed.Add(1)
		return x.a.cfg.Sleep(ctx, d)
	}
	return nil
}

func tooOften(wait time.Duration) *Failure {
	return &Failure{
		Condition: TemporaryAuthFailure, Text: "too many failed logins from this address, try again later",
		Cause: cause("the address is refused for " + wait.Round(time.Second).String()),
	}
}

// accept ends an exchange whose proof was right.
func (x *Exchange) accept(acc Account) error {
	if acc.Disabled {
		return &Failure{Condition: AccountDisabled}
	}
	x.account = acc
	x.a.succeeded.Add(1)
	x.a.lockout.success(x.ch.Peer, acc.JID)
	x.a.accounts.noteLogin(acc)
	return nil
}
