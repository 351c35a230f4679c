// Package roster is a user's list of contacts and what others see of the user
// (RFC 6121).
package roster

import (
	"context"
	"crypto/rand"
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
	maxGroups = 100  // of one item
	maxName   = 1023 // characters of a name or of a group's
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
	f := &feature{}
	return router.Feature{
		Name:         "roster",
		RFCs:         []router.RFC{{Number: 6121, Note: "rosters with versioning"}},
		XEPs:         []router.XEP{{Number: 237, Version: "1.3", Note: "as RFC 6121 §2.6 has it"}},
		AccountDisco: []string{ns},
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "query", f.get),
			router.Set(router.ToOwn, ns, "query", f.set),
			router.Get(router.ToAccount, ns, "query", notYours),
			router.Set(router.ToAccount, ns, "query", notYours),
		},
		Presence: presence,
		Start:    func(h router.Hall) { f.store = h.Store },
		Forget:   func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:   schema,
	}
}

type feature struct{ store *storage.Store }

// notYours answers requests for somebody else's roster, existing or not
// (RFC 6121 §2.3.3).
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

// get answers with the whole roster, or with nothing where the client has this version
// already (RFC 6121 §2.2, §2.6.3). The resource is interested from now on (§2.1.6); that
// is a turn, so that no change slips between the answer and the first push.
func (f *feature) get(ctx context.Context, q *router.Request) (p xmpp.Payload, err error) {
	have, versioned := q.Payload.LookupAttr("ver")
	err = q.Turn(func(t *router.Turn) error {
		var list []Item
		var version int64
		t.Flush() // who waits, flushes
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
			if version, err = current(tx, q.Account.ID); err != nil {
				return err
			}
			if versioned && have == strconv.FormatInt(version, 10) {
				return nil
			}
			list, err = items(tx, q.Account.ID)
			return err
		})
		if err != nil {
			return err
		}
		if q.Sender != nil {
			q.Account.SetInterest(q.Sender)
		}
		if ver := strconv.FormatInt(version, 10); !versioned || have != ver {
			p = query(ver, list)
		}
		return nil
	})
	return p, err
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
		var version int64
		pushed := want
		err := t.Write(ctx, func(tx *storage.Tx) (err error) {
			version, pushed, err = change(tx, q.Account.ID, want, gone)
			return err
		})
		if err != nil {
			return err
		}
		push(t, q.Account, version, pushed)
		return nil
	})
}

// change writes what the client asks for; it returns the item as it is to be pushed.
func change(tx *storage.Tx, owner int64, want Item, gone bool) (version int64, pushed Item, err error) {
	was, found, err := item(tx, owner, want.JID)
	if err != nil {
		return 0, want, err
	}
	if gone {
		if !found { // RFC 6121 §2.5.3
			return 0, want, xmpp.Refuse("item-not-found", "")
		}
		version, err = remove(tx, owner, want.JID)
		return version, Item{JID: want.JID, Subscription: "remove"}, err
	}
	if found { // what a client says of subscriptions is not asked for (RFC 6121 §2.1.2.5)
		want.Subscription, want.Ask, want.Approved = was.Subscription, was.Ask, was.Approved
	} else if n, err := count(tx, owner); err != nil {
		return 0, want, err
	} else if n >= maxItems {
		return 0, want, &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the roster is full"}
	}
	version, err = put(tx, owner, want)
	return version, want, err
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
	p := query(strconv.FormatInt(version, 10), []Item{it})
	for _, res := range a.Resources() {
		if !res.Interest {
			continue
		}
		st := xmpp.NewStanza(xmpp.IQ, p)
		st.Type, st.ID, st.To = "set", "push-"+strings.ToLower(rand.Text()[:12]), res.JID()
		t.Push(res.Session, st)
	}
}
