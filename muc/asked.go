package muc

import (
	"time"

	"parley/xmpp"
)

// asked is what a room remembers for a while, so that an answer finds its way.
type asked struct {
	invites      []invitation
	whispers     []whisper
	applications []application
}

type invitation struct {
	guest, by xmpp.JID // bare
	as        xmpp.JID // what who has invited is called in the invitation
	id        string
}

type whisper struct {
	id string
	to xmpp.JID // bare
	by *occupant
	at time.Time
}

// How much that is.
const (
	maxInvitations = 200
	maxWhispers    = 64
)

func (a *asked) invited(inv invitation) {
	a.invites = append(a.invites, inv)
	if n := len(a.invites) - maxInvitations; n > 0 {
		a.invites = a.invites[n:]
	}
}

// invitationOf returns the last invitation of somebody; the zero one where there is none.
func (a *asked) invitationOf(guest xmpp.JID) invitation {
	for i := len(a.invites) - 1; i >= 0; i-- {
		if a.invites[i].guest == guest {
			return a.invites[i]
		}
	}
	return invitation{}
}

// whispered notes a private message, whose failure is told to who has sent it.
func (a *asked) whispered(id string, to xmpp.JID, by *occupant, at time.Time) {
	a.whispers = append(a.whispers, whisper{id, to, by, at})
	if n := len(a.whispers) - maxWhispers; n > 0 {
		a.whispers = a.whispers[n:]
	}
}

// whisperer returns who has sent a private message that comes back; nil for any other.
func (a *asked) whisperer(st *xmpp.Stanza) *occupant {
	for i := len(a.whispers) - 1; i >= 0; i-- {
		if w := a.whispers[i]; w.id == st.ID && w.to == st.From.Bare() && w.by.jid == st.To {
			return w.by
		}
	}
	return nil
}
