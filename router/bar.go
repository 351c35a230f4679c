package router

import (
	"context"

	"parley/xmpp"
)

// MaySend asks the features whether an account may send st; an error says why not.
func (r *Router) MaySend(a *Account, st *xmpp.Stanza) *xmpp.Error { return r.barred(r.sent.bar, a, st) }

// MayGet asks the features whether an account is to be given st; an error is for who sent
// it.
func (r *Router) MayGet(a *Account, st *xmpp.Stanza) *xmpp.Error {
	return r.barred(r.arrived.bar, a, st)
}

// barred asks one after the other. A panic refuses the stanza.
func (r *Router) barred(bars []func(*Account, *xmpp.Stanza) *xmpp.Error, a *Account, st *xmpp.Stanza) (err *xmpp.Error) {
	if len(bars) == 0 {
		return nil
	}
	defer r.caught("a step", &err)
	for _, bar := range bars {
		if err := bar(a, st); err != nil {
			return err
		}
	}
	return nil
}

// shuns reports whether the account that st is for is not to be given it. An account that
// does not exist shuns nobody; one that cannot be looked up gets nothing.
func (r *Router) shuns(ctx context.Context, st *xmpp.Stanza) bool {
	if !r.Serves(st.To.Domain()) || st.To.Local() == "" {
		return false
	}
	a, err := r.account(ctx, st.To.Bare())
	if a == nil {
		return err != nil
	}
	defer a.pins.Add(-1)
	return r.MayGet(a, st) != nil
}

// Withdraw tells those to whom the session has sent directed presence, and for whom match
// says so, that it is gone for them (RFC 6121 §4.6.3). They are forgotten.
func (s *Sender) Withdraw(rd *Round, match func(xmpp.JID) bool) {
	var list []xmpp.JID
	s.mu.Lock()
	for to := range s.directed {
		if match(to) {
			list = append(list, to)
			delete(s.directed, to)
		}
	}
	s.mu.Unlock()
	for _, to := range list {
		s.r.directed(context.Background(), rd, unavailable(s.jid, "").Readdressed(to, s.jid))
	}
}
