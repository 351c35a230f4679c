package mam

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// pageSize is how many messages are read from the store at a time.
const pageSize = 200

// attempts is how often what waits is given out a page at a time before the rest is read in
// the store's line: where somebody writes all the time there is always a rest.
const attempts = 3

// readAgain is how often that is read again, where others' writes have failed the batch that
// the reading was in.
const readAgain = 4

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
	for range attempts {
		last = f.pages(t, a, res, last)
		done := false
		t.InOrder(nil, func(rd *router.Round, _ error) {
			if done = len(tray.after(last, 1)) == 0; done {
				then(rd)
			}
		})
		if done {
			return
		}
	}
	known := tray.highest() // what waits up to that is among the pages
	f.rest(t, a, res, max(known, f.pages(t, a, res, last)), then)
}

// pages gives out what waits behind an id, and returns the last id. What comes meanwhile may
// be left for another time.
func (f *feature) pages(t *router.Turn, a *router.Account, res router.Resource, last storage.ID) storage.ID {
	top := f.trays.Of(a).highest()
	for {
		ids := f.trays.Of(a).after(last, pageSize)
		if len(ids) == 0 || last >= top {
			return last
		}
		last = ids[len(ids)-1]
		full := len(ids) == pageSize
		t.InOrder(nil, func(*router.Round, error) {}) // of the last the postman may just be giving out copies
		f.give(&t.Round, a, []router.Resource{res}, f.unheld(a, res, ids))
		t.Flush()
		if !full {
			return last
		}
	}
}

// rest gives out what was committed behind an id, as it is read in the store's line, and lets
// the resource have what comes.
func (f *feature) rest(t *router.Turn, a *router.Account, res router.Resource, last storage.ID, then func(*router.Round)) {
	for left := readAgain; ; left-- {
		var list []message
		done := false
		t.InOrder(func(tx *storage.Tx) (err error) {
			list, err = arrivedBehind(tx, a.ID, last)
			return err
		}, func(rd *router.Round, err error) {
			if err != nil && left > 0 {
				return
			}
			if done = true; err != nil {
				f.unread(a, err)
			}
			f.giveOut(rd, a, []router.Resource{res}, f.here(a, res, list))
			then(rd)
		})
		if done {
			return
		}
	}
}

// here leaves out of messages that were read what unheld leaves out.
func (f *feature) here(a *router.Account, res router.Resource, list []message) []message {
	return slices.DeleteFunc(list, func(m message) bool { return len(f.unheld(a, res, []storage.ID{m.id})) == 0 })
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

// give reads messages and hands them to resources.
func (f *feature) give(rd *router.Round, a *router.Account, list []router.Resource, ids []storage.ID) {
	found, err := f.read(a, ids)
	if err != nil {
		f.unread(a, err)
	}
	f.giveOut(rd, a, list, found)
}

func (f *feature) unread(a *router.Account, err error) {
	f.log.Error("messages that wait could not be read; they stay", "account", a.JID.String(), "error", err)
}

// giveOut hands messages to resources. What the account has come to block since is not given
// out any more (XEP-0191 §3.3).
func (f *feature) giveOut(rd *router.Round, a *router.Account, list []router.Resource, found []message) {
	for _, m := range found {
		st := f.parse(m)
		if st == nil || f.router.MayGet(a, st) != nil {
			f.took(a, []storage.ID{m.id})
			continue
		}
		st = f.delayed(a, m, st)
		for i := range list {
			if s := list[i].Sender(); !s.HasCopy(m.id) && !s.Holds(m.id) {
				s.Hand(rd, st, m.id)
			}
		}
	}
}

// parse reads a stanza; nil where it cannot be read.
func (f *feature) parse(m message) *xmpp.Stanza {
	st, err := xmpp.ParseStanzaBytes(m.stanza)
	if err != nil {
		f.log.Error("a message that waits cannot be read", "id", int64(m.id), "error", err)
	}
	return st
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

// read reads messages of an account, in order; what is not there is left out.
func (f *feature) read(a *router.Account, ids []storage.ID) (list []message, err error) {
	err = f.store.Read(context.Background(), func(tx *storage.Tx) error {
		list = make([]message, 0, len(ids))
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
	return list, err
}
