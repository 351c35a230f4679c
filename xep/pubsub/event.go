package pubsub

import (
	"crypto/rand"
	"strings"

	"parley/xmpp"
)

const nsAddress = "http://jabber.org/protocol/address"

// eventID begins the ids of notifications, so that what comes back is known (XEP-0060 §12.4).
const eventID = "pep-"

// An event is what subscribers are told.
type event struct {
	n       *node
	plain   *xmpp.Stanza
	replyTo *xmpp.Stanza // the same with the publishing client, for who may know it (XEP-0163 §4.3.1)
	pending bool         // who waits for consent is told too
}

// message makes a notification of the node; its recipient is yet to be set.
func (n *node) message(p xmpp.Payload) *xmpp.Stanza {
	st := xmpp.NewStanza(xmpp.Message, p)
	st.From, st.ID = n.address, eventID+strings.ToLower(rand.Text())
	if n.cfg.Kind == "headline" { // XEP-0060 §12.7
		st.Type = "headline"
	}
	return st
}

// about is an event that is the same for everybody.
func about(n *node, p xmpp.Payload) event {
	st := n.message(p)
	return event{n: n, plain: st, replyTo: st}
}

// event says that items were published (XEP-0060 §7.1.2). late says that they were before
// (XEP-0163 §4.3.4).
func (s *Service) event(n *node, items []item, late bool) event {
	var b xmpp.Builder
	b.Grow(weigh(items)).Open(nsEvent, "event").Open("", "items", "node", n.name)
	for _, it := range items {
		it.write(&b, &n.cfg, n.cfg.Payloads)
	}
	b.Close().Close()
	if late && len(items) > 0 {
		b.Raw(xmpp.Delay(n.address, items[0].at))
	}
	e := about(n, b.Payload())
	if len(items) == 0 {
		return e
	}
	if from := items[0].publisher; from.Bare() == n.address && from.Resource() != "" {
		var r xmpp.Builder
		r.Open(nsAddress, "addresses").Open("", "address", "type", "replyto", "jid", from.String())
		e.replyTo = e.plain.With(r.Payload())
	}
	return e
}

// retracted says that items were deleted (XEP-0060 §7.2.2.1).
func retracted(n *node, ids []string) event {
	var b xmpp.Builder
	b.Open(nsEvent, "event").Open("", "items", "node", n.name)
	for _, id := range ids {
		b.Open("", "retract", "id", id).Close()
	}
	return about(n, b.Payload())
}

// purged says that all items were (XEP-0060 §8.5.2).
func purged(n *node) event {
	var b xmpp.Builder
	return about(n, b.Open(nsEvent, "event").Open("", "purge", "node", n.name).Payload())
}

// deleted says that the node was, and where it is now (XEP-0060 §8.4.2).
func deleted(n *node, uri string) event {
	var b xmpp.Builder
	b.Open(nsEvent, "event").Open("", "delete", "node", n.name)
	if uri != "" {
		b.Open("", "redirect", "uri", uri).Close()
	}
	e := about(n, b.Payload())
	e.pending = true
	return e
}

// configured says that the node has another configuration (XEP-0060 §8.2.5.3).
func (r rules) configured(n *node) event {
	var b xmpp.Builder
	b.Open(nsEvent, "event").Open("", "configuration", "node", n.name)
	if n.cfg.Payloads {
		b.Raw(r.form(n.cfg, "result", formConfig).Payload())
	}
	return about(n, b.Payload())
}

// subscriptionEvent says what a subscription has become (XEP-0060 §12.14).
func subscriptionEvent(n *node, sub subscription) *xmpp.Stanza {
	var b xmpp.Builder
	b.Open(nsEvent, "event")
	sub.write(&b, n.name)
	st := n.message(b.Payload())
	st.Type = ""
	return st
}

// request asks the owner whether somebody may subscribe (XEP-0060 §8.6).
func request(n *node, sub subscription) *xmpp.Stanza {
	f := xmpp.Form{
		Type: "form", Title: "Somebody wants to subscribe", Instructions: "Say whether they may.",
		Fields: []xmpp.Field{
			xmpp.FormType(formAuthorise),
			{Var: "pubsub#subid", Type: "hidden", Values: []string{sub.subid}},
			{Var: "pubsub#node", Type: "text-single", Label: "Node", Values: []string{n.name}},
			{Var: "pubsub#subscriber_jid", Type: "jid-single", Label: "Who asks", Values: []string{sub.jid.String()}},
			{Var: "pubsub#allow", Type: "boolean", Label: "They may", Values: []string{"0"}},
		},
	}
	st := n.message(f.Payload())
	st.Type = ""
	return st
}
