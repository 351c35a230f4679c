// Package vcard keeps what users say of themselves, for everybody to read (XEP-0054), has
// their presence say which photo they have (XEP-0153), and says who the server is.
package vcard

import (
	"context"
	"log/slog"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const ns = "vcard-temp"

// DefaultBytes is how large a vCard may be; the larger part of it is usually a picture.
const DefaultBytes = 192 << 10

type feature struct {
	avatars  router.Memo[avatar]
	router   *router.Router
	store    *storage.Store
	log      *slog.Logger
	contacts func() []string
	limit    func() int
}

// New returns the feature. contacts is asked for the URIs of the server's own vCard: those
// that begin with mailto: become e-mail addresses, the others links.
func New(contacts func() []string) router.Feature {
	return NewWith(contacts, func() int { return DefaultBytes })
}

// NewWith is New with a limit for the bytes of a vCard, which is asked each time.
func NewWith(contacts func() []string, limit func() int) router.Feature {
	f := &feature{contacts: contacts, limit: limit}
	return router.Feature{
		Name: "vCards",
		XEPs: []router.XEP{
			{Number: 54, Version: "1.3.0"},
			{Number: 84, Version: "1.1.4"},
			{Number: 153, Version: "1.1.1", Note: "the server puts the photo's hash into presence"},
			{Number: 292, Version: "0.12.0", Note: "kept as users publish it, and the same as the vCard while everybody may read it"},
			{Number: 398, Version: "1.0.0", Note: "both ways"},
		},
		Disco:        []string{ns},
		AccountDisco: []string{ns, nsConversion, ns4}, // XEP-0398 §2, XEP-0292 §7
		IQ: []router.IQ{
			router.Get(router.ToOwn, ns, "vCard", f.own),
			router.Set(router.ToOwn, ns, "vCard", f.set),
			router.Get(router.ToAccount, ns, "vCard", f.others),
			router.Set(router.ToAccount, ns, "vCard", notYours),
			router.Get(router.ToServer, ns, "vCard", f.server),
			router.Set(router.ToServer, ns, "vCard", notYours),
		},
		Shown:     f.shown,
		Published: f.published(),
		Load:      f.load,
		Start:     func(h router.Hall) { f.router, f.store, f.log = h.Router, h.Store, h.Log },
		Forget:    func(tx *storage.Tx, account int64, _ xmpp.JID) error { return removeAll(tx, account) },
		Schema:    schema,
	}
}

// notYours answers who wants to write another's vCard, existing or not (XEP-0054 §3.2).
func notYours(context.Context, *router.Request) (xmpp.Payload, error) {
	return nil, xmpp.Refuse("forbidden", "")
}

// own gives users their own vCard (XEP-0054 §3.1).
func (f *feature) own(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	return f.get(ctx, q, "item-not-found")
}

// others gives users somebody else's vCard. Whoever has none and whoever does not exist
// are one and the same to who asks (XEP-0054 §3.3).
func (f *feature) others(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	return f.get(ctx, q, "service-unavailable")
}

// get reads a vCard; none is the condition to answer with where there is no vCard. For an
// account that does not exist the store is asked too, so that the time tells nothing.
func (f *feature) get(ctx context.Context, q *router.Request, none string) (xmpp.Payload, error) {
	owner := int64(noAccount)
	if q.Account != nil {
		owner = q.Account.ID
	}
	var card []byte
	var from origin
	q.Round.Flush() // who waits, flushes
	err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		card, from, _, err = loadOrigin(tx, owner)
		return err
	})
	if err == nil && from&forContacts != 0 && !f.router.Trusted(ctx, q.Account, q.From()) { // XEP-0398 §7
		if card = withPhoto(element(card), nil); element(card).First().IsZero() {
			card = nil
		}
	}
	if err == nil && len(card) == 0 {
		err = xmpp.Refuse(none, "")
	}
	return card, err
}

// noAccount is the number of no account.
const noAccount = -1

// set keeps a vCard as a whole, in place of the last one (XEP-0054 §3.2). An empty one is
// none: others shall not see whether there ever was one.
func (f *feature) set(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	card := q.Payload.Payload()
	if len(card) > f.limit() {
		return nil, xmpp.Refuse("policy-violation", "the vCard is too large")
	}
	if q.Payload.First().IsZero() {
		card = xmpp.Payload{}
	}
	return nil, q.Turn(func(t *router.Turn) error {
		changed := false
		err := f.router.Edit(ctx, t, q.Account, q.From(), func(e router.Edit) error {
			h := holder{f: f, e: e, changed: func(*router.Turn) { changed = true }}
			return h.replace(card)
		})
		if err == nil && changed {
			q.After(func(*router.Round) { f.announce(q.Account) })
		}
		return err
	})
}

// server tells whose server this is (XEP-0054 §3.3).
func (f *feature) server(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	var b xmpp.Builder
	b.Open(ns, "vCard").Leaf("", "FN", q.Host).Leaf("", "JABBERID", q.Host)
	for _, uri := range f.contacts() {
		if mail, ok := strings.CutPrefix(uri, "mailto:"); ok {
			b.Open("", "EMAIL").Open("", "INTERNET").Close().Leaf("", "USERID", xmpp.Clean(mail)).Close()
		} else {
			b.Leaf("", "URL", xmpp.Clean(uri))
		}
	}
	return b.Payload(), nil
}
