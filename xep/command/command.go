// Package command carries out what features name as commands: it lists them to who may run
// them, leads through their stages, and keeps where each stands (XEP-0050).
package command

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"parley/router"
	"parley/xmpp"
)

const ns = "http://jabber.org/protocol/commands"

// Limits of commands that are under way.
const (
	lifetime   = 10 * time.Minute // how long one may stand at a stage
	perAccount = 16               // of one account, or one address elsewhere; the oldest makes room
	atMost     = 4096             // of all together; more are refused
	maxStages  = 32               // how far one can go back
)

// lang is the language that everything is said in.
const lang = "en"

type feature struct {
	now      func() time.Time
	log      *slog.Logger
	commands []router.Command
	running  sessions
}

// New returns the feature. now is the clock. It offers the commands of all features.
func New(now func() time.Time) router.Feature {
	f := &feature{now: now}
	return router.Feature{
		Name:  "ad-hoc commands",
		XEPs:  []router.XEP{{Number: 4, Version: "2.13.2"}, {Number: 50, Version: "1.3.0"}, {Number: 68, Version: "1.3.0"}},
		Disco: []string{ns, xmpp.NSForm},
		Node:  f.node,
		IQ:    []router.IQ{router.Set(router.ToServer, ns, "command", f.handle)},
		Start: f.start,
	}
}

// start gathers the commands. Two of one name are a mistake of the program.
func (f *feature) start(h router.Hall) {
	f.log = h.Log
	f.running.open(h.Store.Secret("ad-hoc commands"))
	for _, other := range h.Router.Features() {
		for _, c := range other.Commands {
			if _, twice := f.find(c.Node); twice || c.Node == "" || c.Node == ns {
				panic("command: the node " + c.Node + " of " + other.Name + " is taken")
			}
			f.commands = append(f.commands, c)
		}
	}
}

func (f *feature) find(node string) (router.Command, bool) {
	for _, c := range f.commands {
		if c.Node == node {
			return c, true
		}
	}
	return router.Command{}, false
}

func may(c router.Command, q *router.Request) bool { return c.May != nil && c.May(q) }

// node answers service discovery: the list has what the asker may run and nothing else
// (XEP-0050 §2.2).
func (f *feature) node(_ context.Context, q *router.Request, node string) (*router.NodeInfo, error) {
	if node == ns {
		n := &router.NodeInfo{
			Identities: []router.Identity{{Category: "automation", Type: "command-list"}},
			Features:   []string{ns},
		}
		for _, c := range f.commands {
			if may(c, q) {
				n.Items = append(n.Items, router.Item{JID: q.Stanza.To, Node: c.Node, Name: c.Name})
			}
		}
		return n, nil
	}
	c, found := f.find(node)
	if !found {
		return nil, nil
	}
	if !may(c, q) {
		return nil, xmpp.Refuse("forbidden", "") // XEP-0050 §2.2
	}
	return &router.NodeInfo{
		Identities: []router.Identity{{Category: "automation", Type: "command-node", Name: c.Name}},
		Features:   []string{ns, xmpp.NSForm},
	}, nil
}

// handle takes one step of a command. An error shows which command it is about, as in
// XEP-0050 §3.7: there are clients that find by it whom of theirs to tell.
func (f *feature) handle(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	p, err := f.execute(ctx, q)
	var refused *xmpp.Error
	if errors.As(err, &refused) {
		e := *refused
		e.Echo = echo(q.Payload)
		return nil, &e
	}
	return p, err
}

// execute takes one step of a command (XEP-0050 §2.4).
func (f *feature) execute(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	q.Round.Flush() // who waits, flushes
	node := q.Payload.Attr("node")
	if node == "" {
		return nil, xmpp.Refuse("bad-request", "a command has a node") // XEP-0050 §4.1
	}
	c, found := f.find(node)
	if !found {
		return nil, xmpp.Refuse("item-not-found", "there is no such command")
	}
	if !may(c, q) {
		return nil, &xmpp.Error{Type: "cancel", Condition: "forbidden"} // XEP-0050 §4.4
	}
	if !speaks(q.Payload.Lang()) {
		return nil, fault("bad-locale", "this is said in English")
	}
	action := q.Payload.Attr("action")
	switch action {
	case "":
		action = "execute"
	case "execute", "next", "prev", "complete", "cancel":
	default:
		return nil, fault("malformed-action", "")
	}
	if id, continued := q.Payload.LookupAttr("sessionid"); continued {
		return f.proceed(ctx, q, c, id, action)
	}
	if action != "execute" {
		return nil, fault("bad-action", "the command has not begun")
	}
	return f.begin(ctx, q, c)
}

// begin runs a command's first step (XEP-0050 §2.4.1).
func (f *feature) begin(ctx context.Context, q *router.Request, c router.Command) (xmpp.Payload, error) {
	stage, err := c.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	s := &session{id: f.running.newID(q.From(), c.Node), asker: q.From(), stages: []router.Stage{stage}}
	if stage.Next != nil && !f.running.keep(s, f.now()) {
		return nil, xmpp.Refuse("resource-constraint", "too many commands are under way")
	}
	return f.answer(c, s), nil
}

// proceed takes a further step of a command that is under way (XEP-0050 §2.4.2). Nobody
// else can take one meanwhile.
func (f *feature) proceed(ctx context.Context, q *router.Request, c router.Command, id, action string) (xmpp.Payload, error) {
	if !f.running.issued(id, q.From(), c.Node) {
		return nil, fault("bad-sessionid", "")
	}
	s := f.running.take(id, f.now())
	if s == nil {
		return nil, expired()
	}
	if action == "cancel" { // XEP-0050 §2.4.3
		return canceled(c, s), nil
	}
	if err := f.step(ctx, q, s, action); err != nil {
		f.running.keep(s, f.now()) // it stays where it was
		return nil, err
	}
	if s.stage().Next != nil {
		f.running.keep(s, f.now())
	}
	return f.answer(c, s), nil
}

// step changes the stage that a command stands at. After an error it is the same.
func (f *feature) step(ctx context.Context, q *router.Request, s *session, action string) error {
	at := s.stage()
	if action == "execute" { // XEP-0050 §3.4
		action = forward(at)
	}
	switch {
	case action == "prev" && len(s.stages) > 1:
		s.stages = s.stages[:len(s.stages)-1]
		return nil
	case action != forward(at):
		return fault("bad-action", "")
	}
	var in xmpp.Form
	if at.Form != nil {
		var err error
		if in, err = filled(q.Payload, *at.Form); err != nil {
			return fault("bad-payload", err.Error())
		}
	}
	next, err := at.Next(ctx, q, in)
	var wrong *xmpp.FormError
	if errors.As(err, &wrong) {
		return fault("bad-payload", wrong.Error())
	}
	if err != nil {
		return err
	}
	if s.stages = append(s.stages, next); len(s.stages) > maxStages {
		s.stages = s.stages[1:]
	}
	return nil
}

// forward is the action that leads on from a stage.
func forward(s router.Stage) string {
	if s.Last {
		return "complete"
	}
	return "next"
}

// filled reads the form that the request has. A form that is canceled is taken for one that
// is submitted (XEP-0050 §3.5.1).
func filled(e xmpp.Element, form xmpp.Form) (xmpp.Form, error) {
	in, ok := xmpp.ParseForm(e.Child(xmpp.NSForm, "x"))
	if !ok {
		return in, &xmpp.FormError{Reason: "the form is missing"}
	}
	if in.Type == "cancel" {
		in.Type = "submit"
	}
	return form.Accept(in)
}

// languageTag is about what a language tag (BCP 47) looks like, and its primary subtag.
var languageTag = regexp.MustCompile(`^([A-Za-z]{2,8})(-[A-Za-z0-9]{1,8})*$`)

// speaks reports whether a command can be carried out in the language that is asked for at
// the command itself. At the stanza it may be nothing but that of the stream
// (RFC 6120 §4.7.4), and who only says what they like best is better served in English
// than not at all (XEP-0050 §3.7).
func speaks(tag string) bool {
	if tag == "" {
		return true
	}
	m := languageTag.FindStringSubmatch(tag)
	return m != nil && strings.EqualFold(m[1], lang)
}
