package muc

import (
	"slices"
	"strconv"

	"parley/router"
	"parley/xmpp"
)

// notice is presence of an occupant that the room tells to those who are in it (XEP-0045
// §17.3).
type notice struct {
	occ    *occupant
	seat   *seat        // whose address is told, to whom it may be told
	base   *xmpp.Stanza // what the occupant says itself; nil: nothing
	typ    string       // "" or unavailable
	codes  []int        // for everybody
	own    []int        // beside these, for the occupant itself
	nick   string       // the new one
	actor  string       // nickname of who did it
	reason string
	role   role
	extra  xmpp.Payload // in <x/>, as <destroy/>

	mav mav // of the lists, for seats that want it

	made [8]*xmpp.Stanza // as it was made, by what the hearer may know
}

// notice begins one of what an occupant is now.
func (t *turn) notice(o *occupant) *notice {
	s := o.now()
	return &notice{occ: o, seat: s, base: s.said, role: o.role}
}

// gone is notice for one who leaves.
func (t *turn) goneNotice(s *seat, base *xmpp.Stanza) *notice {
	return &notice{occ: s.occ, seat: s, base: base, typ: "unavailable", role: nobody}
}

// For the kinds of hearers.
const (
	knowing = 1 << iota // may know the real address
	oneself
	versioned // wants to know which version of the lists this is
)

// to tells one seat.
func (t *turn) to(n *notice, s *seat) {
	kind := 0
	if t.knows(s.occ) {
		kind |= knowing
	}
	if s == n.seat || s.occ == n.occ {
		kind |= oneself | knowing
	}
	if s.versions && n.mav.until != "" {
		kind |= versioned
	}
	st := n.made[kind]
	if st == nil {
		st = n.make(kind)
		n.made[kind] = st
	}
	t.say(st.Readdressed(s.jid, n.occ.jid))
}

// make writes the presence for one kind of hearers.
func (n *notice) make(kind int) *xmpp.Stanza {
	var b xmpp.Builder
	b.Grow(512)
	if n.base != nil {
		b.Raw(n.base.Body())
	}
	b.Open(nsUser, "x")
	if kind&versioned != 0 {
		n.mav.write(&b)
	}
	jid := ""
	if kind&knowing != 0 {
		jid = n.seat.jid.String()
	}
	b.Open("", "item", "affiliation", n.occ.aff.String(), "jid", jid, "nick", n.nick, "role", n.role.String())
	if n.actor != "" {
		b.Open("", "actor", "nick", n.actor).Close()
	}
	if n.reason != "" {
		b.Leaf("", "reason", xmpp.Clean(n.reason))
	}
	b.Close()
	codes := n.codes
	if kind&oneself != 0 {
		codes = merged(n.codes, n.own, statusSelf)
	}
	for _, c := range codes {
		b.Open("", "status", "code", strconv.Itoa(c)).Close()
	}
	b.Raw(n.extra)
	b.Close()
	b.Open(nsOccupantID, "occupant-id", "id", n.occ.id).Close()
	if n.typ == "" {
		b.Raw(n.occ.hats)
	}
	st := xmpp.NewStanza(xmpp.Presence, b.Payload())
	st.Type = n.typ
	if n.base != nil {
		st.ID, st.Lang = n.base.ID, n.base.Lang
	}
	return st
}

// tell tells everybody but some seats; the occupant itself last. For the others one whose
// presence is shown no more has gone.
func (t *turn) tell(n *notice, but ...*seat) {
	shown, others := t.shows(n.role) || n.role == nobody, n
	if n.typ == "" {
		if n.occ.shown && !shown {
			others, shown = t.goneNotice(n.seat, nil), true
		}
		n.occ.shown = t.shows(n.role)
	}
	skip := func(s *seat) bool {
		for _, b := range but {
			if s == b {
				return true
			}
		}
		return false
	}
	var own []*seat
	for _, o := range t.occupants {
		for _, s := range o.seats {
			switch {
			case skip(s):
			case o == n.occ:
				own = append(own, s)
			case shown:
				t.to(others, s)
			}
		}
	}
	for _, s := range own {
		t.to(n, s)
	}
}

// merged returns codes in ascending order, each once.
func merged(a, b []int, c int) []int {
	all := append(append([]int{c}, a...), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// worn is a presence stanza without what is not for others: what only the room says, and
// what was meant for the room (XEP-0045 §17.3). A server may have said in it whose it is
// (XEP-0203 §4).
func worn(st *xmpp.Stanza) *xmpp.Stanza {
	return st.Without(func(e xmpp.Element) bool {
		switch n := e.Name(); n.Space {
		case nsMUC, nsUser, nsAdmin, nsOwner, nsHats:
			return true
		case nsOccupantID:
			return n.Local == "occupant-id"
		case xmpp.NSDelay:
			from, err := xmpp.ParseJID(e.Attr("from"))
			return err == nil && from.Bare() == st.From.Bare() || betrays(e, st.From)
		}
		return false
	})
}

var _ router.Service = (*Service)(nil)
