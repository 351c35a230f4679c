package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/router"
	"parley/xmpp"
)

// maxListed is how many addresses are listed at most, whatever is asked for: an answer has
// to find room in the queue of a client.
const maxListed = 5000

// people tells how many users of a domain are in some state, and who they are, at most
// limit; with limit 0 nobody is listed.
type people func(ctx context.Context, host string, limit int) (n int64, list []xmpp.JID, err error)

func (f *feature) registered(ctx context.Context, host string, limit int) (int64, []xmpp.JID, error) {
	return f.accounts(ctx, host, false, limit)
}

func (f *feature) disabled(ctx context.Context, host string, limit int) (int64, []xmpp.JID, error) {
	return f.accounts(ctx, host, true, limit)
}

func (f *feature) accounts(ctx context.Context, host string, disabled bool, limit int) (n int64, list []xmpp.JID, err error) {
	if n, err = f.house.Count(ctx, host, disabled); err == nil && limit > 0 {
		list, err = f.house.Users(ctx, host, disabled, limit)
	}
	return n, list, err
}

// online finds those with at least one connected resource (XEP-0133 §4.15).
func (f *feature) online(_ context.Context, host string, limit int) (n int64, list []xmpp.JID, err error) {
	var last xmpp.JID
	f.router.EachSession(func(a *router.Account, _ router.Resource) {
		if a.JID == last || a.JID.Domain() != host {
			return
		}
		last = a.JID
		if n++; len(list) < limit {
			list = append(list, last)
		}
	})
	return n, list, nil
}

// number tells how many users are in some state (XEP-0133 §4.13 to §4.15).
func (f *feature) number(field, label string, who people) func(context.Context, *router.Request) (router.Stage, error) {
	return func(ctx context.Context, q *router.Request) (router.Stage, error) {
		n, _, err := who(ctx, q.Host, 0)
		return result(xmpp.Field{Var: field, Type: "text-single", Label: label, Values: []string{strconv.FormatInt(n, 10)}}), err
	}
}

// list tells who is in some state, after asking how many are to be named
// (XEP-0133 §4.18 to §4.20).
func (f *feature) list(what, field, label string, who people) func(context.Context, *router.Request) (router.Stage, error) {
	most := xmpp.Field{Var: "max_items", Type: "list-single", Label: "Maximum number of items to show", Values: []string{"100"}}
	for _, n := range []string{"25", "50", "75", "100", "150", "200"} {
		most.Options = append(most.Options, xmpp.Option{Label: n, Value: n})
	}
	most.Options = append(most.Options, xmpp.Option{Label: "None", Value: "none"})
	ask := form("Requesting List of "+title(what), "Fill out this form to request the "+what+" of this service.", most)
	return func(context.Context, *router.Request) (router.Stage, error) {
		return asks(ask, func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
			limit, err := strconv.Atoi(in.Value("max_items"))
			if err != nil { // none, or nothing was chosen
				limit = maxListed
			}
			n, users, err := who(ctx, q.Host, limit)
			if err != nil {
				return router.Stage{}, err
			}
			names := make([]string, len(users))
			for i, jid := range users {
				names[i] = jid.String()
			}
			stage := result(xmpp.Field{Var: field, Type: "jid-multi", Label: label, Values: names})
			if n > int64(len(names)) {
				stage.Notes = []router.Note{{Type: "warn", Text: fmt.Sprintf("These are %d of %d.", len(names), n)}}
			}
			return stage, nil
		})
	}
}

// title writes words as in a title.
func title(words string) string {
	list := strings.Fields(words)
	for i, w := range list {
		list[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(list, " ")
}

// admins lists the administrators. XEP-0133 §4.29 edits them; here they are the
// configuration's.
func (f *feature) admins(context.Context, *router.Request) (router.Stage, error) {
	var names []string
	for _, jid := range f.house.Admins() {
		names = append(names, jid.String())
	}
	stage := result(xmpp.Field{Var: "adminjids", Type: "jid-multi", Label: "The admin list", Values: names})
	stage.Notes = []router.Note{{Type: "info", Text: "The list is the setting admins of the configuration; it is edited there."}}
	return stage, nil
}

// reload is what SIGHUP does.
func (f *feature) reload(_ context.Context, q *router.Request) (router.Stage, error) {
	wait, err := f.house.Reload(by(q))
	stage := done("The configuration has been reloaded.")
	for _, key := range wait {
		stage.Notes = append(stage.Notes, router.Note{Type: "warn", Text: key + " has changed and needs a restart."})
	}
	return stage, err
}

// shutdown is XEP-0133 §4.31.
func (f *feature) shutdown(context.Context, *router.Request) (router.Stage, error) {
	delay := xmpp.Field{Var: "delay", Type: "list-single", Label: "Time delay before shutting down", Required: true, Values: []string{"60"}}
	delay.Options = []xmpp.Option{
		{Label: "none", Value: "0"}, {Label: "30 seconds", Value: "30"}, {Label: "60 seconds", Value: "60"}, {Label: "90 seconds", Value: "90"},
		{Label: "2 minutes", Value: "120"}, {Label: "3 minutes", Value: "180"}, {Label: "4 minutes", Value: "240"}, {Label: "5 minutes", Value: "300"},
	}
	return asks(form("Shutting Down the Service", "Fill out this form to shut down the service.", delay,
		xmpp.Field{Var: "announcement", Type: "text-multi", Label: "Announcement"},
	), func(_ context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		seconds, err := strconv.Atoi(in.Value("delay"))
		if err != nil {
			return router.Stage{}, &xmpp.FormError{Var: "delay", Reason: "no number of seconds"}
		}
		err = f.house.Shutdown(by(q), time.Duration(seconds)*time.Second, in.Value("announcement"))
		return done("The service shuts down in %d seconds.", seconds), err
	})
}
