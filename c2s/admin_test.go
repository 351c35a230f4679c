package c2s_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"parley/auth"
	"parley/router"
	"parley/xep/admin"
	"parley/xmpp"
)

// office is admin.House and announce.Accounts on the accounts of a house. Bard is the
// administrator of the conversations.
type office struct{ *house }

func (o office) Admin(jid xmpp.JID) bool { return slices.Contains(o.Admins(), jid) }
func (o office) Admins() []xmpp.JID      { return []xmpp.JID{xmpp.MustJID("bard@example.com")} }

func (o office) AddUser(ctx context.Context, _ string, jid xmpp.JID, password string) error {
	_, err := o.auth.Accounts().Create(ctx, jid, password)
	if errors.Is(err, auth.ErrExists) {
		return xmpp.Refuse("conflict", "")
	}
	return err
}

func (o office) RemoveUser(ctx context.Context, _ string, jid xmpp.JID) error {
	if err := o.Remove(ctx, jid); err != nil {
		return err
	}
	o.router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been removed"))
	return nil
}

func (o office) DisableUser(ctx context.Context, _ string, jid xmpp.JID) error {
	if err := o.auth.Accounts().Disable(ctx, jid); err != nil {
		return err
	}
	o.router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been disabled"))
	return nil
}

func (o office) EnableUser(ctx context.Context, _ string, jid xmpp.JID) error {
	return o.auth.Accounts().Enable(ctx, jid)
}

func (o office) SetPassword(ctx context.Context, _ string, jid xmpp.JID, password string, spare xmpp.JID) error {
	if err := o.ChangePassword(ctx, jid, password); err != nil {
		return err
	}
	o.end(jid, spare, "reset")
	return nil
}

func (o office) EndSessions(_ string, jid xmpp.JID) int {
	return o.end(jid, xmpp.JID{}, "policy-violation")
}

func (o office) end(jid, spare xmpp.JID, why string) (n int) {
	o.router.EachSession(func(_ *router.Account, res router.Resource) {
		if full := res.JID(); full != spare && (full == jid || full.Bare() == jid) {
			n++
			res.End(xmpp.EndStream(why, ""))
		}
	})
	return n
}

func (o office) User(ctx context.Context, jid xmpp.JID) (admin.User, bool, error) {
	acc, found, err := o.auth.Accounts().Get(ctx, jid)
	return admin.User{LastLogin: acc.LastLogin, Disabled: acc.Disabled}, found, err
}

func (o office) Count(ctx context.Context, host string, disabled bool) (int64, error) {
	if disabled {
		return o.auth.Accounts().Disabled(ctx, host)
	}
	return o.auth.Accounts().Count(ctx, host)
}

func (o office) Users(ctx context.Context, host string, disabled bool, limit int) (list []xmpp.JID, err error) {
	read := o.auth.Accounts().List
	if disabled {
		read = o.auth.Accounts().ListDisabled
	}
	page, err := read(ctx, host, "", limit)
	for _, acc := range page {
		list = append(list, acc.JID)
	}
	return list, err
}

func (o office) Enabled(context.Context, string, string, int) ([]xmpp.JID, string, error) {
	return nil, "", nil
}

func (o office) Shutdown(string, time.Duration, string) error { return nil }
func (o office) Reload(string) ([]string, error)              { return []string{"storage.readers"}, nil }
