package push

import (
	"context"
	"strconv"
	"sync"
	"time"

	"parley/router"
	"parley/xmpp"
)

const (
	patience = time.Minute // for the answer of a service
	maxTries = 8           // of one notification, each pause twice the one before
	maxText  = 200         // characters of a message that are told, where they are
)

// A target is a node and what is on its way to it: one notification at a time, which stands
// for all that has come meanwhile.
type target struct {
	node

	mu      sync.Mutex // a leaf
	over    bool       // it is disabled
	busy    bool       // a notification is on its way, or waits to be tried again
	count   int        // messages since the last one that was taken
	last    *xmpp.Stanza
	tries   int
	watched bool // it will be looked whether the device has acknowledged
}

func (n *target) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true // what waits to be tried again finds that out
}

// miss decides for each device of the account that has enabled a node whether it is to be
// told of a message: if it is not there, and later if nobody looks at it and it has not
// acknowledged the message by then. Other devices do not matter.
func (f *feature) miss(p *router.Passage) {
	targets := f.of(p.Recipient)
	if len(targets) == 0 || !important(p.Stanza) {
		return
	}
	for _, n := range targets {
		if s := p.Speaker(); s != nil && s.Account() == p.Recipient && s.JID().Resource() == n.resource {
			continue // its own message to itself
		}
		res, there := p.Recipient.Resource(n.resource)
		switch {
		case !there, res.Attention() == router.Gone:
			f.tell(p.Recipient, n, p.Stanza)
		case res.Attention() == router.Inactive && p.ID() != 0 && res.Sender().Holds(p.ID()):
			f.watch(p.Recipient, n, p.Stanza)
		}
	}
}

// lost tells of what a device had been handed and has not acknowledged, when its connection
// turns out to be gone.
func (f *feature) lost(a *router.Account, s *router.Sender) {
	held := s.Held()
	if len(held) == 0 {
		return
	}
	for _, n := range f.of(a) {
		if n.resource == s.JID().Resource() {
			f.tell(a, n, nil)
		}
	}
}

// important reports whether a message is worth waking a device for: something to read, or a
// call (XEP-0353).
func important(st *xmpp.Stanza) bool {
	if st.Type == "error" || st.Type == "groupchat" || st.Type == "headline" {
		return false
	}
	for e := range st.Children {
		switch n := e.Name(); {
		case n == xmpp.Name{Local: "body"}, n.Local == "encrypted", n.Local == "openpgp",
			n == xmpp.Name{Space: "jabber:x:encrypted", Local: "x"}, n == xmpp.Name{Space: "jabber:x:conference", Local: "x"},
			n == xmpp.Name{Space: "urn:xmpp:jingle-message:0", Local: "propose"}:
			return true
		}
	}
	return false
}

// watch has it looked, a little later, whether a device has acknowledged what it was handed.
func (f *feature) watch(a *router.Account, n *target, st *xmpp.Stanza) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched || n.over {
		return
	}
	n.watched = true
	a.Hold()
	time.AfterFunc(f.cfg.Grace, func() {
		defer a.Release()
		n.mu.Lock()
		n.watched = false
		n.mu.Unlock()
		res, there := a.Resource(n.resource)
		if !there || res.Attention() != router.Awake && len(res.Sender().Held()) > 0 {
			f.tell(a, n, st)
		}
	})
}

// tell sends a notification, unless one is on its way: then another follows it.
func (f *feature) tell(a *router.Account, n *target, st *xmpp.Stanza) {
	n.mu.Lock()
	n.count++
	n.last = st
	start := !n.busy && !n.over
	n.busy = true
	n.mu.Unlock()
	if start {
		a.Hold()
		f.begin(a, n)
	}
}

// begin sends a notification. An address that the house itself might answer for could have
// it wait, which nobody may who hands messages over.
func (f *feature) begin(a *router.Account, n *target) {
	if n.jid.Local() != "" && n.jid.Resource() != "" {
		f.send(a, n)
		return
	}
	go f.send(a, n)
}

// send sends the notification of all that has come.
func (f *feature) send(a *router.Account, n *target) {
	n.mu.Lock()
	count, last, over := n.count, n.last, n.over
	n.mu.Unlock()
	if over || a.Removed() {
		a.Release()
		return
	}
	f.router.Ask(a.JID.Host(), n.jid, "set", f.notification(&n.node, count, last), patience, func(answer *xmpp.Stanza) {
		f.answered(a, n, count, answer)
	})
}

// answered takes the answer of a service: the node is dropped where it says that it will
// never take any, and the notification is tried again where that may pass.
func (f *feature) answered(a *router.Account, n *target, count int, answer *xmpp.Stanza) {
	outcome := outcomeOf(answer)
	n.mu.Lock()
	n.tries++
	tries := n.tries
	if outcome == taken || tries >= maxTries {
		n.count -= count
		n.tries = 0
	}
	again := n.count > 0 && !n.over
	n.busy = again && outcome != refused
	if n.busy && n.tries > 0 {
		pause := f.cfg.Retry << (tries - 1)
		time.AfterFunc(pause, func() { f.send(a, n) })
	}
	waits := n.busy && n.tries > 0
	busy := n.busy
	n.mu.Unlock()
	switch {
	case outcome == refused:
		a.Post(func(t *router.Turn) {
			if err := f.drop(context.Background(), t, a, func(o *target) bool { return o == n }); err != nil {
				f.log.Warn("a push node could not be disabled", "account", a.JID.String(), "error", err)
				return
			}
			f.log.Info("a push service refuses a node, which is disabled", "account", a.JID.String(), "service", n.jid.String(), "condition", xmpp.ErrorOf(answer).Condition)
		})
		a.Release()
	case waits:
	case busy:
		f.begin(a, n)
	default:
		a.Release()
	}
}

// outcome is what came of a notification.
type outcome int

const (
	taken   outcome = iota
	failed          // it may be taken later
	refused         // no notification will ever be taken
)

// outcomeOf reads the answer of a service. What a stream or a disk says may pass, and so does
// an address that cannot be reached; what is said of the node or of our rights does not
// (RFC 6120 §8.3.2).
func outcomeOf(answer *xmpp.Stanza) outcome {
	if answer.Type == "result" {
		return taken
	}
	e := xmpp.ErrorOf(answer)
	if e.Type == "wait" {
		return failed
	}
	switch e.Condition {
	case "item-not-found", "forbidden", "not-authorized", "not-allowed", "gone", "not-acceptable", "bad-request",
		"feature-not-implemented", "jid-malformed", "conflict", "registration-required", "subscription-required", "payment-required", "policy-violation":
		return refused
	}
	return failed
}

// notification is what a service is told (XEP-0357 §7).
func (f *feature) notification(n *node, count int, last *xmpp.Stanza) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub").Open("", "publish", "node", n.name).Open("", "item").Open(ns, "notification")
	if f.cfg.Summary != nil && f.cfg.Summary() && last != nil {
		fields := []xmpp.Field{
			xmpp.FormType(nsSummary),
			{Var: "message-count", Values: []string{strconv.Itoa(count)}},
			{Var: "last-message-sender", Values: []string{last.From.String()}},
		}
		if text := readable(last); text != "" {
			fields = append(fields, xmpp.Field{Var: "last-message-body", Values: []string{text}})
		}
		b.Raw(xmpp.Form{Type: "form", Fields: fields}.Payload())
	}
	b.Close().Close().Close()
	if len(n.options) > 0 {
		b.Open("", "publish-options").Raw(n.options).Close()
	}
	return b.Close().Payload()
}

// readable returns the beginning of what a message says; nothing of one that is encrypted.
func readable(st *xmpp.Stanza) string {
	for e := range st.Children {
		if n := e.Name(); n.Local == "encrypted" || n.Local == "openpgp" || n.Space == "jabber:x:encrypted" {
			return ""
		}
	}
	text := []rune(st.Child("", "body").Text())
	if len(text) > maxText {
		return string(text[:maxText]) + "…"
	}
	return string(text)
}
