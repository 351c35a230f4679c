package muc

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsActivity is the namespace of room activity indicators (XEP-0437). Who has an affiliation is
// told of activity in a room: nobody else, whether they might enter or not.
const nsActivity = "urn:xmpp:rai:0"

// servicePresence takes presence for a domain of rooms: it begins and ends the telling of
// activity (XEP-0437 §3.1, §3.2).
func (s *Service) servicePresence(rd *router.Round, st *xmpp.Stanza) {
	who := watcher{st.From, st.To.Domain()}
	switch {
	case st.Type == "unavailable" || st.Type == "error":
		s.watchers.end(st.From.Bare(), func(w watcher) bool { return w == who || st.From.IsBare() && w.domain == who.domain })
	case st.Type == "" && st.Has(nsActivity, "rai") && st.From.Resource() != "":
		if !s.watch(who) {
			s.stats.Refused.Add(1)
			s.router.Bounce(rd, st, xmpp.Refuse("resource-constraint", "too many want to know where something is said"))
		}
	}
}

// watch begins to tell somebody of activity, first of that since the last visits. It reports
// whether there is a place.
func (s *Service) watch(who watcher) bool {
	lim := s.settings(who.domain)
	fresh, ok := s.watchers.begin(who, lim.Watchers, lim.Sessions)
	if !fresh {
		return ok
	}
	s.router.Beside(func() {
		if err := s.lookRound(who, lim.Watched); err != nil {
			s.log.Error("where something was said could not be read", "address", who.full.String(), "error", err)
		}
	})
	return true
}

// lookRound finds the rooms that concern a watcher, and tells it in which something was said since
// it was there (XEP-0437 §4).
func (s *Service) lookRound(who watcher, most int) error {
	var list []concern
	err := s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		list, err = concernsOf(tx, who.full.Bare(), who.domain, most)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range list {
		if !s.isSeated(who.full, c.jid) {
			s.watchers.arm(c.jid, who.full, most)
		}
	}
	var active []xmpp.JID // what is said from here on is told by the room itself
	err = s.store.Read(context.Background(), func(tx *storage.Tx) error {
		active = active[:0]
		for _, c := range list {
			n, err := s.cfg.Archives.Unread(tx, -int64(c.id), c.since, 1)
			if err != nil {
				return err
			}
			if n > 0 {
				active = append(active, c.jid)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	active = slices.DeleteFunc(active, func(room xmpp.JID) bool { return !s.watchers.disarm(room, who.full) })
	if len(active) > 0 {
		s.post(activity(who, active...))
	}
	return nil
}

// activity is what a watcher is told.
func activity(who watcher, rooms ...xmpp.JID) *xmpp.Stanza {
	var b xmpp.Builder
	b.Open(nsActivity, "rai")
	for _, room := range rooms {
		b.Leaf("", "activity", room.String())
	}
	b.Close()
	st := fleeting(b.Payload())
	st.To, st.From = who.full, xmpp.MustJID(who.domain)
	return st
}

// fleeting is a message that is nothing to a session that is not there any more.
func fleeting(p xmpp.Payload) *xmpp.Stanza {
	var b xmpp.Builder
	return xmpp.NewStanza(xmpp.Message, b.Raw(p).Open(nsHints, "no-store").Payload())
}

// isSeated reports whether a session is in a room.
func (s *Service) isSeated(full, room xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.seated[full], func(at xmpp.JID) bool { return at.Bare() == room })
}

// stirred tells the watchers of the room that something was said in it.
func (t *turn) stirred() {
	for _, full := range t.s.watchers.take(t.jid) {
		if t.bySession[full] == nil && t.lists.of(full) >= member && !t.locked {
			t.say(activity(watcher{full, t.jid.Domain()}, t.jid))
		}
	}
}

// visited notes until when a member was in the room, and has the session be told of what is said
// from then on.
func (r *room) visited(o *occupant, s *seat, last bool) {
	if !r.exists || o.aff < member {
		return
	}
	r.s.watchers.arm(r.jid, s.jid, r.settings().Watched)
	if !last || len(r.occupantsOf(o.real)) > 0 {
		return
	}
	id, bare, svc := r.id, o.real, r.s
	svc.store.Keep(64, func(tx *storage.Tx) error { return setVisit(tx, id, bare) }, func(err error) {
		if err != nil {
			svc.log.Warn("when a room was left could not be written", "error", err)
		}
	})
}

// concerned has the watching sessions of a new member be told of what is said in the room.
func (t *turn) concerned(who xmpp.JID, was, now affiliation) {
	if was >= member || now < member {
		return
	}
	for _, full := range t.s.watchers.sessions(who, t.jid.Domain()) {
		if t.bySession[full] == nil {
			t.s.watchers.arm(t.jid, full, t.settings().Watched)
		}
	}
}
