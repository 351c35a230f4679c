package muc

import (
	"strings"
	"time"

	"parley/xmpp"
)

// In a room for members only, who registers asks to become a member (XEP-0045 §9.9). The form
// that the admins get has all that is wanted to say yes, so nothing need be kept of it: only
// admins are heard, who may make members in any case.

// An application is a request to register that the admins were told of.
type application struct {
	by xmpp.JID // bare
	at time.Time
}

// Of requests to register.
const (
	applyEvery = time.Hour // that the same person's are told to the admins
	maxAsked   = 20        // admins that one is told to where none is in the room
)

// applied tells the admins that somebody wants to be a member. Who asks again meanwhile is not
// told to them again.
func (t *turn) applied(bare xmpp.JID, nick string) error {
	if !t.asked.apply(bare, t.now()) {
		return nil
	}
	if n := len(t.asked.applications); n > t.settings().Applications {
		t.asked.applications = t.asked.applications[:n-1]
		t.s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too many want to register"}
	}
	f := xmpp.Form{
		Type: "form", Title: "Registration request",
		Instructions: "To let this person become a member of the room, choose yes.",
		Fields: []xmpp.Field{
			xmpp.FormType(nsRegister),
			{Var: "muc#register_roomnick", Type: "text-single", Label: "Nickname", Values: []string{nick}},
			{Var: fieldApplicant, Type: "jid-single", Label: "Address", Values: []string{bare.String()}},
			boolean("muc#register_allow", "Let this person become a member?", false),
		},
	}
	msg := xmpp.NewStanza(xmpp.Message, f.Payload())
	t.together(func() {
		for _, to := range t.approvers() {
			t.send(msg.Readdressed(to, t.jid))
		}
	})
	return nil
}

// fieldApplicant is the field of our own that says who wants to register.
const fieldApplicant = "muc#register_jid"

// apply notes a request; false where there was one of the same person lately. The list may be
// one longer then than it is to be.
func (a *asked) apply(bare xmpp.JID, now time.Time) bool {
	for len(a.applications) > 0 && now.Sub(a.applications[0].at) >= applyEvery {
		a.applications = a.applications[1:]
	}
	for _, p := range a.applications {
		if p.by == bare {
			return false
		}
	}
	a.applications = append(a.applications, application{bare, now})
	return true
}

// approvers are who is told of requests: the admins who are in the room, or else those that
// there are.
func (t *turn) approvers() (list []xmpp.JID) {
	for _, o := range t.occupants {
		if o.aff >= admin {
			list = append(list, o.now().jid)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, a := range []affiliation{owner, admin} {
		list = append(list, t.lists.with(a)...)
	}
	return list[:min(len(list), maxAsked)]
}

// approved is what an admin says to a request to register (XEP-0045 §9.9).
func (t *turn) approved(st *xmpp.Stanza, s *seat, form xmpp.Form) error {
	aff := t.affOf(st.From)
	if aff < admin {
		return xmpp.Refuse("forbidden", "")
	}
	if allow := form.Value("muc#register_allow"); allow != "1" && allow != "true" {
		return nil
	}
	bare, err := xmpp.ParseJID(strings.TrimSpace(form.Value(fieldApplicant)))
	if err != nil || bare.Local() == "" {
		return xmpp.Refuse("jid-malformed", "")
	}
	bare = bare.Bare()
	c := change{jid: bare, aff: member}
	if was := t.lists.of(bare); was == outcast || was >= member {
		return nil // it was banned meanwhile, or is more than a member already
	}
	if full, err := t.jid.WithResource(strings.TrimSpace(form.Value("muc#register_roomnick"))); err == nil && !blank(full.Resource()) {
		if nick := full.Resource(); !t.taken(nick, bare) {
			c.nick = &nick
		}
	}
	var later []func()
	q := request{st: st, seat: s, aff: aff, later: &later}
	if err := t.mayChange(q, c); err != nil {
		return err
	}
	if err := t.apply(q, []change{c}); err != nil {
		return err
	}
	for _, fn := range later {
		fn()
	}
	return nil
}
