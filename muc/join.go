package muc

import (
	"crypto/subtle"

	"parley/storage"
	"parley/xmpp"
)

// join is somebody who enters (XEP-0045 §7.2).
func (t *turn) join(st *xmpp.Stanza) {
	created := !t.exists
	if err := t.admitted(st); err != nil {
		t.refuse(st, err)
		return
	}
	o, s := t.seatFor(st)
	t.s.stats.Joins.Add(1)
	t.tell(t.notice(o), s)
	var codes []int
	if created {
		codes = []int{statusCreated}
	}
	t.welcome(st, s, codes)
}

// admitted says why somebody may not enter, and makes the room if there is none.
func (t *turn) admitted(st *xmpp.Stanza) error {
	if st.From.Resource() == "" {
		return xmpp.Refuse("jid-malformed", "a session enters, not an account")
	}
	if t.exists {
		if err := t.mayEnter(st); err != nil {
			return err
		}
		return t.mayCome(st.From.Bare())
	}
	if err := t.mayBe(st, owner); err != nil { // a room that nobody is in is not to be left behind
		return err
	}
	if err := t.mayCome(st.From.Bare()); err != nil {
		return err
	}
	return t.create(st.From)
}

// create makes the room (XEP-0045 §10.1). It is locked until its owner has said how it is to
// be.
func (t *turn) create(by xmpp.JID) error {
	if by.Local() == "" || !t.s.mayCreate(t.jid.Domain(), by) { // what a domain owns all its users would
		return xmpp.Refuse("not-allowed", "you may not create rooms here") // XEP-0045 §10.1.1
	}
	cfg := t.settings().Defaults
	err := t.found(&cfg, by.Bare(), true)
	if err == nil {
		t.s.log.Info("room made", "room", t.jid.String(), "by", by.Bare().String())
	}
	return err
}

// found makes the room with a configuration.
func (t *turn) found(cfg *RoomConfig, by xmpp.JID, locked bool) error {
	var id storage.ID
	err := t.write(func(tx *storage.Tx) (err error) {
		if err := t.s.mayHaveMore(tx, t.jid, by); err != nil {
			return err
		}
		id, err = addRoom(tx, t.jid, cfg, by, locked)
		return err
	})
	if err != nil {
		return err
	}
	t.exists, t.id, t.cfg, t.locked, t.room.version = true, id, cfg, locked, id
	if !by.IsZero() {
		t.lists.set(by, entry{aff: owner})
	}
	t.subject, t.history = subject{}, nil
	t.s.founded(t.jid, 1)
	if locked {
		t.awaitUnlock()
	}
	return nil
}

// mayEnter says why somebody may not enter.
func (t *turn) mayEnter(st *xmpp.Stanza) error {
	aff := t.lists.of(st.From)
	switch {
	case t.locked && aff < owner:
		return xmpp.Refuse("item-not-found", "the room is locked") // XEP-0045 §7.2.10
	case aff == outcast:
		return xmpp.Refuse("forbidden", "") // XEP-0045 §7.2.7
	case t.cfg.MembersOnly && aff == none:
		return xmpp.Refuse("registration-required", "") // XEP-0045 §7.2.6
	}
	if err := t.checkPassword(st); err != nil {
		return err
	}
	if err := t.mayBe(st, aff); err != nil {
		return err
	}
	return t.hasPlace(st, aff)
}

// How many wrong passwords one may say to a room in 10 s, and of how many people a room
// remembers that.
const (
	maxTries    = 10
	maxTryingOn = 1000
)

// checkPassword refuses who does not know the password (XEP-0045 §7.2.5), and who tries too
// many.
func (t *turn) checkPassword(st *xmpp.Stanza) error {
	if t.cfg.Password == "" {
		return nil
	}
	bare := st.From.Bare()
	b := t.tries[bare]
	if b == nil {
		if t.tries == nil || len(t.tries) >= maxTryingOn {
			t.room.tries = map[xmpp.JID]*budget{}
		}
		b = new(budget)
		t.tries[bare] = b
	}
	if !b.spend(1, maxTries, t.now()) {
		t.s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many attempts"}
	}
	said := st.Child(nsMUC, "x").ChildText("", "password")
	if subtle.ConstantTimeCompare([]byte(said), []byte(t.cfg.Password)) == 0 {
		return xmpp.Refuse("not-authorized", "")
	}
	delete(t.tries, bare)
	return nil
}

// leastSessions is how many sessions of one user may be in a room, under whichever nicknames, also
// where fewer may share one.
const leastSessions = 10

// hasPlace refuses who does not fit in (XEP-0045 §7.2.9): those who run the room always do.
func (t *turn) hasPlace(st *xmpp.Stanza, aff affiliation) error {
	lim := t.settings()
	if o := t.byNick[key(st.To.Resource())]; o != nil {
		if len(o.seats) >= lim.Sessions {
			t.s.stats.Refused.Add(1)
			return xmpp.Refuse("conflict", "too many sessions with this nickname")
		}
		return nil
	}
	seats := 0
	for _, o := range t.occupantsOf(st.From.Bare()) {
		seats += len(o.seats)
	}
	if seats >= max(lim.Sessions, leastSessions) {
		t.s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "you are in the room too often"}
	}
	most := lim.Occupants
	if t.cfg.MaxUsers > 0 {
		most = min(most, t.cfg.MaxUsers)
	}
	if len(t.occupants) >= most && (aff < admin || len(t.occupants) >= lim.Occupants+lim.Occupants/10) {
		t.s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "service-unavailable", Text: "the room is full"}
	}
	return nil
}

// mayBe says why somebody may not have a nickname (XEP-0045 §7.2.8, §7.10).
func (t *turn) mayBe(st *xmpp.Stanza, aff affiliation) error {
	nick, bare := st.To.Resource(), st.From.Bare()
	if blank(nick) {
		return xmpp.Refuse("not-acceptable", "a nickname that can be seen is wanted") // XEP-0045 §17.1
	}
	if o := t.byNick[key(nick)]; o != nil && (o.real != bare || t.settings().Sessions == 1 || o.nick() != nick) {
		return xmpp.Refuse("conflict", "")
	}
	if by := t.lists.reservedBy(nick); !by.IsZero() && by != bare {
		return xmpp.Refuse("conflict", "the nickname is reserved")
	}
	return nil
}

// seatFor seats who enters.
func (t *turn) seatFor(st *xmpp.Stanza) (*occupant, *seat) {
	s := &seat{jid: st.From, said: worn(st)}
	if o := t.byNick[key(st.To.Resource())]; o != nil {
		t.sit(o, s)
		return o, s
	}
	bare := st.From.Bare()
	o := &occupant{jid: st.To, real: bare, id: t.s.occupantID(t.jid, bare), aff: t.lists.of(bare), seats: []*seat{s}}
	o.role = t.roleOf(o.aff)
	s.occ = o
	t.enter(o)
	return o, s
}

// welcome tells who enters everything, in the order of XEP-0045 §7.1.
func (t *turn) welcome(st *xmpp.Stanza, s *seat, codes []int) {
	t.catchUp(st, s)
	for _, o := range t.occupants {
		if o != s.occ && o.shown {
			t.to(t.notice(o), s)
		}
	}
	n := t.notice(s.occ)
	n.own = codes
	if t.cfg.NonAnonymous {
		n.own = append(n.own, statusNonAnonymous)
	}
	if t.cfg.Archive {
		n.own = append(n.own, statusLogged) // XEP-0045 §7.2.12
	}
	kind := knowing | oneself
	if s.versions {
		n.mav.until = t.versionName(t.version)
		kind |= versioned
	}
	own := n.make(kind)
	own.ID = st.ID
	t.say(own.Readdressed(s.jid, s.occ.jid))
	t.recall(st.Child(nsMUC, "x").Child("", "history"), s)
	t.tellSubject(s)
}

// rename is somebody who wants another nickname (XEP-0045 §7.6).
func (t *turn) rename(st *xmpp.Stanza, s *seat) {
	if !t.mayMove(st, s.occ) {
		return
	}
	o := s.occ
	if taken := t.byNick[key(st.To.Resource())]; taken != o || st.To.Resource() == "" {
		if err := t.mayBe(st, o.aff); err != nil {
			t.refuse(st, err)
			return
		}
		if taken != nil {
			t.refuse(st, xmpp.Refuse("conflict", "")) // of one's own: two occupants do not become one
			return
		}
	}
	s.said = worn(st)
	o.turnTo(s)
	n := t.goneNotice(s, nil)
	n.role, n.nick, n.codes = o.role, st.To.Resource(), []int{statusNewNick}
	t.tell(n)
	delete(t.byNick, key(o.nick()))
	o.jid = st.To
	t.byNick[key(o.nick())] = o
	for _, seat := range o.seats {
		t.s.moved(seat.jid, o.jid)
	}
	t.seen(o)
	t.tell(t.notice(o))
}

// emptied sees to a room that its last occupant may have left.
func (s *Service) emptied(t *turn) {
	if len(t.occupants) == 0 && t.exists && !t.cfg.Persistent {
		if err := t.raze(); err != nil {
			s.log.Error("a room that is empty could not be removed", "room", t.jid.String(), "error", err)
		}
	}
}

// raze removes the room, with all that is kept of it.
func (t *turn) raze() error {
	err := t.write(func(tx *storage.Tx) error {
		if err := removeRoom(tx, t.id); err != nil {
			return err
		}
		return t.s.cfg.Archives.Remove(tx, t.archive())
	})
	if err != nil {
		return err
	}
	t.exists, t.id, t.locked, t.subject, t.history = false, 0, false, subject{}, nil // what follows may still look at its configuration
	t.room.version, t.photos, t.pace = 0, nil, pace{}
	t.lists.init()
	t.hats.init()
	t.stopUnlock()
	t.s.founded(t.jid, -1)
	return nil
}
