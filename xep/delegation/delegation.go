// Package delegation has components answer requests in the place of the server: those in
// namespaces that the operator has delegated to them (XEP-0355 in its admin mode).
package delegation

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/xmpp"
)

const (
	prefix      = "urn:xmpp:delegation:"
	ns          = prefix + "2"
	nsOld       = prefix + "1"
	infoOfNodes = ns + ":bare:disco#info:*"  // XEP-0355 §7.2.4
	itemsOfAll  = ns + ":bare:disco#items:*" // XEP-0355 §7.2.5
	nsForward   = "urn:xmpp:forward:0"       // XEP-0297
	nsItems     = "http://jabber.org/protocol/disco#items"
)

// patience is how long a component may take to answer.
const patience = 30 * time.Second

// maxOpen is how many requests may wait for components at the same time. Strangers ask, too;
// what they ask must not use up the questions that the whole house may have open.
const maxOpen = 2000

type feature struct {
	table  func() *Table
	router *router.Router
	log    *slog.Logger
	nested nested
	open   atomic.Int64 // requests that wait
}

// New returns the feature. table is asked each time.
func New(table func() *Table) router.Feature {
	f := &feature{table: table, log: slog.New(slog.DiscardHandler)}
	return router.Feature{
		Name:      "delegated namespaces",
		XEPs:      []router.XEP{{Number: 355, Version: "0.5", Note: "admin mode; namespaces :2 and :1; by the configuration"}},
		Disco:     []string{ns, nsOld}, // XEP-0355 §7.1
		Instead:   f.instead,
		Elsewhere: f.elsewhere,
		Nest:      f.nest,
		Attached:  f.attached,
		Start:     func(h router.Hall) { f.router, f.log = h.Router, h.Log },
	}
}

// attached tells a component what is delegated to it (XEP-0355 §4.2), in both namespaces, and
// asks what it can do with that.
func (f *feature) attached(component xmpp.JID) {
	list := f.table().of(component)
	if len(list) == 0 {
		return
	}
	var rd router.Round
	for _, host := range f.router.Hosts() {
		from, err := xmpp.NewJID("", host, "")
		if err != nil {
			continue
		}
		for _, space := range []string{nsOld, ns} {
			st := xmpp.NewStanza(xmpp.Message, advertisement(space, list))
			st.ID, st.From, st.To = "delegation-"+strings.ToLower(rand.Text()), from, component
			f.router.Deliver(&rd, st)
		}
	}
	rd.Flush()
	f.learn(component, list)
}

func advertisement(space string, list []*delegated) xmpp.Payload {
	var b xmpp.Builder
	b.Open(space, "delegation")
	for _, d := range list {
		b.Open("", "delegated", "namespace", d.Space)
		for _, a := range d.Attrs {
			b.Open("", "attribute", "name", a).Close()
		}
		b.Close()
	}
	return b.Payload()
}

// instead returns who answers a request in a delegated namespace (XEP-0355 §4.3). What the
// component itself asks is not delegated (§4.3.1).
func (f *feature) instead(_ context.Context, q *router.Request) router.Handler {
	d := f.table().bySpace[q.Payload.Name().Space]
	if d == nil || !d.takes(q.Payload) || q.From().Domain() == d.to.Domain() {
		return nil
	}
	return f.forward(d)
}

// elsewhere is instead for service discovery of what this server does not know of an account.
func (f *feature) elsewhere(q *router.Request) router.Handler {
	space := infoOfNodes
	if q.Payload.Is(nsItems, "query") {
		space = itemsOfAll
	}
	d := f.table().bySpace[space]
	if d == nil || q.From().Domain() == d.to.Domain() {
		return nil
	}
	return f.forward(d)
}

// forward returns the handler that has a component answer.
func (f *feature) forward(d *delegated) router.Handler {
	return func(_ context.Context, q *router.Request) (xmpp.Payload, error) {
		host, err := xmpp.NewJID("", q.Host, "")
		if err != nil {
			return nil, err
		}
		if f.open.Add(1) > maxOpen {
			f.open.Add(-1)
			return nil, xmpp.Refuse("resource-constraint", "too many requests wait for "+d.to.Domain())
		}
		space := f.nested.spaceOf(d.to)
		var b xmpp.Builder
		b.Grow(q.Stanza.Len()+256).Open(space, "delegation").Open(nsForward, "forwarded").Stanza(q.Stanza, xmpp.NSClient)
		asked, answer := q.Stanza, q.Later()
		f.router.Ask(host, d.to, "set", b.Payload(), patience, func(st *xmpp.Stanza) {
			f.open.Add(-1)
			p, why := result(st, space, asked)
			if why != "" {
				f.log.Warn("a component has not answered what is delegated to it", "component", d.to.String(), "namespace", d.Space, "reason", why)
				answer(nil, xmpp.Refuse("service-unavailable", ""))
				return
			}
			answer(p, nil)
		})
		return nil, nil
	}
}

// result takes the answer to a request out of a component's answer, and looks whether it is
// one (XEP-0355 §4.3). why says what is wrong.
func result(st *xmpp.Stanza, space string, asked *xmpp.Stanza) (p xmpp.Payload, why string) {
	if st.Type != "result" {
		if e := xmpp.ErrorOf(st); e != nil {
			return nil, "it says " + e.Condition
		}
		return nil, "it says that there is an error"
	}
	e := st.Child(space, "delegation").Child(nsForward, "forwarded").First()
	if e.Name().Local != "iq" {
		return nil, "the answer has no forwarded <iq/>"
	}
	inner, err := xmpp.ParseStanzaBytes(e.Payload())
	switch {
	case err != nil || inner.Kind != xmpp.IQ || inner.Fault != nil:
		return nil, "the answer cannot be read"
	case inner.Type != "result":
		return nil, "the forwarded answer is of type " + inner.Type
	case inner.ID != asked.ID:
		return nil, "the forwarded answer has another id"
	case inner.To != asked.From:
		return nil, "the forwarded answer is for somebody else"
	case !inner.From.IsZero() && inner.From != asked.To && !(asked.To.IsZero() && inner.From == asked.From.Bare()):
		return nil, "the forwarded answer is from somebody else"
	}
	return xmpp.Payload(inner.Body()), ""
}
