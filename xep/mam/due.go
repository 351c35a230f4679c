package mam

import (
	"context"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// pageSize is how many messages are read from the store at a time.
const pageSize = 200

// due gives a resource what waits for its account, in order, and then lets it have what
// comes. That is decided on the postman: what is committed before is in the tray, what is
// committed behind it goes to the resource, and nothing overtakes.
func (f *feature) due(t *router.Turn, a *router.Account, res router.Resource, then func(*router.Round)) {
	tray := f.trays.Of(a)
	if f.collected(a) {
		t.InOrder(nil, func(rd *router.Round, _ error) { then(rd) })
		return
	}
	last := storage.ID(0)
	for done := false; !done; {
		ids := tray.after(last, pageSize)
		if len(ids) > 0 {
			last = ids[len(ids)-1]
			t.InOrder(nil, func(*router.Round, error) {}) // of the last the postman may just be giving out copies
			f.give(&t.Round, a, []router.Resource{res}, f.unheld(a, res, ids))
			t.Flush()
			continue
		}
		t.InOrder(nil, func(rd *router.Round, _ error) {
			if done = len(tray.after(last, 1)) == 0; done {
				then(rd)
			}
		})
	}
}

// unheld leaves out what the resource has already. What another one has been handed, and is
// about to acknowledge, it is given too.
func (f *feature) unheld(a *router.Account, res router.Resource, ids []storage.ID) []storage.ID {
	list := ids[:0]
	for _, id := range ids {
		switch s := res.Sender(); { // in the order in which Took moves it on
		case s.Holds(id):
		case s.HasCopy(id):
			f.took(a, []storage.ID{id})
		case !f.trays.Of(a).waits(id):
		default:
			list = append(list, id)
		}
	}
	return list
}

// left offers what a session that is gone had been handed, and nobody has taken or been
// handed besides, to those that are there for messages; else it waits (XEP-0198 §5).
func (f *feature) left(t *router.Turn, a *router.Account, s *router.Sender) {
	tray := f.trays.Of(a)
	var ids []storage.ID
	for _, id := range s.Held() {
		if tray.waits(id) && !f.anyHolds(a, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || f.collected(a) {
		return
	}
	var list []router.Resource
	for _, res := range a.Resources() {
		if res.Available() && res.Priority >= 0 && res.Ready {
			list = append(list, res)
		}
	}
	for len(ids) > 0 && len(list) > 0 {
		n := min(len(ids), pageSize)
		f.give(&t.Round, a, list, ids[:n])
		ids = ids[n:]
	}
}

// anyHolds reports whether any session was handed a message, there or not.
func (f *feature) anyHolds(a *router.Account, id storage.ID) bool {
	for _, res := range a.Resources() {
		if res.Sender().Holds(id) {
			return true
		}
	}
	return false
}

// give reads messages and hands them to resources. What the account has come to block since
// is not given out any more (XEP-0191 §3.3).
func (f *feature) give(rd *router.Round, a *router.Account, list []router.Resource, ids []storage.ID) {
	err := f.read(a, ids, func(m message, st *xmpp.Stanza) {
		if f.router.MayGet(a, st) != nil {
			f.took(a, []storage.ID{m.id})
			return
		}
		st = f.delayed(a, m, st)
		for i := range list {
			if s := list[i].Sender(); !s.HasCopy(m.id) && !s.Holds(m.id) {
				s.Hand(rd, st, m.id)
			}
		}
	})
	if err != nil {
		f.log.Error("messages that wait could not be read; they stay", "account", a.JID.String(), "error", err)
	}
}

// delayed is a message as it is given out later: with the time at which it came (XEP-0203 §2)
// and, if it is in the archive, its id there (XEP-0313 §3.5).
func (f *feature) delayed(a *router.Account, m message, st *xmpp.Stanza) *xmpp.Stanza {
	add := xmpp.Delay(a.JID.Host(), m.id.Time())
	if m.flags&hidden == 0 {
		add = append(add, router.StanzaID(a.JID, f.store.Opaque(m.id))...)
	}
	return st.With(add)
}

// read reads messages of an account that wait, in order; what is not there is left out.
func (f *feature) read(a *router.Account, ids []storage.ID, fn func(message, *xmpp.Stanza)) error {
	list := make([]message, 0, len(ids))
	err := f.store.Read(context.Background(), func(tx *storage.Tx) error {
		list = list[:0]
		for _, id := range ids {
			m, found, err := one(tx, a.ID, id)
			if err != nil {
				return err
			}
			if found {
				list = append(list, m)
			}
		}
		return nil
	})
	for _, m := range list {
		st, err := xmpp.ParseStanzaBytes(m.stanza)
		if err != nil {
			f.log.Error("a message that waits cannot be read", "id", int64(m.id), "error", err)
			continue
		}
		fn(m, st)
	}
	return err
}
