package router

import (
	"parley/storage"
	"parley/xmpp"
)

// A Way leads to a domain that is none of this house: another server's, or a component's.
// Its methods never wait.
type Way interface {
	// Keep names what is to be written of a message, so that it is not lost before it has
	// arrived there; nil: nothing is.
	Keep(st *xmpp.Stanza) Keeping
	// Carry takes a stanza, which leaves when rd is flushed at the latest (Round.Touch). id is
	// that under which Keep's was written, 0 where nothing was. An error is for who sent it.
	Carry(rd *Round, st *xmpp.Stanza, id storage.ID) *xmpp.Error
	// Prompt reports whether a message may be given to Carry before it is written, under a
	// provisional id: it would leave at once, and the way would know soon whether it has
	// arrived, and say so (Router.Through).
	Prompt() bool
	// Gone says that what was written of a message under an id is of no use any more.
	Gone(id storage.ID)
}

// Ways finds the way from a domain of this house, or of a component, to any other. It never
// waits. An error says why there is none.
type Ways func(from, to string) (Way, *xmpp.Error)

// SetWays says how other domains are reached. Without it they are not. It is called before
// the doors open.
func (r *Router) SetWays(w Ways) { r.ways = w }

// wayOf returns the way that a stanza goes out of the house.
func (r *Router) wayOf(st *xmpp.Stanza) (Way, *xmpp.Error) {
	if s := r.service(st.To.Domain()); s != nil {
		return visit{r, s}, nil
	}
	if r.ways == nil {
		return nil, xmpp.Refuse("remote-server-not-found", "") // RFC 6120 §10.4.3
	}
	return r.ways(st.From.Domain(), st.To.Domain())
}

// abroad sends a stanza out of the house that is no message.
func (r *Router) abroad(rd *Round, st *xmpp.Stanza) *xmpp.Error {
	w, err := r.wayOf(st)
	if err != nil {
		return err
	}
	return w.Carry(rd, st, 0)
}

// Distant tells the features that a domain elsewhere has not been reached from one of this
// house for so long that its users must be taken for absent, or (reached) that it is there
// again. Ways call it, each once.
func (r *Router) Distant(local, remote string, reached bool) {
	defer r.caught("hearing of a domain", nil)
	for _, f := range r.features {
		if f.Distant != nil {
			f.Distant(local, remote, reached)
		}
	}
}
