package muc

import (
	"slices"

	"parley/router"
	"parley/xmpp"
)

// Members of a room for members only belong to it whether they are in it or not: what is said
// waits for them in its archive, is counted in their inbox, and is told to their devices that
// are not there. Nothing is sent to sessions that have not entered. This is our own behaviour;
// docs/rooms-members.md has it in words.

// A level says of which messages a member is told who is not there. It is on disk.
type level uint8

const (
	always level = iota
	onMention
	never
)

// levelNames are the words of XEP-0492 §2, where clients say the same in their bookmarks.
var levelNames = [...]string{"always", "on-mention", "never"}

func (l level) String() string { return levelNames[l] }

func parseLevel(s string) (level, bool) {
	i := slices.Index(levelNames[:], s)
	return level(max(i, 0)), i >= 0
}

// absentees are the members that may have to be told, there or not: those with accounts of this
// house who have not said that they never want to be. It never changes; another takes its place.
type absentees struct {
	list  []absentee
	names map[string][]name // by their first words
}

type absentee struct {
	jid   xmpp.JID
	level level
	known *acquaintance
}

// A name is one that a member is mentioned by.
type name struct {
	rest []string // the words behind the first
	jid  xmpp.JID
}

// belongs reports whether somebody is a member, one by one and with an account of this house,
// of a room for members only.
func (t *turn) belongs(bare xmpp.JID) bool {
	return t.exists && t.cfg.MembersOnly && t.lists.by[bare].aff >= member && t.s.local(bare)
}

// absentees returns who may have to be told. It is made anew when the lists have changed, or
// somebody has come with another nickname.
func (t *turn) absentees() *absentees {
	if t.lists.absentees != nil {
		return t.lists.absentees
	}
	a := &absentees{names: map[string][]name{}}
	for j, e := range t.lists.by {
		if e.aff < member || j.Local() == "" || e.notify == never || !t.s.local(j) {
			continue
		}
		a.list = append(a.list, absentee{j, e.notify, t.teller.acquaint(j)})
		a.call(e.nick, j)
		if nick := t.nicks[j]; nick != e.nick {
			a.call(nick, j)
		}
	}
	t.teller.forgetOthers(a)
	t.lists.absentees = a
	return a
}

// call has a member be mentioned by a nickname.
func (a *absentees) call(nick string, who xmpp.JID) {
	words := wordsOf(nick, maxNickWords+1)
	if len(words) == 0 || len(words) > maxNickWords || len(words) == 1 && single(words[0]) {
		return // by nothing but a reference
	}
	a.names[words[0]] = append(a.names[words[0]], name{words[1:], who})
}

// seen notes under which nickname a member is in the room: by that it is mentioned, also when it
// is gone.
func (r *room) seen(o *occupant) {
	if r.lists.by[o.real].aff < member || r.nicks[o.real] == o.nick() {
		return
	}
	if r.nicks == nil {
		r.nicks = map[xmpp.JID]string{}
	}
	r.nicks[o.real] = o.nick()
	r.lists.absentees = nil
}

// concern has those members hear of a message who are not there to hear it.
func (t *turn) concern(m *saying, out *xmpp.Stanza) {
	if !m.text || m.id == 0 || !t.cfg.MembersOnly || afterthought(m.st) {
		return
	}
	if a := t.absentees(); len(a.list) > 0 {
		t.teller.put(telling{st: out, by: m.by.real, to: a, named: t.referred(m.st)})
	}
}

// afterthought reports whether a message changes what was said before (XEP-0308, XEP-0424).
func afterthought(st *xmpp.Stanza) bool {
	return st.Has("urn:xmpp:message-correct:0", "replace") || st.Has(nsRetract, "retract")
}

// nsMarkers is the namespace of displayed markers (XEP-0333).
const nsMarkers = "urn:xmpp:chat-markers:0"

// reader finds out whether a message says how far a member has read.
func (t *turn) reader(m *saying) {
	marker := m.st.Child(nsMarkers, "displayed").Attr("id")
	if !m.text && marker == "" || !t.cfg.Archive || !t.belongs(m.by.real) {
		return
	}
	t.s.router.WithAccountInMemory(m.by.real, func(a *router.Account) { m.account, m.displayed = a.ID, marker })
}
