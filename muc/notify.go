package muc

import (
	"parley/storage"
	"parley/xmpp"
)

// nodeNotify is the node of the command by which a member says of what it wants to be told when
// it is not there. It is our own.
const nodeNotify = "notifications"

// mayChoose reports whether somebody may run it.
func (t *turn) mayChoose(q request) bool { return t.belongs(q.st.From.Bare()) }

func (t *turn) formNotify(q request) xmpp.Form {
	now := t.lists.by[q.st.From.Bare()].notify
	return xmpp.Form{Type: "form", Title: "Notifications of " + t.jid.String(),
		Instructions: "Which messages your devices are told of while they are not connected, or nobody looks at them.",
		Fields: []xmpp.Field{{Var: "notify", Type: "list-single", Label: "Notify me of", Required: true, Values: []string{now.String()},
			Options: []xmpp.Option{{Label: "All messages", Value: always.String()}, {Label: "Only those that mention me", Value: onMention.String()},
				{Label: "Nothing", Value: never.String()}}}}}
}

func (t *turn) choose(q request, in xmpp.Form) error {
	l, ok := parseLevel(in.Value("notify"))
	if !ok {
		return badPayload("there is no such choice")
	}
	bare := q.st.From.Bare()
	if err := t.write(func(tx *storage.Tx) error { return setLevel(tx, t.id, bare, l) }); err != nil {
		return err
	}
	e := t.lists.by[bare]
	e.notify = l
	t.lists.set(bare, e)
	return nil
}
