package muc

import (
	"slices"
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// maxItems is how many lines of a list one request may change.
const maxItems = 500

// change is one line of a request that changes lists (XEP-0045 §8, §9).
type change struct {
	occ    *occupant // of whom the role changes
	jid    xmpp.JID  // of whom the affiliation changes: bare, or a domain
	role   role
	aff    affiliation
	isRole bool
	nick   *string // to be reserved; "" for none any more
	reason string
}

// adminGet tells a list (XEP-0045 §8.5, §9.2, §9.5).
func (t *turn) adminGet(q request) (xmpp.Payload, error) {
	item := q.payload.Child(nsAdmin, "item")
	a, okA := parseAffiliation(item.Attr("affiliation"))
	r, okR := parseRole(item.Attr("role"))
	switch {
	case okA == okR:
		return nil, wrong("a list of one affiliation or one role is wanted")
	case okR:
		return t.roleList(q, r)
	}
	if !t.mayList(q, a) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	var b xmpp.Builder
	b.Open(nsAdmin, "query")
	nicks := make(map[xmpp.JID]string, len(t.occupants))
	for _, o := range slices.Backward(t.occupants) { // of several that of the first
		nicks[o.real] = o.nick()
	}
	for _, j := range t.lists.with(a) {
		e := t.lists.by[j]
		nick := e.nick
		if nick == "" {
			nick = nicks[j]
		}
		if a == outcast {
			nick = ""
		}
		b.Open("", "item", "affiliation", a.String(), "jid", j.String(), "nick", nick)
		if e.reason != "" {
			b.Leaf("", "reason", e.reason)
		}
		b.Close()
	}
	return b.Payload(), nil
}

// mayList reports whether somebody may read the list of an affiliation (XEP-0045 §5.2.1, §9.5,
// §10.5, §10.8). Who may not know addresses does not learn them here.
func (t *turn) mayList(q request, a affiliation) bool {
	switch {
	case q.aff == owner || q.aff == admin && a <= member:
		return true
	case a <= none || q.aff == outcast || a >= admin && !t.cfg.NonAnonymous:
		return false
	case q.seat != nil && slices.Contains(t.cfg.memberList(), q.seat.occ.role.String()):
		return t.knows(q.seat.occ)
	}
	return t.cfg.NonAnonymous && q.aff >= member
}

// roleList tells who has a role in the room now, to those who see their addresses.
func (t *turn) roleList(q request, r role) (xmpp.Payload, error) {
	if r == nobody {
		return nil, wrong("nobody is in the room without a role")
	}
	if q.aff < admin && (q.seat == nil || q.seat.occ.role < moderator) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	var b xmpp.Builder
	b.Open(nsAdmin, "query")
	for _, o := range t.occupants {
		if o.role == r {
			b.Open("", "item", "affiliation", o.aff.String(), "jid", o.now().jid.String(), "nick", o.nick(), "role", r.String()).Close()
		}
	}
	return b.Payload(), nil
}

// adminSet changes roles or affiliations: all that was asked, or nothing.
func (t *turn) adminSet(q request) (xmpp.Payload, error) {
	var list []change
	for item := range q.payload.Children {
		if !item.Is(nsAdmin, "item") {
			continue
		}
		c, err := t.parseChange(item)
		if err == nil {
			err = t.mayChange(q, c)
		}
		if err != nil {
			return nil, err
		}
		if list = append(list, c); len(list) > maxItems {
			return nil, xmpp.Refuse("policy-violation", "too many changes at once")
		}
	}
	if err := t.fits(list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, wrong("there is nothing to change")
	}
	if t.noOwner(list) {
		return nil, xmpp.Refuse("conflict", "the room has no other owner") // XEP-0045 §10.4, §10.5
	}
	return nil, t.apply(q, list)
}

// parseChange reads one <item/>.
func (t *turn) parseChange(item xmpp.Element) (c change, err error) {
	text := item.ChildText("", "reason")
	if text == "" {
		text = item.ChildText(nsAdmin, "reason")
	}
	c.reason = strings.TrimSpace(text)
	nick, hasNick := item.LookupAttr("nick")
	if len(c.reason) > 1024 || len(nick) > xmpp.MaxPart {
		return c, xmpp.Refuse("not-acceptable", "a reason is short")
	}
	wantsRole, wantsAff := item.Attr("role"), item.Attr("affiliation")
	switch {
	case wantsRole != "" && wantsAff != "" || wantsRole == "" && wantsAff == "":
		return c, wrong("either a role or an affiliation is changed") // XEP-0045 §17.4, rule 4
	case wantsRole != "":
		return t.parseRoleChange(c, wantsRole, nick)
	}
	var ok bool
	if c.aff, ok = parseAffiliation(wantsAff); !ok {
		return c, wrong("there is no such affiliation")
	}
	if text, has := item.LookupAttr("jid"); has {
		if c.jid, err = xmpp.ParseJID(text); err != nil {
			return c, xmpp.Refuse("jid-malformed", "")
		}
		c.jid = c.jid.Bare()
		if hasNick {
			c.nick = &nick
		}
		return c, nil
	}
	if nick == "" {
		return c, wrong("whose affiliation that is, is said by the address") // XEP-0045 §17.4, rule 6
	}
	o := t.byNick[key(nick)] // of a client that knows nobody's address
	if o == nil {
		return c, xmpp.Refuse("item-not-found", "there is nobody of that name in the room")
	}
	c.jid = o.real
	return c, nil
}

func (t *turn) parseRoleChange(c change, wants, nick string) (change, error) {
	var ok bool
	if c.role, ok = parseRole(wants); !ok {
		return c, wrong("there is no such role")
	}
	c.isRole = true
	if nick == "" {
		return c, wrong("whose role that is, is said by the nickname") // XEP-0045 §17.4, rule 5
	}
	if c.occ = t.byNick[key(nick)]; c.occ == nil {
		return c, xmpp.Refuse("item-not-found", "there is nobody of that name in the room")
	}
	return c, nil
}

// mayChange says why somebody may not make a change (XEP-0045 §5.1.3, §5.2.2).
func (t *turn) mayChange(q request, c change) error {
	if c.isRole {
		return t.mayChangeRole(q, c)
	}
	was := t.lists.of(c.jid)
	own := c.jid == q.st.From.Bare()
	switch {
	case q.aff < admin:
		return xmpp.Refuse("forbidden", "")
	case own && c.aff == outcast:
		return xmpp.Refuse("conflict", "you cannot ban yourself") // XEP-0045 §9.1
	case q.aff < owner && (was >= admin || c.aff >= admin):
		if c.aff == outcast {
			return xmpp.Refuse("not-allowed", "") // XEP-0045 §9.1
		}
		return xmpp.Refuse("forbidden", "only owners change who is admin or owner") // XEP-0045 §10.3 to §10.8
	case c.jid.Local() == "" && c.aff >= admin:
		return xmpp.Refuse("not-allowed", "a whole domain does not run a room")
	case c.aff >= member && t.s.router.Visits(c.jid):
		return errRoomInRoom
	case c.nick != nil && *c.nick != "" && t.taken(*c.nick, c.jid):
		return xmpp.Refuse("conflict", "the nickname is somebody else's")
	}
	return t.fits([]change{c})
}

// fits refuses changes that together are too much for the lists, or give a nickname to two.
func (t *turn) fits(list []change) error {
	nicks, fresh := map[string]xmpp.JID{}, map[xmpp.JID]bool{}
	for _, c := range list {
		if _, there := t.lists.by[c.jid]; !c.isRole && !there && c.aff != none {
			fresh[c.jid] = true
		}
		if c.nick == nil || *c.nick == "" {
			continue
		}
		k := key(*c.nick)
		if by, taken := nicks[k]; taken && by != c.jid {
			return xmpp.Refuse("conflict", "a nickname is one person's")
		}
		nicks[k] = c.jid
	}
	if len(fresh) > 0 && len(t.lists.by)+len(fresh) > t.settings().Affiliations {
		t.s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the room's lists are full"}
	}
	return nil
}

// errRoomInRoom is for who names a room where people are meant.
var errRoomInRoom = xmpp.Refuse("not-acceptable", "a room is nothing to a room")

// taken reports whether a nickname is another one's.
func (t *turn) taken(nick string, by xmpp.JID) bool {
	if who := t.lists.reservedBy(nick); !who.IsZero() && who != by {
		return true
	}
	o := t.byNick[key(nick)]
	return o != nil && o.real != by
}

// noOwner reports whether changes would leave the room without an owner.
func (t *turn) noOwner(list []change) bool {
	owners := map[xmpp.JID]bool{}
	for _, j := range t.lists.with(owner) {
		owners[j] = true
	}
	some := len(owners) > 0
	for _, c := range list {
		if !c.isRole {
			if c.aff == owner {
				owners[c.jid] = true
			} else {
				delete(owners, c.jid)
			}
		}
	}
	return some && len(owners) == 0
}

func (t *turn) mayChangeRole(q request, c change) error {
	o, by := c.occ, q.seat
	isModerator := by != nil && by.occ.role == moderator || q.aff >= admin
	switch {
	case !isModerator:
		return xmpp.Refuse("forbidden", "")
	case by != nil && by.occ == o && c.role == nobody:
		return xmpp.Refuse("conflict", "") // XEP-0045 §8.2: you may leave
	case o.aff > q.aff && c.role < o.role: // to give voice there is no such condition (XEP-0045 §8.3)
		return xmpp.Refuse("not-allowed", "") // XEP-0045 §8.2, §8.4
	case c.role == moderator && q.aff < admin:
		return xmpp.Refuse("forbidden", "only admins make moderators") // XEP-0045 §5.2.1
	case o.aff >= admin && c.role != moderator && c.role != nobody:
		return xmpp.Refuse("not-allowed", "") // XEP-0045 §8.4, §9.7: admins and owners keep their voice
	case o.role == moderator && c.role != moderator && q.aff < admin:
		return xmpp.Refuse("not-allowed", "") // XEP-0045 §5.1.3, §9.7
	case c.role == visitor && o.role > visitor && o.aff >= q.aff && q.aff < admin:
		return xmpp.Refuse("not-allowed", "") // XEP-0045 §8.4
	}
	return nil
}

// apply makes changes that are allowed. What concerns affiliations is on the disk first.
func (t *turn) apply(q request, list []change) error {
	done, err := t.enlist(list)
	if err == nil {
		t.effect(q, list, done)
	}
	return err
}

// effect does what follows from changes of the lists, and makes those of roles.
func (t *turn) effect(q request, list []change, done []enlisted) {
	actor := t.actor(q)
	var after []func()
	for i, c := range list {
		if c.isRole {
			after = append(after, t.setRole(c, actor))
		} else {
			after = append(after, t.affiliated(q, c, done[i].was, because{actor: actor, reason: c.reason, span: done[i].span}))
		}
	}
	q.after(func() {
		t.together(func() {
			for _, fn := range after {
				if fn != nil {
					fn()
				}
			}
		})
	})
}

// enlisted is what came of one change of the lists: what the affiliation was by them, and which
// version they have now.
type enlisted struct {
	was  affiliation
	span span
}

// enlist makes changes of the lists, in one transaction; of roles there is nothing to write.
func (t *turn) enlist(list []change) ([]enlisted, error) {
	write, then := t.entries(list)
	if write != nil {
		if err := t.write(write); err != nil {
			return nil, err
		}
	}
	return then(), nil
}

// entries is what is to be written for changes of the lists, nil if nothing is, and what follows
// when that is on the disk.
func (t *turn) entries(list []change) (write func(*storage.Tx) error, then func() []enlisted) {
	done := make([]enlisted, len(list))
	lines, most := t.linesFor(list), t.settings().Versions
	if len(lines) > 0 {
		write = func(tx *storage.Tx) (err error) {
			for _, l := range lines {
				if done[l.i].span, err = setEntry(tx, t.id, list[l.i].jid, l.entry, most); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return write, func() []enlisted {
		for _, l := range lines {
			d := &done[l.i]
			d.was = t.lists.of(list[l.i].jid)
			t.lists.set(list[l.i].jid, l.entry)
			t.room.version = max(t.room.version, d.span.until)
			t.concerned(list[l.i].jid, d.was, l.entry.aff)
		}
		return done
	}
}

// A line is what the lists have when the change of that number is made.
type line struct {
	i     int
	entry entry
}

// linesFor returns what changes make of the lists, each behind those before it.
func (t *turn) linesFor(list []change) (lines []line) {
	now := map[xmpp.JID]entry{}
	for i, c := range list {
		if c.isRole {
			continue
		}
		was, changed := now[c.jid]
		if !changed {
			was = t.lists.by[c.jid]
		}
		now[c.jid] = c.entry(was)
		lines = append(lines, line{i, now[c.jid]})
	}
	return lines
}

// entry is what the lists say when a change is made of what they say now.
func (c change) entry(e entry) entry {
	e.aff, e.reason = c.aff, c.reason
	if c.nick != nil {
		e.nick = *c.nick
	}
	if c.aff == outcast || c.aff == none {
		e.nick = "" // XEP-0045 §9.1
	}
	return e
}

// actor is the nickname of who asks, where it is in the room.
func (t *turn) actor(q request) string {
	if q.seat != nil {
		return q.seat.occ.nick()
	}
	return ""
}
