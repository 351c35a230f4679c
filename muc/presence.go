package muc

import (
	"parley/xmpp"
)

// presence takes presence for the room or one of its occupants.
func (t *turn) presence(st *xmpp.Stanza) {
	s := t.seatOf(st.From)
	switch st.Type {
	case "":
		t.available(st, s)
	case "unavailable":
		if s != nil { // by whichever nickname: it may be one that was refused. Of others it is ignored (XEP-0045 §17.3)
			t.leave(s, st)
		}
	case "error":
		if s != nil {
			t.ghost(s, st)
		}
	case "probe":
		if s != nil { // XEP-0045 §17.3, rule 4
			t.probed(st, s)
		}
	case "subscribe":
		t.refuse(st, xmpp.Refuse("service-unavailable", "a room's presence is for who is in it"))
	}
}

// available is presence that enters, changes the nickname, or says what somebody is doing.
func (t *turn) available(st *xmpp.Stanza, s *seat) {
	enters := st.Has(nsMUC, "x")
	switch {
	case st.To.IsBare():
		t.refuse(st, xmpp.Refuse("jid-malformed", "a nickname is wanted")) // XEP-0045 §7.2.1
	case s == nil && !enters:
		t.notThere(st)
	case s == nil:
		t.join(st)
	case st.To != s.occ.jid:
		t.rename(st, s)
	case enters:
		t.again(st, s)
	default:
		t.update(st, s)
	}
}

// notThere tells somebody who believes to be in the room that this is not so (XEP-0045
// §7.2.18).
func (t *turn) notThere(st *xmpp.Stanza) {
	var b xmpp.Builder
	b.Open(nsUser, "x").Open("", "item", "affiliation", "none", "role", "none").Leaf("", "reason", "You are not in the room.").Close()
	for _, c := range []string{"110", "307", "333"} {
		b.Open("", "status", "code", c).Close()
	}
	out := xmpp.NewStanza(xmpp.Presence, b.Payload())
	out.Type, out.From, out.To, out.ID = "unavailable", st.To, st.From, st.ID
	t.say(out)
}

// update is what an occupant is doing (XEP-0045 §7.7).
func (t *turn) update(st *xmpp.Stanza, s *seat) {
	if !t.mayMove(st, s.occ) {
		return
	}
	s.said = worn(st)
	s.occ.turnTo(s)
	t.tell(t.notice(s.occ))
}

// mayMove refuses changes of presence that come too fast.
func (t *turn) mayMove(st *xmpp.Stanza, o *occupant) bool {
	if o.moves.spend(1, t.settings().PresenceRate, t.now()) {
		return true
	}
	t.s.stats.Refused.Add(1)
	t.refuse(st, &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many changes of presence"})
	return false
}

// again tells an occupant who enters once more all that one is told who enters (XEP-0045
// §17.3, rule 3).
func (t *turn) again(st *xmpp.Stanza, s *seat) {
	if !t.mayMove(st, s.occ) {
		return
	}
	said := worn(st)
	changed := string(said.Body()) != string(s.said.Body())
	s.said = said
	s.occ.turnTo(s)
	if changed {
		t.tell(t.notice(s.occ), s)
	}
	t.welcome(st, s, nil)
}

// probed tells an occupant what another one is doing, or everybody.
func (t *turn) probed(st *xmpp.Stanza, s *seat) {
	if o := t.byNick[key(st.To.Resource())]; o != nil && (t.shows(o.role) || o == s.occ) && s.occ.moves.spend(1, t.settings().PresenceRate, t.now()) {
		t.to(t.notice(o), s)
	}
}

// leave is somebody who goes (XEP-0045 §7.14).
func (t *turn) leave(s *seat, st *xmpp.Stanza) {
	if t.locked && len(t.occupants) == 1 && len(s.occ.seats) == 1 { // XEP-0045 §10.1.3
		err := t.destroy(xmpp.JID{}, "", "")
		if err == nil {
			return
		}
		t.s.log.Error("a room that nobody has configured could not be removed", "room", t.jid.String(), "error", err)
	}
	var said *xmpp.Stanza
	if st != nil {
		said = worn(st)
	}
	t.part(s, t.goneNotice(s, said))
}

// part takes a seat away and tells who is to hear of it. Others hear of an occupant that is
// still there with another session only what it is doing now.
func (t *turn) part(s *seat, n *notice) {
	o := s.occ
	spoke := o.now() == s
	last := t.quit(s)
	if !last {
		n.own = append(n.own, n.codes...)
		t.to(n, s)
		if spoke {
			t.tell(t.notice(o))
		}
		return
	}
	if o.shown {
		for _, other := range t.occupants {
			for _, seat := range other.seats {
				t.to(n, seat)
			}
		}
	}
	t.to(n, s)
	t.s.emptied(t)
}
