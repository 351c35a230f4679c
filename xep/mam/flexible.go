package mam

import (
	"context"
	"slices"
	"strconv"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsFlexible is XEP-0013: a client sees what waits, and fetches and removes it piece by
// piece, instead of being given all of it.
const (
	nsFlexible = "http://jabber.org/protocol/offline"
	nsInfo     = "http://jabber.org/protocol/disco#info"
)

// A collector is a session that fetches its messages itself. While one is connected
// nobody of its account is given what waits (XEP-0013 §2.2).
type collectors []router.Session

// collected reports whether somebody fetches the messages of an account. Only in a turn.
func (f *feature) collected(a *router.Account) bool {
	list, _ := a.Data(f).(collectors)
	for _, res := range a.Resources() {
		if slices.Contains(list, res.Session) {
			return true
		}
	}
	return false
}

// collects notes that the asking session fetches the account's messages itself.
func (f *feature) collects(q *router.Request) error {
	return q.Turn(func(*router.Turn) error {
		a := q.Account
		list, _ := a.Data(f).(collectors)
		var there collectors // those of before that are connected yet
		for _, res := range a.Resources() {
			if slices.Contains(list, res.Session) || res.Session == q.Sender.Session() {
				there = append(there, res.Session)
			}
		}
		a.SetData(f, there)
		return nil
	})
}

// nameOf names a message that waits: the time at which it was stored, which orders them
// (XEP-0013 §2.3), to the microsecond, which nothing else has.
func nameOf(id storage.ID) string { return id.Time().Format(nameForm) }

const nameForm = "2006-01-02T15:04:05.000000Z"

// idOf is the reverse of nameOf.
func idOf(name string) (storage.ID, bool) {
	t, err := time.Parse(nameForm, name)
	if err != nil || t.Format(nameForm) != name {
		return 0, false
	}
	return storage.IDAt(t), true
}

// node answers service discovery about what waits: how much it is (XEP-0013 §2.2), and from
// whom (§2.3). Either way the asker will fetch it.
func (f *feature) node(ctx context.Context, q *router.Request, name string) (*router.NodeInfo, error) {
	if name != nsFlexible || q.Sender == nil {
		return nil, nil
	}
	if err := f.collects(q); err != nil {
		return nil, err
	}
	n := &router.NodeInfo{
		Identities: []router.Identity{{Category: "automation", Type: "message-list"}},
		Features:   []string{nsFlexible},
	}
	if q.Payload.Is(nsInfo, "query") {
		number, err := f.number(ctx, q.Account)
		n.Forms = []xmpp.Form{{Type: "result", Fields: []xmpp.Field{
			{Var: "FORM_TYPE", Type: "hidden", Values: []string{nsFlexible}},
			{Var: "number_of_messages", Values: []string{strconv.FormatInt(number, 10)}},
		}}}
		return n, err
	}
	err := f.each(ctx, q.Account, func(id storage.ID, st *xmpp.Stanza) {
		n.Items = append(n.Items, router.Item{JID: q.Account.JID, Node: nameOf(id), Name: st.From.String()})
	})
	return n, err
}

// number returns how many messages wait for an account.
func (f *feature) number(_ context.Context, a *router.Account) (int64, error) {
	return int64(f.trays.Of(a).number()), nil
}

// each reads all that waits, a page at a time.
func (f *feature) each(_ context.Context, a *router.Account, fn func(storage.ID, *xmpp.Stanza)) error {
	for last := storage.ID(0); ; {
		ids := f.trays.Of(a).after(last, pageSize)
		if len(ids) == 0 {
			return nil
		}
		last = ids[len(ids)-1]
		list, err := f.read(a, ids)
		if err != nil {
			return err
		}
		for _, m := range list {
			if st := f.parse(m); st != nil && f.router.MayGet(a, st) == nil {
				fn(m.id, st)
			}
		}
	}
}

// view answers an <offline/> of type get: single messages (XEP-0013 §2.4), or all of them
// (§2.6).
func (f *feature) view(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() || q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	ids, all, err := wanted(q.Payload, "view", "fetch")
	if err != nil {
		return nil, err
	}
	if all {
		if err := f.collects(q); err != nil {
			return nil, err
		}
		return nil, f.each(ctx, q.Account, func(id storage.ID, st *xmpp.Stanza) { f.show(q, id, st) })
	}
	if err := f.allWait(q.Account, ids); err != nil {
		return nil, err
	}
	list, err := f.read(q.Account, ids)
	for _, m := range list {
		if st := f.parse(m); st != nil {
			f.show(q, m.id, st)
		}
	}
	return nil, err
}

// allWait refuses what does not wait, whatever else it is (XEP-0013 §2.4).
func (f *feature) allWait(a *router.Account, ids []storage.ID) error {
	for _, id := range ids {
		if !f.trays.Of(a).waits(id) {
			return xmpp.Refuse("item-not-found", "")
		}
	}
	return nil
}

// show sends the asker one message, with the name it has here (XEP-0013 §2.4).
func (f *feature) show(q *router.Request, id storage.ID, st *xmpp.Stanza) {
	var b xmpp.Builder
	b.Open(nsFlexible, "offline").Open("", "item", "node", nameOf(id)).Close().Close()
	q.Round.Push(q.Sender.Session(), st.With(xmpp.Delay(q.Account.JID.Host(), id.Time())).With(b.Payload()))
}

// remove answers an <offline/> of type set: single messages are removed (XEP-0013 §2.5),
// or all (§2.7).
func (f *feature) remove(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() || q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	ids, all, err := wanted(q.Payload, "remove", "purge")
	if err != nil {
		return nil, err
	}
	if err := f.allWait(q.Account, ids); err != nil {
		return nil, err
	}
	t := f.trays.Of(q.Account)
	if all {
		t.takeIf(func(pending) bool { return true })
	} else {
		t.take(ids)
	}
	m := t.mark() // what is answered is on disk
	err = q.Write(ctx, func(tx *storage.Tx) error { return writeMark(tx, m) })
	if err != nil {
		t.unwritten(m)
		f.late.mark(q.Account, t)
	}
	return nil, err
}

// maxItems is how many messages one request may name.
const maxItems = 1000

// wanted reads which messages a request names: items with that action, or all.
func wanted(offline xmpp.Element, action, all string) (ids []storage.ID, every bool, err error) {
	for e := range offline.Children {
		switch {
		case e.Is(nsFlexible, all):
			every = true
		case !e.Is(nsFlexible, "item"):
		case e.Attr("action") != action:
			return nil, false, xmpp.Refuse("bad-request", "an item of this request has the action "+action)
		default:
			id, ok := idOf(e.Attr("node"))
			if !ok {
				return nil, false, xmpp.Refuse("item-not-found", "")
			}
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	switch {
	case every == (len(ids) > 0):
		return nil, false, xmpp.Refuse("bad-request", "either items or <"+all+"/>")
	case len(ids) > maxItems:
		return nil, false, xmpp.Refuse("policy-violation", "too many items")
	}
	return ids, every, nil
}
