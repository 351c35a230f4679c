package main

import (
	"context"
	"errors"
	"strings"

	"parley/auth"
	"parley/c2s"
	"parley/router"
	"parley/xmpp"
)

// What is done to accounts is done here, whoever asks for it: the command line or an
// administrator's client. by names them in the log.

func (h *house) addUser(ctx context.Context, by string, jid xmpp.JID, password string) (auth.Account, error) {
	acc, err := h.accounts.Create(ctx, jid, password)
	if err == nil {
		h.router.Joined(jid)
		h.log.Info("account added", "account", jid.String(), "by", by)
	}
	return acc, err
}

// setPassword ends all sessions of the account but spare: a password is set because the old
// one is lost or in the wrong hands, and whoever logged in with it has to show the new one.
func (h *house) setPassword(ctx context.Context, by string, jid xmpp.JID, password string, spare xmpp.JID) error {
	if err := h.accounts.SetPassword(ctx, jid, password); err != nil {
		return err
	}
	ended := h.endSessions(jid, spare, "reset", "the password has been changed") // RFC 6120 §4.9.3.16
	if _, err := c2s.ExpireSaved(ctx, h.store, jid); err != nil {
		return err
	}
	h.log.Info("password set", "account", jid.String(), "by", by, "sessions_ended", len(ended))
	return nil
}

func (h *house) disableUser(ctx context.Context, by string, jid xmpp.JID) error {
	if err := h.accounts.Disable(ctx, jid); err != nil {
		return err
	}
	h.router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been disabled"))
	if _, err := c2s.ExpireSaved(ctx, h.store, jid); err != nil {
		return err
	}
	h.log.Info("account disabled", "account", jid.String(), "by", by)
	return nil
}

func (h *house) enableUser(ctx context.Context, by string, jid xmpp.JID) error {
	if err := h.accounts.Enable(ctx, jid); err != nil {
		return err
	}
	h.log.Info("account enabled", "account", jid.String(), "by", by)
	return nil
}

func (h *house) removeUser(ctx context.Context, by string, jid xmpp.JID) error {
	if err := h.router.Leaving(ctx, jid); err != nil {
		return err
	}
	if err := h.Remove(ctx, jid); err != nil {
		return err
	}
	h.router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been removed"))
	h.log.Info("account removed", "account", jid.String(), "by", by)
	return nil
}

// kick ends one session (a full address) or all of an account, and returns which. Tokens of
// their clients are worth nothing from then on: who comes again has to show the password.
func (h *house) kick(by string, want xmpp.JID) []string {
	h.dropTokens(want)
	ended := h.endSessions(want, xmpp.JID{}, "policy-violation", "ended by "+who(by))
	if len(ended) > 0 {
		h.log.Info("sessions ended", "sessions", strings.Join(ended, " "), "by", by)
	}
	return ended
}

// dropTokens takes back the tokens of the client that has a session (a full address), or of
// all clients of an account.
func (h *house) dropTokens(want xmpp.JID) {
	var agents []string
	h.router.WithAccountInMemory(want.Bare(), func(a *router.Account) {
		if res, ok := a.Resource(want.Resource()); ok {
			agents = append(agents, res.Sender().Agent().ID)
		}
	})
	if !want.IsBare() && len(agents) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if err := h.accounts.DropTokens(ctx, want.Bare(), agents...); err != nil && !errors.Is(err, auth.ErrNotFound) {
		h.log.Error("tokens could not be taken back", "account", want.String(), "error", err)
	}
}

// who is what users are told of who did something.
func who(by string) string {
	if by == operator {
		return operator
	}
	return "an administrator"
}

// endSessions ends one session (a full address) or all of an account but spare, and
// returns which.
func (h *house) endSessions(want, spare xmpp.JID, condition, text string) []string {
	ended := []string{}
	h.router.WithAccountInMemory(want.Bare(), func(a *router.Account) {
		for _, res := range a.Resources() {
			if jid := res.JID(); jid != spare && (want.IsBare() || jid == want) {
				ended = append(ended, jid.String())
				res.End(xmpp.EndStream(condition, "%s", text))
			}
		}
	})
	return ended
}
