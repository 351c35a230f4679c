package roster

import (
	"context"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A contact is somebody with a subscription, in either direction.
type contact struct {
	jid xmpp.JID
	state
}

// contacts are all those of one account, ordered by address: without
// names and groups. They are in memory while a resource of the account is available, and
// are replaced, never changed: anyone may read them.
type contacts []contact

func (l contacts) find(jid xmpp.JID) (int, bool) {
	return slices.BinarySearchFunc(l, jid, func(c contact, j xmpp.JID) int {
		return strings.Compare(c.jid.String(), j.String())
	})
}

// with returns the list in which jid is in that state.
func (l contacts) with(jid xmpp.JID, s state) contacts {
	i, found := l.find(jid)
	keep := s.seesContact() || s.seenByContact() || s.pendingOut()
	switch {
	case !found && !keep:
		return l
	case found && !keep:
		return slices.Delete(slices.Clone(l), i, i+1)
	case found:
		l = slices.Clone(l)
		l[i].state = s
		return l
	}
	return slices.Insert(slices.Clip(l), i, contact{jid, s})
}

// held returns the contacts of an account whose contacts are in memory.
func (f *feature) held(a *router.Account) (contacts, bool) {
	l, ok := a.Data(f).(contacts)
	return l, ok
}

// load returns the contacts of an account and holds them in memory, and with came also
// the requests that have not been answered. Only in a turn.
func (f *feature) load(t *router.Turn, a *router.Account, came bool) (l contacts, asking []*xmpp.Stanza) {
	l, held := f.held(a)
	if held && !came {
		return l, nil
	}
	t.Flush() // who waits, flushes
	err := f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		if came {
			if asking, err = requests(tx, a.ID); err != nil {
				return err
			}
		}
		if !held {
			l, err = subscriptions(tx, a.ID)
		}
		return err
	})
	if err != nil { // the next presence tries again
		f.log.Error("the contacts of an account cannot be read", "account", a.JID.String(), "error", err)
		return l, nil
	}
	if !held {
		a.SetData(f, l)
	}
	return l, asking
}

// note changes the contacts in memory, if they are, behind a change on disk.
func (f *feature) note(a *router.Account, jid xmpp.JID, s state) {
	if l, ok := f.held(a); ok {
		a.SetData(f, l.with(jid, s))
	}
}

// trusted reports whether jid is subscribed to the account's presence.
func (f *feature) trusted(ctx context.Context, a *router.Account, jid xmpp.JID) bool {
	c, _ := f.shared.list(a.JID).find(jid)
	return c.seen || f.subscribed(ctx, a, jid)
}

// seenBy is trusted in a turn of the account in which it is shown to jid then: what the
// shared groups say is what the account will take back when they say otherwise.
func (f *feature) seenBy(t *router.Turn, a *router.Account, jid xmpp.JID) bool {
	c, _ := f.upToDate(t, a, available(a)).find(jid)
	return c.seen || f.subscribed(context.Background(), a, jid)
}

// subscribed reports whether jid has a subscription of its own to the account's presence.
func (f *feature) subscribed(ctx context.Context, a *router.Account, jid xmpp.JID) bool {
	if l, ok := f.held(a); ok {
		i, found := l.find(jid)
		return found && l[i].seenByContact()
	}
	subscribed := false
	err := f.store.Read(ctx, func(tx *storage.Tx) error {
		it, _, err := item(tx, a.ID, jid)
		subscribed = it.Subscription == "from" || it.Subscription == "both"
		return err
	})
	return err == nil && subscribed
}

// lists reports whether jid is in the account's roster, by itself or by a shared group, with
// whatever subscription.
func (f *feature) lists(ctx context.Context, a *router.Account, jid xmpp.JID) (found bool, err error) {
	if _, found = f.shared.list(a.JID).find(jid); found {
		return true, nil
	}
	err = f.store.Read(ctx, func(tx *storage.Tx) error {
		found, err = listed(tx, a.ID, jid)
		return err
	})
	return found, err
}
