package roster

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// An account's turns work with the list of shared contacts that its clients know of. When
// the groups change each account takes a turn in which the clients are pushed what is
// different, and presence begins or ceases to be shown. A turn that comes before it does
// the same first, so no order of turns leaves anybody with the wrong list.

// upToDate brings an account up to date with the shared groups, and returns its list.
// there says that some resource was available before this turn: others have seen it.
func (f *feature) upToDate(t *router.Turn, a *router.Account, there bool) *sharedList {
	was, now := f.shared.told(a), f.shared.list(a.JID)
	if now.len() > 0 && available(a) { // until it goes: groups may come back before anybody has heard that they went
		f.shared.attend(a.JID, true)
	}
	if !there && len(interested(a)) == 0 { // there is nobody to tell, nor anybody who was told
		f.shared.note(a, now)
		return now
	}
	if shifts := others(now.since(was), a.JID); len(shifts) > 0 {
		version, own, err := f.ownOf(t, a, shifts)
		if err != nil {
			f.log.Error("an account was not told of changes in shared groups", "account", a.JID.String(), "error", err)
			return was
		}
		f.pushShifts(t, a, interested(a), version, own, was, now, shifts)
		for _, s := range shifts {
			f.router.Pushed(t, a, func() xmpp.Payload { return unversioned(shifted(own, now, s.jid)) })
		}
		f.shared.note(a, now)
		if there {
			f.exchange(t, a, own, shifts)
		}
	}
	f.shared.note(a, now)
	return now
}

// others are the shifts without that of the user, who is in the lists too.
func others(shifts []shift, user xmpp.JID) []shift {
	i := slices.IndexFunc(shifts, func(s shift) bool { return s.jid == user })
	if i < 0 {
		return shifts
	}
	return slices.Concat(shifts[:i], shifts[i+1:])
}

// repeat tells the clients what a contact is, after one of them has asked for something
// that does not change it.
func (f *feature) repeat(t *router.Turn, a *router.Account, jid xmpp.JID) error {
	l := f.shared.told(a)
	version, own, err := f.ownOf(t, a, []shift{{jid: jid}})
	if err != nil {
		return err
	}
	it, listed := own[jid]
	it.JID = jid
	if it, listed = l.merged(it, listed); listed {
		for _, s := range interested(a) {
			t.Push(s, pushOf(s.JID(), verOf(version, l, a.JID), it))
		}
	}
	return nil
}

// settled is the turn that follows a change of the groups.
func (f *feature) settled(t *router.Turn, a *router.Account) {
	if len(a.Resources()) == 0 {
		f.shared.note(a, nil)
		return
	}
	f.upToDate(t, a, available(a))
}

// interested returns the sessions that have asked for the roster (RFC 6121 §2.1.6).
func interested(a *router.Account) (list []router.Session) {
	for _, res := range a.Resources() {
		if res.Interest {
			list = append(list, res.Session)
		}
	}
	return list
}

// manyShifts is from how many on a roster is read as a whole.
const manyShifts = 32

// ownOf reads what the user has of the contacts concerned, and the version of all that.
func (f *feature) ownOf(t *router.Turn, a *router.Account, shifts []shift) (version int64, own map[xmpp.JID]Item, err error) {
	t.Flush() // who waits, flushes
	err = f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		own = map[xmpp.JID]Item{}
		if version, _, err = current(tx, a.ID); err != nil {
			return err
		}
		if len(shifts) >= manyShifts {
			list, err := items(tx, a.ID)
			for _, it := range list {
				own[it.JID] = it
			}
			return err
		}
		for _, s := range shifts {
			it, found, err := item(tx, a.ID, s.jid)
			if err != nil {
				return err
			}
			if found {
				own[s.jid] = it
			}
		}
		return nil
	})
	return version, own, err
}

// pushesARound is how many pushes wait in a client's queue before they are written.
const pushesARound = 128

// pushShifts tells clients of one account what is different. Only the last push has the new version:
// who misses it asks with the old one, and is given the whole roster.
func (f *feature) pushShifts(t *router.Turn, a *router.Account, to []router.Session, version int64, own map[xmpp.JID]Item, was, now *sharedList, shifts []shift) {
	ver := verOf(version, was, a.JID)
	for i, s := range shifts {
		if i == len(shifts)-1 {
			ver = verOf(version, now, a.JID)
		}
		it := shifted(own, now, s.jid)
		for _, s := range to {
			t.Push(s, pushOf(s.JID(), ver, it))
		}
		if i%pushesARound == pushesARound-1 {
			t.Flush()
		}
	}
}

// shifted is what a contact is after a change of the shared groups.
func shifted(own map[xmpp.JID]Item, now *sharedList, jid xmpp.JID) Item {
	it, listed := own[jid]
	it.JID = jid
	if it, listed = now.merged(it, listed); !listed {
		it = Item{JID: jid, Subscription: "remove"}
	}
	return it
}

// exchange hides the account from those who may see it no longer and shows it to those who
// may see it now, and asks for the presence of those whom it may see. Both sides do it: the
// groups may change and change back between a turn of one and a turn of the other, and then
// only one of them knows. So some presence is sent twice.
func (f *feature) exchange(t *router.Turn, a *router.Account, own map[xmpp.JID]Item, shifts []shift) {
	for _, s := range shifts {
		st := stateOf(own[s.jid].Subscription, "", false)
		if s.was.seen && !s.now.seen && !st.seenByContact() {
			f.conceal(t, a, s.jid)
		}
		if s.now.seen && !s.was.seen && !st.seenByContact() && f.shared.attends(s.jid) {
			f.reveal(t, a, s.jid, nil)
		}
		if s.was.seen != s.now.seen && !st.seenByContact() {
			f.router.Admitted(t, a, s.jid, s.now.seen)
		}
		if s.now.sees && !s.was.sees && !st.seesContact() {
			f.inquire(t, a, s.jid, nil)
		}
	}
}

// conceal is hide for who is not to be sent anything if the account bars them.
func (f *feature) conceal(t *router.Turn, a *router.Account, who xmpp.JID) {
	for _, res := range a.Resources() {
		if res.Available() {
			f.show(&t.Round, a, presenceOf("unavailable", "", res.JID(), who))
		}
	}
}

// inquire is ask, unless the account bars the contact.
func (f *feature) inquire(t *router.Turn, a *router.Account, contact xmpp.JID, session router.Session) {
	if f.router.MaySend(a, presenceOf("probe", "", a.JID, contact)) == nil {
		f.ask(t, a, contact, session)
	}
}

// maxAbsent is up to how many shared contacts a user is told of those who are absent, where
// the operator wants that: each is looked for in the database.
const maxAbsent = 1000

// askable calls each for everybody in a list who may have something to say to a resource
// that comes, but for the user: who is there, and who is absent where users are told of
// these (XEP-0256 §1).
func (f *feature) askable(l *sharedList, user xmpp.JID, each func(xmpp.JID, sharedContact)) {
	if !f.router.LastActivity() || l.len() > maxAbsent {
		f.shared.present(l, user, each)
		return
	}
	for i := range l.len() {
		if jid := l.jid(i); jid != user {
			each(jid, l.contacts[i])
		}
	}
}

// verOf writes the version of a roster: that of what the user has, and that of the shared
// part, if there is any.
func verOf(version int64, l *sharedList, user xmpp.JID) string {
	v := strconv.FormatInt(version, 10)
	if shared := l.version(user); shared != "" {
		v += "-" + shared
	}
	return v
}

// versionFrom reads a version that a client has; -1 where it is none of ours, or of
// another shared part: what has changed in that is not remembered.
func versionFrom(ver string, l *sharedList, user xmpp.JID) int64 {
	own, shared, _ := strings.Cut(ver, "-")
	if shared != l.version(user) {
		return -1
	}
	return versionOf(own)
}

// whole writes a roster: what the user has and what the groups say, by address.
func (f *feature) whole(user xmpp.JID, version int64, own []Item, l *sharedList) xmpp.Payload {
	if l.len() == 0 {
		return query(verOf(version, nil, user), own)
	}
	text := f.shared.now.Load().written(l)
	var b xmpp.Builder
	b.Open(ns, "query").Attr("ver", verOf(version, l, user))
	next := 0 // of the list, to be written
	upTo := func(i int) {
		if i > next {
			b.Raw(text.between(next, i))
			next = i
		}
	}
	self, found := l.search(user)
	for _, it := range own {
		i, shared := l.search(it.JID)
		if found && next <= self && self < i {
			upTo(self)
			next = self + 1
		}
		upTo(i)
		if shared {
			next = i + 1
		}
		it, _ = l.merged(it, true)
		it.write(&b)
	}
	if found && next <= self {
		upTo(self)
		next = self + 1
	}
	upTo(l.len())
	return b.Payload()
}

// nothingToAsk reports whether what a user says of a subscription is about one that a
// shared group has made, or would end: it stays, and there is nothing of the user's own.
func nothingToAsk(v verb, e entry, c sharedContact) bool {
	was := e.state()
	switch v {
	case subscribe:
		return c.sees
	case unsubscribe:
		return c.sees && !was.seesContact() && !was.pendingOut()
	case unsubscribed:
		return c.seen && !was.seenByContact() && !was.pendingIn() && !e.item.Approved
	}
	return false
}

// already answers for the contact, and tells the clients what the contact is.
func (f *feature) already(t *router.Turn, a *router.Account, v verb, st *xmpp.Stanza) error {
	if v == subscribe {
		for _, s := range interested(a) {
			t.Push(s, presenceOf("subscribed", st.ID, st.To, a.JID))
		}
	}
	return f.repeat(t, a, st.To)
}
