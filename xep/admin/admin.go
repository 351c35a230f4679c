// Package admin lets administrators look after accounts, sessions and the service with
// their clients (XEP-0133).
package admin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"parley/router"
	"parley/xmpp"
)

// ns is the FORM_TYPE of all forms, and what the nodes begin with (XEP-0133 §4, §8.2).
const ns = "http://jabber.org/protocol/admin"

// own is what the nodes of commands begin with that XEP-0133 does not have.
const own = "urn:x-parley:admin"

// A User is what administrators may know of an account.
type User struct {
	LastLogin time.Time // zero: never
	Disabled  bool
}

// A House is what the commands look at and change. by is who asks, for the log. Each method
// returns an *xmpp.Error for what is the asker's fault. Addresses of users are bare and of
// a domain of the house.
type House interface {
	// Admin reports whether a bare address is an administrator's.
	Admin(xmpp.JID) bool
	// Admins lists them.
	Admins() []xmpp.JID

	AddUser(ctx context.Context, by string, jid xmpp.JID, password string) error
	// RemoveUser, DisableUser and SetPassword end the sessions of the account, SetPassword
	// all but spare.
	RemoveUser(ctx context.Context, by string, jid xmpp.JID) error
	DisableUser(ctx context.Context, by string, jid xmpp.JID) error
	EnableUser(ctx context.Context, by string, jid xmpp.JID) error
	SetPassword(ctx context.Context, by string, jid xmpp.JID, password string, spare xmpp.JID) error
	// EndSessions ends the session of a full address, or all of a bare one, and returns how many.
	EndSessions(by string, jid xmpp.JID) int

	User(ctx context.Context, jid xmpp.JID) (u User, found bool, err error)
	// Count and Users tell of the accounts of a domain, all or only those that are disabled.
	// Users returns them in order, at most limit.
	Count(ctx context.Context, host string, disabled bool) (int64, error)
	Users(ctx context.Context, host string, disabled bool, limit int) ([]xmpp.JID, error)

	// Shutdown stops the server after a while, and announces a text to all who are online
	// unless it is empty.
	Shutdown(by string, after time.Duration, announcement string) error
	// Reload reads the configuration again and returns the keys that wait for a restart.
	Reload(by string) ([]string, error)
}

type feature struct {
	house  House
	router *router.Router
	log    *slog.Logger
}

// New returns the feature.
func New(house House) router.Feature {
	f := &feature{house: house}
	return router.Feature{
		Name:     "administration",
		XEPs:     []router.XEP{{Number: 133, Version: "1.3.1", Note: "accounts, sessions, figures, shutting down"}},
		Commands: f.commands(),
		Start:    func(h router.Hall) { f.router, f.log = h.Router, h.Log },
	}
}

// May returns who may administrate: a user of this house, in a session that has logged in,
// whom admin names. Whoever else writes such an address there is not believed
// (XEP-0133 §6).
func May(admin func(xmpp.JID) bool) func(*router.Request) bool {
	return func(q *router.Request) bool { return q.Sender != nil && admin(q.Sender.Account().JID) }
}

func (f *feature) commands() []router.Command {
	may := May(f.house.Admin)
	var list []router.Command
	for _, c := range []struct {
		node, name string
		run        func(context.Context, *router.Request) (router.Stage, error)
	}{
		{ns + "#add-user", "Add User", f.addUser},
		{ns + "#delete-user", "Delete User", f.deleteUser},
		{ns + "#disable-user", "Disable User", f.disableUser},
		{ns + "#reenable-user", "Re-Enable User", f.enableUser},
		{ns + "#end-user-session", "End User Session", f.endSession},
		{ns + "#change-user-password", "Change User Password", f.changePassword},
		{ns + "#get-user-lastlogin", "Get User Last Login Time", f.lastLogin},
		{ns + "#user-stats", "Get User Statistics", f.userStats},
		{ns + "#get-registered-users-num", "Get Number of Registered Users", f.number("registeredusersnum", "The number of registered users", f.registered)},
		{ns + "#get-disabled-users-num", "Get Number of Disabled Users", f.number("disabledusersnum", "The number of disabled users", f.disabled)},
		{ns + "#get-online-users-num", "Get Number of Online Users", f.number("onlineusersnum", "The number of online users", f.online)},
		{ns + "#get-registered-users-list", "Get List of Registered Users", f.list("registered users", "registereduserjids", "The list of all users", f.registered)},
		{ns + "#get-disabled-users-list", "Get List of Disabled Users", f.list("disabled users", "disableduserjids", "The list of all disabled users", f.disabled)},
		{ns + "#get-online-users-list", "Get List of Online Users", f.list("online users", "onlineuserjids", "The list of all online users", f.online)},
		{own + "#admins", "List Administrators", f.admins},
		{own + "#reload", "Reload Configuration", f.reload},
		{ns + "#shutdown", "Shut Down Service", f.shutdown},
	} {
		run := c.run
		list = append(list, router.Command{Node: c.node, Name: c.name, May: may, Run: func(ctx context.Context, q *router.Request) (router.Stage, error) {
			f.log.Info("command", "node", c.node, "domain", q.Host, "by", by(q))
			return run(ctx, q)
		}})
	}
	return list
}

// by names who asks, for the log.
func by(q *router.Request) string { return q.From().String() }

// form asks for fields.
func form(title, instructions string, fields ...xmpp.Field) *xmpp.Form {
	return &xmpp.Form{Title: title, Instructions: instructions, Fields: append([]xmpp.Field{xmpp.FormType(ns)}, fields...)}
}

// asks is a stage that asks for a form and then does the one thing that the command does.
func asks(form *xmpp.Form, do func(context.Context, *router.Request, xmpp.Form) (router.Stage, error)) (router.Stage, error) {
	return router.Stage{Form: form, Last: true, Next: do}, nil
}

// done ends a command with a word for people.
func done(format string, args ...any) router.Stage {
	return router.Stage{Notes: []router.Note{{Type: "info", Text: fmt.Sprintf(format, args...)}}}
}

// result ends a command with a form.
func result(fields ...xmpp.Field) router.Stage {
	return router.Stage{Form: &xmpp.Form{Fields: append([]xmpp.Field{xmpp.FormType(ns)}, fields...)}}
}

func single(label string) xmpp.Field {
	return xmpp.Field{Var: "accountjid", Type: "jid-single", Label: label, Required: true}
}

func several(label string) xmpp.Field {
	return xmpp.Field{Var: "accountjids", Type: "jid-multi", Label: label, Required: true}
}

// user reads the address of a user of the domain that is asked.
func user(q *router.Request, field, value string) (xmpp.JID, error) {
	jid, err := session(q, field, value)
	if err == nil && !jid.IsBare() {
		return jid, &xmpp.FormError{Var: field, Reason: jid.String() + " is the address of a session; write it without the resource"}
	}
	return jid, err
}

// session reads the address of a user or a session of the domain that is asked.
func session(q *router.Request, field, value string) (xmpp.JID, error) {
	jid, err := xmpp.ParseJID(value)
	if err != nil || jid.Local() == "" || jid.Domain() != q.Host {
		return jid, &xmpp.FormError{Var: field, Reason: value + " is no user's address of " + q.Host}
	}
	return jid, nil
}

// users reads the addresses of users who must all be there: nothing is done by halves
// because of a mistyped name.
func (f *feature) users(ctx context.Context, q *router.Request, in xmpp.Form) (list []xmpp.JID, all []User, err error) {
	for _, v := range in.Values("accountjids") {
		jid, err := user(q, "accountjids", v)
		if err != nil {
			return nil, nil, err
		}
		u, err := f.known(ctx, jid)
		if err != nil {
			return nil, nil, err
		}
		list, all = append(list, jid), append(all, u)
	}
	return list, all, nil
}

// known returns an account that must be there.
func (f *feature) known(ctx context.Context, jid xmpp.JID) (User, error) {
	u, found, err := f.house.User(ctx, jid)
	if err == nil && !found {
		err = xmpp.Refuse("item-not-found", "there is no account "+jid.String())
	}
	return u, err
}
