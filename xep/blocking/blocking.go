// Package blocking lets users have nothing to do with others (XEP-0191): whom they block
// does not reach them, sees them offline, and is not reached by them either.
package blocking

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "urn:xmpp:blocking"

// Limits of one account's block list. It is in memory while the account is in use.
const (
	// DefaultItems is how many addresses and domains somebody may block.
	DefaultItems = 2000

	maxNamed    = 50000     // in one request
	bytesAnItem = 64        // of all addresses together, for each one that there may be
	leastBytes  = 128 << 10 // of all addresses together, however few there may be
)

type feature struct {
	lists  router.Memo[list]
	told   router.Memo[told]
	router *router.Router
	log    *slog.Logger
	limit  func() int
	admins func() []xmpp.JID
}

// New returns the feature with the default limit and without administrators.
func New() router.Feature {
	return NewWith(func() int { return DefaultItems }, func() []xmpp.JID { return nil })
}

// NewWith returns the feature with a limit for the items of a block list, and those who are
// told of reports; both are asked each time.
func NewWith(limit func() int, admins func() []xmpp.JID) router.Feature {
	f := &feature{limit: limit, admins: admins}
	return router.Feature{
		Name:         "blocking",
		XEPs:         []router.XEP{{Number: 191, Version: "1.3"}, {Number: 377, Version: "0.4.1", Note: "to the administrators; nothing is passed on to others"}},
		Disco:        []string{ns, nsReport, nsReportOld},
		AccountDisco: []string{ns},
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "blocklist", f.get),
			router.Set(router.ToOwn, ns, "block", f.block),
			router.Set(router.ToOwn, ns, "unblock", f.unblock),
			router.Get(router.ToAccount, ns, "blocklist", notYours),
			router.Set(router.ToAccount, ns, "block", notYours),
			router.Set(router.ToAccount, ns, "unblock", notYours),
		},
		Sent: router.Hooks{
			Guard: func(p *router.Passage) *xmpp.Error { return f.sent(p.Sender, p.Stanza) },
			Bar:   f.sent,
		},
		Arrived: router.Hooks{
			Guard: f.heard,
			Bar:   f.arrived,
		},
		Save:    f.save,
		Restore: f.restore,

		Load:   f.load,
		Start:  func(h router.Hall) { f.router, f.log = h.Router, h.Log },
		Forget: func(tx *storage.Tx, account int64, _ xmpp.JID) error { return removeAll(tx, account) },
		Schema: schema,
	}
}

// notYours answers requests about somebody else's block list, existing or not.
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

// load reads the block list of an account that comes into use. An address that is none
// any more blocks nobody.
func (f *feature) load(tx *storage.Tx, a *router.Account) error {
	all, err := items(tx, a.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	l := &list{jids: make(map[xmpp.JID]bool, len(all))}
	for _, s := range all {
		j, err := xmpp.ParseJID(s)
		if err != nil {
			f.log.Warn("a blocked address cannot be read", "account", a.JID.String(), "address", s, "error", err)
			continue
		}
		l.add(j)
	}
	f.lists.Set(a, l)
	return nil
}

// blocked reports whether an account has nothing to do with peer. Nobody can block the own
// devices (XEP-0191 §5), nor the own server: it is the one that blocks.
func (f *feature) blocked(a *router.Account, peer xmpp.JID) bool {
	return f.lists.Of(a).keepsOut(a, peer)
}

// sent refuses what a user sends to somebody whom the user blocks (XEP-0191 §3.3).
func (f *feature) sent(a *router.Account, st *xmpp.Stanza) *xmpp.Error {
	if !f.blocked(a, st.To) {
		return nil
	}
	e := xmpp.Refuse("not-acceptable", "")
	var b xmpp.Builder
	e.Type, e.App = "cancel", b.Open("urn:xmpp:blocking:errors", "blocked").Payload()
	return e
}

// arrived refuses what somebody sends whom the user blocks: as if the user were not there.
// Presence and answers are dropped, for they are not answered (XEP-0191 §3.3).
func (f *feature) arrived(a *router.Account, st *xmpp.Stanza) *xmpp.Error {
	if !f.blocked(a, st.From) {
		return nil
	}
	return xmpp.Refuse("service-unavailable", "")
}

// heard is arrived for messages. What somebody says in a room to everybody is not answered: the
// room would take that for a sign that the user is not there (XEP-0045 §18.1.2).
func (f *feature) heard(p *router.Passage) *xmpp.Error {
	err := f.arrived(p.Recipient, p.Stanza)
	if err != nil && p.Stanza.Type == "groupchat" {
		p.Swallow()
		return nil
	}
	return err
}

// get gives a user the block list. The device hears of changes from now on (XEP-0191
// §3.2, §3.3); that is a turn, so that no change slips between the list and the first push.
func (f *feature) get(_ context.Context, q *router.Request) (p xmpp.Payload, err error) {
	err = q.Turn(func(*router.Turn) error {
		l := f.lists.Of(q.Account).copy(q.Account)
		res, here := q.Account.Resource(q.From().Resource())
		if here && !slices.Contains(l.asked, res.Session) {
			l.asked = append(l.asked, res.Session)
		}
		f.lists.Set(q.Account, l)
		p = query("blocklist", l.sorted())
		return nil
	})
	return p, err
}

// save notes of a device that is to be there again after a restart whether it hears of
// changes.
func (f *feature) save(_ *router.Turn, a *router.Account, res router.Resource) []byte {
	if l := f.lists.Of(a); l != nil && slices.Contains(l.asked, res.Session) {
		return []byte("asked")
	}
	return nil
}

// restore has such a device hear of changes again.
func (f *feature) restore(_ *router.Turn, a *router.Account, res router.Resource, data []byte) error {
	if data != nil {
		l := f.lists.Of(a).copy(a)
		l.asked = append(l.asked, res.Session)
		f.lists.Set(a, l)
	}
	return nil
}

// block adds addresses to the block list (XEP-0191 §3.3).
func (f *feature) block(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	jids, err := wanted(q.Payload)
	if err != nil {
		return nil, err
	}
	if len(jids) == 0 {
		return nil, xmpp.Refuse("bad-request", "there is nobody to block")
	}
	for _, j := range jids {
		if j.Bare() == q.Account.JID {
			return nil, xmpp.Refuse("not-allowed", "nobody can block themselves")
		}
	}
	return nil, q.Turn(func(t *router.Turn) error {
		old := f.lists.Of(q.Account)
		l := old.copy(q.Account)
		for _, j := range jids {
			l.add(j)
		}
		if limit := f.limit(); len(l.jids) > limit || l.bytes > max(limit*bytesAnItem, leastBytes) {
			return xmpp.Refuse("resource-constraint", "the block list is full")
		}
		if err := t.Write(ctx, func(tx *storage.Tx) error { return add(tx, q.Account.ID, jids) }); err != nil {
			return err
		}
		f.lists.Set(q.Account, l)
		f.router.Barred(t, q.Account, func(j xmpp.JID) bool { // XEP-0191 §3.3
			return l.keepsOut(q.Account, j) && !old.keepsOut(q.Account, j)
		}, true)
		push(t, q.Account, l, query("block", jids))
		f.pass(t, q.Account, reports(q.Payload))
		return nil
	})
}

// unblock takes addresses off the block list, or all where none is named (XEP-0191 §3.4,
// §3.5). One that is not on the list is off it already.
func (f *feature) unblock(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	jids, err := wanted(q.Payload)
	if err != nil {
		return nil, err
	}
	all := q.Payload.First().IsZero()
	if !all && len(jids) == 0 {
		return nil, xmpp.Refuse("bad-request", "there is nobody to unblock")
	}
	return nil, q.Turn(func(t *router.Turn) error {
		old := f.lists.Of(q.Account)
		l := old.copy(q.Account)
		for _, j := range jids {
			l.remove(j)
		}
		if all {
			l.jids, l.bytes = map[xmpp.JID]bool{}, 0
		}
		err := t.Write(ctx, func(tx *storage.Tx) error {
			if all {
				return removeAll(tx, q.Account.ID)
			}
			return remove(tx, q.Account.ID, jids)
		})
		if err != nil {
			return err
		}
		f.lists.Set(q.Account, l)
		f.router.Barred(t, q.Account, func(j xmpp.JID) bool { // XEP-0191 §3.4
			return old.keepsOut(q.Account, j) && !l.keepsOut(q.Account, j)
		}, false)
		push(t, q.Account, l, query("unblock", jids))
		return nil
	})
}

// wanted reads the items of a request.
func wanted(q xmpp.Element) (jids []xmpp.JID, err error) {
	seen := map[xmpp.JID]bool{}
	for e := range q.Children {
		if !e.Is(ns, "item") {
			continue
		}
		if len(jids) >= maxNamed {
			return nil, xmpp.Refuse("resource-constraint", "too many items")
		}
		j, err := xmpp.ParseJID(e.Attr("jid"))
		if err != nil {
			return nil, xmpp.Refuse("jid-malformed", "")
		}
		if !seen[j] {
			seen[j] = true
			jids = append(jids, j)
		}
	}
	return jids, nil
}

func query(name string, jids []xmpp.JID) xmpp.Payload {
	var b xmpp.Builder
	b.Open(ns, name)
	for _, j := range jids {
		b.Open("", "item", "jid", j.String()).Close()
	}
	return b.Payload()
}

// push tells every device that has asked for the list what has changed (XEP-0191 §3.3).
func push(t *router.Turn, a *router.Account, l *list, p xmpp.Payload) {
	for _, res := range a.Resources() {
		if !slices.Contains(l.asked, res.Session) {
			continue
		}
		st := xmpp.NewStanza(xmpp.IQ, p)
		st.Type, st.ID, st.To = "set", "block-"+strings.ToLower(rand.Text()), res.JID()
		t.Push(res.Session, st)
	}
}
