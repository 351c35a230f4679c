package roster

import (
	"context"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// watchers calls each for everybody who may see an account: those who have it from shared
// groups alone only if they are there.
func (f *feature) watchers(t *router.Turn, a *router.Account, each func(xmpp.JID)) {
	list, _ := f.load(t, a, false)
	for i := range list {
		if list[i].seenByContact() {
			each(list[i].jid)
		}
	}
	l := f.shared.list(a.JID)
	f.shared.present(l, a.JID, func(jid xmpp.JID, k sharedContact) {
		if i, found := list.find(jid); k.seen && !(found && list[i].seenByContact()) {
			each(jid)
		}
	})
}

// maxWatched is up to how many shared contacts are all asked what they have published last;
// of more only those who are there.
const maxWatched = 1000

// watched calls each for everybody whom an account may see.
func (f *feature) watched(t *router.Turn, a *router.Account, each func(xmpp.JID)) {
	list, _ := f.load(t, a, false)
	for i := range list {
		if list[i].seesContact() {
			each(list[i].jid)
		}
	}
	also := func(jid xmpp.JID, k sharedContact) {
		if i, found := list.find(jid); k.sees && !(found && list[i].seesContact()) {
			each(jid)
		}
	}
	l := f.shared.list(a.JID)
	if l.len() > maxWatched {
		f.shared.present(l, a.JID, also)
		return
	}
	for i := range l.len() {
		if jid := l.jid(i); jid != a.JID {
			also(jid, l.contacts[i])
		}
	}
}

// groups returns the groups that a contact is in, the shared ones among them.
func (f *feature) groups(ctx context.Context, a *router.Account, jid xmpp.JID) ([]string, error) {
	var it Item
	var listed bool
	err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		it, listed, err = item(tx, a.ID, jid)
		return err
	})
	if err != nil {
		return nil, err
	}
	it.JID = jid
	it, _ = f.shared.list(a.JID).merged(it, listed)
	return it.Groups, nil
}

// admit tells what a change of a subscription means to who may see the account. shared says
// that a shared group lets them see it in any case.
func (f *feature) admit(t *router.Turn, a *router.Account, jid xmpp.JID, was, now state, shared bool) {
	if !shared && was.seenByContact() != now.seenByContact() {
		f.router.Admitted(t, a, jid, now.seenByContact())
	}
}
