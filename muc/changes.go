package muc

import (
	"slices"
)

// setRole changes a role now, and returns what the others are told behind the answer.
func (t *turn) setRole(c change, actor string) func() {
	o := c.occ
	if c.role == nobody {
		return t.evict(o, because{codes: []int{statusKicked}, actor: actor, reason: c.reason})
	}
	if o.role == c.role {
		return nil
	}
	o.role = c.role
	return func() {
		if t.byNick[key(o.nick())] == o {
			t.inform(o, because{actor: actor, reason: c.reason})
		}
	}
}

// because is why somebody is something else now, or is not in the room any more.
type because struct {
	codes         []int
	actor, reason string
	span          span // of the lists
}

// inform tells everybody what an occupant is now.
func (t *turn) inform(o *occupant, why because) {
	if t.byNick[key(o.nick())] != o {
		return // it is gone by now
	}
	n := t.notice(o)
	n.actor, n.reason, n.mav = why.actor, why.reason, t.mav(why.span)
	t.tell(n)
}

// affiliated does what follows from another affiliation, and returns what is told behind the
// answer.
func (t *turn) affiliated(q request, c change, was affiliation, why because) func() {
	var after []func()
	here, told := false, why.span == (span{})
	for _, o := range slices.Clone(t.occupants) {
		if o.real != c.jid && !(c.jid.Local() == "" && o.real.Host() == c.jid) {
			continue
		}
		here = true
		before := o.aff
		if o.aff = t.lists.of(o.real); o.aff == before {
			continue
		}
		each := why
		if told || o.real != c.jid || !t.shows(o.role) || !t.evicts(o) && !t.shows(t.roleAfter(o, before)) {
			each.span = span{}
		} else {
			told = true // this presence speaks of the new version
		}
		after = append(after, t.moved(o, before, each))
	}
	if !told {
		after = append(after, func() { t.tellChange(affChange{c.jid, was, c.aff}, c.reason, why.span) })
	}
	if !here && c.aff >= member && was == none && t.cfg.MembersOnly && c.jid.Local() != "" {
		after = append(after, func() { t.invite(q.st.From, c.jid, "", c.reason, "") }) // XEP-0045 §9.5
	}
	return func() {
		for _, fn := range after {
			if fn != nil {
				fn()
			}
		}
	}
}

// evicts reports whether an occupant's affiliation does not let it stay.
func (t *turn) evicts(o *occupant) bool {
	return o.aff == outcast || o.aff == none && t.cfg.MembersOnly
}

// moved does with an occupant what goes with its new affiliation, and returns what the others are
// told.
func (t *turn) moved(o *occupant, before affiliation, why because) func() {
	switch {
	case o.aff == outcast:
		why.codes = []int{statusBanned}
	case t.evicts(o):
		why.codes = []int{statusAffiliation}
	default:
		o.role = t.roleAfter(o, before)
		return func() { t.inform(o, why) }
	}
	return t.evict(o, why)
}

// roleAfter is the role that goes with a new affiliation (XEP-0045 §5.1.3, note).
func (t *turn) roleAfter(o *occupant, before affiliation) role {
	want := t.roleOf(o.aff)
	if o.aff > before {
		return max(o.role, want)
	}
	return want
}

// evict removes an occupant: itself hears of it at once, the others when the returned function
// is called.
func (t *turn) evict(o *occupant, why because) func() {
	shown, seats := o.shown, slices.Clone(o.seats)
	mk := func(s *seat) *notice {
		n := t.goneNotice(s, nil)
		n.codes, n.actor, n.reason = why.codes, why.actor, why.reason
		return n
	}
	for _, s := range seats {
		n := mk(s)
		t.to(n, s)
	}
	for _, s := range seats {
		t.quit(s)
	}
	last := seats[len(seats)-1]
	n := mk(last)
	n.mav = t.mav(why.span)
	return func() {
		if shown {
			t.tell(n)
		}
		t.s.emptied(t)
	}
}
