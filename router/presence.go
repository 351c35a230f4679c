package router

import (
	"context"
	"strconv"
	"strings"
	"time"

	"parley/xmpp"
)

// Limits of presence.
const (
	maxDirected = 1024     // addresses that one session may have shown directed presence to
	maxPresence = 32 << 10 // bytes of one stanza: it may go to thousands, and is remembered
)

// presence takes a presence stanza of the client. Nothing of the sender is in flight.
func (s *Sender) presence(rd *Round, st *xmpp.Stanza) {
	if st.Len()+len(st.Lang) > maxPresence {
		s.refuse(rd, st, xmpp.Refuse("policy-violation", "presence is small"))
		return
	}
	if !st.To.IsZero() {
		if err := s.r.MaySend(s.account, st); err != nil {
			s.refuse(rd, st, err)
			return
		}
	}
	switch st.Type {
	case "", "unavailable":
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe":
		if !st.To.IsZero() {
			s.subscription(rd, s.r.shown(s.account, st))
		}
		return
	case "error":
		if !st.To.IsZero() {
			s.r.directed(context.Background(), rd, s.r.shown(s.account, st))
		}
		return
	default: // RFC 6121 §4.7.1
		s.refuse(rd, st, xmpp.Refuse("bad-request", "no such type of presence"))
		return
	}
	if !st.To.IsZero() {
		s.direct(rd, st)
		return
	}
	prio, ok := priority(st)
	if !ok {
		s.refuse(rd, st, xmpp.Refuse("bad-request", "a priority is a number from -128 to 127"))
		return
	}
	rd.Flush()
	err := s.account.Do(func(t *Turn) { s.broadcast(t, st, prio) })
	if err != nil {
		s.refuse(rd, st, s.r.failed(err))
	}
}

// priority reads <priority/> (RFC 6121 §4.7.2.3); 0 where there is none.
func priority(st *xmpp.Stanza) (int8, bool) {
	e := st.Child("", "priority")
	if e.IsZero() {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(e.Text()), 10, 8)
	return int8(n), err == nil
}

// broadcast is the turn of presence without 'to' (RFC 6121 §4.2.2, §4.4.2, §4.5.2).
func (s *Sender) broadcast(t *Turn, st *xmpp.Stanza, prio int8) {
	said, now := st, time.Now()
	st = s.r.shown(s.account, said)
	if res, ok := s.account.Resource(s.jid.Resource()); ok && st.Type == "" && prio >= 0 && !res.Ready {
		s.catchUp()
		defer s.caughtUp(&t.Round) // where nothing else has seen to it
	}
	before, after, ok := s.account.change(s.session, func(res *Resource) {
		res.Presence, res.said, res.Sent, res.Priority = st, said, now, prio
		if st.Type == "unavailable" {
			res.Presence, res.said = nil, nil
		}
		res.Ready = res.Ready && res.Available() && prio >= 0
	})
	if !ok || !before.Available() && !after.Available() {
		return
	}
	if st.Type == "unavailable" {
		s.undirect(t, st, before.Available())
	}
	s.r.show(t, s.account, PresenceChange{before, after, st})
	if after.Available() && after.Priority >= 0 && !after.Ready {
		s.r.ready(t, s.account, after)
	}
}

// show tells the features of a change of presence.
func (r *Router) show(t *Turn, a *Account, c PresenceChange) {
	for _, f := range r.features {
		if f.Presence != nil {
			f.Presence(t, a, c)
		}
	}
}

// ready lets a resource have what waited for it, and after that whatever comes. The
// change is made on the postman: what was committed before is among what waited, what is
// committed behind it goes to the resource.
func (r *Router) ready(t *Turn, a *Account, res Resource) {
	then := func(rd *Round) {
		res.sender.caughtUp(rd)
		a.change(res.Session, func(res *Resource) { res.Ready = true })
		res.sender.forgetCopied()
	}
	for _, f := range r.features {
		if f.Due != nil {
			f.Due(t, a, res, then)
			return
		}
	}
	then(&t.Round)
}

// direct sends presence to one address (RFC 6121 §4.6).
func (s *Sender) direct(rd *Round, st *xmpp.Stanza) {
	s.mu.Lock()
	if len(s.directed) >= maxDirected {
		s.tidyDirected()
	}
	full := len(s.directed) >= maxDirected && !s.directed[st.To]
	if st.Type == "unavailable" {
		delete(s.directed, st.To)
	} else if !full {
		if s.directed == nil {
			s.directed = map[xmpp.JID]bool{}
		}
		s.directed[st.To] = true
	}
	s.mu.Unlock()
	if full && st.Type == "" {
		s.refuse(rd, st, xmpp.Refuse("policy-violation", "directed presence to too many addresses"))
		return
	}
	if s.r.Serves(st.To.Domain()) {
		s.r.directed(context.Background(), rd, s.r.shown(s.account, st))
		s.r.showed(rd, st)
	} else if err := s.r.abroad(rd, s.r.shown(s.account, st)); err != nil {
		s.parted(st.To)
		s.refuse(rd, st, err)
	}
}

// tidyDirected forgets the addresses of services where the session is not any more. The lock is
// held.
func (s *Sender) tidyDirected() {
	for to := range s.directed {
		if at := s.r.service(to.Domain()); at != nil && to.Local() != "" && !at.Seats(s.jid, to) {
			delete(s.directed, to)
		}
	}
}

// undirect tells all who were sent directed presence that the resource goes away
// (RFC 6121 §4.6.3), except those who hear of it as subscribers if it was shown to these.
func (s *Sender) undirect(t *Turn, st *xmpp.Stanza, shown bool) {
	s.mu.Lock()
	directed := s.directed
	s.directed = nil
	s.mu.Unlock()
	for to := range directed {
		if shown && to.IsBare() && s.r.Trusted(context.Background(), s.account, to) {
			continue
		}
		s.r.directed(context.Background(), &t.Round, st.Readdressed(to, s.jid))
	}
}

// parted takes who has gone out of the list of those who were sent directed presence
// (RFC 6121 §4.6.1).
func (s *Sender) parted(who xmpp.JID) {
	s.mu.Lock()
	delete(s.directed, who)
	s.mu.Unlock()
}

// went is parted for who has not gone, but has another name in a room (XEP-0045 §7.6): it may be
// another session of the same occupant that gave it, so this one has said nothing to the new name.
func (s *Sender) went(who, to xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.directed[who] {
		delete(s.directed, who)
		s.directed[to] = true
	}
}

// renamed returns the new address of an occupant of a room that has another name now; ok is false
// for any other presence.
func renamed(st *xmpp.Stanza) (to xmpp.JID, ok bool) {
	const ns = "http://jabber.org/protocol/muc#user"
	x := st.Child(ns, "x")
	if x.IsZero() || st.Type != "unavailable" || st.From.Resource() == "" {
		return to, false
	}
	for e := range x.Children {
		ok = ok || e.Is(ns, "status") && e.Attr("code") == "303"
	}
	to, err := st.From.WithResource(x.Child(ns, "item").Attr("nick"))
	return to, ok && err == nil && to.Resource() != ""
}

// shares reports whether the session has sent directed presence to this address.
func (s *Sender) shares(with xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.directed[with] || s.directed[with.Bare()]
}

// inTurn has presence for an account of this house wait for its turn: it may follow upon a
// subscription that has one. It returns false where the presence is for somebody else, or
// something else.
func (r *Router) inTurn(st *xmpp.Stanza) bool {
	if speaks(st.Type) || st.To.Local() == "" || !st.To.IsBare() || !r.Serves(st.To.Domain()) {
		return false
	}
	a, _ := r.accounts.get(st.To)
	if a == nil {
		return true // nobody is connected
	}
	defer a.pins.Add(-1)
	if err := a.post(func(t *Turn) { r.directed(context.Background(), &t.Round, st) }, maxTold); err != nil {
		r.log.Warn("presence was lost: too much waits for an account", "account", st.To.String())
	}
	return true
}

// directed delivers presence that is addressed to an account or one of its resources
// (RFC 6121 §8.5.2.1.2, §8.5.3.1). What nobody is there for is ignored.
func (r *Router) directed(ctx context.Context, rd *Round, st *xmpp.Stanza) {
	switch {
	case !r.Serves(st.To.Domain()):
		r.abroad(rd, st)
		return
	case st.To.Local() == "":
		return
	}
	r.noticed(rd, st)
	a, _ := r.accounts.get(st.To.Bare())
	if a == nil {
		return // not in memory: nobody is connected
	}
	defer a.pins.Add(-1)
	if r.MayGet(a, st) != nil {
		return
	}
	full := st.To.Resource()
	for _, res := range a.Resources() {
		if full == "" && res.Available() || full != "" && res.JID().Resource() == full {
			rd.Push(res.Session, st)
			if (st.Type == "unavailable" || st.Type == "error") && res.sender != nil {
				if to, ok := renamed(st); ok {
					res.sender.went(st.From, to)
				} else if !r.Visits(st.From) { // there the session may be again by now
					res.sender.parted(st.From)
				}
			}
		}
	}
}
