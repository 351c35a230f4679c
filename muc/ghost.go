package muc

import (
	"parley/xmpp"
)

// deliveryErrors say that somebody cannot be reached (XEP-0045 §18.1.2).
var deliveryErrors = map[string]bool{
	"gone": true, "item-not-found": true, "recipient-unavailable": true, "redirect": true,
	"remote-server-not-found": true, "remote-server-timeout": true,
}

// unreachable reports whether a stanza of type error says that its sender is not there.
func unreachable(st *xmpp.Stanza) bool {
	e := xmpp.ErrorOf(st)
	if e == nil {
		return false
	}
	return deliveryErrors[e.Condition] || e.Condition == "service-unavailable" && e.Type == "cancel"
}

// ghost removes an occupant whose session is not there any more, as its server says by an error
// (XEP-0045 §11.1, §18.1.2).
func (t *turn) ghost(s *seat, st *xmpp.Stanza) {
	if !unreachable(st) {
		return
	}
	t.lost(s)
}

// scrubbed is an answer of an occupant without what its server may have written into it beside,
// as who has made an error.
func scrubbed(st *xmpp.Stanza) *xmpp.Stanza {
	c := *st
	if e := xmpp.ErrorOf(st); st.Type == "error" && e != nil {
		c = *xmpp.NewStanza(st.Kind, e.Payload())
		c.Type, c.ID = "error", st.ID
	}
	c.Attrs = nil
	return &c
}

// notInvited tells who has invited somebody that there is nobody of that address (XEP-0045
// §7.8.2).
func (t *turn) notInvited(st *xmpp.Stanza) {
	for _, inv := range t.asked.invites {
		if inv.guest != st.From.Bare() || inv.id != st.ID {
			continue
		}
		for _, o := range t.occupantsOf(inv.by) {
			for _, s := range o.seats {
				invitation := xmpp.NewStanza(xmpp.Message, nil)
				invitation.ID, invitation.From, invitation.To = inv.id, s.jid, t.jid
				t.refuse(invitation, xmpp.Refuse("item-not-found", "the invitation could not be delivered"))
			}
		}
		return
	}
}

// returned takes a message that has come back. A private one is told to who has sent it; one
// for everybody says that its recipient is not there.
func (t *turn) returned(s *seat, st *xmpp.Stanza) {
	if by := t.asked.whisperer(st); by != nil {
		back := t.veil(s.occ, by).over(st)
		for _, seat := range by.seats {
			t.say(back.Readdressed(seat.jid, s.occ.jid))
		}
		if e := xmpp.ErrorOf(st); e == nil || !deliveryErrors[e.Condition] {
			return
		}
	}
	t.ghost(s, st)
}
