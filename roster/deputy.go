package roster

import (
	"context"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// managed reports whether a contact is one that the asking component speaks for itself: of
// these it says what the subscriptions are, too, since it is the other side of them. Of all
// others it may say what the user's own clients may (XEP-0356 §4.3, RFC 6121 §2.1.2.5).
func managed(q *router.Request, contact xmpp.JID) bool {
	own := q.From().Domain()
	return q.Deputy() && (contact.Domain() == own || strings.HasSuffix(contact.Domain(), "."+own))
}

// assign adds or changes an item with the subscription that a component says, of a contact of
// its own. Where presence begins or ceases to be shown by that, it is.
func (f *feature) assign(ctx context.Context, t *router.Turn, a *router.Account, want Item, subscription string) error {
	if subscription == "" {
		subscription = "none"
	}
	if !slices.Contains([]string{"none", "to", "from", "both"}, subscription) {
		return xmpp.Refuse("bad-request", "no such subscription")
	}
	e, err := f.entry(t, a, want.JID)
	if err != nil {
		return err
	}
	was := e.state()
	want.Subscription, want.Approved = subscription, e.item.Approved
	next := stateOf(subscription, "", false)
	var version int64
	err = t.Write(ctx, func(tx *storage.Tx) (err error) {
		if version, err = f.place(tx, a.ID, want, true); err == nil && e.requested {
			err = unrequest(tx, a.ID, want.JID)
		}
		return err
	})
	if err != nil {
		return err
	}
	f.note(a, want.JID, next)
	f.push(t, a, version, want)
	shared, _ := f.shared.list(a.JID).find(want.JID)
	switch {
	case !was.seenByContact() && next.seenByContact() && !shared.seen:
		f.reveal(t, a, want.JID, nil)
	case was.seenByContact() && !next.seenByContact() && !shared.seen:
		f.hide(t, a, want.JID)
	}
	f.admit(t, a, want.JID, was, next, shared.seen)
	if !was.seesContact() && next.seesContact() && available(a) {
		f.inquire(t, a, want.JID, nil)
	}
	return nil
}
