// Package displayed lets clients say with one message that they have displayed a conversation: to
// who has written, and to the user's other clients (XEP-0490).
package displayed

import (
	"context"
	"log/slog"

	"parley/router"
	"parley/xmpp"
)

// ns is the namespace, and the name of the node (XEP-0490 §4.1).
const ns = "urn:xmpp:mds:displayed:0"

type feature struct {
	router *router.Router
	log    *slog.Logger
}

// New returns the feature.
func New() router.Feature {
	f := &feature{}
	return router.Feature{
		Name:         "displayed messages",
		XEPs:         []router.XEP{{Number: 490, Version: "1.0.1", Note: "with the server's assistance; inboxes follow"}},
		AccountDisco: []string{"urn:xmpp:mds:server-assist:0"}, // XEP-0490 §4.5.2
		Sent:         router.Hooks{Mark: f.assist},
		Start:        func(h router.Hall) { f.router, f.log = h.Router, h.Log },
	}
}

// assist publishes in the user's name what a message says of a conversation, and takes that off
// the message: it is for nobody else, and in no archive or copy (XEP-0490 §4.5.3, §5.2). Only a
// stream's reader comes here with a sender, so it may wait for the sender's turn: the message
// is acknowledged when it is published.
func (f *feature) assist(p *router.Passage) {
	e := p.Stanza.Child(ns, "displayed")
	if e.IsZero() {
		return
	}
	st := p.Stanza
	p.Stanza = st.Without(func(c xmpp.Element) bool { return c.Is(ns, "displayed") })
	if st.Type == "error" {
		return
	}
	item := router.Publication{ID: st.To.String(), Payload: e.Payload()}
	if st.To.IsZero() {
		item.ID = p.Sender.JID.String()
	}
	ctx, a := context.Background(), p.Sender
	var err error
	failed := a.Do(func(t *router.Turn) {
		err = f.router.Edit(ctx, t, a, st.From, func(e router.Edit) error {
			if err := e.Publish(ns, item, router.Oneself); err != nil {
				return err
			}
			return f.router.Published(e, ns, []string{item.ID})
		})
	})
	if failed != nil {
		err = failed
	}
	if err != nil {
		f.log.Warn("what was displayed is not known to the other clients", "account", a.JID.String(), "error", err)
	}
}
