// Package carbons shows the devices of a user both sides of all conversations, whichever
// device they are held on (XEP-0280).
package carbons

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

const (
	ns        = "urn:xmpp:carbons:2"
	nsRules   = "urn:xmpp:carbons:rules:0"
	nsForward = "urn:xmpp:forward:0" // XEP-0297
)

type feature struct {
	talks router.Memo[talk]
}

// New returns the feature. All rules of XEP-0280 §6.1 are kept, and so announced
// (XEP-0280 §6.2).
func New() router.Feature {
	f := &feature{}
	return router.Feature{
		Name: "carbons",
		XEPs: []router.XEP{
			{Number: 280, Version: "1.0.1"},
			{Number: 297, Version: "1.0", Note: "in carbons"},
			{Number: 334, Version: "1.0.0", Note: "no-copy, for carbons"},
		},
		Disco: []string{ns, nsRules}, // XEP-0280 §3
		IQ: []router.IQ{
			router.Set(router.ToOwn, ns, "enable", f.enable),
			router.Set(router.ToOwn, ns, "disable", f.disable),
			router.Set(router.ToAccount, ns, "enable", notYours),
			router.Set(router.ToAccount, ns, "disable", notYours),
		},
		Inline:  []router.Inline{{Feature: ns, Space: ns, Name: "enable", Enable: f.inline}},
		Restore: f.restore,
		Sent:    router.Hooks{Copy: f.sent},
		Arrived: router.Hooks{Copy: f.arrived},
	}
}

// enable has the asking device get copies from now on; it may have asked before
// (XEP-0280 §4, §10.1).
func (f *feature) enable(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil { // who asks in the account's place has no device
		return nil, xmpp.Refuse("not-allowed", "")
	}
	return nil, q.Turn(func(*router.Turn) error {
		f.set(q.Account, q.Sender, true)
		return nil
	})
}

// disable has it get no more copies (XEP-0280 §5, §10.1).
func (f *feature) disable(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil { // who asks in the account's place has no device
		return nil, xmpp.Refuse("not-allowed", "")
	}
	return nil, q.Turn(func(*router.Turn) error {
		f.set(q.Account, q.Sender, false)
		return nil
	})
}

// inline is enable in the turn in which the device is bound. It needs no answer
// (XEP-0386 §3.2.1).
func (f *feature) inline(_ *router.Turn, s *router.Sender, _ xmpp.Element) xmpp.Payload {
	f.set(s.Account(), s, true)
	return nil
}

func (f *feature) set(a *router.Account, s *router.Sender, on bool) {
	if on && f.talks.Of(a) == nil {
		f.talks.Set(a, newTalk())
	}
	a.SetCopies(s, on)
}

// restore goes on with copies for a device that is there again after a restart.
func (f *feature) restore(_ *router.Turn, a *router.Account, res router.Resource, _ []byte) error {
	if res.Copies && f.talks.Of(a) == nil {
		f.talks.Set(a, newTalk())
	}
	return nil
}

// notYours answers requests about others' devices, existing or not (XEP-0280 §4.1, §5.1).
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("not-allowed", "")
}

// sent gives copies of a message that a device of the account has sent to the others that
// want them (XEP-0280 §8). In a message to the own account those who got it have it.
func (f *feature) sent(p *router.Passage, rd *router.Round) {
	t := f.talks.Of(p.Sender)
	if t == nil || !t.eligible(p.Stanza, outbound) {
		return
	}
	c := copies{p: p, rd: rd, wrapper: "sent", account: p.Sender}
	list := p.Sender.Resources()
	for i := range list {
		if res := &list[i]; res.Copies && !p.Said(res.Session) && (p.Recipient != p.Sender || !p.Got(res.Session)) {
			c.give(res)
		}
	}
}

// arrived gives copies of a message for the account to those who want them and did not get
// it (XEP-0280 §7). What the account sends to itself has been shown by sent.
func (f *feature) arrived(p *router.Passage, rd *router.Round) {
	t := f.talks.Of(p.Recipient)
	if t == nil || !t.eligible(p.Stanza, inbound) || p.Sender == p.Recipient {
		return
	}
	c := copies{p: p, rd: rd, wrapper: "received", account: p.Recipient}
	list := p.Devices()
	for i := range list {
		if res := &list[i]; res.Copies && !p.Got(res.Session) {
			c.give(res)
		}
	}
}

// copies are those of one message for one account: one body, made when the first is wanted.
type copies struct {
	p       *router.Passage
	rd      *router.Round
	wrapper string
	account *router.Account
	st      *xmpp.Stanza
}

// give shows a copy to one device. It has no id: the error of a client that does not
// understand it is for the account, and ends there (XEP-0280 §10.3).
func (c *copies) give(res *router.Resource) {
	if c.st == nil {
		c.st = wrap(c.wrapper, c.p.Seen(c.account))
	}
	c.p.Show(c.rd, res, c.st.Readdressed(res.JID(), c.account.JID))
}

// overhead is what a carbon adds to its message, in bytes.
const overhead = 160

// wrap makes a carbon of a message, still without addresses. The type stays, an error's
// included (XEP-0280 §7, §8).
func wrap(wrapper string, st *xmpp.Stanza) *xmpp.Stanza {
	var b xmpp.Builder
	b.Grow(st.Len()+overhead).Open(ns, wrapper).Open(nsForward, "forwarded").Stanza(st, xmpp.NSClient) // XEP-0297 §3.2
	c := xmpp.NewEnvelope(xmpp.Message, b.Payload())
	c.Type = st.Type
	return c
}
