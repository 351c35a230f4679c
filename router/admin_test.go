package router_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"parley/router"
	"parley/xep/admin"
	"parley/xmpp"
)

// office is admin.House and announce.Accounts on the test's directory. Bard is the
// administrator of the conversations.
type office struct {
	accounts
	mu       sync.Mutex
	disabled map[xmpp.JID]bool
}

// lastLogin is when everybody has logged in last.
var lastLogin = time.Date(2003, 12, 19, 17, 58, 35, 0, time.UTC)

func (o *office) Admin(jid xmpp.JID) bool { return slices.Contains(o.Admins(), jid) }
func (o *office) Admins() []xmpp.JID      { return []xmpp.JID{xmpp.MustJID("bard@example.com")} }

func (o *office) AddUser(ctx context.Context, _ string, jid xmpp.JID, _ string) error {
	if _, found, _ := o.house.Dir.Lookup(ctx, jid); found {
		return xmpp.Refuse("conflict", "")
	}
	o.house.Dir.Add(jid)
	return nil
}

func (o *office) RemoveUser(ctx context.Context, _ string, jid xmpp.JID) error {
	if err := o.Remove(ctx, jid); err != nil {
		return err
	}
	o.house.Router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been removed"))
	return nil
}

func (o *office) DisableUser(_ context.Context, _ string, jid xmpp.JID) error {
	o.mu.Lock()
	o.disabled[jid] = true
	o.mu.Unlock()
	o.house.Router.Forget(jid, xmpp.EndStream("not-authorized", "the account has been disabled"))
	return nil
}

func (o *office) EnableUser(_ context.Context, _ string, jid xmpp.JID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.disabled, jid)
	return nil
}

func (o *office) SetPassword(ctx context.Context, _ string, jid xmpp.JID, password string, spare xmpp.JID) error {
	if err := o.ChangePassword(ctx, jid, password); err != nil {
		return err
	}
	o.end(jid, spare, "reset")
	return nil
}

func (o *office) EndSessions(_ string, jid xmpp.JID) int {
	return o.end(jid, xmpp.JID{}, "policy-violation")
}

func (o *office) end(jid, spare xmpp.JID, why string) (n int) {
	o.house.Router.EachSession(func(a *router.Account, res router.Resource) {
		if full := res.JID(); full != spare && (full == jid || full.Bare() == jid) {
			n++
			res.End(xmpp.EndStream(why, ""))
		}
	})
	return n
}

func (o *office) User(ctx context.Context, jid xmpp.JID) (admin.User, bool, error) {
	_, found, err := o.house.Dir.Lookup(ctx, jid)
	o.mu.Lock()
	defer o.mu.Unlock()
	return admin.User{LastLogin: lastLogin, Disabled: o.disabled[jid]}, found, err
}

func (o *office) Count(ctx context.Context, host string, disabled bool) (int64, error) {
	list, err := o.Users(ctx, host, disabled, 1000)
	return int64(len(list)), err
}

func (o *office) Users(_ context.Context, host string, disabled bool, limit int) (list []xmpp.JID, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, jid := range o.house.Dir.All() {
		if jid.Domain() == host && (!disabled || o.disabled[jid]) && len(list) < limit {
			list = append(list, jid)
		}
	}
	return list, nil
}

func (o *office) Enabled(context.Context, string, string, int) ([]xmpp.JID, string, error) {
	return nil, "", nil
}

func (o *office) Shutdown(string, time.Duration, string) error { return nil }
func (o *office) Reload(string) ([]string, error)              { return []string{"storage.readers"}, nil }
