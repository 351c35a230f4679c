// Package announce tells something to all users of a domain, to those who are online, or
// to each at the next login: the message of the day (XEP-0133 §4.23 to §4.26).
package announce

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Limits of one announcement.
const (
	maxSubject = 1023   // bytes
	maxBody    = 10_000 // bytes; each user who is away keeps a copy
	maxRuns    = 16     // announcements to all that are on their way
)

// A Text is what is announced. Subject may be empty.
type Text struct{ Subject, Body string }

// Check returns an error for a text that cannot be announced; it is its author's fault.
func (t Text) Check() error {
	switch {
	case strings.TrimSpace(t.Body) == "":
		return xmpp.Refuse("not-acceptable", "the announcement is empty")
	case len(t.Body) > maxBody:
		return xmpp.Refuse("not-acceptable", fmt.Sprintf("the announcement has more than %d bytes", maxBody))
	case len(t.Subject) > maxSubject || strings.ContainsAny(t.Subject, "\r\n"):
		return xmpp.Refuse("not-acceptable", fmt.Sprintf("the subject has more than one line or %d bytes", maxSubject))
	case !utf8.ValidString(t.Subject + t.Body):
		return xmpp.Refuse("not-acceptable", "the announcement is not UTF-8")
	}
	return nil
}

// message returns the text as a message of a domain. A headline is shown and not kept
// (RFC 6121 §5.2.2); a normal message waits for who is away.
func (t Text) message(typ, host string) *xmpp.Stanza {
	var b xmpp.Builder
	if t.Subject != "" {
		b.Leaf("", "subject", xmpp.Clean(t.Subject))
	}
	st := xmpp.NewStanza(xmpp.Message, b.Leaf("", "body", xmpp.Clean(t.Body)).Payload())
	st.Type, st.From, st.ID = typ, xmpp.MustJID(host), strings.ToLower(rand.Text())
	return st
}

// Accounts lists who is to hear of something.
type Accounts interface {
	// Enabled returns accounts of a domain that may log in, in the order of their
	// localparts, behind a localpart ("": from the first), out of at most limit accounts;
	// and the localpart to go on behind, "" at the end.
	Enabled(ctx context.Context, host, after string, limit int) (list []xmpp.JID, next string, err error)
}

// An Announcer makes announcements. The zero Announcer becomes one by New.
type Announcer struct {
	router   *router.Router
	store    *storage.Store
	log      *slog.Logger
	accounts Accounts
	wake     chan struct{} // an announcement to all was made

	setting sync.Mutex // one change of the messages of the day at a time
	motds   atomic.Pointer[map[string]*motd]
	shown   router.Memo[showing]
}

// New returns the feature, whose commands those may run that may says. Announcements to all
// are on their way while Run does.
func New(a *Announcer, accounts Accounts, may func(*router.Request) bool) router.Feature {
	a.accounts, a.wake = accounts, make(chan struct{}, 1)
	a.motds.Store(&map[string]*motd{})
	return router.Feature{
		Name:     "announcements",
		XEPs:     []router.XEP{{Number: 133, Version: "1.3.1", Note: "announcements, message of the day"}},
		Commands: a.commands(may),
		Presence: a.presence,
		Load:     a.load,
		Start:    a.start,
		Forget:   func(tx *storage.Tx, account int64, _ xmpp.JID) error { return forget(tx, account) },
		Schema:   schema,
	}
}

// start reads the messages of the day. Without them the house serves as well.
func (a *Announcer) start(h router.Hall) {
	a.router, a.store, a.log = h.Router, h.Store, h.Log
	err := a.store.Read(context.Background(), func(tx *storage.Tx) error {
		all, err := motds(tx)
		if err == nil {
			a.motds.Store(&all)
		}
		return err
	})
	if err != nil {
		a.log.Error("the messages of the day cannot be read; none is shown", "error", err)
	}
}

// Online announces to the users of a domain who are there now, and returns to how many
// (XEP-0133 §4.23). It is written to nobody's disk.
func (a *Announcer) Online(host string, t Text, by string) (int, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	st := t.message("headline", host)
	var rd router.Round
	list := a.online(host)
	for i, bare := range list {
		a.router.Deliver(&rd, st.Readdressed(bare, st.From))
		if i%flushEvery == flushEvery-1 {
			rd.Flush()
		}
	}
	rd.Flush()
	a.log.Info("announced to users online", "domain", host, "accounts", len(list), "by", by)
	return len(list), nil
}

// flushEvery is to how many users something is said before it is written to their sockets.
const flushEvery = 64

// online lists the accounts of a domain that messages reach now.
func (a *Announcer) online(host string) (list []xmpp.JID) {
	var last xmpp.JID
	a.router.EachSession(func(acc *router.Account, res router.Resource) {
		if acc.JID != last && acc.JID.Domain() == host && hears(res) {
			last = acc.JID
			list = append(list, last)
		}
	})
	return list
}

// hears reports whether what is for the whole account comes to a resource
// (RFC 6121 §8.5.2.1.1).
func hears(res router.Resource) bool { return res.Available() && res.Priority >= 0 }

// MOTD returns the message of the day of a domain, if it has one.
func (a *Announcer) MOTD(host string) (Text, bool) {
	if m := a.motd(host); m != nil {
		return m.text, true
	}
	return Text{}, false
}

func (a *Announcer) motd(host string) *motd { return (*a.motds.Load())[host] }

// SetMOTD makes a text the message of the day of a domain: those who are online see it at
// once, and it returns how many these are; all others see it when they come
// (XEP-0133 §4.24).
func (a *Announcer) SetMOTD(ctx context.Context, host string, t Text, by string) (int, error) {
	m, err := a.replaceMOTD(ctx, host, t)
	if err != nil {
		return 0, err
	}
	n := a.showAll(host, m)
	a.log.Info("message of the day set", "domain", host, "accounts", n, "by", by)
	return n, nil
}

// EditMOTD puts another text in the place of the message of the day. Everybody sees it when
// they come the next time, and nobody at once (XEP-0133 §4.25).
func (a *Announcer) EditMOTD(ctx context.Context, host string, t Text, by string) error {
	_, err := a.replaceMOTD(ctx, host, t)
	if err == nil {
		a.log.Info("message of the day edited", "domain", host, "by", by)
	}
	return err
}

// RemoveMOTD takes the message of the day of a domain away; false where there was none
// (XEP-0133 §4.26).
func (a *Announcer) RemoveMOTD(ctx context.Context, host, by string) (bool, error) {
	a.setting.Lock()
	defer a.setting.Unlock()
	if a.motd(host) == nil {
		return false, nil
	}
	if err := a.store.Write(ctx, func(tx *storage.Tx) error { return removeMOTD(tx, host) }); err != nil {
		return false, err
	}
	a.publish(host, nil)
	a.log.Info("message of the day removed", "domain", host, "by", by)
	return true, nil
}

func (a *Announcer) replaceMOTD(ctx context.Context, host string, t Text) (*motd, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	a.setting.Lock()
	defer a.setting.Unlock()
	m := &motd{text: t}
	if err := a.store.Write(ctx, func(tx *storage.Tx) error { return setMOTD(tx, host, m) }); err != nil {
		return nil, err
	}
	a.publish(host, m)
	return m, nil
}

// publish replaces the message of the day that is in memory. The setting lock is held.
func (a *Announcer) publish(host string, m *motd) {
	all := maps.Clone(*a.motds.Load())
	if delete(all, host); m != nil {
		all[host] = m
	}
	a.motds.Store(&all)
}
