package privilege

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"parley/router"
	"parley/xmpp"
)

// presence tells components who comes and goes (XEP-0356 §7.1), and those that may know of
// contacts all that these show (XEP-0356 §7.4).
func (f *feature) presence(t *router.Turn, a *router.Account, c router.PresenceChange) {
	table := f.table()
	if !table.presence {
		return
	}
	for _, g := range table.all {
		if g.Presence == "roster" || g.presence() && (c.Came() || c.Went()) {
			f.tell(t, a, g, c.Stanza.Readdressed(g.jid, c.Before.JID()))
		}
	}
}

// tell sends a user's presence to a component, unless the user has shown it that already, as
// to any contact, or bars it.
func (f *feature) tell(t *router.Turn, a *router.Account, g *grant, st *xmpp.Stanza) {
	if f.router.MaySend(a, st) == nil && !f.router.Trusted(context.Background(), a, g.jid) {
		f.router.Deliver(&t.Round, st)
	}
}

// contact tells components of the presence of a user's contact elsewhere, whether the user is
// there or not (XEP-0356 §7.4): once, in however many rosters that contact is (XEP-0356 §8).
func (f *feature) contact(rd *router.Round, st *xmpp.Stanza) {
	table := f.table()
	if !table.contacts || f.router.Serves(st.From.Domain()) { // of users of this house it hears anyhow
		return
	}
	for _, g := range table.all {
		if g.Presence != "roster" || st.From.Domain() == g.jid.Domain() || !f.listed(rd, st) {
			continue
		}
		if f.shown.first(g.jid, st.From, f.digest(st)) {
			f.router.Deliver(rd, st.Readdressed(g.jid, st.From))
		}
	}
}

// listed reports whether presence comes from a contact of whom it is for.
func (f *feature) listed(rd *router.Round, st *xmpp.Stanza) (is bool) {
	ctx := context.Background()
	rd.Flush() // who waits, flushes
	err := f.router.WithAccount(ctx, st.To, func(a *router.Account) (err error) {
		if a != nil && f.router.MayGet(a, st) == nil {
			is, err = f.router.Contact(ctx, a, st.From.Bare())
		}
		return err
	})
	return is && err == nil
}

func (f *feature) digest(st *xmpp.Stanza) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	h.WriteString(st.Type + " ")
	h.Write(st.Body())
	return h.Sum64()
}

// maxShown is of how many contacts it is remembered what components were told last.
const maxShown = 20_000

// shown is what components were told last of contacts.
type shown struct {
	mu   sync.Mutex // a leaf
	last *simplelru.LRU[showing, uint64]
}

type showing struct{ to, of xmpp.JID }

func (s *shown) init() {
	s.last, _ = simplelru.NewLRU[showing, uint64](maxShown, nil) // fails for sizes below one only
}

// first notes what a component is told and reports whether that is new.
func (s *shown) first(to, of xmpp.JID, what uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.last.Get(showing{to, of})
	s.last.Add(showing{to, of}, what)
	return !known || was != what
}

// forget has a component be told all anew.
func (s *shown) forget(to xmpp.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.last.Keys() {
		if k.to == to {
			s.last.Remove(k)
		}
	}
}
