package router

import (
	"context"

	"parley/xmpp"
)

// speaks reports whether a presence stanza is about a subscription, or asks for presence:
// the account answers it, not its resources (RFC 6121 §8.5.2.1.2).
func speaks(typ string) bool {
	switch typ {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe":
		return true
	}
	return false
}

// subscription takes presence of the client that is about a subscription, or a probe. A
// subscription is between accounts: both addresses become bare JIDs (RFC 6121 §3,
// §3.1.2). A user is subscribed to the own presence anyhow.
func (s *Sender) subscription(rd *Round, st *xmpp.Stanza) {
	own := s.account.JID
	if st.To.Bare() == own {
		return
	}
	if st.Type == "probe" { // RFC 6121 §4.3: it is processed, and no cause for an error
		s.r.Deliver(rd, st)
		return
	}
	var refused error
	rd.Flush()
	err := s.account.Do(func(t *Turn) { refused = s.r.outgoing(t, s.account, st.Readdressed(st.To.Bare(), own)) })
	if err == nil {
		err = refused
	}
	if err != nil {
		s.refuse(rd, st, s.r.failed(err))
	}
}

func (r *Router) outgoing(t *Turn, a *Account, st *xmpp.Stanza) error {
	for _, f := range r.features {
		if f.Outgoing != nil {
			return f.Outgoing(t, a, st)
		}
	}
	return nil
}

// incoming has an account take a turn for presence that it answers itself. Where there is
// no such account subscriptions are ignored (RFC 6121 §8.5.1), and a probe gets what a
// stranger's gets.
func (r *Router) incoming(ctx context.Context, rd *Round, st *xmpp.Stanza) {
	a, err := r.account(ctx, st.To.Bare())
	switch {
	case err != nil:
		r.undelivered(rd, st, err)
		return
	case a == nil:
		if st.Type == "probe" {
			r.Deny(rd, st)
		}
		return
	}
	defer a.pins.Add(-1)
	if r.MayGet(a, st) != nil {
		return // also a probe, which would be answered otherwise (XEP-0191 §3.3)
	}
	err = a.post(func(t *Turn) {
		for _, f := range r.features {
			if f.Incoming != nil {
				f.Incoming(t, a, st)
			}
		}
	}, limitOf(st.Type))
	if err != nil {
		r.undelivered(rd, st, err)
	}
}

// limitOf returns how long an inbox may be for a stanza to enter. A request or a probe is
// repeated by who sent it; what answers or ends a subscription is not, and gets in later
// than anything else is refused.
func limitOf(typ string) int {
	if typ == "subscribe" || typ == "probe" {
		return maxAsked
	}
	return maxTold
}

// undelivered tells who asks for a subscription that the request went nowhere
// (RFC 6121 §3.1.2).
func (r *Router) undelivered(rd *Round, st *xmpp.Stanza, err error) {
	switch st.Type {
	case "subscribe":
		r.Deliver(rd, xmpp.Bounce(st, r.failed(err)))
	case "probe": // it will be repeated
	default:
		r.log.Warn("a subscription stanza was lost", "type", st.Type, "account", st.To.Bare().String(), "error", err)
	}
}

// Deny answers a probe of somebody who has no subscription (RFC 6121 §4.3.2). Whether
// there is such an account cannot be told from it: this is the answer for all. A client
// that probes by itself gets it alone, as the answer that it is; an account's probe is
// answered to the account, which cancels what it took for a subscription.
func (r *Router) Deny(rd *Round, probe *xmpp.Stanza) {
	st := xmpp.NewStanza(xmpp.Presence, nil)
	st.Type, st.ID = "unsubscribed", probe.ID // RFC 6121 §4.3.2.1
	st.From, st.To = probe.To.Bare(), probe.From.Bare()
	if probe.From.IsBare() || !r.Serves(probe.From.Domain()) {
		r.Deliver(rd, st)
		return
	}
	r.WithAccountInMemory(probe.From.Bare(), func(a *Account) {
		if res, ok := a.Resource(probe.From.Resource()); ok {
			rd.Push(res.Session, st)
		}
	})
}

// Trusted reports whether a is to be seen by from: it is the account itself, or a feature
// knows of a subscription. It may wait for storage.
func (r *Router) Trusted(ctx context.Context, a *Account, from xmpp.JID) bool {
	if from.Bare() == a.JID {
		return true
	}
	for _, f := range r.features {
		if f.Trusted != nil && f.Trusted(ctx, a, from.Bare()) {
			return true
		}
	}
	return false
}

// Contact reports whether a bare address is in the roster of a, with whatever subscription.
// It may wait for storage.
func (r *Router) Contact(ctx context.Context, a *Account, bare xmpp.JID) (bool, error) {
	for _, f := range r.features {
		if f.Contact == nil {
			continue
		}
		if in, err := f.Contact(ctx, a, bare); in || err != nil {
			return in, err
		}
	}
	return false, nil
}

// Groups returns the groups of the roster of a that a bare address is in. It may wait for
// storage.
func (r *Router) Groups(ctx context.Context, a *Account, bare xmpp.JID) ([]string, error) {
	for _, f := range r.features {
		if f.Groups != nil {
			return f.Groups(ctx, a, bare)
		}
	}
	return nil, nil
}

// Watchers calls each once for every bare address that may see the presence of a: those who
// have it from shared groups alone only if they are there.
func (r *Router) Watchers(t *Turn, a *Account, each func(bare xmpp.JID)) {
	for _, f := range r.features {
		if f.Watchers != nil {
			f.Watchers(t, a, each)
		}
	}
}

// Watched calls each once for every bare address whose presence a may see.
func (r *Router) Watched(t *Turn, a *Account, each func(bare xmpp.JID)) {
	for _, f := range r.features {
		if f.Watched != nil {
			f.Watched(t, a, each)
		}
	}
}

// Admitted tells the features that a bare address may see the presence of a from now on, or
// (not now) that it may do so no longer. Who keeps rosters calls it in the turn of the change,
// behind what the clients are told of it.
func (r *Router) Admitted(t *Turn, a *Account, bare xmpp.JID, now bool) {
	for _, f := range r.features {
		if f.Admitted != nil {
			f.Admitted(t, a, bare, now)
		}
	}
}

// Leaving has the features take leave for an account that is about to be removed, while
// all that is kept of it is there yet. For an account that does not exist it does nothing.
func (r *Router) Leaving(ctx context.Context, bare xmpp.JID) error {
	return r.WithAccount(ctx, bare, func(a *Account) (err error) {
		if a == nil {
			return nil
		}
		failed := a.Do(func(t *Turn) {
			for _, f := range r.features {
				if f.Leaving != nil && err == nil {
					err = f.Leaving(t, a)
				}
			}
		})
		if failed != nil {
			return failed
		}
		return err
	})
}
