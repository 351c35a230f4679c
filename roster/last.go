package roster

import (
	"parley/router"
	"parley/xmpp"
)

// last is the last presence of an available resource, for somebody who was not there when
// it was sent, with a stamp that says when that was (RFC 6121 §4.3.2, XEP-0203 §2). The
// stamp is this house's, and the only one.
func last(res router.Resource, to xmpp.JID) *xmpp.Stanza {
	st := res.Presence.WithoutDelay(func(xmpp.JID) bool { return true })
	return st.With(xmpp.Delay(res.JID().Host(), res.Sent)).Readdressed(to, res.JID())
}

// absent is what is told of an account of which no resource is available, with what
// features know of when the last one left (RFC 6121 §4.3.2).
func (f *feature) absent(t *router.Turn, a *router.Account, id string, to xmpp.JID) *xmpp.Stanza {
	st := presenceOf("unavailable", id, a.JID, to)
	if p := f.router.Absent(t, a); len(p) > 0 {
		st = st.With(p)
	}
	return st
}

// honest takes off stamps in presence that claim to be this house's: only the server says
// that the server held presence up (XEP-0203 §5). What does not say whose it is claims
// nothing; what a client says in its own name stays.
func (f *feature) honest(a *router.Account, st *xmpp.Stanza) *xmpp.Stanza {
	return st.WithoutDelay(func(from xmpp.JID) bool {
		return f.router.Serves(from.Domain()) && from.Bare() != a.JID
	})
}
