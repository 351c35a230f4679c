package muc

import (
	"slices"
	"strconv"

	"parley/xmpp"
)

// reconfigured does and tells what follows from another configuration (XEP-0045 §10.2.1,
// §9.3).
func (t *turn) reconfigured(was *RoomConfig) {
	if t.cfg.MembersOnly && !was.MembersOnly {
		for _, o := range slices.Clone(t.occupants) {
			if o.aff == none {
				if tell := t.evict(o, because{codes: []int{statusMembersOnly}}); tell != nil {
					tell()
				}
			}
		}
		if !t.exists {
			return
		}
	}
	if t.cfg.Moderated != was.Moderated {
		for _, o := range slices.Clone(t.occupants) {
			if o.aff == none && o.role != moderator && o.role != t.roleOf(none) {
				o.role = t.roleOf(none)
				t.inform(o, because{})
			}
		}
	}
	if asJSON(t.cfg) == asJSON(was) {
		return
	}
	for _, o := range slices.Clone(t.occupants) {
		if o.shown != t.shows(o.role) {
			t.tell(t.notice(o), o.seats...) // for itself nothing has changed
		}
	}
	var codes []int
	add := func(changed, to bool, on, off int) {
		switch {
		case changed && to:
			codes = append(codes, on)
		case changed:
			codes = append(codes, off)
		}
	}
	add(t.cfg.Archive != was.Archive, t.cfg.Archive, statusLogged, statusNotLogged)
	add(t.cfg.NonAnonymous != was.NonAnonymous, t.cfg.NonAnonymous, statusNowNonAnon, statusNowSemiAnon)
	if len(codes) == 0 || asJSON(t.cfg) != asJSON(was.with(t.cfg.Archive, t.cfg.NonAnonymous)) {
		codes = append(codes, statusConfig)
	}
	t.changed(codes...)
}

// changed tells everybody that something about the room is new.
func (t *turn) changed(codes ...int) {
	var b xmpp.Builder
	b.Open(nsUser, "x")
	slices.Sort(codes)
	for _, c := range codes {
		b.Open("", "status", "code", strconv.Itoa(c)).Close()
	}
	st := xmpp.NewStanza(xmpp.Message, b.Payload())
	st.Type = "groupchat"
	t.everybody(st, t.jid)
}

// with returns the configuration with another archive and privacy.
func (c RoomConfig) with(archive, nonAnonymous bool) *RoomConfig {
	c.Archive, c.NonAnonymous = archive, nonAnonymous
	return &c
}
