// Package roster is a user's list of contacts and what others see of the user
// (RFC 6121).
package roster

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "jabber:iq:roster"

// Limits of one roster.
const (
	maxItems  = 10000
	maxBytes  = 2 << 20 // of all addresses, names and groups together: a roster is sent whole
	maxGroups = 100     // of one item
	maxName   = 1023    // characters of a name or of a group's
)

// An Item is a contact in a roster (RFC 6121 §2.1.2).
type Item struct {
	JID          xmpp.JID // bare
	Name         string
	Subscription string // none, to, from or both
	Ask          string // "subscribe" while a request is pending
	Approved     bool   // pre-approved (RFC 6121 §3.4)
	Groups       []string
}

// New returns the feature.
func New() router.Feature {
	f := &feature{log: slog.New(slog.DiscardHandler)}
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
		Barred:   f.barred,
		Leaving:  f.leaving,
		Start:    func(h router.Hall) { f.store, f.router, f.log = h.Store, h.Router, h.Log },
		Forget:   func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:   schema,
	}
}

type feature struct {
	store  *storage.Store
	router *router.Router
	log    *slog.Logger
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
	want, gone, err := wanted(q.Payload)
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
		pushed := want
		err := t.Write(ctx, func(tx *storage.Tx) error {
			was, found, err := item(tx, q.Account.ID, want.JID)
			if err != nil {
				return err
			}
			if pushed = want; found { // what a client says of subscriptions is not asked for (RFC 6121 §2.1.2.5)
				pushed.Subscription, pushed.Ask, pushed.Approved = was.Subscription, was.Ask, was.Approved
			}
			version, err = place(tx, q.Account.ID, pushed, true)
			return err
		})
		if err != nil {
			return err
		}
		push(t, q.Account, version, pushed)
		return nil
	})
}

// remove takes an item out of the roster, and ends its subscriptions (RFC 6121 §2.5.2). A
// request of the contact that waits for an answer goes on waiting (§A.1).
func (f *feature) remove(ctx context.Context, t *router.Turn, a *router.Account, jid xmpp.JID) error {
	var version int64
	var was Item
	err := t.Write(ctx, func(tx *storage.Tx) (err error) {
		found := false
		if was, found, err = item(tx, a.ID, jid); err != nil {
			return err
		}
		if !found { // RFC 6121 §2.5.3
			return xmpp.Refuse("item-not-found", "")
		}
		version, err = remove(tx, a.ID, jid)
		return err
	})
	if err != nil {
		return err
	}
	f.note(a, jid, none)
	push(t, a, version, Item{JID: jid, Subscription: "remove"})
	f.sever(t, a, was)
	return nil
}

// wanted reads the one item of a roster set and checks it (RFC 6121 §2.3.3).
func wanted(q xmpp.Element) (it Item, remove bool, err error) {
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
	if utf8.RuneCountInString(it.Name) > maxName {
		return it, false, xmpp.Refuse("not-acceptable", "the name is too long")
	}
	for c := range e.Children {
		if c.Is(ns, "group") {
			it.Groups = append(it.Groups, c.Text())
		}
	}
	return it, false, checkGroups(it.Groups)
}

func checkGroups(groups []string) error {
	if len(groups) > maxGroups {
		return xmpp.Refuse("not-acceptable", "too many groups")
	}
	for i, g := range groups {
		if g == "" || utf8.RuneCountInString(g) > maxName {
			return xmpp.Refuse("not-acceptable", "a group's name is empty or too long")
		}
		if slices.Contains(groups[:i], g) {
			return xmpp.Refuse("bad-request", "a group is named twice")
		}
	}
	return nil
}

// push tells every interested resource what has changed (RFC 6121 §2.1.6).
func push(t *router.Turn, a *router.Account, version int64, it Item) {
	for _, res := range a.Resources() {
		if res.Interest {
			t.Push(res.Session, pushOf(res.JID(), version, it))
		}
	}
}

func pushOf(to xmpp.JID, version int64, it Item) *xmpp.Stanza {
	st := xmpp.NewStanza(xmpp.IQ, query(strconv.FormatInt(version, 10), []Item{it}))
	st.Type, st.ID, st.To = "set", "push-"+strings.ToLower(rand.Text()), to
	return st
}
