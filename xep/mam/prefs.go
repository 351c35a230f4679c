package mam

import (
	"context"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// What is archived by default (XEP-0441 §2.1.1).
const (
	PolicyAlways = "always"
	PolicyRoster = "roster" // what is exchanged with contacts
	PolicyNever  = "never"
)

// Policies returns the names of what may be archived by default.
func Policies() []string { return []string{PolicyAlways, PolicyRoster, PolicyNever} }

// maxPrefs is how many addresses a user may have on both lists together.
const maxPrefs = 1000

// preferences are what a user has said about the own archive (XEP-0441). They never change.
type preferences struct {
	policy string
	jids   map[xmpp.JID]bool // true: always, false: never
}

// about returns what is said of an address: of it as it is, or of the bare one
// (XEP-0441 §2.3.1). What is said of the full one counts more.
func (p *preferences) about(peer xmpp.JID) (always, said bool) {
	if always, said = p.jids[peer]; said {
		return always, said
	}
	always, said = p.jids[peer.Bare()]
	return always, said
}

// sorted returns the addresses in order.
func (p *preferences) sorted() []xmpp.JID {
	list := make([]xmpp.JID, 0, len(p.jids))
	for j := range p.jids {
		list = append(list, j)
	}
	slices.SortFunc(list, func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// archives reports whether an account wants what it exchanges with an address, which is
// that of the message, in its archive. Only where that depends on the contacts it may wait
// for storage; what then cannot be found out is archived, for it could not be later.
func (f *feature) archives(a *router.Account, peer xmpp.JID) bool {
	policy := ""
	if p := f.prefs.Of(a); p != nil {
		if always, said := p.about(peer); said {
			return always
		}
		policy = p.policy
	}
	if policy == "" {
		policy = f.archive(a.JID).Default
	}
	switch policy {
	case PolicyNever:
		return false
	case PolicyRoster:
		in, err := f.router.Contact(context.Background(), a, peer.Bare())
		return in || err != nil
	}
	return true
}

// getPrefs tells the asker's preferences (XEP-0441 §2.1).
func (f *feature) getPrefs(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	p := f.prefs.Of(q.Account)
	if p == nil {
		p = &preferences{policy: f.archive(q.Account.JID).Default}
	}
	return p.payload(), nil
}

func (p *preferences) payload() xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsMAM, "prefs", "default", p.policy)
	for _, list := range []struct {
		name   string
		always bool
	}{{"always", true}, {"never", false}} {
		b.Open("", list.name)
		for _, j := range p.sorted() {
			if p.jids[j] == list.always {
				b.Leaf("", "jid", j.String())
			}
		}
		b.Close()
	}
	return b.Payload()
}

// setPrefs replaces the asker's preferences (XEP-0441 §2.1).
func (f *feature) setPrefs(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	p, err := parsePrefs(q.Payload)
	if err != nil {
		return nil, err
	}
	err = q.Turn(func(t *router.Turn) error {
		err := t.Write(ctx, func(tx *storage.Tx) error { return writePrefs(tx, q.Account.ID, p) })
		if err == nil {
			f.prefs.Set(q.Account, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.payload(), nil
}

// parsePrefs reads a <prefs/>. A list that is not there is empty (XEP-0441 §2.1.2).
func parsePrefs(e xmpp.Element) (*preferences, error) {
	p := &preferences{policy: e.Attr("default"), jids: map[xmpp.JID]bool{}}
	if !slices.Contains(Policies(), p.policy) {
		return nil, wrong("the default is always, roster or never")
	}
	for list := range e.Children {
		always := list.Is(nsMAM, "always")
		if !always && !list.Is(nsMAM, "never") {
			continue
		}
		for c := range list.Children {
			if !c.Is(nsMAM, "jid") {
				continue
			}
			j, err := xmpp.ParseJID(strings.TrimSpace(c.Text()))
			if err != nil {
				return nil, xmpp.Refuse("jid-malformed", "")
			}
			if was, there := p.jids[j]; there && was != always {
				return nil, wrong("an address is on both lists")
			}
			if p.jids[j] = always; len(p.jids) > maxPrefs {
				return nil, xmpp.Refuse("policy-violation", "too many addresses")
			}
		}
	}
	return p, nil
}

// loadPrefs remembers what a user has said, when the account comes into use. Of most there
// is nothing.
func (f *feature) loadPrefs(tx *storage.Tx, a *router.Account) error {
	p, err := readPrefs(tx, a.ID)
	if err == nil && p != nil {
		f.prefs.Set(a, p)
	}
	return err
}
