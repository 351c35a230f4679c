package muc

import (
	"strings"
	"time"

	"parley/xmpp"
)

// request takes what is asked of the room by a message (XEP-0045 §7.8.2, §7.13, §8.6).
func (t *turn) request(st *xmpp.Stanza, s *seat) error {
	if st.Type != "" && st.Type != "normal" {
		return wrong("what is for everybody is of type groupchat") // XEP-0045 §17.2, rule 1
	}
	x := st.Child(nsUser, "x")
	if d := x.Child(nsUser, "decline"); !d.IsZero() {
		return t.declined(st, d)
	}
	var invites []xmpp.Element
	for e := range x.Children {
		if e.Is(nsUser, "invite") {
			invites = append(invites, e)
		}
	}
	form, isForm := xmpp.ParseForm(st.Child(xmpp.NSForm, "x"))
	switch {
	case t.locked && t.affOf(st.From) < owner:
		return xmpp.Refuse("item-not-found", "the room is locked")
	case len(invites) > 0:
		return t.invited(st, s, invites)
	case isForm && form.Type == "submit" && form.Value("FORM_TYPE") == nsRequest:
		return t.voice(st, s, form)
	case isForm && form.Type == "submit" && form.Value("FORM_TYPE") == nsRegister:
		return t.approved(st, s, form)
	case isForm && form.Type == "cancel":
		return nil
	case s == nil:
		return xmpp.Refuse("forbidden", "you are not in the room") // XEP-0045 §17.2, rule 2
	}
	return wrong("the room does not know what to do with this message")
}

// maxInvites is how many one message may invite.
const maxInvites = 50

// invited passes invitations on (XEP-0045 §7.8.2).
func (t *turn) invited(st *xmpp.Stanza, s *seat, list []xmpp.Element) error {
	if s == nil {
		return xmpp.Refuse("not-acceptable", "you are not in the room")
	}
	o := s.occ
	runs := o.aff >= admin
	switch {
	case t.cfg.MembersOnly && !runs && !(t.cfg.AllowInvites && o.aff >= member):
		return &xmpp.Error{Type: "auth", Condition: "forbidden", Echo: st.Child(nsUser, "x").Payload()} // XEP-0045 §9.5
	case !t.cfg.AllowInvites && !runs:
		return &xmpp.Error{Type: "auth", Condition: "forbidden", Echo: st.Child(nsUser, "x").Payload()}
	case len(list) > maxInvites:
		return xmpp.Refuse("policy-violation", "too many invitations at once")
	}
	type guest struct {
		jid xmpp.JID
		e   xmpp.Element
	}
	var guests []guest
	var members []xmpp.JID
	for _, e := range list {
		j, err := xmpp.ParseJID(e.Attr("to"))
		switch {
		case err != nil || j.Local() == "":
			return xmpp.Refuse("jid-malformed", "")
		case t.s.router.Visits(j):
			return xmpp.Refuse("not-acceptable", "a room cannot be invited")
		}
		if !o.chat.spend(1, t.settings().Rate, t.now()) {
			t.s.stats.Refused.Add(1)
			return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many invitations at once"}
		}
		switch aff := t.lists.of(j); {
		case aff == outcast:
			return xmpp.Refuse("not-allowed", "who is banned is not invited")
		case aff == none && t.cfg.MembersOnly:
			if len(t.lists.by)+len(members) >= t.settings().Affiliations {
				t.s.stats.Refused.Add(1)
				return xmpp.Refuse("resource-constraint", "the room's lists are full")
			}
			members = append(members, j.Bare())
		}
		guests = append(guests, guest{j, e})
	}
	if err := t.admit(members); err != nil {
		return err
	}
	t.together(func() {
		for _, g := range guests {
			t.asked.invited(invitation{g.jid.Bare(), o.real, t.inviter(o), st.ID})
			thread := g.e.Child(nsUser, "continue")
			t.invite(t.inviter(o), g.jid, st.ID, g.e.ChildText(nsUser, "reason"), string(thread.Payload()))
		}
	})
	return nil
}

// admit makes members of who is invited to a room for members only.
func (t *turn) admit(guests []xmpp.JID) error {
	list := make([]change, len(guests))
	for i, j := range guests {
		list[i] = change{jid: j, aff: member}
	}
	done, err := t.enlist(list)
	if err != nil {
		return err
	}
	for i, j := range guests {
		t.tellChange(affChange{j, done[i].was, member}, "", done[i].span)
	}
	return nil
}

// inviter is how who invites is called: by the address, where it is no secret.
func (t *turn) inviter(o *occupant) xmpp.JID {
	if t.cfg.NonAnonymous {
		return o.real
	}
	return o.jid
}

// invite sends an invitation.
func (t *turn) invite(by, guest xmpp.JID, id, reason, thread string) {
	reason = strings.ToValidUTF8(reason[:min(len(reason), 4096)], "")
	if by.IsZero() {
		by = t.jid // an operator
	}
	if by.Local() != "" && !t.s.Has(by.Domain()) && !t.cfg.NonAnonymous {
		by = t.jid
	}
	var b xmpp.Builder
	b.Open(nsUser, "x").Open("", "invite", "from", by.String())
	if reason != "" {
		b.Leaf("", "reason", reason)
	}
	if thread != "" {
		b.Raw(xmpp.Payload(thread))
	}
	b.Close()
	if t.cfg.Password != "" {
		b.Leaf("", "password", t.cfg.Password)
	}
	b.Close()
	b.Open(nsConference, "x", "jid", t.jid.String(), "password", t.cfg.Password, "reason", reason).Close() // XEP-0249: older clients
	st := xmpp.NewStanza(xmpp.Message, b.Payload())
	st.ID, st.From, st.To = id, t.jid, guest
	t.send(st)
}

// declined tells who has invited somebody that nothing comes of it.
func (t *turn) declined(st *xmpp.Stanza, d xmpp.Element) error {
	to, err := xmpp.ParseJID(d.Attr("to"))
	if err != nil {
		return xmpp.Refuse("jid-malformed", "")
	}
	by := t.whoInvited(st.From.Bare(), to)
	if by.IsZero() {
		return xmpp.Refuse("item-not-found", "there is no such invitation")
	}
	reason := d.ChildText(nsUser, "reason")
	var b xmpp.Builder
	b.Open(nsUser, "x").Open("", "decline", "from", st.From.Bare().String())
	if reason != "" {
		b.Leaf("", "reason", reason[:min(len(reason), 4096)])
	}
	out := xmpp.NewStanza(xmpp.Message, b.Payload())
	out.ID, out.From, out.To = st.ID, t.jid, by
	t.send(out)
	return nil
}

// whoInvited returns the real address of who has invited somebody: only who really has hears
// of a refusal, so that nobody is reached through a room by strangers. Who knows a nickname does
// not find out by this whose it is.
func (t *turn) whoInvited(guest, said xmpp.JID) xmpp.JID {
	inv := t.asked.invitationOf(guest)
	switch o := t.byNick[key(said.Resource())]; {
	case inv.by.IsZero():
	case said == t.jid, said == inv.as, said.Bare() == inv.as:
		return inv.by
	case said.Bare() == t.jid && o != nil && o.real == inv.by: // by another nickname now
		return inv.by
	}
	return xmpp.JID{}
}

// voice takes a request for voice, or what a moderator says to one.
func (t *turn) voice(st *xmpp.Stanza, s *seat, form xmpp.Form) error {
	if s == nil {
		return xmpp.Refuse("forbidden", "you are not in the room")
	}
	if allow := form.Value("muc#request_allow"); allow != "" {
		return t.voiceGiven(s, form, allow == "1" || allow == "true")
	}
	o := s.occ
	switch {
	case form.Value("muc#role") != "participant" && form.Value("muc#role") != "":
		return wrong("voice is what may be asked for")
	case o.role != visitor || t.cfg.NoVoice:
		return xmpp.Refuse("forbidden", "")
	case !o.asked.IsZero() && t.now().Sub(o.asked) < voiceEvery:
		return &xmpp.Error{Type: "wait", Condition: "not-acceptable", Text: "you have asked for voice a moment ago"}
	}
	o.asked = t.now()
	f := xmpp.Form{
		Type: "form", Title: "Request for voice",
		Instructions: "To let this person speak in the room, choose yes.",
		Fields: []xmpp.Field{
			xmpp.FormType(nsRequest),
			{Var: "muc#role", Type: "list-single", Label: "Requested role", Values: []string{"participant"}, Options: []xmpp.Option{{Label: "Participant", Value: "participant"}}},
			{Var: "muc#jid", Type: "jid-single", Label: "Address", Values: []string{s.jid.String()}},
			{Var: "muc#roomnick", Type: "text-single", Label: "Nickname", Values: []string{o.nick()}},
			boolean("muc#request_allow", "Give voice to this person?", false),
		},
	}
	msg := xmpp.NewStanza(xmpp.Message, f.Payload())
	msg.ID = st.ID
	t.together(func() {
		for _, m := range t.occupants {
			if m.role == moderator {
				for _, seat := range m.seats {
					t.send(msg.Readdressed(seat.jid, t.jid))
				}
			}
		}
	})
	return nil
}

// voiceEvery is how often one may ask for voice.
const voiceEvery = 30 * time.Second

// voiceGiven is a moderator's answer (XEP-0045 §8.6).
func (t *turn) voiceGiven(s *seat, form xmpp.Form, allowed bool) error {
	if s.occ.role != moderator {
		return xmpp.Refuse("forbidden", "")
	}
	o := t.byNick[key(form.Value("muc#roomnick"))]
	if jid, err := xmpp.ParseJID(form.Value("muc#jid")); err == nil {
		if seat := t.seatOf(jid); seat != nil {
			o = seat.occ
		}
	}
	switch {
	case o == nil:
		return xmpp.Refuse("item-not-found", "")
	case !allowed || o.role != visitor:
		return nil
	}
	o.role, o.asked = participant, time.Time{}
	t.inform(o, because{actor: s.occ.nick()})
	return nil
}
