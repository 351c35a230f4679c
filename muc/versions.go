package muc

import (
	"context"
	"strconv"

	"parley/storage"
	"parley/xmpp"
)

// nsVersions is the namespace of versions of affiliations (XEP-0463).
const nsVersions = "urn:xmpp:muc:affiliations:1"

// A span is the step from one version of the lists to the next, which a change of one
// affiliation makes; zero where nothing has changed.
type span struct{ since, until storage.ID }

// affChange is one line of what the lists have gone through.
type affChange struct {
	jid      xmpp.JID
	was, now affiliation
}

// maxListed is how many affiliations one message has.
const maxListed = 500

// version is how a version is called. Nobody can guess one, so who names it was there
// (XEP-0463 §6).
func (t *turn) versionName(v storage.ID) string { return t.s.store.Opaque(v) }

// mav is the element that says between which versions a change lies, as a notice has it.
type mav struct{ since, until string }

func (t *turn) mav(s span) mav {
	if s == (span{}) {
		return mav{}
	}
	return mav{t.versionName(s.since), t.versionName(s.until)}
}

func (m mav) write(b *xmpp.Builder) {
	if m.until != "" {
		b.Open(nsVersions, "mav", "since", m.since, "until", m.until).Close()
	}
}

// catchUp tells who enters, and has asked for it, what the lists are, or what has changed in them
// (XEP-0463 §5.2.1). The seat hears of changes from then on.
func (t *turn) catchUp(st *xmpp.Stanza, s *seat) {
	e := st.Child(nsMUC, "x").Child(nsVersions, "mav")
	s.versions = false
	if e.IsZero() {
		return
	}
	if q := t.reading(s); !t.mayList(q, member) && !t.mayList(q, admin) { // XEP-0463 §5.2.3
		refused := xmpp.NewStanza(xmpp.Message, xmpp.Refuse("forbidden", "you may not read the lists").Payload())
		refused.ID, refused.Type = st.ID, "error"
		t.say(refused.Readdressed(s.jid, t.jid))
		return
	}
	s.versions = true
	since, known := t.s.store.FromOpaque(e.Attr("since"))
	switch {
	case known && since == t.version:
		return
	case known:
		if items := t.changesSince(s, since); len(items) > 0 {
			t.tellList(s, e.Attr("since"), items)
			return
		}
	}
	t.tellList(s, "", t.allListed(s))
}

// reading is what somebody asks who wants to know the lists.
func (t *turn) reading(s *seat) request { return request{seat: s, aff: s.occ.aff} }

// sees returns what a seat may know of an affiliation: of lists that it may not read, that it is
// none of the others.
func (t *turn) sees(s *seat, a affiliation) affiliation {
	if a != none && t.mayList(t.reading(s), a) {
		return a
	}
	return none
}

// allListed are the lists, as far as a seat may read them.
func (t *turn) allListed(s *seat) (items []affChange) {
	for _, a := range []affiliation{owner, admin, member, outcast} {
		if t.sees(s, a) != a {
			continue
		}
		for _, j := range t.lists.with(a) {
			items = append(items, affChange{jid: j, now: a})
		}
	}
	return items
}

// changesSince is what has changed since a version, as far as a seat may see that; nothing where
// that is not known any more, or is nothing.
func (t *turn) changesSince(s *seat, since storage.ID) (items []affChange) {
	var list []affChange
	t.Flush()
	err := t.s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		list, err = listChangesSince(tx, t.id, since)
		return err
	})
	if err != nil {
		t.s.log.Error("what has changed in the lists of a room could not be read", "room", t.jid.String(), "error", err)
		return nil
	}
	at := map[xmpp.JID]int{}
	var sum []affChange // one line each: from the first to the last
	for _, c := range list {
		i, there := at[c.jid]
		if !there {
			i = len(sum)
			at[c.jid], sum = i, append(sum, c)
		}
		sum[i].now = c.now
	}
	for _, c := range sum {
		if now := t.sees(s, c.now); now != t.sees(s, c.was) {
			items = append(items, affChange{jid: c.jid, now: now})
		}
	}
	return items
}

// tellList tells a seat affiliations, in as many messages as it takes. Those before the last end
// with a version that is there for this alone.
func (t *turn) tellList(s *seat, since string, items []affChange) {
	last := t.versionName(t.version)
	for n := 1; ; n++ {
		now, until := items, last
		if len(items) > maxListed {
			now, until = items[:maxListed], last+"."+strconv.Itoa(n)
		}
		items = items[len(now):]
		var b xmpp.Builder
		b.Open(nsUser, "x")
		mav{since, until}.write(&b)
		for _, c := range now {
			b.Open("", "item", "jid", c.jid.String(), "affiliation", c.now.String()).Close()
		}
		t.say(fleeting(b.Payload()).Readdressed(s.jid, t.jid))
		if since = until; len(items) == 0 {
			return
		}
	}
}

// tellChange tells a change of the lists, of which no presence speaks, to the seats that want to
// know (XEP-0463 §5.2.2). Who may not see what it is learns that there is a new version.
func (t *turn) tellChange(c affChange, reason string, sp span) {
	if sp == (span{}) {
		return
	}
	for _, o := range t.occupants {
		for _, s := range o.seats {
			if s.versions {
				t.say(t.changeFor(s, c, reason, sp).Readdressed(s.jid, t.jid))
			}
		}
	}
}

func (t *turn) changeFor(s *seat, c affChange, reason string, sp span) *xmpp.Stanza {
	var b xmpp.Builder
	b.Open(nsUser, "x")
	t.mav(sp).write(&b)
	if now := t.sees(s, c.now); now != t.sees(s, c.was) {
		b.Open("", "item", "affiliation", now.String(), "jid", c.jid.String(), "role", nobody.String())
		if reason != "" && now == c.now {
			b.Leaf("", "reason", xmpp.Clean(reason))
		}
		b.Close()
	}
	b.Close()
	return fleeting(b.Payload())
}
