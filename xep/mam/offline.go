// Package mam keeps messages for users who are absent and gives them out when the
// next of their resources becomes available (RFC 6121 §8.5.2.2.1, XEP-0160).
package mam

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const (
	nsHints  = "urn:xmpp:hints"                        // XEP-0334
	nsStates = "http://jabber.org/protocol/chatstates" // XEP-0085
)

// Limits say how much is kept for one account.
type Limits struct {
	Messages int64         // 0 means 5,000
	Bytes    int64         // 0 means 2 MiB
	Expiry   time.Duration // how long a message waits; 0 means for ever

	Archive func(host string) Archive // what holds for the archives of a domain; nil: the defaults
}

// readAgain is how often what waits is read again, where others' writes have failed the
// batch that the reading was in.
const readAgain = 4

// pageSize is how many messages are read from the store at a time.
const pageSize = 200

// atOnce is how many messages are deleted in one turn of the store's writer, which has
// others to serve.
const atOnce = 500

type feature struct {
	limits func() Limits
	router *router.Router
	store  *storage.Store
	log    *slog.Logger
	reading
}

// New returns the feature. limits is asked for each message, so that it may change while
// the server runs.
func New(limits func() Limits) router.Feature {
	f := &feature{limits: limits}
	r := router.Feature{
		Name: "offline messages",
		XEPs: []router.XEP{
			{Number: 13, Version: "1.3"}, {Number: 160, Version: "1.0.1"}, {Number: 203, Version: "2.0"},
			{Number: 334, Version: "1.0.0", Note: "store and no-store, for messages that wait"},
		},
		Disco:   []string{"msgoffline", nsFlexible}, // XEP-0160 §4, XEP-0013 §2.1
		OwnNode: f.node,
		IQ: []router.IQ{
			router.Get(router.ToAccount, nsFlexible, "offline", f.view),
			router.Set(router.ToAccount, nsFlexible, "offline", f.remove),
		},
		Sent:    router.Hooks{Mark: f.honest},
		Arrived: router.Hooks{Mark: f.unnamed, Keep: f.keep},
		Due:     f.due,
		Tidy:    f.tidy,
		Start: func(h router.Hall) {
			f.store, f.log, f.router = h.Store, h.Log, h.Router
		},
		Forget: func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema: schema,
	}
	f.reads(&r)
	return r
}

// keep names what is to be written for a message that nobody is there for.
func (f *feature) keep(p *router.Passage) *xmpp.Error {
	if !p.WillWait() {
		return nil
	}
	if !worth(p.Stanza) {
		p.Drop()
		return nil
	}
	owner := p.Recipient.ID
	row := p.Stanza.AppendNS(nil, xmpp.NSClient)
	lim := f.limits()
	p.Keep(keeping{owner, row, lim})
	return nil
}

// keeping is what is written for a message that waits.
type keeping struct {
	owner int64
	row   []byte
	lim   Limits
}

func (k keeping) Write(tx *storage.Tx, id storage.ID) error {
	m, err := marked(tx, k.owner)
	if err != nil {
		return err
	}
	if m.messages >= orDefault(k.lim.Messages, 5000) || m.bytes+int64(len(k.row)) > orDefault(k.lim.Bytes, 2<<20) {
		return xmpp.Refuse("service-unavailable", "too many messages wait for this user") // XEP-0160 §2
	}
	return add(tx, k.owner, id, k.row)
}

func (k keeping) Written(storage.ID, error) {}

func (k keeping) Undo(tx *storage.Tx, id storage.ID) error {
	if err := drop(tx, k.owner, id); err != errNotDue {
		return err
	}
	return nil // somebody has taken it in the meantime
}

func orDefault(n, otherwise int64) int64 {
	if n <= 0 {
		return otherwise
	}
	return n
}

// worth reports whether a message means anything to somebody who reads it later: not
// where its sender asks for the contrary (XEP-0334 §4.2), nor where it is nothing but a
// chat state (XEP-0160 §3).
func worth(st *xmpp.Stanza) bool {
	if st.Has(nsHints, "no-store") {
		return false
	}
	if st.Has("", "body") || st.Has(nsHints, "store") {
		return true
	}
	for e := range st.Children {
		switch n := e.Name(); {
		case n.Space == nsStates, n.Space == nsHints, n == xmpp.Name{Local: "thread"}:
		default:
			return true
		}
	}
	return false
}

// due gives a resource what waits for its account, in order, and then lets it have what
// comes. The last page is read in the writer's line: what is committed before is in it,
// what is committed behind it goes to the resource, and nothing overtakes. Usually the
// first page is the last.
//
// It begins behind what is still to be written: what another resource has taken, or what
// somebody got after all, is gone by then and is not given out twice. (The postman may
// just be handing over what it will then have taken back; the first wait is for that.)
func (f *feature) due(t *router.Turn, a *router.Account, res router.Resource, then func(*router.Round)) {
	t.InOrder(nil, func(*router.Round, error) {})
	if f.collected(a) {
		t.InOrder(nil, func(rd *router.Round, _ error) { then(rd) })
		return
	}
	last, complete := f.lastPage(t, a, res, 0, pageSize, then)
	for !complete {
		last = f.pages(t, a, res, last)
		last, complete = f.lastPage(t, a, res, last, everything, then)
	}
	if last != 0 {
		f.confirm(&t.Round, a, res, last)
	}
}

// pages gives out what waits behind an id, a page at a time, and returns the last id.
func (f *feature) pages(t *router.Turn, a *router.Account, res router.Resource, last storage.ID) storage.ID {
	for {
		var list []waiting
		err := f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
			list, err = page(tx, a.ID, last, pageSize)
			return err
		})
		if err != nil {
			f.unread(a, err)
			return last
		}
		last = f.give(&t.Round, a, res, list, last)
		t.Flush()
		if len(list) < pageSize {
			return last
		}
	}
}

// everything is more than may wait for an account.
const everything = 1 << 30

// lastPage reads up to n messages in the writer's line and gives them out. If that were
// all, it is complete, and then lets the resource have what comes. Should others' writes
// fail the batch that it is read in, it is read again.
func (f *feature) lastPage(t *router.Turn, a *router.Account, res router.Resource, after storage.ID, n int, then func(*router.Round)) (last storage.ID, complete bool) {
	last = after
	for left := readAgain; ; left-- {
		var list []waiting
		var failed error
		t.InOrder(func(tx *storage.Tx) (err error) {
			list, err = page(tx, a.ID, after, n)
			return err
		}, func(rd *router.Round, err error) {
			if failed = err; err == nil {
				last = f.give(rd, a, res, list, after)
			}
			if complete = err != nil && left == 0 || err == nil && len(list) < n; complete {
				then(rd)
			}
		})
		if failed == nil {
			return last, complete
		}
		f.unread(a, failed)
		if left == 0 {
			return last, complete
		}
	}
}

func (f *feature) unread(a *router.Account, err error) {
	f.log.Error("messages that wait could not be read; they stay", "account", a.JID.String(), "error", err)
}

// give pushes messages to a resource and returns the last id. One that it was shown a copy
// of is not given to it again. What the account has come to
// block since is not given out any more (XEP-0191 §3.3).
func (f *feature) give(rd *router.Round, a *router.Account, res router.Resource, list []waiting, last storage.ID) storage.ID {
	for _, w := range list {
		last = w.id
		st, err := w.parse()
		if err != nil {
			f.log.Error("a message that waits cannot be read", "id", int64(w.id), "error", err)
			continue
		}
		if !res.Sender().HasCopy(w.id) && f.router.MayGet(a, st) == nil {
			rd.Push(res.Session, st.With(xmpp.Delay(a.JID.Host(), w.id.Time()))) // XEP-0203 §2
		}
	}
	return last
}

// confirm asks the client whether it is there, behind what it was given. Its answer says
// that it has it all; until then everything stays due (XEP-0160 §2).
func (f *feature) confirm(rd *router.Round, a *router.Account, res router.Resource, upto storage.ID) {
	var b xmpp.Builder
	id := "due-" + strings.ToLower(rand.Text())
	res.Sender().Ask(rd, "get", id, b.Open("urn:xmpp:ping", "ping").Payload(), func(*xmpp.Stanza) { f.taken(a, upto) })
}

// taken writes that the account has taken its messages up to an id, and deletes these.
func (f *feature) taken(a *router.Account, upto storage.ID) {
	more := false
	f.store.Keep(64, func(tx *storage.Tx) (err error) {
		if err = take(tx, a.ID, upto); err == nil {
			more, err = sweep(tx, a.ID, atOnce)
		}
		return err
	}, func(err error) {
		switch {
		case err != nil:
			f.log.Warn("messages that were given out stay due", "account", a.JID.String(), "error", err)
		case more:
			f.taken(a, upto)
		}
	})
}
