// Package privilege lets components that the operator trusts do some things in the place of
// users: with their contacts, with messages and requests in their names, and with their
// presence (XEP-0356).
package privilege

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/xmpp"
)

const (
	ns        = "urn:xmpp:privilege:2"
	nsOld     = "urn:xmpp:privilege:1" // without requests
	nsForward = "urn:xmpp:forward:0"   // XEP-0297
	nsRoster  = "jabber:iq:roster"
)

// patience is how long somebody else may take to answer a request in the name of a user.
const patience = time.Minute

// maxOpen is how many requests in users' names may wait for an answer at the same time.
const maxOpen = 2000

type feature struct {
	table  func() *Table
	router *router.Router
	seed   maphash.Seed
	shown  shown
	open   atomic.Int64 // requests that wait
}

// New returns the feature. table is asked each time.
func New(table func() *Table) router.Feature {
	f := &feature{table: table, seed: maphash.MakeSeed()}
	f.shown.init()
	return router.Feature{
		Name: "privileged components",
		XEPs: []router.XEP{{Number: 356, Version: "0.4.1", Note: "namespaces :2 and :1; permissions of the configuration"}},
		IQ: []router.IQ{
			router.Get(router.ToAccount, ns, "privileged_iq", f.iq),
			router.Set(router.ToAccount, ns, "privileged_iq", f.iq),
			router.Get(router.ToServer, ns, "privileged_iq", forbidden),
			router.Set(router.ToServer, ns, "privileged_iq", forbidden),
		},
		Deputy:   f.deputy,
		Unwrap:   f.unwrap,
		Pushed:   f.pushed,
		Presence: f.presence,
		Shows:    f.contact,
		Attached: f.attached,
		Start:    func(h router.Hall) { f.router = h.Router },
	}
}

func forbidden(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

// attached tells a component what it may do (XEP-0356 §4.2), in both namespaces: it takes the
// one that it knows. Who may know of presence is told who is there (XEP-0356 §8).
func (f *feature) attached(component xmpp.JID) {
	g := f.table().of(component)
	if g == nil {
		return
	}
	var rd router.Round
	for _, host := range f.router.Hosts() {
		from, err := xmpp.NewJID("", host, "")
		if err != nil {
			continue
		}
		for _, space := range []string{nsOld, ns} {
			if p := g.payload(space); p != nil {
				st := xmpp.NewStanza(xmpp.Message, p)
				st.ID, st.From, st.To = newID(), from, component
				f.router.Deliver(&rd, st)
			}
		}
	}
	rd.Flush()
	if !g.presence() {
		return
	}
	f.shown.forget(component)
	f.router.Everybody(func(a *router.Account) bool { return len(a.Resources()) > 0 }, func(t *router.Turn, a *router.Account) {
		for _, res := range a.Resources() {
			if res.Available() {
				f.tell(t, a, g, res.Presence.Readdressed(component, res.JID()))
			}
		}
	})
}

func newID() string { return "privilege-" + strings.ToLower(rand.Text()) }

// deputy reports whether a component asks for what it may do with a user's contacts
// (XEP-0356 §4.3).
func (f *feature) deputy(q *router.Request) bool {
	if !q.Payload.Is(nsRoster, "query") {
		return false
	}
	g := f.table().of(q.From())
	return g != nil && allows(g.Roster, q.Stanza.Type)
}

// pushed tells components of a change in a user's contacts (XEP-0356 §4.4).
func (f *feature) pushed(t *router.Turn, a *router.Account, change xmpp.Payload) {
	table := f.table()
	if !table.pushes {
		return
	}
	for _, g := range table.all {
		if !g.pushes() {
			continue
		}
		st := xmpp.NewStanza(xmpp.IQ, change)
		st.Type, st.ID, st.From, st.To = "set", newID(), a.JID, g.jid
		f.router.Deliver(&t.Round, st)
	}
}

// unwrap takes a message that a component sends in the name of a user, or of a domain of the
// house (XEP-0356 §5.3).
func (f *feature) unwrap(_ context.Context, st *xmpp.Stanza) (*xmpp.Stanza, *xmpp.Error) {
	e := st.Child(ns, "privilege")
	if e.IsZero() {
		e = st.Child(nsOld, "privilege")
	}
	if e.IsZero() || st.Type == "error" {
		return nil, nil
	}
	if g := f.table().of(st.From); g == nil || !g.messages() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	inner, err := forwarded(e, "message")
	switch {
	case err != nil:
		return nil, err
	case inner.From.IsZero() || !inner.From.IsBare() || !f.router.Serves(inner.From.Domain()): // XEP-0356 §5.1
		return nil, xmpp.Refuse("forbidden", "'from' of the message is no user's bare address here")
	}
	if inner.To.IsZero() {
		inner.To = inner.From // RFC 6120 §10.3.1
	}
	return inner, nil
}

// forwarded reads the stanza in <forwarded/> below e. Its namespace may be any content
// namespace: components write their own there.
func forwarded(e xmpp.Element, name string) (*xmpp.Stanza, *xmpp.Error) {
	var list []xmpp.Element
	for c := range e.Child(nsForward, "forwarded").Children {
		if c.Name().Local == name {
			list = append(list, c)
		}
	}
	if len(list) != 1 {
		return nil, xmpp.Refuse("bad-request", "exactly one "+name+" is forwarded")
	}
	return stanza(list[0])
}

// stanza reads an element as the stanza that it is.
func stanza(e xmpp.Element) (*xmpp.Stanza, *xmpp.Error) {
	st, err := xmpp.ParseStanzaBytes(e.Payload())
	switch {
	case err != nil || st.Kind == xmpp.Nonza:
		return nil, xmpp.Refuse("bad-request", "this is no stanza")
	case st.Fault != nil:
		return nil, st.Fault
	}
	return st, nil
}

// iq takes a request that a component sends in the name of a user (XEP-0356 §6.3). The answer
// comes back in the answer.
func (f *feature) iq(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	g := f.table().of(q.From())
	if g == nil || q.Account == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	e := q.Payload.First()
	if !e.Is(xmpp.NSClient, "iq") {
		return nil, xmpp.Refuse("forbidden", "the request is no <iq/> of jabber:client")
	}
	inner, wrong := stanza(e)
	if wrong != nil {
		return nil, wrong
	}
	switch {
	case inner.Type != q.Stanza.Type:
		return nil, xmpp.Refuse("forbidden", "the two types are different")
	case inner.PayloadCount() != 1:
		return nil, xmpp.Refuse("bad-request", "a request has exactly one child element")
	case !allows(g.iq[inner.Payload().Name().Space], inner.Type):
		return nil, xmpp.Refuse("forbidden", "")
	case !inner.From.IsZero() && inner.From != q.Account.JID:
		return nil, xmpp.Refuse("forbidden", "'from' is another user")
	}
	if inner.From = q.Account.JID; inner.To.IsZero() {
		inner.To = q.Account.JID
	}
	if refused := f.router.MaySend(q.Account, inner); refused != nil {
		return nil, refused
	}
	if f.open.Add(1) > maxOpen {
		f.open.Add(-1)
		return nil, xmpp.Refuse("resource-constraint", "too many requests wait for an answer")
	}
	answer := q.Later()
	f.router.Ask(inner.From, inner.To, inner.Type, xmpp.Payload(inner.Body()), patience, func(st *xmpp.Stanza) {
		f.open.Add(-1)
		c := *st
		c.ID = inner.ID
		var b xmpp.Builder
		b.Open(ns, "privilege").Open(nsForward, "forwarded").Stanza(&c, xmpp.NSClient)
		answer(b.Payload(), nil)
	})
	return nil, nil
}
