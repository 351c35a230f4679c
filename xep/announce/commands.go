package announce

import (
	"context"
	"fmt"
	"strings"

	"parley/router"
	"parley/xmpp"
)

// ns is the FORM_TYPE of all forms, and what the nodes begin with (XEP-0133 §4, §8.2).
const ns = "http://jabber.org/protocol/admin"

// commands are those of XEP-0133 §4.23 to §4.26, and an announcement to all under the name
// that other servers have for it.
func (a *Announcer) commands(may func(*router.Request) bool) []router.Command {
	return []router.Command{
		{Node: ns + "#announce", Name: "Send Announcement to Online Users", May: may, Run: a.announce},
		{Node: ns + "#announce-all", Name: "Send Announcement to All Users", May: may, Run: a.announceAll},
		{Node: ns + "#set-motd", Name: "Set Message of the Day", May: may, Run: a.setMOTD},
		{Node: ns + "#edit-motd", Name: "Edit Message of the Day", May: may, Run: a.editMOTD},
		{Node: ns + "#delete-motd", Name: "Delete Message of the Day", May: may, Run: a.deleteMOTD},
	}
}

// form asks for a text under the field's name that XEP-0133 has, and for a subject, which
// it does not have and people want.
func form(title, instructions string, body xmpp.Field, t Text) *xmpp.Form {
	body.Type, body.Required = "text-multi", true
	subject := xmpp.Field{Var: "subject", Type: "text-single", Label: "Subject"}
	if t.Subject != "" {
		subject.Values = []string{t.Subject}
	}
	if t.Body != "" {
		body.Values = strings.Split(t.Body, "\n")
	}
	return &xmpp.Form{Title: title, Instructions: instructions, Fields: []xmpp.Field{xmpp.FormType(ns), subject, body}}
}

func announcement() xmpp.Field { return xmpp.Field{Var: "announcement", Label: "Announcement"} }
func motdField() xmpp.Field    { return xmpp.Field{Var: "motd", Label: "Message of the Day"} }

// done ends a command and says so.
func done(format string, args ...any) router.Stage {
	return router.Stage{Notes: []router.Note{{Type: "info", Text: fmt.Sprintf(format, args...)}}}
}

func (a *Announcer) announce(context.Context, *router.Request) (router.Stage, error) {
	f := form("Making an Announcement", "Fill out this form to make an announcement to all active users of this service.", announcement(), Text{})
	return router.Stage{Form: f, Last: true, Next: func(_ context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		n, err := a.Online(q.Host, Text{in.Value("subject"), in.Value("announcement")}, q.From().String())
		return done("Announced to users online: %d", n), err
	}}, nil
}

func (a *Announcer) announceAll(context.Context, *router.Request) (router.Stage, error) {
	f := form("Making an Announcement", "Fill out this form to make an announcement to all users of this service; those who are away get it when they come.", announcement(), Text{})
	return router.Stage{Form: f, Last: true, Next: func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		err := a.All(ctx, q.Host, Text{in.Value("subject"), in.Value("announcement")}, q.From().String())
		return done("The announcement is on its way to all users."), err
	}}, nil
}

func (a *Announcer) setMOTD(context.Context, *router.Request) (router.Stage, error) {
	f := form("Setting the Message of the Day", "Fill out this form to set the message of the day.", motdField(), Text{})
	return router.Stage{Form: f, Last: true, Next: func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		n, err := a.SetMOTD(ctx, q.Host, Text{in.Value("subject"), in.Value("motd")}, q.From().String())
		return done("Shown to users online: %d; the others see it when they come.", n), err
	}}, nil
}

func (a *Announcer) editMOTD(_ context.Context, q *router.Request) (router.Stage, error) {
	now, _ := a.MOTD(q.Host)
	f := form("Editing the Message of the Day", "Fill out this form to edit the message of the day.", motdField(), now)
	return router.Stage{Form: f, Last: true, Next: func(ctx context.Context, q *router.Request, in xmpp.Form) (router.Stage, error) {
		err := a.EditMOTD(ctx, q.Host, Text{in.Value("subject"), in.Value("motd")}, q.From().String())
		return done("Everybody sees the message when they come the next time."), err
	}}, nil
}

func (a *Announcer) deleteMOTD(ctx context.Context, q *router.Request) (router.Stage, error) {
	was, err := a.RemoveMOTD(ctx, q.Host, q.From().String())
	if err == nil && !was {
		return router.Stage{}, xmpp.Refuse("item-not-found", "there is no message of the day")
	}
	return done("The message of the day is gone."), err
}
