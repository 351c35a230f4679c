// Package push tells the services of mobile clients that something has come, where the
// client itself is not there to see it (XEP-0357).
package push

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const (
	ns        = "urn:xmpp:push:0"
	nsPubsub  = "http://jabber.org/protocol/pubsub"                 // XEP-0060
	nsOptions = "http://jabber.org/protocol/pubsub#publish-options" // XEP-0060 §7.1.5
	nsSummary = "urn:xmpp:push:summary"
)

// What one account may have.
const (
	maxNodes   = 20      // nodes, over all services
	maxNode    = 1023    // bytes of a node's name
	maxOptions = 4 << 10 // bytes of the publish options of a node
)

// Config says what is told.
type Config struct {
	Summary func() bool   // whether who has written, and what, is told; nil: no
	Grace   time.Duration // how long a client that nobody looks at has to acknowledge; 0 means 30 s
	Retry   time.Duration // the first pause after a failure that may pass; 0 means a minute
}

type feature struct {
	cfg    Config
	router *router.Router
	store  *storage.Store
	log    *slog.Logger
	nodes  router.Memo[[]*target]
	owners owners
}

// New returns the feature.
func New(cfg Config) router.Feature {
	if cfg.Grace <= 0 {
		cfg.Grace = 30 * time.Second
	}
	if cfg.Retry <= 0 {
		cfg.Retry = time.Minute
	}
	f := &feature{cfg: cfg}
	return router.Feature{
		Name:         "push notifications",
		XEPs:         []router.XEP{{Number: 357, Version: "0.4.1"}},
		AccountDisco: []string{ns}, // XEP-0357 §4.1
		IQ: []router.IQ{
			router.Set(router.ToOwn, ns, "enable", f.enable),
			router.Set(router.ToOwn, ns, "disable", f.disable),
			router.Set(router.ToAccount, ns, "enable", notYours),
			router.Set(router.ToAccount, ns, "disable", notYours),
		},
		Arrived: router.Hooks{Miss: f.miss},
		Lost:    f.lost,
		Heeds:   f.owners.has,
		Noticed: f.noticed,
		Load:    f.load,
		Start:   f.start,
		Forget:  func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:  schema,
	}
}

func (f *feature) start(h router.Hall) {
	f.router, f.store, f.log = h.Router, h.Store, h.Log
	if err := f.owners.read(f.store); err != nil {
		f.log.Error("who is told by push could not be read: of what is said in rooms nobody is told until they enable it again", "error", err)
	}
}

// notYours answers requests for somebody else's account, existing or not.
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

func (f *feature) load(tx *storage.Tx, a *router.Account) error {
	list, err := nodesOf(tx, a.ID)
	if err == nil && len(list) > 0 {
		all := make([]*target, len(list))
		for i := range list {
			all[i] = &target{node: list[i]}
		}
		f.nodes.Set(a, &all)
	}
	return err
}

// of returns the nodes of an account.
func (f *feature) of(a *router.Account) []*target {
	if l := f.nodes.Of(a); l != nil {
		return *l
	}
	return nil
}

// enable has a node told from now on what the asking device does not see (XEP-0357 §5). A
// node that is enabled again has the new options, and belongs to the new device.
func (f *feature) enable(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if q.Sender == nil { // who asks in the account's place has no device
		return nil, xmpp.Refuse("not-allowed", "")
	}
	n, err := readNode(q.Payload)
	if err != nil {
		return nil, err
	}
	n.resource = q.Sender.JID().Resource()
	return nil, q.Turn(func(t *router.Turn) error {
		list := slices.DeleteFunc(slices.Clone(f.of(q.Account)), func(o *target) bool { return o.is(n.jid, n.name) })
		if len(list) >= maxNodes {
			return xmpp.Refuse("policy-violation", "too many nodes are enabled")
		}
		if err := t.Write(ctx, func(tx *storage.Tx) error { return put(tx, q.Account.ID, n) }); err != nil {
			return err
		}
		list = append(list, &target{node: n})
		f.nodes.Set(q.Account, &list)
		f.owners.set(q.Account.ID, true)
		return nil
	})
}

// readNode reads an <enable/>.
func readNode(e xmpp.Element) (n node, err error) {
	jid, err := xmpp.ParseJID(e.Attr("jid"))
	if err != nil || jid.IsZero() {
		return n, xmpp.Refuse("bad-request", "'jid' is the address of a push service")
	}
	n.jid, n.name = jid, e.Attr("node")
	if len(n.name) > maxNode {
		return n, xmpp.Refuse("policy-violation", "the node's name is too long")
	}
	x := e.Child("jabber:x:data", "x")
	if x.IsZero() {
		return n, nil
	}
	form, ok := xmpp.ParseForm(x)
	if !ok || form.Type != "submit" || form.Value("FORM_TYPE") != nsOptions {
		return n, xmpp.Refuse("bad-request", "the form is one of publish options")
	}
	if n.options = x.Payload(); len(n.options) > maxOptions {
		return n, xmpp.Refuse("policy-violation", "the publish options are too large")
	}
	return n, nil
}

// disable has a node, or all nodes of a service, told nothing more (XEP-0357 §6).
func (f *feature) disable(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	jid, err := xmpp.ParseJID(q.Payload.Attr("jid"))
	if err != nil || jid.IsZero() {
		return nil, xmpp.Refuse("bad-request", "'jid' is the address of a push service")
	}
	name, one := q.Payload.LookupAttr("node")
	return nil, q.Turn(func(t *router.Turn) error {
		return f.drop(ctx, t, q.Account, func(n *target) bool { return n.jid == jid && (!one || n.name == name) })
	})
}

// drop takes nodes out, on disk and in memory.
func (f *feature) drop(ctx context.Context, t *router.Turn, a *router.Account, which func(*target) bool) error {
	var gone, left []*target
	for _, n := range f.of(a) {
		if which(n) {
			gone = append(gone, n)
		} else {
			left = append(left, n)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	err := t.Write(ctx, func(tx *storage.Tx) error {
		for _, n := range gone {
			if err := remove(tx, a.ID, n.jid, n.name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range gone {
		n.end()
	}
	if left == nil {
		f.nodes.Set(a, nil)
		f.owners.set(a.ID, false)
		return nil
	}
	f.nodes.Set(a, &left)
	return nil
}
