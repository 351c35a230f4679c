package muc

import (
	"slices"
	"time"

	"parley/xmpp"
)

// An occupant is somebody in a room, under one nickname, with one session or several.
type occupant struct {
	jid   xmpp.JID // room@domain/nick
	real  xmpp.JID // bare
	id    string   // XEP-0421
	role  role
	aff   affiliation
	hats  xmpp.Payload
	shown bool    // the others see it
	seats []*seat // the one that spoke of its presence last is the last
	*haste
	asked time.Time
}

// A seat is one session of an occupant.
type seat struct {
	jid  xmpp.JID // full
	occ  *occupant
	said *xmpp.Stanza // its presence, without what is not for others

	versions bool // it is told which version of the lists each change makes (XEP-0463)

	heard, probed time.Time // when it said something last, and was asked whether it is there
}

func (o *occupant) nick() string { return o.jid.Resource() }

// now is the seat whose presence is the occupant's.
func (o *occupant) now() *seat { return o.seats[len(o.seats)-1] }

// turnTo has a seat's presence be the occupant's.
func (o *occupant) turnTo(s *seat) {
	i := slices.Index(o.seats, s)
	o.seats = append(slices.Delete(o.seats, i, i+1), s)
}

// seatOf returns the seat of a session; nil where it has none.
func (r *room) seatOf(full xmpp.JID) *seat {
	s := r.bySession[full]
	if s != nil {
		s.heard = r.s.cfg.Now()
	}
	return s
}

// occupantOf returns the occupant that somebody is with any session; nil where nobody is.
func (r *room) occupantsOf(bare xmpp.JID) (list []*occupant) {
	for _, o := range r.occupants {
		if o.real == bare {
			list = append(list, o)
		}
	}
	return list
}

// enter seats an occupant.
func (r *room) enter(o *occupant) {
	o.haste = r.hasteOf(o.real)
	o.hats = r.hats.shown(o.real)
	o.shown = r.shows(o.role)
	r.seen(o)
	r.occupants = append(r.occupants, o)
	r.byNick[key(o.nick())] = o
	for _, s := range o.seats {
		r.note(s)
	}
}

// sit gives an occupant one more seat.
func (r *room) sit(o *occupant, s *seat) {
	s.occ = o
	o.seats = append(o.seats, s)
	r.note(s)
}

func (r *room) note(s *seat) {
	s.heard = r.s.cfg.Now()
	r.bySession[s.jid] = s
	r.s.place(s.jid, s.occ.jid)
	r.s.watchers.disarm(r.jid, s.jid)
}

// quit takes a seat away; last says that the occupant has none any more.
func (r *room) quit(s *seat) (last bool) {
	delete(r.bySession, s.jid)
	r.s.displace(s.jid, r.jid)
	o := s.occ
	i := slices.Index(o.seats, s)
	if len(o.seats) > 1 {
		r.visited(o, s, false)
		o.seats = slices.Delete(slices.Clone(o.seats), i, i+1)
		return false
	}
	if r.byNick[key(o.nick())] == o {
		delete(r.byNick, key(o.nick()))
	}
	i = slices.Index(r.occupants, o)
	r.occupants = slices.Delete(r.occupants, i, i+1)
	r.visited(o, s, true)
	return true
}

// roleOf returns the role with which somebody enters (XEP-0045 §5.1.2).
func (r *room) roleOf(a affiliation) role {
	switch {
	case a >= admin:
		return moderator
	case a == outcast:
		return nobody
	case a == none && r.cfg.Moderated:
		return visitor
	}
	return participant
}

// knows reports whether an occupant may know the real addresses of the others (XEP-0045 §4.2).
func (r *room) knows(o *occupant) bool { return r.cfg.NonAnonymous || o.role == moderator }

// shows reports whether the presence of a role is told to others (XEP-0045 §16.5.3,
// muc#roomconfig_presencebroadcast).
func (r *room) shows(was role) bool { return !slices.Contains(r.cfg.HidePresence, was.String()) }
