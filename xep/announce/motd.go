package announce

import (
	"crypto/rand"
	"errors"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A motd is a message of the day. It never changes.
type motd struct {
	version int64
	text    Text
}

// A showing is what is remembered of an account: the version that it was shown last. As
// long as it is not sure that it came, a session has it: if that ends, it is shown again.
type showing struct {
	version int64
	to      router.Session
	sure    bool
}

// load reads which version an account has seen. An account that comes into use while there
// is no message of the day has not seen the one that is set later.
func (a *Announcer) load(tx *storage.Tx, acc *router.Account) error {
	if a.motd(acc.JID.Domain()) == nil {
		return nil
	}
	version, err := seen(tx, acc.ID)
	if err == nil && version != 0 {
		a.shown.Set(acc, &showing{version: version, sure: true})
	}
	return err
}

// presence shows the message of the day to the first resource that comes and takes
// messages.
func (a *Announcer) presence(t *router.Turn, acc *router.Account, c router.PresenceChange) {
	if was := a.shown.Of(acc); c.Went() && was != nil && !was.sure && was.to == c.Before.Session {
		a.shown.Set(acc, nil)
	}
	if m := a.motd(acc.JID.Domain()); m != nil && hears(c.After) && !hears(c.Before) {
		a.show(t, acc, m, []router.Resource{c.After})
	}
}

// showAll shows a new message of the day to all who are online, one account after the
// other, and returns how many these are.
func (a *Announcer) showAll(host string, m *motd) (n int) {
	for _, bare := range a.online(host) {
		a.router.WithAccountInMemory(bare, func(acc *router.Account) {
			err := acc.Do(func(t *router.Turn) {
				var list []router.Resource
				for _, res := range acc.Resources() {
					if hears(res) {
						list = append(list, res)
					}
				}
				if a.show(t, acc, m, list) {
					n++
				}
			})
			if err != nil { // so busy that it waits for the next login
				a.log.Warn("the message of the day was not shown yet", "account", bare.String(), "error", err)
			}
		})
	}
	return n
}

// show gives resources the message of the day, unless the account has seen it. The first
// is asked behind it whether it is there, and its answer says that the message has come.
func (a *Announcer) show(t *router.Turn, acc *router.Account, m *motd, list []router.Resource) bool {
	if was := a.shown.Of(acc); len(list) == 0 || was != nil && was.version >= m.version {
		return false
	}
	st := m.text.message("headline", acc.JID.Domain())
	for _, res := range list {
		a.router.Deliver(&t.Round, st.Readdressed(res.JID(), st.From))
	}
	first := list[0]
	a.shown.Set(acc, &showing{version: m.version, to: first.Session})
	var b xmpp.Builder
	id := "motd-" + strings.ToLower(rand.Text())
	first.Sender().Ask(&t.Round, "get", id, b.Open("urn:xmpp:ping", "ping").Payload(), func(*xmpp.Stanza) {
		a.confirm(acc, m)
	})
	return true
}

// confirm writes down that an account has seen a message of the day.
func (a *Announcer) confirm(acc *router.Account, m *motd) {
	err := acc.Post(func(*router.Turn) {
		if was := a.shown.Of(acc); was == nil || was.version <= m.version {
			a.shown.Set(acc, &showing{version: m.version, sure: true})
		}
	})
	if err != nil {
		return // it is shown once more
	}
	a.store.Keep(64, func(tx *storage.Tx) error {
		if acc.Removed() {
			return nil
		}
		return setSeen(tx, acc.ID, m.version)
	}, func(err error) {
		if err != nil && !errors.Is(err, storage.ErrClosed) {
			a.log.Warn("who has seen the message of the day was not noted", "account", acc.JID.String(), "error", err)
		}
	})
}
