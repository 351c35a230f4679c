package roster

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

// presence shows what became of one resource to those who may see it, and what they are to
// one that came.
func (f *feature) presence(t *router.Turn, a *router.Account, c router.PresenceChange) {
	list, asking := f.load(t, a, c.Came()) // before anything is said: who waits, flushes
	own(t, a, c)
	for _, st := range asking { // RFC 6121 §3.1.3: until they are answered
		t.Push(c.After.Session, st)
	}
	full := c.Before.JID()
	for i := range list { // RFC 6121 §4.2.2, §4.4.2, §4.5.2
		if list[i].seenByContact() {
			f.show(&t.Round, a, c.Stanza.Readdressed(list[i].jid, full))
		}
	}
	if c.Came() {
		for i := range list { // RFC 6121 §4.3.1
			if list[i].seesContact() && f.router.MaySend(a, presenceOf("probe", "", a.JID, list[i].jid)) == nil {
				f.ask(t, a, list[i].jid, c.After.Session)
			}
		}
	}
	if c.Went() && !available(a) {
		a.SetData(f, nil)
	}
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
	if !f.trusted(context.Background(), a, user) { // the two rosters are out of step
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
	trusted := f.router.Trusted(context.Background(), a, st.From)
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
