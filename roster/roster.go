// Package roster is a user's list of contacts and what others see of the user
// (RFC 6121).
package roster

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "jabber:iq:roster"

// Limits of one roster. What is not set is as in DefaultLimits.
type Limits struct {
	Items  int // a user has
	Bytes  int // of all addresses, names and groups together: a roster is sent whole
	Groups int // of one item
	Name   int // characters of a name or of a group's
}

// DefaultLimits are those of a server whose operator has no other opinion.
func DefaultLimits() Limits { return Limits{Items: 10000, Bytes: 2 << 20, Groups: 100, Name: 1023} }

// A Config is what the feature is made of.
type Config struct {
	Directory Directory     // of the shared groups; nil: there are none
	Limits    func() Limits // asked each time; nil: DefaultLimits
}

// An Item is a contact in a roster (RFC 6121 §2.1.2).
type Item struct {
	JID          xmpp.JID // bare
	Name         string
	Subscription string // none, to, from or both
	Ask          string // "subscribe" while a request is pending
	Approved     bool   // pre-approved (RFC 6121 §3.4)
	Groups       []string
}

// New returns the feature with the default limits and without shared groups.
func New() router.Feature { return NewWith(Config{}) }

// NewWith returns the feature.
func NewWith(cfg Config) router.Feature { return newFeature(cfg).literal() }

func newFeature(cfg Config) *feature {
	f := &feature{log: slog.New(slog.DiscardHandler), limits: cfg.Limits}
	if f.limits == nil {
		f.limits = DefaultLimits
	}
	f.shared.dir = cfg.Directory
	return f
}

func (f *feature) literal() router.Feature {
	return router.Feature{
		Name:         "roster",
		RFCs:         []router.RFC{{Number: 6121, Note: "rosters with versioning, subscriptions with pre-approval, presence"}},
		XEPs:         []router.XEP{{Number: 237, Version: "1.3", Note: "as RFC 6121 §2.6 has it"}},
		AccountDisco: []string{ns},
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "query", f.get),
			router.Set(router.ToOwn, ns, "query", f.set),
			router.Get(router.ToAccount, ns, "query", notYours),
			router.Set(router.ToAccount, ns, "query", notYours),
		},
		Shown:    f.honest,
		Presence: f.presence,
		Outgoing: f.outgoing,
		Incoming: f.incoming,
		Trusted:  f.trusted,
		Contact:  f.lists,
		Groups:   f.groups,
		Watchers: f.watchers,
		Watched:  f.watched,
		Barred:   f.barred,
		Distant:  f.distant,
		Leaving:  f.leaving,
		Joined:   f.shared.joined,
		Save:     f.save,
		Restore:  f.restore,
		Start:    f.start,
		Forget:   func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:   schema,
	}
}

type feature struct {
	store  *storage.Store
	router *router.Router
	log    *slog.Logger
	limits func() Limits
	shared sharing
}

func (f *feature) start(h router.Hall) {
	f.store, f.router, f.log = h.Store, h.Router, h.Log
	f.shared.log, f.shared.router, f.shared.tell = h.Log, h.Router, f.settled
	f.shared.start()
}

// notYours answers requests for somebody else's roster, existing or not
// (RFC 6121 §2.3.3).
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

func query(version string, list []Item) xmpp.Payload {
	var b xmpp.Builder
	b.Open(ns, "query").Attr("ver", version)
	for _, it := range list {
		it.write(&b)
	}
	return b.Payload()
}

// unversioned is query for who knows no versions.
func unversioned(it Item) xmpp.Payload {
	var b xmpp.Builder
	b.Open(ns, "query")
	it.write(&b)
	return b.Payload()
}

func (it Item) write(b *xmpp.Builder) {
	approved := ""
	if it.Approved {
		approved = "true"
	}
	b.Open("", "item", "jid", it.JID.String(), "name", it.Name, "subscription", it.Subscription, "ask", it.Ask, "approved", approved)
	for _, g := range it.Groups {
		b.Leaf("", "group", g)
	}
	b.Close()
}

// set adds, changes or removes one item (RFC 6121 §2.3 to §2.5).
func (f *feature) set(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	want, gone, err := f.wanted(q.Payload)
	if err != nil {
		return nil, err
	}
	if want.JID == q.Account.JID {
		return nil, xmpp.Refuse("not-allowed", "nobody is a contact of their own")
	}
	return nil, q.Turn(func(t *router.Turn) error {
		if gone {
			return f.remove(ctx, t, q.Account, want.JID)
		}
		var version int64
		want = f.shared.list(q.Account.JID).own(want)
		if managed(q, want.JID) {
			return f.assign(ctx, t, q.Account, want, q.Payload.Child(ns, "item").Attr("subscription"))
		}
		pushed := want
		err := t.Write(ctx, func(tx *storage.Tx) error {
			was, found, err := item(tx, q.Account.ID, want.JID)
			if err != nil {
				return err
			}
			if pushed = want; found { // what a client says of subscriptions is not asked for (RFC 6121 §2.1.2.5)
				pushed.Subscription, pushed.Ask, pushed.Approved = was.Subscription, was.Ask, was.Approved
			}
			version, err = f.place(tx, q.Account.ID, pushed, true)
			return err
		})
		if err != nil {
			return err
		}
		f.push(t, q.Account, version, pushed)
		return nil
	})
}

// remove takes an item out of the roster, and ends its subscriptions (RFC 6121 §2.5.2). A
// request of the contact that waits for an answer goes on waiting (§A.1). A contact whom
// the user has from a shared group alone stays, and every client is told so.
func (f *feature) remove(ctx context.Context, t *router.Turn, a *router.Account, jid xmpp.JID) error {
	var version int64
	var was Item
	err := t.Write(ctx, func(tx *storage.Tx) (err error) {
		found := false
		if was, found, err = item(tx, a.ID, jid); err != nil {
			return err
		}
		if !found {
			return errNotListed
		}
		version, err = remove(tx, a.ID, jid)
		return err
	})
	if _, shared := f.shared.list(a.JID).find(jid); shared && errors.Is(err, errNotListed) {
		if err := f.repeat(t, a, jid); err != nil {
			return err
		}
		return xmpp.Refuse("not-allowed", "a shared group has this contact in it")
	}
	if errors.Is(err, errNotListed) { // RFC 6121 §2.5.3
		return xmpp.Refuse("item-not-found", "")
	}
	if err != nil {
		return err
	}
	f.note(a, jid, none)
	f.push(t, a, version, Item{JID: jid, Subscription: "remove"})
	f.sever(t, a, was)
	return nil
}

var errNotListed = errors.New("no such item")

// wanted reads the one item of a roster set and checks it (RFC 6121 §2.3.3).
func (f *feature) wanted(q xmpp.Element) (it Item, remove bool, err error) {
	var e xmpp.Element
	n := 0
	for c := range q.Children {
		if c.Is(ns, "item") {
			e = c
			n++
		}
	}
	if n != 1 {
		return it, false, xmpp.Refuse("bad-request", "a roster set has exactly one item")
	}
	jid, err := xmpp.ParseJID(e.Attr("jid"))
	if err != nil {
		return it, false, xmpp.Refuse("jid-malformed", "")
	}
	it = Item{JID: jid.Bare(), Name: e.Attr("name"), Subscription: "none", Groups: []string{}}
	if e.Attr("subscription") == "remove" {
		return it, true, nil
	}
	limits := f.limits()
	if utf8.RuneCountInString(it.Name) > limits.Name {
		return it, false, xmpp.Refuse("not-acceptable", "the name is too long")
	}
	for c := range e.Children {
		if c.Is(ns, "group") {
			it.Groups = append(it.Groups, c.Text())
		}
	}
	return it, false, limits.check(it.Groups)
}

func (l Limits) check(groups []string) error {
	if len(groups) > l.Groups {
		return xmpp.Refuse("not-acceptable", "too many groups")
	}
	for i, g := range groups {
		if g == "" || utf8.RuneCountInString(g) > l.Name {
			return xmpp.Refuse("not-acceptable", "a group's name is empty or too long")
		}
		if slices.Contains(groups[:i], g) {
			return xmpp.Refuse("bad-request", "a group is named twice")
		}
	}
	return nil
}

// push tells every interested resource what has changed in what the user has
// (RFC 6121 §2.1.6).
func (f *feature) push(t *router.Turn, a *router.Account, version int64, it Item) {
	l := f.shared.told(a)
	it = l.shown(it)
	f.router.Pushed(t, a, func() xmpp.Payload { return unversioned(it) })
	ver := verOf(version, l, a.JID)
	for _, res := range a.Resources() {
		if res.Interest {
			t.Push(res.Session, pushOf(res.JID(), ver, it))
		}
	}
}

// shown is merged for an item that may have been removed.
func (l *sharedList) shown(it Item) Item {
	if it.Subscription == "remove" {
		if still, found := l.merged(Item{JID: it.JID}, false); found {
			return still
		}
		return it
	}
	it, _ = l.merged(it, true)
	return it
}

func pushOf(to xmpp.JID, version string, it Item) *xmpp.Stanza {
	st := xmpp.NewStanza(xmpp.IQ, query(version, []Item{it}))
	st.Type, st.ID, st.To = "set", "push-"+strings.ToLower(rand.Text()), to
	return st
}
