package router

import (
	"parley/storage"
	"parley/xmpp"
)

// A Service answers for domains of the house that have no accounts, as rooms do. Its addresses
// are reached like any other's: what speaks to them keeps its order, and what they say goes
// the way of everything (Router.Deliver).
type Service interface {
	// Has reports whether a domain is the service's. It never waits.
	Has(domain string) bool
	// Take takes a stanza that is for the service. It never waits, but for a request to the
	// domain itself, which it may answer from storage. For a message it calls settled once, when
	// what the message leaves behind is committed, or it was refused; for others settled is nil.
	Take(rd *Round, st *xmpp.Stanza, settled func())
	// Seats reports whether a session is at an address of the service. It never waits, and calls
	// nothing of the router.
	Seats(session, at xmpp.JID) bool
}

// NewInbox returns a line of turns for what changes one thing of a service, as a room.
func (r *Router) NewInbox() *Inbox { return &Inbox{r: r} }

// Local reports whether domain is one of this house: of its accounts, or of a service.
func (r *Router) Local(domain string) bool { return r.Serves(domain) || r.service(domain) != nil }

// Visits reports whether an address is a service's.
func (r *Router) Visits(to xmpp.JID) bool { return r.service(to.Domain()) != nil }

// Answer gives the answer to a request that a service was given: a payload, which may be nil,
// or an error.
func (r *Router) Answer(rd *Round, st *xmpp.Stanza, p xmpp.Payload, err error) {
	r.answer(rd, st, p, err, nil)
}

// service returns who answers for a domain; nil where no service does.
func (r *Router) service(domain string) Service {
	for _, s := range r.services {
		if s.Has(domain) {
			return s
		}
	}
	return nil
}

// kept reports whether a message is in the archive of a service: what that tells of it to
// others' servers need not be kept on its way, and does not wait to be.
func (r *Router) kept(st *xmpp.Stanza) bool {
	return (st.Type == "groupchat" || st.Has("urn:xmpp:mam:2", "result")) && r.service(st.From.Domain()) != nil
}

// visit is the way to a service. It implements Way for what is no message; a message is
// given by Passage.call, for it is settled only when the service says so.
type visit struct {
	r *Router
	s Service
}

// Keep implements Way: a service keeps for itself.
func (visit) Keep(*xmpp.Stanza) Keeping { return nil }

// Prompt implements Way.
func (visit) Prompt() bool { return false }

// Gone implements Way.
func (visit) Gone(storage.ID) {}

// Carry implements Way.
func (v visit) Carry(rd *Round, st *xmpp.Stanza, _ storage.ID) *xmpp.Error {
	if st.Kind == xmpp.IQ && (st.Type == "result" || st.Type == "error") && v.r.answered(st) {
		return nil
	}
	v.s.Take(rd, st, nil)
	return nil
}

// visits reports whether the message is for a service.
func (p *Passage) visits() bool {
	_, ok := p.way.(visit)
	return ok
}

// call hands the message to its service, which settles it. The passage is not the caller's any
// more.
func (p *Passage) call(rd *Round) {
	if p.swallowed {
		p.settle()
		return
	}
	p.way.(visit).s.Take(rd, p.Stanza, p.settle)
}
