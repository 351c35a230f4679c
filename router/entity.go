package router

import (
	"context"
	"slices"

	"parley/xmpp"
)

// What components may be allowed beyond what anybody may do passes through these seams:
// features decide, the hall only asks them.

// Attached tells the features that a component has connected: stanzas for it arrive from now
// on. The door calls it once for each of its streams.
func (r *Router) Attached(component xmpp.JID) {
	defer r.caught("a component's coming", nil)
	for _, f := range r.features {
		if f.Attached != nil {
			f.Attached(component)
		}
	}
}

// Pushed tells the features what has changed in an account's roster: change is the <query/> of
// a roster push (RFC 6121 §2.1.6) without a version. Who keeps rosters calls it in the turn of
// the change.
func (r *Router) Pushed(t *Turn, a *Account, change func() xmpp.Payload) {
	for _, f := range r.features {
		if f.Pushed != nil {
			f.Pushed(t, a, change())
		}
	}
}

// Hosts returns the domains of the house, in the order of their names.
func (r *Router) Hosts() []string {
	var list []string
	for d := range *r.hosts.Load() {
		list = append(list, d)
	}
	slices.Sort(list)
	return list
}

// noticed tells the features of presence for an account's bare JID.
func (r *Router) noticed(rd *Round, st *xmpp.Stanza) {
	if len(r.showing) == 0 || !st.To.IsBare() || st.From.Bare() == st.To || st.Type != "" && st.Type != "unavailable" {
		return
	}
	defer r.caught("a look at presence", nil)
	for _, show := range r.showing {
		show(rd, st)
	}
}

// showed tells the features of presence that a client of this house has sent to an account
// alone.
func (r *Router) showed(rd *Round, st *xmpp.Stanza) {
	if !st.To.IsBare() || st.To.Local() == "" || st.From.Bare() == st.To || st.Type != "" {
		return
	}
	defer r.caught("a look at presence", nil)
	for _, f := range r.features {
		if f.Shares != nil {
			f.Shares(rd, st)
		}
	}
}

// instead asks the features for a handler that goes before all others.
func (r *Router) instead(ctx context.Context, q *Request, to xmpp.JID) (Handler, error) {
	for _, f := range r.features {
		if f.Instead == nil {
			continue
		}
		h := f.Instead(ctx, q)
		if h == nil {
			continue
		}
		return h, r.approach(ctx, q, to)
	}
	return nil, nil
}

// elsewhere asks the features who else answers a question about an account.
func (r *Router) elsewhere(q *Request) Handler {
	for _, f := range r.features {
		if f.Elsewhere == nil {
			continue
		}
		if h := f.Elsewhere(q); h != nil {
			return h
		}
	}
	return nil
}

// approach finds the account that a request is for, and whether it lets itself be asked.
func (r *Router) approach(ctx context.Context, q *Request, to xmpp.JID) error {
	if to.Local() == "" {
		return nil
	}
	if q.Sender != nil && to == q.Sender.account.JID {
		q.Account = q.Sender.account
		return nil
	}
	a, err := r.account(ctx, to)
	if q.Account = a; err != nil || a == nil {
		return err
	}
	if refused := r.MayGet(a, q.Stanza); refused != nil {
		return refused
	}
	return nil
}

// deputises reports whether who asks may do so as the owner of the account: the account itself
// speaks without a session, or a feature says so.
func (r *Router) deputises(q *Request) bool {
	if q.Stanza.From == q.Stanza.To { // nobody but the house itself says so (Router.Ask)
		return true
	}
	for _, f := range r.features {
		if f.Deputy != nil && f.Deputy(q) {
			return true
		}
	}
	return false
}

// unwrap replaces a message for the house by the one in it that is to be sent as an account
// would send it, if there is one. Where it is the house's own, no account is its sender.
func (r *Router) unwrap(ctx context.Context, p *Passage) *xmpp.Error {
	for _, f := range r.features {
		if f.Unwrap == nil {
			continue
		}
		inner, err := f.Unwrap(ctx, p.Stanza)
		if err != nil {
			return err
		}
		if inner == nil {
			continue
		}
		if inner.From.Local() != "" {
			a, err := r.account(ctx, inner.From)
			switch {
			case err != nil:
				return r.failed(err)
			case a == nil:
				return xmpp.Refuse("forbidden", "there is no such account")
			}
			p.Sender, p.pinned = a, true
		}
		p.Stanza, p.size = inner, inner.Len()
		return nil
	}
	return nil
}
