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

// Barred tells the features that an account has begun (now) or ceased to bar those for whom
// match says so; MaySend and MayGet say so already. To whom the account begins to bar it
// goes offline: also to those who were sent directed presence, who are forgotten
// (RFC 6121 §4.6.3).
func (r *Router) Barred(t *Turn, a *Account, match func(xmpp.JID) bool, now bool) {
	if now {
		for _, res := range a.Resources() {
			res.sender.withdraw(t, match, res.Available())
		}
	}
	for _, f := range r.features {
		if f.Barred != nil {
			f.Barred(t, a, match, now)
		}
	}
}

// withdraw is undirect for some. shown says that the presence of the session was shown to
// subscribers, who are told otherwise.
func (s *Sender) withdraw(t *Turn, match func(xmpp.JID) bool, shown bool) {
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
		if shown && to.IsBare() && s.r.Trusted(context.Background(), s.account, to) {
			continue
		}
		s.r.directed(context.Background(), &t.Round, unavailable(s.jid, "").Readdressed(to, s.jid))
	}
}
