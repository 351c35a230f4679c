// Package private keeps XML that a user's clients want to find again, for nobody but the
// user (XEP-0049).
package private

import (
	"context"
	"log/slog"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "jabber:iq:private"

// What is kept for one account.
const (
	maxElement  = 128 << 10 // bytes under one name
	maxElements = 256       // names

	// DefaultBytes is how many bytes all that may have together.
	DefaultBytes = 1 << 20

	// maxBookmarks is how many rooms a list of bookmarks may have that is kept at all three places:
	// each is an item that is written while everybody's writes wait.
	maxBookmarks = 500
)

// New returns the feature with the default limits.
func New() router.Feature { return NewWith(func() int { return DefaultBytes }) }

// NewWith returns the feature with a limit for all bytes of an account, which is asked each
// time.
func NewWith(limit func() int) router.Feature {
	f := &feature{limit: limit}
	return router.Feature{
		Name: "private XML storage",
		XEPs: []router.XEP{
			{Number: 48, Version: "1.2", Note: "in private XML and as published; the same as XEP-0402"},
			{Number: 49, Version: "1.2"},
			{Number: 402, Version: "1.2.0", Note: "the same as XEP-0048"},
			{Number: 411, Version: "1.1.0"},
		},
		Disco:        []string{ns},                                                                                        // some clients look for it here
		AccountDisco: []string{ns, "urn:xmpp:bookmarks-conversion:0", nodeNative + "#compat", nodeNative + "#compat-pep"}, // XEP-0411 §2, XEP-0402 §6
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "query", f.get),
			router.Set(router.ToOwn, ns, "query", f.set),
			router.Get(router.ToAccount, ns, "query", notYours),
			router.Set(router.ToAccount, ns, "query", notYours),
		},
		Published: map[string]func(router.Edit, []string) error{nodeNative: f.gather, nodeList: f.listed},
		Load:      f.load,
		Start:     func(h router.Hall) { f.router, f.store, f.log = h.Router, h.Store, h.Log },
		Forget:    func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:    schema,
	}
}

type feature struct {
	router *router.Router
	store  *storage.Store
	log    *slog.Logger
	limit  func() int
}

// notYours answers requests for somebody else's data, existing or not (XEP-0049 §2.3, §4).
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

// get answers with what is kept under the name of the one element that the query has, or
// with that element, empty, where there is nothing (XEP-0049 §2.3).
func (f *feature) get(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	list, err := wanted(q.Payload)
	if err != nil {
		return nil, err
	}
	if len(list) > 1 || list[0].count > 1 {
		return nil, xmpp.Refuse("bad-request", "one element is asked for at a time")
	}
	name := list[0].name
	var kept []byte
	q.Round.Flush() // who waits, flushes
	err = f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		kept, err = load(tx, q.Account.ID, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(ns, "query")
	if len(kept) == 0 {
		b.Open(name.Space, name.Local).Close()
	}
	return b.Raw(kept).Payload(), nil
}

// set keeps all elements of the query or, where one cannot be kept, none of them.
func (f *feature) set(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	list, err := wanted(q.Payload)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if len(e.xml) > maxElement {
			return nil, xmpp.Refuse("policy-violation", "the element is too large")
		}
	}
	if i := slices.IndexFunc(list, func(e element) bool { return e.name == listName() }); i >= 0 {
		return nil, f.setWithList(ctx, q, list, list[i])
	}
	return nil, q.Write(ctx, func(tx *storage.Tx) error { return f.putAll(tx, q.Account.ID, list) })
}

// putAll keeps elements, if there is room for them.
func (f *feature) putAll(tx *storage.Tx, owner int64, list []element) error {
	for _, e := range list {
		if err := put(tx, owner, e); err != nil {
			return err
		}
	}
	elements, bytes, err := total(tx, owner)
	if err == nil && (elements > maxElements || bytes > int64(f.limit())) {
		err = xmpp.Refuse("resource-constraint", "there is no room for more private data")
	}
	return err
}

// An element is what is kept under one name: usually one element, several where the
// client has sent several of that name at once.
type element struct {
	name  xmpp.Name
	xml   xmpp.Payload
	count int
}

// wanted reads the elements of a query. There is at least one, and each has a namespace
// of its own (XEP-0049 §2.1, §2.3).
func wanted(q xmpp.Element) (list []element, err error) {
	at := map[xmpp.Name]int{}
	for e := range q.Children {
		name := e.Name()
		switch name.Space {
		case ns, "", xmpp.NSNone, xmpp.NSClient:
			return nil, xmpp.Refuse("not-acceptable", "private data has a namespace of its own")
		}
		i, ok := at[name]
		if !ok {
			i = len(list)
			at[name] = i
			list = append(list, element{name: name})
		}
		list[i].count++
		list[i].xml = append(list[i].xml[:len(list[i].xml):len(list[i].xml)], e.Payload()...)
	}
	if len(list) == 0 {
		return nil, xmpp.Refuse("not-acceptable", "the query is empty")
	}
	return list, nil
}
