package muc

import (
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// nsInBand is the namespace of registration (XEP-0077).
const nsInBand = "jabber:iq:register"

// registerForm is what one says to register with the room (XEP-0045 §7.10, §16.5.1).
func (t *turn) registerForm() xmpp.Form {
	return xmpp.Form{
		Type: "form", Title: "Registration with " + t.jid.String(),
		Instructions: "Who registers becomes a member, and nobody else can take the nickname.",
		Fields: []xmpp.Field{
			xmpp.FormType(nsRegister),
			{Var: "muc#register_roomnick", Type: "text-single", Label: "Nickname", Required: true},
		},
	}
}

// registerGet tells what is wanted of who registers, or what somebody has registered.
func (t *turn) registerGet(q request) (xmpp.Payload, error) {
	e, known := t.lists.by[q.st.From.Bare()]
	var b xmpp.Builder
	b.Open(nsInBand, "query")
	switch {
	case q.aff == outcast:
		return nil, xmpp.Refuse("not-allowed", "")
	case known && e.nick != "":
		b.Open("", "registered").Close().Leaf("", "username", e.nick)
		return b.Payload(), nil
	}
	f := t.registerForm()
	b.Leaf("", "instructions", f.Instructions).Raw(f.Payload())
	return b.Payload(), nil
}

// registerSet registers somebody, or ends that (XEP-0077 §3.2).
func (t *turn) registerSet(q request) (xmpp.Payload, error) {
	if !q.payload.Child(nsInBand, "remove").IsZero() {
		return nil, t.unregister(q)
	}
	if q.aff == outcast || q.st.From.Local() == "" { // with a domain all its users would become members
		return nil, xmpp.Refuse("not-allowed", "")
	}
	in, ok := xmpp.ParseForm(q.payload.Child(xmpp.NSForm, "x"))
	switch {
	case !ok:
		return nil, wrong("a form is wanted") // XEP-0045 §7.10
	case in.Type == "cancel":
		return nil, nil
	case in.Type != "submit" || in.Value("FORM_TYPE") != nsRegister:
		return nil, wrong("the form is another one")
	}
	wanted := strings.TrimSpace(in.Value("muc#register_roomnick"))
	full, err := t.jid.WithResource(wanted)
	if err != nil || blank(wanted) || full.Resource() == "" {
		return nil, wrong("a nickname is wanted")
	}
	bare, nick := q.st.From.Bare(), full.Resource()
	if t.taken(nick, bare) {
		return nil, xmpp.Refuse("conflict", "the nickname is somebody else's")
	}
	if q.aff == none && t.cfg.MembersOnly {
		return nil, t.applied(bare, nick)
	}
	c := change{jid: bare, aff: max(q.aff, member), nick: &nick}
	if _, there := t.lists.by[bare]; !there && len(t.lists.by) >= t.settings().Affiliations {
		t.s.stats.Refused.Add(1)
		return nil, &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the room's lists are full"}
	}
	return nil, t.apply(q, []change{c})
}

// unregister gives the nickname up, and membership with it; who runs the room goes on running
// it.
func (t *turn) unregister(q request) error {
	bare := q.st.From.Bare()
	e, known := t.lists.by[bare]
	switch {
	case !known || e.aff == outcast:
		return xmpp.Refuse("registration-required", "") // XEP-0077 §3.2
	case e.aff == member:
		return t.apply(q, []change{{jid: bare, aff: none}})
	}
	e.nick = ""
	if err := t.write(func(tx *storage.Tx) error { return putEntry(tx, t.id, bare, e) }); err != nil {
		return err
	}
	t.lists.set(bare, e)
	return nil
}
