package muc

import (
	"crypto/rand"

	"parley/xmpp"
)

// nsCommands is the namespace of ad-hoc commands (XEP-0050).
const nsCommands = "http://jabber.org/protocol/commands"

const (
	nsHatCommands = "urn:xmpp:hats:commands" // XEP-0317 §3.8
	nodeHats      = nsHatCommands + ":"
)

// A command is one that a room offers (XEP-0050). It is carried out as soon as its form has come,
// asked for before or not, so nothing is remembered of one that is under way.
type command struct {
	node, name string
	may        func(*turn, request) bool
	form       func(*turn, request) xmpp.Form // nil: none is wanted
	run        func(*turn, request, xmpp.Form) error
	list       func(*turn) xmpp.Form // what is told in the end; nil: nothing
}

// roomCommands are the commands of rooms.
func roomCommands() []command {
	runs := func(_ *turn, q request) bool { return q.aff >= admin }
	belongs := func(_ *turn, q request) bool { return q.seat != nil || q.aff >= member }
	knows := func(t *turn, q request) bool { return q.aff >= admin || q.seat != nil && t.knows(q.seat.occ) }
	return []command{
		{node: nodeHats + "create", name: "Create or change a hat", may: runs, form: formCreateHat, run: (*turn).createHat},
		{node: nodeHats + "destroy", name: "Destroy a hat", may: runs, form: (*turn).formHat, run: (*turn).destroyHat},
		{node: nodeHats + "list", name: "List the hats", may: belongs, list: (*turn).listHats},
		{node: nodeHats + "assign", name: "Give somebody a hat", may: runs, form: (*turn).formWear, run: (*turn).assignHat},
		{node: nodeHats + "unassign", name: "Take a hat from somebody", may: runs, form: (*turn).formWear, run: (*turn).unassignHat},
		{node: nodeHats + "list-assigned", name: "List who wears which hat", may: knows, list: (*turn).listWorn},
		{node: nodeNotify, name: "Choose what you are notified of", may: (*turn).mayChoose, form: (*turn).formNotify, run: (*turn).choose},
	}
}

func formCreateHat(*turn, request) xmpp.Form {
	return xmpp.Form{Type: "form", Title: "Create a hat", Fields: []xmpp.Field{
		xmpp.FormType(nsHatCommands),
		{Var: "hats#title", Type: "text-single", Label: "Title", Required: true},
		{Var: "hats#uri", Type: "text-single", Label: "URI, which is no other hat's", Required: true},
		{Var: "hats#hue", Type: "text-single", Label: "Colour (an angle from 0 to 360)"},
	}}
}

// formHat is the form of what is done with one of the hats.
func (t *turn) formHat(request) xmpp.Form {
	which := xmpp.Field{Var: "hats#uri", Type: "list-single", Label: "Hat", Required: true}
	for _, a := range t.hats.list() {
		which.Options = append(which.Options, xmpp.Option{Label: a.title, Value: a.uri})
	}
	return xmpp.Form{Type: "form", Title: "Which hat?", Fields: []xmpp.Field{xmpp.FormType(nsHatCommands), which}}
}

// formWear is the form of what is done with somebody's hat.
func (t *turn) formWear(q request) xmpp.Form {
	f := t.formHat(q)
	f.Title = "Whose hat?"
	f.Fields = append(f.Fields, xmpp.Field{Var: "hats#jid", Type: "jid-single", Label: "Address", Required: true})
	return f
}

// command takes one step of a command (XEP-0050 §2.4).
func (t *turn) command(q request) (xmpp.Payload, error) {
	c := t.s.commandOf(q.payload.Attr("node"))
	switch {
	case c == nil:
		return nil, xmpp.Refuse("item-not-found", "there is no such command")
	case !c.may(t, q):
		return nil, xmpp.Refuse("forbidden", "") // XEP-0050 §4.4
	}
	in, filled := xmpp.ParseForm(q.payload.Child(xmpp.NSForm, "x"))
	switch q.payload.Attr("action") {
	case "cancel":
		return c.answer(q, "canceled", nil), nil
	case "", "execute", "next", "complete":
	default:
		return nil, fault("bad-action", "")
	}
	switch {
	case c.form == nil:
	case !filled:
		form := c.form(t, q)
		return c.answer(q, "executing", &form), nil
	default:
		if err := t.carryOut(c, q, in); err != nil {
			return nil, err
		}
	}
	if c.list == nil {
		return c.answer(q, "completed", nil), nil
	}
	result := c.list(t)
	return c.answer(q, "completed", &result), nil
}

// carryOut does what a command is for.
func (t *turn) carryOut(c *command, q request, in xmpp.Form) error {
	form, err := c.form(t, q).Accept(in)
	if err != nil {
		return badPayload(err.Error())
	}
	return c.run(t, q, form)
}

// answer shows where a command stands (XEP-0050 §4.1).
func (c *command) answer(q request, status string, form *xmpp.Form) xmpp.Payload {
	id := q.payload.Attr("sessionid")
	if id == "" || len(id) > 256 {
		id = rand.Text()
	}
	var b xmpp.Builder
	b.Open(nsCommands, "command", "node", c.node, "sessionid", id, "status", status)
	if status == "executing" {
		b.Open("", "actions", "execute", "complete").Open("", "complete").Close().Close()
	}
	if form != nil {
		b.Raw(form.Payload())
	}
	return b.Payload()
}

// fault is one of the errors of XEP-0050 §4.4.
func fault(condition, text string) error {
	var b xmpp.Builder
	e := xmpp.Refuse("bad-request", text)
	e.App = b.Open(nsCommands, condition).Payload()
	return e
}

func badPayload(text string) error { return fault("bad-payload", text) }

// commandOf returns the command of a node, nil where there is none.
func (s *Service) commandOf(node string) *command {
	for i, c := range s.commands {
		if c.node == node {
			return &s.commands[i]
		}
	}
	return nil
}

// commandInfo tells about the list of commands, or one of them (XEP-0050 §2.2).
func (t *turn) commandInfo(q request, node string) (xmpp.Payload, error) {
	if node == nsCommands {
		return infoOf(node, []xmpp.Identity{{Category: "automation", Type: "command-list", Name: "Commands"}}, []string{nsCommands}, nil), nil
	}
	c := t.s.commandOf(node)
	switch {
	case c == nil:
		return nil, xmpp.Refuse("item-not-found", "")
	case !c.may(t, q):
		return nil, xmpp.Refuse("forbidden", "")
	}
	who := []xmpp.Identity{{Category: "automation", Type: "command-node", Name: c.name}}
	return infoOf(node, who, []string{nsCommands, xmpp.NSForm}, nil), nil
}

// commandItems lists the commands that the asker may run.
func (t *turn) commandItems(q request) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsItems, "query", "node", nsCommands)
	for _, c := range t.s.commands {
		if c.may(t, q) {
			b.Open("", "item", "jid", t.jid.String(), "node", c.node, "name", c.name).Close()
		}
	}
	return b.Payload()
}
