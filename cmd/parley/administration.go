package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"parley/auth"
	"parley/xep/admin"
	"parley/xep/announce"
	"parley/xmpp"
)

// An administration is the house as administrators have it in their clients. It implements
// admin.House and announce.Accounts.
type administration struct{ *house }

// Admin implements admin.House.
func (h administration) Admin(bare xmpp.JID) bool { return h.live.admin(bare) }

// Admins implements admin.House.
func (h administration) Admins() []xmpp.JID { return *h.live.admins.Load() }

// AddUser implements admin.House.
func (h administration) AddUser(ctx context.Context, by string, jid xmpp.JID, password string) error {
	_, err := h.addUser(ctx, by, jid, password)
	return refusal(err)
}

// RemoveUser implements admin.House.
func (h administration) RemoveUser(ctx context.Context, by string, jid xmpp.JID) error {
	return refusal(h.removeUser(ctx, by, jid))
}

// DisableUser implements admin.House.
func (h administration) DisableUser(ctx context.Context, by string, jid xmpp.JID) error {
	return refusal(h.disableUser(ctx, by, jid))
}

// EnableUser implements admin.House.
func (h administration) EnableUser(ctx context.Context, by string, jid xmpp.JID) error {
	return refusal(h.enableUser(ctx, by, jid))
}

// SetPassword implements admin.House.
func (h administration) SetPassword(ctx context.Context, by string, jid xmpp.JID, password string, spare xmpp.JID) error {
	return refusal(h.setPassword(ctx, by, jid, password, spare))
}

// EndSessions implements admin.House.
func (h administration) EndSessions(by string, jid xmpp.JID) int { return len(h.kick(by, jid)) }

// User implements admin.House.
func (h administration) User(ctx context.Context, jid xmpp.JID) (admin.User, bool, error) {
	acc, found, err := h.accounts.Get(ctx, jid)
	return admin.User{LastLogin: acc.LastLogin, Disabled: acc.Disabled}, found, err
}

// Count implements admin.House.
func (h administration) Count(ctx context.Context, host string, disabled bool) (int64, error) {
	if disabled {
		return h.accounts.Disabled(ctx, host)
	}
	return h.accounts.Count(ctx, host)
}

// Users implements admin.House.
func (h administration) Users(ctx context.Context, host string, disabled bool, limit int) (list []xmpp.JID, err error) {
	read := h.accounts.List
	if disabled {
		read = h.accounts.ListDisabled
	}
	for after := ""; len(list) < limit; {
		want := min(listPage, limit-len(list))
		page, err := read(ctx, host, after, want)
		if err != nil {
			return nil, err
		}
		for _, acc := range page {
			list = append(list, acc.JID)
		}
		if len(page) < want {
			break
		}
		after = page[len(page)-1].JID.Local()
	}
	return list, nil
}

// Enabled implements announce.Accounts.
func (h administration) Enabled(ctx context.Context, host, after string, limit int) (list []xmpp.JID, next string, err error) {
	page, err := h.accounts.List(ctx, host, after, limit)
	for _, acc := range page {
		if !acc.Disabled {
			list = append(list, acc.JID)
		}
	}
	if len(page) == limit {
		next = page[limit-1].JID.Local()
	}
	return list, next, err
}

// Reload implements admin.House.
func (h administration) Reload(by string) ([]string, error) {
	done, err := h.reload()
	var wrong *configError
	if errors.As(err, &wrong) { // a mistake of the operator's, who has to read it
		return nil, &xmpp.Error{Type: "cancel", Condition: "not-acceptable", Text: wrong.Error()}
	}
	if err == nil {
		h.log.Info("reloaded", "by", by, "need_restart", strings.Join(done.NeedRestart, " "))
	}
	return done.NeedRestart, err
}

// Shutdown implements admin.House. Once it is asked for, the server stops.
func (h administration) Shutdown(by string, after time.Duration, announcement string) error {
	text := announce.Text{Body: announcement}
	if announcement != "" {
		if err := text.Check(); err != nil {
			return err
		}
	}
	if h.halt.begun() {
		return errStopsAlready()
	}
	if announcement != "" { // first, so that it is heard
		for _, host := range h.cfg.Domains {
			if _, err := h.announcer.Online(host, text, by); err != nil {
				return err
			}
		}
	}
	if !h.halt.in(after, by) {
		return errStopsAlready()
	}
	h.log.Info("shutting down soon", "in", after.String(), "by", by)
	return nil
}

func errStopsAlready() error { return xmpp.Refuse("conflict", "the service shuts down already") }

// refusal makes an error for the asker of what went wrong with an account.
func refusal(err error) error {
	var bad *auth.PasswordError
	switch {
	case errors.As(err, &bad):
		return xmpp.Refuse("not-acceptable", bad.Reason)
	case errors.Is(err, auth.ErrExists):
		return xmpp.Refuse("conflict", "there is such an account already") // XEP-0133 §5
	case errors.Is(err, auth.ErrNotFound):
		return xmpp.Refuse("item-not-found", "there is no such account")
	}
	return err
}

// answerFirst is how long a server that is to stop at once waits, so that who asked for it
// hears the answer.
const answerFirst = 100 * time.Millisecond

// A halt stops the server when an administrator asks for it.
type halt struct {
	now chan string // who asked for it

	mu    sync.Mutex // a leaf
	timer *time.Timer
}

// begun reports whether the server is about to stop.
func (h *halt) begun() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.timer != nil
}

// in has the server stop after a while; false if it is about to stop already.
func (h *halt) in(after time.Duration, by string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		return false
	}
	h.timer = time.AfterFunc(max(after, answerFirst), func() { h.now <- by })
	return true
}

// off takes it back: the server stops for another reason.
func (h *halt) off() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
	}
}
