package roster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// A watcher is a client that keeps its roster and who is there by what it is told alone.
type watcher struct {
	actor *routertest.Actor
	items map[string]string // by address
	ver   string
	sees  map[xmpp.JID]bool
}

// A troupe is people in groups who do things at random.
type troupe struct {
	*company
	rnd   *rand.Rand
	there map[string]*watcher // by full JID
	gone  map[string]bool     // accounts that do not exist
	kept  map[string]*watcher // who has left and may come again with the roster that they had
	log   []string
}

var (
	troupePeople = []string{"a@example.com", "b@example.com", "c@example.com", "d@example.net"}
	troupeGroups = []string{
		"All: example.com example.net", "Here: example.com", "One: a@example.com > example.com",
		"Two: b@example.com d@example.net", "Three: example.net > c@example.com a@example.com", "Here: b@example.com c@example.com > a@example.com d@example.net",
	}
)

// TestSharedRandom has groups, subscriptions, accounts and sessions change at random. What
// every client was told by pushes is what a fresh roster says, and who is seen is who the
// roster says.
func TestSharedRandom(t *testing.T) {
	for seed := range uint64(40) {
		p := &troupe{company: newCompany(t), rnd: rand.New(rand.NewPCG(seed, 7)), there: map[string]*watcher{}, gone: map[string]bool{}, kept: map[string]*watcher{}}
		for range 60 {
			p.step()
			p.Settle()
			for _, w := range p.there {
				p.listen(w)
			}
			if why := p.wrong(); why != "" {
				t.Fatalf("seed %d: %s after\n%s", seed, why, strings.Join(p.log, "\n"))
			}
		}
	}
}

func (p *troupe) step() {
	user, contact := troupePeople[p.rnd.IntN(4)], troupePeople[p.rnd.IntN(4)]
	switch n := p.rnd.IntN(12); {
	case n < 2:
		var groups []string
		names := map[string]bool{}
		for _, g := range troupeGroups {
			name, _, _ := strings.Cut(g, ":")
			if p.rnd.IntN(3) == 0 && !names[name] {
				groups = append(groups, g)
				names[name] = true
			}
		}
		p.log = append(p.log, fmt.Sprintf("groups %q", groups))
		p.has(groups...)
		return
	case n == 2:
		p.accounts(user)
		return
	}
	full := fmt.Sprintf("%s/%d", user, p.rnd.IntN(2))
	w := p.there[full]
	switch {
	case w == nil:
		p.gone[user] = false
		p.log = append(p.log, full+" comes")
		w = &watcher{actor: p.Connected(full), items: map[string]string{}, sees: map[xmpp.JID]bool{}}
		if old := p.kept[full]; old != nil && p.rnd.IntN(3) > 0 {
			w.items, w.ver = old.items, old.ver
		}
		p.there[full] = w
		if p.rnd.IntN(3) == 0 {
			p.says(w, "<presence/>")
		}
		p.fetch(w)
		p.says(w, "<presence/>")
	case p.rnd.IntN(10) == 0:
		p.log = append(p.log, full+" leaves")
		delete(p.there, full)
		p.kept[full] = w
		w.actor.Leaves()
	case contact != user:
		p.says(w, p.something(contact))
		if other := p.anyOf(contact); other != nil && p.rnd.IntN(2) == 0 { // often enough the two agree
			p.says(w, "<presence type='subscribe' to='"+contact+"'/>")
			p.says(other, "<presence type='subscribed' to='"+user+"'/>")
		}
	}
}

// anyOf returns a client of somebody, if there is one.
func (p *troupe) anyOf(user string) *watcher {
	if w := p.there[user+"/0"]; w != nil {
		return w
	}
	return p.there[user+"/1"]
}

// accounts makes or removes an account.
func (p *troupe) accounts(user string) {
	jid := xmpp.MustJID(user)
	if p.gone[user] || p.rnd.IntN(3) > 0 {
		p.log = append(p.log, user+" is made")
		p.gone[user] = false
		p.Exists(jid)
		return
	}
	if _, there, _ := p.Dir.Lookup(p.t.Context(), jid); !there {
		return
	}
	p.log = append(p.log, user+" is removed")
	for _, d := range []int{0, 1} {
		delete(p.kept, fmt.Sprintf("%s/%d", user, d))
		if w := p.there[fmt.Sprintf("%s/%d", user, d)]; w != nil {
			w.actor.Leaves()
			delete(p.there, fmt.Sprintf("%s/%d", user, d))
		}
	}
	if err := p.Router.Leaving(p.t.Context(), jid); err != nil {
		p.t.Fatal(err)
	}
	p.Dir.Remove(jid)
	p.Router.Forget(jid, xmpp.EndStream("not-authorized", ""))
	p.gone[user] = true
}

func (p *troupe) something(with string) string {
	switch n := p.rnd.IntN(9); n {
	case 0:
		return "<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + with + "' subscription='remove'/></query></iq>"
	case 1:
		return "<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + with + "' name='x'><group>mine</group><group>All</group></item></query></iq>"
	case 2:
		return "<presence><show>away</show></presence>"
	case 3:
		return "<presence type='probe' to='" + with + "'/>"
	default:
		return fmt.Sprintf("<presence type='%s' to='%s'/>", verb(n%verbs), with)
	}
}

func (p *troupe) says(w *watcher, xml string) {
	p.log = append(p.log, w.actor.JID().String()+": "+xml)
	w.actor.Sends(xml)
}

// fetch asks for the roster, or for what has changed in it.
func (p *troupe) fetch(w *watcher) {
	p.says(w, "<iq id='roster' type='get'><query xmlns='jabber:iq:roster' ver='"+w.ver+"'/></iq>")
}

func (p *troupe) listen(w *watcher) {
	for st := w.actor.Hears(); st != nil; st = w.actor.Hears() {
		q := st.Child(ns, "query")
		switch {
		case st.Kind == xmpp.Presence && !st.From.IsBare() && (st.Type == "" || st.Type == "unavailable"):
			w.sees[st.From] = st.Type == ""
		case st.Kind == xmpp.IQ && !q.IsZero() && (st.Type == "result" || st.Type == "set"):
			if st.Type == "result" {
				clear(w.items)
			}
			w.ver = q.Attr("ver")
			for it := range q.Children {
				w.items[it.Attr("jid")] = string(it.Payload())
				if it.Attr("subscription") == "remove" {
					delete(w.items, it.Attr("jid"))
				}
			}
		}
	}
}

// wrong says what is not as it must be, "" where all is.
func (p *troupe) wrong() string {
	for full, w := range p.there {
		fresh, version := p.fresh(w)
		if !maps.Equal(fresh, w.items) || version != w.ver {
			return fmt.Sprintf("%s was told %q (%s), and the roster is %q (%s)", full, w.items, w.ver, fresh, version)
		}
		for other := range p.there {
			from, user := xmpp.MustJID(other), xmpp.MustJID(full).Bare()
			sub := fresh[from.Bare().String()]
			may := from.Bare() == user || strings.Contains(sub, `subscription="both"`) || strings.Contains(sub, `subscription="to"`) ||
				strings.Contains(sub, `subscription='both'`) || strings.Contains(sub, `subscription='to'`)
			if w.sees[from] != may {
				return fmt.Sprintf("%s sees %s: %v", full, other, !may)
			}
		}
		for other, seen := range w.sees {
			if seen && p.there[other.String()] == nil {
				return fmt.Sprintf("%s still sees %s", full, other)
			}
		}
	}
	return ""
}

// fresh is what the roster would be for a client that asks now.
func (p *troupe) fresh(w *watcher) (list map[string]string, version string) {
	var own []Item
	var n int64
	id := p.Dir.Add(w.actor.JID().Bare())
	err := p.Store.Read(p.t.Context(), func(tx *storage.Tx) (err error) {
		if n, _, err = current(tx, id); err == nil {
			own, err = items(tx, id)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	user := w.actor.JID().Bare()
	st := xmpp.NewStanza(xmpp.IQ, p.feature.whole(user, n, own, p.feature.shared.list(user)))
	q := st.Child(ns, "query")
	list = map[string]string{}
	for it := range q.Children {
		if list[it.Attr("jid")] != "" || it.Attr("jid") == user.String() {
			p.t.Errorf("%s has %s once too often", user, it.Attr("jid"))
		}
		list[it.Attr("jid")] = string(it.Payload())
	}
	return list, q.Attr("ver")
}
