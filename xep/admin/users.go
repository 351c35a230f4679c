package admin

import (
	"context"
	"net"
	"slices"
	"time"

	"parley/router"
	"parley/xmpp"
)

// dateTime is the form of XEP-0082 for a time in UTC.
const dateTime = "2006-01-02T15:04:05Z"

// addUser is XEP-0133 §4.1.
func (f *feature) addUser(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Adding a User", "Fill out this form to add a user.",
		single("The Jabber ID for the account to be added"),
		xmpp.Field{Var: "password", Type: "text-private", Label: "The password for this account", Required: true},
		xmpp.Field{Var: "password-verify", Type: "text-private", Label: "Retype password"},
	), func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		jid, err := user(q, "accountjid", in.Value("accountjid"))
		if err != nil {
			return router.Stage{}, err
		}
		password := in.Value("password")
		if again := in.Values("password-verify"); len(again) > 0 && again[0] != password {
			return router.Stage{}, &xmpp.FormError{Var: "password-verify", Reason: "the two passwords differ"}
		}
		return done("%s has been added.", jid), f.house.AddUser(ctx, by(q), jid, password)
	})
}

// deleteUser is XEP-0133 §4.2.
func (f *feature) deleteUser(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Deleting a User", "Fill out this form to delete a user.", several("The Jabber ID(s) to delete")),
		f.each("Deleted", false, f.house.RemoveUser))
}

// disableUser is XEP-0133 §4.3.
func (f *feature) disableUser(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Disabling a User", "Fill out this form to disable a user.", several("The Jabber ID(s) to disable")),
		f.each("Disabled", false, f.house.DisableUser))
}

// enableUser is XEP-0133 §4.4.
func (f *feature) enableUser(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Re-Enable a User", "Fill out this form to re-enable a user.", several("The Jabber ID(s) to re-enable")),
		f.each("Enabled", true, f.house.EnableUser))
}

// each does something with several accounts. Nobody takes the own account away by mistake,
// unless self allows it.
func (f *feature) each(what string, self bool, do func(context.Context, string, xmpp.JID) error) func(context.Context, *router.Request, xmpp.Form) (router.Stage, error) {
	return func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		list, _, err := f.users(ctx, q, in)
		if err != nil {
			return router.Stage{}, err
		}
		if !self && slices.Contains(list, q.From().Bare()) {
			return router.Stage{}, xmpp.Refuse("not-allowed", "this is your own account")
		}
		var failed []router.Note
		for _, jid := range list {
			if err := do(ctx, by(q), jid); err != nil {
				if len(list) == 1 {
					return router.Stage{}, err
				}
				failed = append(failed, f.failed(q, jid, err))
			}
		}
		stage := done("%s: %d", what, len(list)-len(failed))
		stage.Notes = append(failed, stage.Notes...) // XEP-0050 §3.6
		return stage, nil
	}
}

// failed tells of one account of several with which something went wrong. What the asker
// need not know is for the log.
func (f *feature) failed(q *router.Request, jid xmpp.JID, err error) router.Note {
	f.log.Warn("a command failed for one account of several", "account", jid.String(), "by", by(q), "error", err)
	return router.Note{Type: "error", Text: jid.String() + ": this has failed; the server's log says why"}
}

// endSession is XEP-0133 §4.5. The asker's own session ends behind the answer.
func (f *feature) endSession(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Ending a User Session", "Fill out this form to end a user's session.", several("The Jabber ID(s) for which to end sessions")),
		func(_ context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
			var list []xmpp.JID
			for _, v := range in.Values("accountjids") {
				jid, err := session(q, "accountjids", v)
				if err != nil {
					return router.Stage{}, err
				}
				list = append(list, jid)
			}
			n := 0
			for _, jid := range list {
				if jid == q.From() || jid == q.From().Bare() {
					n += f.sessions(jid)
					q.After(func(rd *router.Round) {
						rd.Flush()
						f.house.EndSessions(by(q), jid)
					})
					continue
				}
				n += f.house.EndSessions(by(q), jid)
			}
			if n == 0 {
				return router.Stage{}, xmpp.Refuse("item-not-found", "there is no such session")
			}
			return done("Sessions ended: %d", n), nil
		})
}

// sessions counts the sessions of a full or bare address.
func (f *feature) sessions(jid xmpp.JID) (n int) {
	f.router.WithAccountInMemory(jid.Bare(), func(a *router.Account) {
		for _, res := range a.Resources() {
			if jid.IsBare() || res.JID() == jid {
				n++
			}
		}
	})
	return n
}

// changePassword is XEP-0133 §4.7. The asker's own session stays.
func (f *feature) changePassword(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Changing a User Password", "Fill out this form to change a user's password.",
		single("The Jabber ID for this account"),
		xmpp.Field{Var: "password", Type: "text-private", Label: "The password for this account", Required: true},
	), func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		jid, err := user(q, "accountjid", in.Value("accountjid"))
		if err == nil {
			_, err = f.known(ctx, jid)
		}
		if err != nil {
			return router.Stage{}, err
		}
		return done("%s has a new password.", jid), f.house.SetPassword(ctx, by(q), jid, in.Value("password"), q.From())
	})
}

// lastLogin is XEP-0133 §4.9. What it tells of several users is a table (XEP-0004 §3.4).
func (f *feature) lastLogin(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Getting a User's Last Login Time", "Fill out this form to get a user's last login time.",
		several("The Jabber ID(s) for which to retrieve the last login time"),
	), func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		list, all, err := f.users(ctx, q, in)
		if err != nil {
			return router.Stage{}, err
		}
		table := xmpp.Form{Reported: []xmpp.Field{
			{Var: "accountjids", Type: "jid-multi", Label: "Jabber ID"}, {Var: "lastlogin", Type: "text-single", Label: "Last login"},
		}}
		for i, jid := range list {
			var at []string
			if !all[i].LastLogin.IsZero() {
				at = []string{all[i].LastLogin.UTC().Format(dateTime)}
			}
			table.Items = append(table.Items, []xmpp.Field{
				{Var: "accountjids", Values: []string{jid.String()}}, {Var: "lastlogin", Values: at},
			})
		}
		if len(list) > 1 {
			return router.Stage{Form: &table}, nil
		}
		stage := result(table.Items[0]...)
		if all[0].LastLogin.Equal(time.Time{}) {
			stage.Notes = []router.Note{{Type: "info", Text: list[0].String() + " has never logged in."}}
		}
		return stage, nil
	})
}

// described is what a door tells of its sessions.
type described interface {
	Describe() (conn, address, tls, via string)
}

// userStats is XEP-0133 §4.10: where an account is connected from, and with what.
func (f *feature) userStats(context.Context, *router.Request) (router.Stage, error) {
	return asks(form("Get User Statistics", "Fill out this form to gather user statistics.", single("The Jabber ID for statistics")),
		func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
			jid, err := user(q, "accountjid", in.Value("accountjid"))
			if err == nil {
				_, err = f.known(ctx, jid)
			}
			if err != nil {
				return router.Stage{}, err
			}
			var addresses, resources []string
			f.router.WithAccountInMemory(jid, func(a *router.Account) {
				for _, res := range a.Resources() {
					resources = append(resources, res.JID().Resource())
					if ip := address(res.Session); ip != "" && !slices.Contains(addresses, ip) {
						addresses = append(addresses, ip)
					}
				}
			})
			return result(
				xmpp.Field{Var: "ipaddresses", Type: "list-multi", Label: "The IP addresses of the online sessions", Values: addresses},
				xmpp.Field{Var: "onlineresources", Type: "text-multi", Label: "The names of the online sessions", Values: resources},
			), nil
		})
}

// address returns where a session is connected from, "" where its door does not tell.
func address(s router.Session) string {
	d, ok := s.(described)
	if !ok {
		return ""
	}
	_, address, _, _ := d.Describe()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
