package roster

import (
	"context"
	"slices"

	"parley/router"
	"parley/xmpp"
)

// presence shows what became of one resource to those who may see it, and what they are to
// one that came.
func (f *feature) presence(t *router.Turn, a *router.Account, c router.PresenceChange) {
	knew := f.shared.told(a)
	shared := f.upToDate(t, a, c.Before.Available() || othersAvailable(a, c.After.Session))
	list, asking := f.load(t, a, c.Came()) // before anything is said: who waits, flushes
	own(t, a, c)
	for _, st := range asking { // RFC 6121 §3.1.3: until they are answered
		if k, _ := shared.find(st.From); !k.seen {
			t.Push(c.After.Session, st)
		}
	}
	full := c.Before.JID()
	if c.Went() { // who has just ceased to see the account has seen this resource until now
		for _, s := range others(shared.since(knew), a.JID) {
			if i, found := list.find(s.jid); s.was.seen && !s.now.seen && !(found && list[i].seenByContact()) {
				f.show(&t.Round, a, c.Stanza.Readdressed(s.jid, full))
			}
		}
	}
	f.shared.present(shared, a.JID, func(jid xmpp.JID, k sharedContact) {
		if i, found := list.find(jid); k.seen && !(found && list[i].seenByContact()) {
			f.show(&t.Round, a, c.Stanza.Readdressed(jid, full))
		}
	})
	for i := range list { // RFC 6121 §4.2.2, §4.4.2, §4.5.2
		if list[i].seenByContact() {
			f.show(&t.Round, a, c.Stanza.Readdressed(list[i].jid, full))
		}
	}
	if c.Came() {
		f.askable(shared, a.JID, func(jid xmpp.JID, k sharedContact) {
			if i, found := list.find(jid); k.sees && !(found && list[i].seesContact()) {
				f.inquire(t, a, jid, c.After.Session)
			}
		})
		for i := range list { // RFC 6121 §4.3.1
			if list[i].seesContact() {
				f.inquire(t, a, list[i].jid, c.After.Session)
			}
			if list[i].pendingOut() && !f.router.Serves(list[i].jid.Domain()) { // it may have been lost (RFC 6121 §3.1.2)
				f.router.Deliver(&t.Round, presenceOf("subscribe", "", a.JID, list[i].jid))
			}
		}
	}
	if c.Went() && !available(a) {
		a.SetData(f, nil)
		f.shared.attend(a.JID, false)
	}
	if len(a.Resources()) == 0 {
		f.shared.note(a, nil)
	}
}

// othersAvailable reports whether any resource is available but that of one session.
func othersAvailable(a *router.Account, but router.Session) bool {
	for _, res := range a.Resources() {
		if res.Available() && res.Session != but {
			return true
		}
	}
	return false
}

// show delivers presence of the account, unless the account bars who it is for.
func (f *feature) show(rd *router.Round, a *router.Account, st *xmpp.Stanza) {
	if f.router.MaySend(a, st) == nil {
		f.router.Deliver(rd, st)
	}
}

// barred hides an account from the contacts that it begins to bar, and shows it again, and
// them, when it ceases to (XEP-0191 §3.3, §3.4).
func (f *feature) barred(t *router.Turn, a *router.Account, match func(xmpp.JID) bool, now bool) {
	if !available(a) {
		return
	}
	list, _ := f.load(t, a, false)
	list = f.withShared(list, f.upToDate(t, a, true), a.JID)
	for _, c := range list {
		switch {
		case !match(c.jid):
		case now:
			if c.seenByContact() {
				f.hide(t, a, c.jid)
			}
		default:
			if c.seenByContact() {
				f.reveal(t, a, c.jid, nil)
			}
			if c.seesContact() {
				f.ask(t, a, c.jid, nil)
			}
		}
	}
}

// withShared are the contacts together with those of the shared groups who are there, in no
// order.
func (f *feature) withShared(own contacts, l *sharedList, user xmpp.JID) contacts {
	if l.len() == 0 {
		return own
	}
	list := slices.Clone(own)
	for i, c := range list {
		k, _ := l.find(c.jid)
		list[i].state = stateOf(subscription(c.seesContact() || k.sees, c.seenByContact() || k.seen), "", false)
	}
	f.shared.present(l, user, func(jid xmpp.JID, k sharedContact) {
		if _, found := own.find(jid); !found {
			list = append(list, contact{jid, stateOf(k.subscription(), "", false)})
		}
	})
	return list
}

// available reports whether any resource of the account is.
func available(a *router.Account) bool {
	for _, res := range a.Resources() {
		if res.Available() {
			return true
		}
	}
	return false
}

// own tells the account's other resources, and what they are to one that came: a user is
// implicitly subscribed to the own presence (RFC 6121 §4.2.2, §4.4.2, §4.5.2).
func own(t *router.Turn, a *router.Account, c router.PresenceChange) {
	for _, res := range a.Resources() {
		if res.Available() {
			t.Push(res.Session, c.Stanza.Readdressed(a.JID, c.Before.JID()))
		}
	}
	if c.Went() { // also to the one that went (RFC 6121 §4.5.2); a closed session takes nothing
		t.Push(c.After.Session, c.Stanza.Readdressed(a.JID, c.Before.JID()))
	}
	if !c.Came() {
		return
	}
	for _, res := range a.Resources() { // RFC 6121 §4.3.2: the answer to the probe that this implies
		if res.Available() && res.Session != c.After.Session {
			t.Push(c.After.Session, last(res, a.JID))
		}
	}
}

// ask gets a contact's presence for the user: for one session of the user's, or for all of
// them. One of this house is there or not, so nothing is asked of who is not; the answer
// is a turn of the contact, so that no change of its presence overtakes it. Another server
// gets a probe, and answers to all.
func (f *feature) ask(t *router.Turn, a *router.Account, contact xmpp.JID, session router.Session) {
	user := a.JID
	if !f.router.Serves(contact.Domain()) {
		f.router.Deliver(&t.Round, presenceOf("probe", "", user, contact))
		return
	}
	look := func(c *router.Account) error {
		if c == nil || !available(c) && !f.router.LastActivity() {
			return nil
		}
		return c.Post(func(t *router.Turn) { f.answer(t, c, user, session) })
	}
	var err error
	if f.router.LastActivity() { // also of who is not in memory
		t.Flush() // who waits, flushes
		err = f.router.WithAccount(context.Background(), contact, look)
	} else {
		f.router.WithAccountInMemory(contact, func(c *router.Account) { err = look(c) })
	}
	if err != nil {
		f.log.Warn("a contact's presence was not asked for", "contact", contact.String(), "error", err)
	}
}

// answer is the turn of an account whose presence a user of this house is to have: at one
// session, or at all.
func (f *feature) answer(t *router.Turn, a *router.Account, user xmpp.JID, session router.Session) {
	if !f.seenBy(t, a, user) { // the two rosters are out of step
		f.router.Deny(&t.Round, presenceOf("probe", "", user, a.JID))
		return
	}
	if f.reveal(t, a, user, session) || !f.router.LastActivity() {
		return
	}
	st := f.absent(t, a, "", user)
	switch {
	case f.router.MaySend(a, st) != nil:
	case session != nil:
		t.Push(session, st)
	default:
		f.router.Deliver(&t.Round, st)
	}
}

// reveal sends the presence of every available resource of an account to somebody: to one
// session, where there is one. It reports whether there was any.
func (f *feature) reveal(t *router.Turn, a *router.Account, who xmpp.JID, session router.Session) (any bool) {
	for _, res := range a.Resources() {
		if !res.Available() {
			continue
		}
		any = true
		st := last(res, who)
		if f.router.MaySend(a, st) != nil {
			continue
		}
		if session != nil {
			t.Push(session, st)
		} else {
			f.router.Deliver(&t.Round, st)
		}
	}
	return any
}

// hide sends unavailable presence of every available resource of an account to somebody
// who may see them no longer (RFC 6121 §3.2.2, §3.3.3).
func (f *feature) hide(t *router.Turn, a *router.Account, who xmpp.JID) {
	for _, res := range a.Resources() {
		if res.Available() {
			f.router.Deliver(&t.Round, presenceOf("unavailable", "", res.JID(), who))
		}
	}
}

// probed answers a probe (RFC 6121 §4.3.2).
func (f *feature) probed(t *router.Turn, a *router.Account, st *xmpp.Stanza) {
	who := st.From.Bare()
	trusted := who == a.JID || f.seenBy(t, a, who)
	if name := st.To.Resource(); name != "" {
		f.probedResource(t, a, st, trusted)
		return
	}
	switch {
	case !trusted:
		f.router.Deny(&t.Round, st)
	case !f.reveal(t, a, st.From, nil):
		f.router.Deliver(&t.Round, f.absent(t, a, st.ID, st.From))
	}
}

// probedResource answers a probe of a full JID with no more than whether it is there: to a
// subscriber (RFC 6121 §4.3.2), and to whom the resource has shown itself (§4.6.6).
func (f *feature) probedResource(t *router.Turn, a *router.Account, st *xmpp.Stanza, trusted bool) {
	res, ok := a.Resource(st.To.Resource())
	shown := ok && res.Shares(st.From)
	switch {
	case shown || trusted && ok && res.Available():
		f.router.Deliver(&t.Round, presenceOf("", "", st.To, st.From))
	case trusted:
		f.router.Deliver(&t.Round, presenceOf("unavailable", st.ID, st.To, st.From))
	default:
		f.router.Deny(&t.Round, st)
	}
}
