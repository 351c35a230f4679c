package mam

import (
	"parley/router"
	"parley/xmpp"
)

// nodeDisplayed is where users say what they have displayed (XEP-0490 §4.1).
const nodeDisplayed = "urn:xmpp:mds:displayed:0"

// published has inboxes follow what a user says to have displayed: of a conversation by the id that
// this archive gave a message, of a room by that of the room. What is in no such conversation
// means nothing (XEP-0490 §5.1).
func (f *feature) published(e router.Edit, _ []string) error {
	it, found, err := e.Last(nodeDisplayed)
	if err != nil || !found {
		return err
	}
	displayed := xmpp.NewStanza(xmpp.IQ, it.Payload).Payload()
	named := displayed.Child(nsID, "stanza-id")
	with, err1 := xmpp.ParseJID(it.ID)
	by, err2 := xmpp.ParseJID(named.Attr("by"))
	if err1 != nil || err2 != nil || !displayed.Is(nodeDisplayed, "displayed") {
		return nil
	}
	id, ok := f.store.FromOpaque(named.Attr("id"))
	switch {
	case !ok:
		return nil
	case by == e.Account().JID:
		return f.displayedWith(e, with.Bare(), id)
	case by == with.Bare():
		return f.displayedIn(e, by, id)
	}
	return nil
}
