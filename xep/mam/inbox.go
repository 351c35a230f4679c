package mam

import (
	"context"
	"slices"
	"strconv"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsInbox is the namespace of inboxes (XEP-0430).
const nsInbox = "urn:xmpp:inbox:1"

// Limits of an inbox.
const (
	maxConversations = 20_000 // that are looked at
	lastWordsWithin  = 50     // messages, among which is the last that says something
	countAgain       = 200    // messages: where more were counted, the count is remembered
)

// An inbox is what one request is answered with.
type inbox struct {
	list         []conversation // the page, the newest first
	names        []string       // whom these are with
	words        []entry        // the last message of each; no stanza: none is sent
	index, count int

	total, unread, allUnread int
	counted                  []conversation
}

// inbox answers a request for the asker's conversations, in the order of their last
// activity, the newest first (XEP-0430 §3.1). Pages go by the id of the last message: who
// pages on misses and gets twice only what has moved to the top meanwhile.
func (f *feature) inbox(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() || q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	only, err1 := boolean(q.Payload.Attr("unread-only"), false)
	words, err2 := boolean(q.Payload.Attr("messages"), true)
	paging, err := xmpp.ParsePaging(q.Payload)
	for _, e := range []error{err1, err2, err} {
		if e != nil {
			return nil, e
		}
	}
	if err := f.exchange.settle(q.Account.ID, writes(ctx, q)); err != nil {
		return nil, err
	}
	var in inbox
	changes := f.shrunk.Load()
	err = f.store.Read(context.WithoutCancel(ctx), func(tx *storage.Tx) error {
		rooms, err := f.roomConversations(tx, q.Account.JID)
		if err != nil {
			return err
		}
		all, err := in.read(tx, q.Account.ID, rooms, only)
		if err != nil {
			return err
		}
		if err := f.pageOfInbox(&in, all, paging, f.pageSize(q.Account.JID, paging.Max)); err != nil {
			return err
		}
		return in.fill(tx, q.Account.ID, words)
	})
	if err != nil {
		return nil, err
	}
	f.remember(q.Account.ID, in.counted, changes)
	for i, c := range in.list {
		f.sendConversation(q, c, in.names[i], in.words[i])
	}
	return f.inboxFin(in), nil
}

// boolean reads an attribute of type xs:boolean.
func boolean(v string, otherwise bool) (bool, error) {
	switch v {
	case "":
		return otherwise, nil
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, wrong("neither true nor false")
}

// read reads all conversations, beside those in rooms, the newest first, and counts what is
// unread.
func (in *inbox) read(tx *storage.Tx, owner int64, rooms []conversation, only bool) ([]conversation, error) {
	all, err := conversations(tx, owner)
	if err != nil {
		return nil, err
	}
	if all, err = in.withRooms(tx, owner, all, rooms); err != nil {
		return nil, err
	}
	for i := range all {
		c := &all[i]
		if c.room == nil {
			if err := c.countUnread(tx, owner); err != nil {
				return nil, err
			}
			in.note(*c)
		}
		in.allUnread += c.unread
		if c.unread > 0 {
			in.unread++
		}
	}
	in.total = len(all)
	if only {
		all = slices.DeleteFunc(all, func(c conversation) bool { return c.unread == 0 })
	}
	slices.SortFunc(all, func(a, b conversation) int { return int(b.last - a.last) })
	return all, nil
}

// note has a count be remembered that it took a while to make.
func (in *inbox) note(c conversation) {
	if c.looked > countAgain {
		in.counted = append(in.counted, c)
	}
}

// pageOfInbox cuts out the page that was asked for.
func (f *feature) pageOfInbox(in *inbox, all []conversation, p xmpp.Paging, n int) error {
	from, to := 0, len(all)
	if p.After != "" {
		id, ok := f.store.FromOpaque(p.After)
		if !ok {
			return xmpp.Refuse("item-not-found", "")
		}
		from = behindID(all, id-1)
	}
	if p.Before != "" {
		id, ok := f.store.FromOpaque(p.Before)
		if !ok {
			return xmpp.Refuse("item-not-found", "")
		}
		to = behindID(all, id)
	}
	if p.Index >= 0 {
		from = min(p.Index, len(all))
	}
	to = max(from, to)
	if p.Backwards {
		from = max(from, to-n)
	} else {
		to = min(to, from+n)
	}
	in.list, in.index, in.count = all[from:to], from, len(all)
	return nil
}

// behindID returns how many conversations come before the first that is not newer than an
// id.
func behindID(all []conversation, id storage.ID) int {
	i, _ := slices.BinarySearchFunc(all, id, func(c conversation, id storage.ID) int { return int(id - c.last) })
	return i
}

// fill reads what is to be said of the conversations of the page. Where their last messages
// are more than a page may have, further ones are left out.
func (in *inbox) fill(tx *storage.Tx, owner int64, words bool) error {
	bytes := 0
	for _, c := range in.list {
		name, err := c.name(tx)
		if err != nil {
			return err
		}
		in.names = append(in.names, name)
		var e entry
		if words && bytes < maxPageBytes {
			if e, err = c.lastWords(tx, owner); err != nil {
				return err
			}
			bytes += len(e.stanza)
		}
		in.words = append(in.words, e)
	}
	return nil
}

// remember writes counts that it took a while to make, unless something has ceased to be
// unread meanwhile.
func (f *feature) remember(owner int64, list []conversation, changes int64) {
	if len(list) == 0 {
		return
	}
	f.store.Keep(len(list)*64, func(tx *storage.Tx) error {
		if f.shrunk.Load() != changes {
			return nil
		}
		for _, c := range list {
			if err := writeCount(tx, owner, c); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// sendConversation pushes one entry, with its last message if there is one to send.
func (f *feature) sendConversation(q *router.Request, c conversation, with string, e entry) {
	var b xmpp.Builder
	b.Open(nsInbox, "entry", "unread", strconv.Itoa(c.unread), "jid", with, "id", f.store.Opaque(c.last)).Close()
	if e.stanza == nil {
		q.Round.Push(q.Sender.Session(), f.toAsker(q, xmpp.NewStanza(xmpp.Message, b.Payload())))
		return
	}
	b.Raw(f.written(q.Stanza.ID, e))
	f.pass(q, e, f.toAsker(q, xmpp.NewStanza(xmpp.Message, b.Payload())))
}

// inboxFin says how much there is in all (XEP-0430 §3.1).
func (f *feature) inboxFin(in inbox) xmpp.Payload {
	set := xmpp.Page{Index: in.index, Count: in.count}
	if n := len(in.list); n > 0 {
		set.First, set.Last = f.store.Opaque(in.list[0].last), f.store.Opaque(in.list[n-1].last)
	}
	var b xmpp.Builder
	return b.Open(nsInbox, "fin", "total", strconv.Itoa(in.total), "unread", strconv.Itoa(in.unread),
		"all-unread", strconv.Itoa(in.allUnread)).Raw(set.Payload()).Payload()
}
