package muc

import (
	"context"

	"parley/storage"
	"parley/xmpp"
)

// saying is a message to everybody on its way through a turn.
type saying struct {
	st      *xmpp.Stanza // as it came
	by      *occupant
	out     *xmpp.Stanza // as the room says it
	row     []byte       // as the archive has it; nil: it has not
	text    bool
	subject *subject // the new one
	id      storage.ID
	gone    string // the id of what it has taken back

	account   int64  // of who speaks, where it is a member of this house; 0 where not
	displayed string // the id up to which it says to have read
}

// speak takes messages to everybody, in their order (XEP-0045 §7.4). They are written
// together, and heard when they are.
func (t *turn) speak(list []event) {
	var said []*saying
	for _, e := range list {
		m, err := t.hear(e.st)
		if err != nil {
			t.refuse(e.st, err)
			continue
		}
		said = append(said, m)
	}
	if err := t.keep(said); err != nil {
		for _, m := range said {
			t.refuse(m.st, err)
		}
		return
	}
	for _, m := range said {
		t.pass(m)
	}
}

// hear looks at a message to everybody. An error is for who sent it.
func (t *turn) hear(st *xmpp.Stanza) (*saying, error) {
	s := t.seatOf(st.From)
	switch {
	case !t.exists:
		return nil, xmpp.Refuse("item-not-found", "there is no such room") // XEP-0045 §17.2, rule 3
	case s == nil && t.locked:
		return nil, xmpp.Refuse("item-not-found", "the room is locked")
	case s == nil:
		return nil, xmpp.Refuse("not-acceptable", "you are not in the room") // XEP-0045 §7.4
	}
	o := s.occ
	if err := t.mayChat(o, st); err != nil {
		return nil, err
	}
	if t.locked { // who speaks takes the room as it is
		if err := t.open(t.cfg, nil); err != nil {
			return nil, err
		}
	}
	m := &saying{st: st, by: o}
	isSubject := subjectOnly(st)
	switch {
	case isSubject && o.role < moderator && !(t.cfg.ChangeSubject && o.role >= participant):
		return nil, xmpp.Refuse("forbidden", "you may not change the subject") // XEP-0045 §8.1
	case o.role < participant:
		return nil, xmpp.Refuse("forbidden", "you have no voice") // XEP-0045 §7.4
	}
	if err := t.mayGoOn(o, st); err != nil {
		return nil, err
	}
	t.paced(o, st)
	m.out = t.spoken(o, st)
	if isSubject {
		m.subject = &subject{text: subjectOf(st), by: o.jid, id: o.id, at: t.now()}
	}
	if keep, text := t.s.cfg.Archives.Worth(st); t.cfg.Archive && (keep || isSubject) && !isTransient(st) {
		m.row, m.text = t.row(o, m.out), text
	}
	t.reader(m)
	return m, nil
}

// isTransient reports whether a sender wants a message to be kept nowhere (XEP-0334 §4.1, §4.2).
func isTransient(st *xmpp.Stanza) bool {
	return st.Has(nsHints, "no-store") || st.Has(nsHints, "no-permanent-store")
}

// mayChat holds an occupant to the limits.
func (t *turn) mayChat(o *occupant, st *xmpp.Stanza) error {
	lim, now := t.settings(), t.now()
	if o.chat.spend(1, lim.Rate, now) && o.bytes.spend(st.Len(), lim.RateBytes, now) {
		return nil
	}
	t.s.stats.Refused.Add(1)
	return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many messages at once"}
}

// subjectOnly reports whether a message changes the subject (XEP-0045 §8.1): it has one, and
// nothing to say.
func subjectOnly(st *xmpp.Stanza) bool {
	return st.Has("", "subject") && !st.Has("", "body") && !st.Has("", "thread")
}

func subjectOf(st *xmpp.Stanza) string { return st.Child("", "subject").Text() }

// spoken is a message as the room says it: what only the room says is taken off what came, and
// who spoke is put to it.
func (t *turn) spoken(o *occupant, st *xmpp.Stanza) *xmpp.Stanza {
	bare := st.Without(func(e xmpp.Element) bool {
		switch n := e.Name(); n.Space {
		case nsOccupantID, nsUser, nsMUC:
			return true
		case nsStanzaID:
			if n.Local != "stanza-id" {
				return false
			}
			by, err := xmpp.ParseJID(e.Attr("by"))
			return err != nil || by == t.jid || by.Domain() == st.From.Domain() // XEP-0359 §5, rule 5
		case xmpp.NSDelay:
			from, err := xmpp.ParseJID(e.Attr("from"))
			return err == nil && from.Bare() == t.jid || betrays(e, st.From)
		}
		return false
	})
	var b xmpp.Builder
	out := bare.With(b.Open(nsOccupantID, "occupant-id", "id", o.id).Payload())
	out.From, out.To, out.Attrs = o.jid, xmpp.JID{}, nil
	return out
}

// betrays reports whether a delay stamp says where its sender is at home: who may not know the
// real address is not to learn it from what a server has noted. What a client says in its own name
// stays (XEP-0045 §7.9).
func betrays(delay xmpp.Element, real xmpp.JID) bool {
	from, err := xmpp.ParseJID(delay.Attr("from"))
	return err == nil && from.IsBare() && from.Domain() == real.Domain()
}

// row is a message as the archive has it: with the real address, which is taken off again
// for who may not see it (XEP-0313 §6.1.2).
func (t *turn) row(o *occupant, out *xmpp.Stanza) []byte {
	var b xmpp.Builder
	b.Open(nsUser, "x").Open("", "item", "affiliation", o.aff.String(), "jid", o.real.String(), "role", o.role.String())
	return out.With(b.Payload()).AppendNS(nil, xmpp.NSClient)
}

// keep writes what is to be kept of messages, all in one transaction.
func (t *turn) keep(said []*saying) error {
	wanted := false
	for _, m := range said {
		wanted = wanted || m.row != nil || m.subject != nil || m.displayed != ""
	}
	if !wanted {
		return nil
	}
	return t.write(func(tx *storage.Tx) (err error) {
		for _, m := range said {
			if m.row != nil {
				if m.id, err = t.s.cfg.Archives.Add(tx, t.entryOf(m)); err != nil {
					return err
				}
				if err = t.takeBack(tx, m); err != nil {
					return err
				}
			}
			if err = t.reads(tx, m); err != nil {
				return err
			}
			if m.subject != nil {
				if err = setSubject(tx, t.id, *m.subject); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// pass says a message to everybody.
func (t *turn) pass(m *saying) {
	out := m.out
	if m.id != 0 {
		var b xmpp.Builder
		out = out.With(b.Open(nsStanzaID, "stanza-id", "by", t.jid.String(), "id", t.s.cfg.Archives.Opaque(m.id)).Payload())
	}
	if m.subject != nil {
		t.subject = *m.subject
	}
	if m.gone != "" {
		t.unsay(m.gone)
	}
	if m.text {
		t.remember(out)
	}
	t.everybody(out, out.From)
	t.concern(m, out)
	if m.text {
		t.stirred()
	}
}

// everybody sends one message to all sessions of all occupants. They share its body.
func (t *turn) everybody(out *xmpp.Stanza, from xmpp.JID) {
	n := 0
	for _, o := range t.occupants {
		for _, s := range o.seats {
			t.say(out.Readdressed(s.jid, from))
			n++
		}
	}
	t.s.stats.Messages.Add(1)
	t.s.stats.Deliveries.Add(int64(n))
}

// message takes a message that is not for everybody.
func (t *turn) message(st *xmpp.Stanza) {
	s := t.seatOf(st.From)
	switch {
	case st.Type == "error":
		switch {
		case st.To.IsBare():
			t.notInvited(st)
		case s != nil:
			t.returned(s, st)
		}
	case st.Type == "groupchat":
		t.refuse(st, wrong("what is for everybody is sent to the room")) // XEP-0045 §7.5
	case !t.exists:
		t.refuse(st, xmpp.Refuse("item-not-found", "there is no such room"))
	case !st.To.IsBare():
		t.private(st, s)
	default:
		if err := t.request(st, s); err != nil {
			t.refuse(st, err)
		}
	}
}

// private is a message from one occupant to another (XEP-0045 §7.5). It is settled before
// the next turn.
func (t *turn) private(st *xmpp.Stanza, s *seat) {
	to := t.byNick[key(st.To.Resource())]
	err := t.mayWhisper(s, to, st)
	if err != nil {
		t.refuse(st, err)
		return
	}
	out := t.spoken(s.occ, st)
	var b xmpp.Builder
	out = out.With(b.Open(nsUser, "x").Payload())
	t.asked.whispered(st.ID, to.real, s.occ, t.now())
	link := t.s.router.NewLink()
	defer link.Settle(&t.Round)
	for i := len(to.seats) - 1; i >= 0; i-- {
		msg := out.Readdressed(to.seats[i].jid, s.occ.jid)
		if i < len(to.seats)-1 { // the others have it, too, and it is kept once
			msg = msg.With(hintsForCopies())
		}
		link.Deliver(context.Background(), &t.Round, msg)
	}
}

// send sends a message of the room to somebody, who may keep it: that is settled before the
// turn goes on. It is never for a room, whose turn this one would wait for.
func (t *turn) send(st *xmpp.Stanza) {
	if t.s.router.Visits(st.To) {
		return
	}
	t.together(func() { t.mail.Deliver(context.Background(), &t.Round, st) })
}

// together has what fn sends be settled at once: those who are not there are many where a whole
// list is invited, and each would be a commit.
func (t *turn) together(fn func()) {
	if t.mail != nil {
		fn()
		return
	}
	t.mail = t.s.router.NewLink()
	defer func() {
		t.mail.Settle(&t.Round)
		t.mail = nil
	}()
	fn()
}

func hintsForCopies() xmpp.Payload {
	var b xmpp.Builder
	return b.Open(nsHints, "no-copy").Close().Open(nsHints, "no-store").Close().Payload()
}

// mayWhisper says why one occupant may not say something to another alone.
func (t *turn) mayWhisper(s *seat, to *occupant, st *xmpp.Stanza) error {
	switch {
	case s == nil:
		return xmpp.Refuse("not-acceptable", "you are not in the room") // XEP-0045 §7.5
	case to == nil:
		return xmpp.Refuse("item-not-found", "there is nobody of that name in the room") // XEP-0045 §7.5
	}
	if err := t.mayChat(s.occ, st); err != nil {
		return err
	}
	allowed := true
	switch t.cfg.AllowPM {
	case "participants":
		allowed = s.occ.role >= participant
	case "moderators":
		allowed = s.occ.role >= moderator
	case "none":
		allowed = false
	}
	if !allowed {
		return xmpp.Refuse("forbidden", "private messages are not allowed here")
	}
	return nil
}
