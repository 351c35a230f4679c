package mam

import (
	"bytes"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A client whose stream was lost cannot know which of its last messages have come, and sends
// those that were not acknowledged again (XEP-0198 §5). What the archive has of these does
// not become a second message: one of the same account, for the same address, with the same
// id and the same content, which came in a stream that ended without all of it being
// acknowledged, or that a crash of the server ended.

const (
	// resendFor is how long after the end of such a stream messages are compared.
	resendFor = 15 * time.Minute
	// resendBefore is how much older than the last acknowledgement they may be: what is
	// acknowledged next may have been written then.
	resendBefore = 10 * time.Second
	// crashBefore is how long before a crash messages may have been left unacknowledged.
	crashBefore = 10 * time.Minute
	// resendRows is how many of an account's last messages are compared.
	resendRows = 1024
	// resendAccounts is how many accounts with such streams are remembered.
	resendAccounts = 10_000
)

// resends knows what may be sent again.
type resends struct {
	crash window // of all accounts

	mu       sync.Mutex // a leaf
	accounts *simplelru.LRU[int64, *resend]
}

// A window is where in the archive messages are that may be sent again.
type window struct {
	after, before storage.ID
	until         time.Time // it is over then
}

// resend is what one account may send again.
type resend struct {
	mu     sync.Mutex // a leaf
	window window
	read   bool // list has what is in the window
	list   []candidate
}

// candidate is a message that may be sent again.
type candidate struct {
	id storage.ID
	st *xmpp.Stanza
	by *router.Sender // who has sent it again, lately
}

func newResends() *resends {
	m, _ := simplelru.NewLRU[int64, *resend](resendAccounts, nil) // fails for sizes below one only
	return &resends{accounts: m}
}

// of returns what an account may send again; nil: nothing.
func (r *resends) of(owner int64, now time.Time) *resend {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.accounts.Get(owner); ok {
		if now.Before(e.window.until) {
			return e
		}
		r.accounts.Remove(owner)
	}
	if !now.Before(r.crash.until) {
		return nil
	}
	e := &resend{window: r.crash}
	r.accounts.Add(owner, e)
	return e
}

// unsure notes that a stream of an account has ended, and what came of it since may not have
// been acknowledged.
func (f *feature) unsure(a *router.Account, since time.Time) {
	now := time.Now()
	w := window{storage.IDAt(since.Add(-resendBefore)), math.MaxInt64, now.Add(resendFor)}
	was := f.resends.of(a.ID, now)
	if was != nil { // what was sent again may be sent once more
		w.after = min(w.after, was.window.after)
	}
	f.resends.mu.Lock()
	f.resends.accounts.Add(a.ID, &resend{window: w})
	f.resends.mu.Unlock()
}

// crashed notes that the server has not been stopped in good order: any stream may have been
// lost.
func (f *feature) crashed(at storage.ID) {
	f.resends.crash = window{storage.IDAt(at.Time().Add(-crashBefore)), at, time.Now().Add(resendFor)}
}

// resent reports whether a message that a client sends is one that it has sent before.
func (f *feature) resent(p *router.Passage) bool {
	s := p.Speaker()
	if s == nil {
		return false
	}
	e := f.resends.of(p.Sender.ID, time.Now())
	if e == nil || idOfSender(p.Stanza) == "" {
		return false
	}
	if err := f.readResend(e, p.Sender.ID); err != nil {
		f.log.Warn("what a client may send again could not be read", "account", p.Sender.JID.String(), "error", err)
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	began := storage.IDAt(s.Began())
	i := slices.IndexFunc(e.list, func(c candidate) bool {
		ofThisStream := c.by == s || c.st.From == s.JID() && c.id >= began
		return !ofThisStream && same(c.st, p.Stanza)
	})
	if i < 0 {
		return false
	}
	e.list[i].by = s
	return true
}

// idOfSender is by what a client tells its messages apart.
func idOfSender(st *xmpp.Stanza) string {
	if st.ID != "" {
		return st.ID
	}
	return originID(st)
}

// same reports whether two messages of one account are the same, apart from the device and
// from stamps that say when it was first sent. A client that gives them an origin-id may give
// each attempt another id (XEP-0359 §3).
func same(a, b *xmpp.Stanza) bool {
	if a.ID != b.ID && originID(b) == "" {
		return false
	}
	return a.To == b.To && a.Type == b.Type && bytes.Equal(undelayed(a), undelayed(b))
}

func originID(st *xmpp.Stanza) string { return st.Child(nsID, "origin-id").Attr("id") }

func undelayed(st *xmpp.Stanza) []byte {
	return st.WithoutDelay(func(xmpp.JID) bool { return true }).Body()
}

// readResend reads what is in the window, once. It stands in the line of the store: what the
// account has on its way is there then.
func (f *feature) readResend(e *resend, owner int64) error {
	e.mu.Lock()
	w, read := e.window, e.read
	e.mu.Unlock()
	if read {
		return nil
	}
	var list []message
	err := f.store.Write(context.Background(), func(tx *storage.Tx) (err error) {
		list, err = lastSent(tx, owner, w.after, w.before, resendRows)
		return err
	})
	if err != nil {
		return err
	}
	found := make([]candidate, 0, len(list))
	for _, m := range list {
		if st, err := xmpp.ParseStanzaBytes(m.stanza); err == nil {
			found = append(found, candidate{id: m.id, st: st})
		}
	}
	e.mu.Lock()
	if !e.read {
		e.list, e.read = found, true
	}
	e.mu.Unlock()
	return nil
}
