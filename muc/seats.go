package muc

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Who is in a room is in memory alone, but for a clean restart: then the seats are written, and
// those of sessions that are there again, and of users of other servers, are taken up.

// errNoSeat says that a saved session is not in a room any more where it was.
var errNoSeat = errors.New("it is not in a room any more")

// verifyAfter is how long after the start a seat of a session that is not there is taken away.
const verifyAfter = 15 * time.Second

// There is what there is of rooms.
type There struct{ Rooms, Occupied, Sessions int }

// Count counts rooms, those that somebody is in, and sessions in them.
func (s *Service) Count() (n There) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rooms := range s.count {
		n.Rooms += rooms
	}
	for _, list := range s.seated {
		n.Sessions += len(list)
	}
	for _, r := range s.rooms {
		if now := r.public.Load(); now != nil && now.occupants > 0 {
			n.Occupied++
		}
	}
	return n
}

// Loaded returns how many rooms are in memory.
func (s *Service) Loaded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rooms)
}

// kept is what is kept of a session over a restart.
type kept struct {
	Rooms []string `json:"rooms,omitempty"` // that it is in
	Watch []string `json:"watch,omitempty"` // domains that tell it where something is said
}

// save notes in which rooms a session is that is to be there again after a restart.
func (s *Service) save(_ *router.Turn, _ *router.Account, res router.Resource) []byte {
	var k kept
	k.Watch = s.watchers.domains(res.JID())
	s.mu.Lock()
	for _, at := range s.seated[res.JID()] {
		k.Rooms = append(k.Rooms, at.Bare().String())
	}
	s.mu.Unlock()
	if k.Rooms == nil && k.Watch == nil {
		return nil
	}
	data, _ := json.Marshal(k) // of strings there is no error
	return data
}

// restore finds out whether a session is where it was.
func (s *Service) restore(_ *router.Turn, _ *router.Account, res router.Resource, data []byte) error {
	if data == nil {
		return nil
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return err
	}
	for _, name := range k.Rooms {
		if room, err := xmpp.ParseJID(name); err != nil || !s.isSeated(res.JID(), room) {
			return errNoSeat
		}
	}
	for _, domain := range k.Watch {
		if !s.Has(domain) || !s.watch(watcher{res.JID(), domain}) {
			return errNoSeat
		}
	}
	return nil
}

// leaveSeats writes who is in the rooms, when the server is stopped in good order.
func (s *Service) leaveSeats() {
	s.mu.Lock()
	list := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		list = append(list, r)
	}
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	for _, r := range list { // no turn is taken any more, but where one did not end in time
		if r.busy() {
			s.log.Warn("who is in a room is not written: it did not come to rest", "room", r.jid.String())
			continue
		}
		if len(r.occupants) == 0 {
			continue
		}
		err := s.store.Write(context.Background(), func(tx *storage.Tx) error { return r.writeSeats(tx) })
		if err != nil {
			s.log.Error("who is in a room could not be written", "room", r.jid.String(), "error", err)
		}
	}
}

// busy reports whether a turn of the room is under way.
func (r *room) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

func (r *room) writeSeats(tx *storage.Tx) error {
	for i, o := range r.occupants {
		for n, s := range o.seats {
			err := addSeat(tx, savedSeat{room: r.jid.String(), place: i, turn: n, jid: s.jid.String(), nick: o.nick(),
				role: int(o.role), said: string(s.said.AppendNS(nil, xmpp.NSClient)), versions: s.versions})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// takeSeats has those who were in rooms when the server was stopped be there again.
func (s *Service) takeSeats() {
	var saved []savedSeat
	err := s.store.Write(context.Background(), func(tx *storage.Tx) (err error) {
		if saved, err = savedSeats(tx); err != nil {
			return err
		}
		return forgetSeats(tx)
	})
	if err != nil {
		s.log.Error("who was in the rooms could not be read", "error", err)
		return
	}
	for len(saved) > 0 {
		n := 1
		for n < len(saved) && saved[n].room == saved[0].room {
			n++
		}
		s.seatAll(saved[:n])
		saved = saved[n:]
	}
}

// seatAll seats those of one room.
func (s *Service) seatAll(list []savedSeat) {
	jid, err := xmpp.ParseJID(list[0].room)
	if err != nil || !s.Has(jid.Domain()) {
		return
	}
	s.do(jid, func(t *turn) error {
		if !t.exists {
			return nil
		}
		for _, sv := range list {
			t.reseat(sv)
		}
		return nil
	})
	s.after(verifyAfter, func() { s.later(jid, func(t *turn) { t.verify() }) })
}

func (t *turn) reseat(sv savedSeat) {
	full, err := xmpp.ParseJID(sv.jid)
	said, wrong := xmpp.ParseStanza(sv.said)
	at, bad := t.jid.WithResource(sv.nick)
	if err != nil || wrong != nil || bad != nil || t.seatOf(full) != nil {
		return
	}
	s := &seat{jid: full, said: said, versions: sv.versions}
	if o := t.byNick[key(sv.nick)]; o != nil {
		if o.real == full.Bare() {
			t.sit(o, s)
		}
		return
	}
	o := &occupant{jid: at, real: full.Bare(), id: t.s.occupantID(t.jid, full.Bare()), aff: t.lists.of(full), role: role(sv.role), seats: []*seat{s}}
	s.occ = o
	t.enter(o)
}

// verify takes away the seats of local sessions that are not there any more, and asks the
// others whether they are.
func (t *turn) verify() {
	for _, o := range append([]*occupant(nil), t.occupants...) {
		for _, s := range append([]*seat(nil), o.seats...) {
			switch {
			case !t.s.local(s.jid):
				t.probe(s)
			case !t.s.connected(s.jid):
				t.lost(s)
			}
		}
	}
}

// connected reports whether a session of this server is there.
func (s *Service) connected(full xmpp.JID) (there bool) {
	s.router.WithAccountInMemory(full.Bare(), func(a *router.Account) { _, there = a.Resource(full.Resource()) })
	return there
}

// probe asks a session elsewhere whether it is there (XEP-0045 §18.1.2).
func (t *turn) probe(s *seat) {
	var b xmpp.Builder
	svc, room, full := t.s, t.jid, s.jid
	s.probed = t.now()
	svc.router.Ask(room, full, "get", b.Open(nsPing, "ping").Payload(), probePatience, func(answer *xmpp.Stanza) {
		if answer.Type == "error" && unreachable(answer) {
			svc.later(room, func(t *turn) {
				if s := t.seatOf(full); s != nil {
					t.lost(s)
				}
			})
		}
	})
}

// Of users of other servers, who are asked now and then.
const (
	probePatience = 2 * time.Minute
	probeEvery    = 30 * time.Minute
	sweepEvery    = time.Minute
)

// after calls fn when a time is over, unless the server is stopped by then.
func (s *Service) after(d time.Duration, fn func()) Timer {
	return s.cfg.After(d, func() {
		s.mu.Lock()
		stopped := s.stopped
		s.mu.Unlock()
		if !stopped {
			fn()
		}
	})
}

// later has a room take a turn, without waiting for it.
func (s *Service) later(jid xmpp.JID, fn func(*turn)) {
	e := event{settled: func() {}, do: func(t *turn, err error) {
		if err == nil {
			fn(t)
		}
	}}
	for s.room(jid).put(e) == gone {
	}
}

// lost takes away a seat whose session cannot be reached.
func (t *turn) lost(s *seat) {
	t.s.stats.Ghosts.Add(1)
	n := t.goneNotice(s, nil)
	n.codes = []int{statusTechnical} // and no 307: nobody has kicked it (XEP-0045 §11.1)
	t.part(s, n)
}

// distant takes those away whose domain has not been reached for so long that they must be
// taken for absent.
func (s *Service) distant(local, remote string, reached bool) {
	if reached || !s.Has(local) {
		return
	}
	s.watchers.lose(local, remote)
	s.mu.Lock()
	rooms := map[xmpp.JID]bool{}
	for full, list := range s.seated {
		if full.Domain() != remote {
			continue
		}
		for _, at := range list {
			if at.Domain() == local {
				rooms[at.Bare()] = true
			}
		}
	}
	s.mu.Unlock()
	for jid := range rooms {
		s.later(jid, func(t *turn) {
			for _, o := range append([]*occupant(nil), t.occupants...) {
				for _, seat := range append([]*seat(nil), o.seats...) {
					if seat.jid.Domain() == remote {
						t.lost(seat)
					}
				}
			}
		})
	}
}

// sweep forgets rooms that nobody is in, and asks users of other servers who have said nothing
// for long whether they are there.
func (s *Service) sweep() {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	list := make([]xmpp.JID, 0, len(s.rooms))
	for jid := range s.rooms {
		list = append(list, jid)
	}
	s.mu.Unlock()
	for _, jid := range list {
		s.later(jid, func(t *turn) { t.look() })
	}
	s.mu.Lock()
	if !s.stopped {
		s.timer = s.cfg.After(sweepEvery, s.sweep)
	}
	s.mu.Unlock()
}

// look asks the silent. A session of this server that is not there any more has not been able to
// say so, as where its domain was not served for a while.
func (t *turn) look() {
	now := t.now()
	for _, s := range maps.Clone(t.bySession) {
		if t.s.local(s.jid) {
			if !t.s.connected(s.jid) {
				t.lost(s)
			}
			continue
		}
		if now.Sub(s.heard) > probeEvery && now.Sub(s.probed) > probeEvery {
			t.probe(s)
		}
	}
}

// leaving has a removed account be nothing to any room any more.
func (s *Service) leaving(_ *router.Turn, a *router.Account) error {
	var rooms []string
	err := s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		rooms, err = roomsOf(tx, a.JID)
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range rooms {
		jid, err := xmpp.ParseJID(name)
		if err != nil {
			continue
		}
		s.later(jid, func(t *turn) { t.expel(a.JID) })
	}
	return nil
}

// expel has somebody be nothing to the room any more, whose account is removed.
func (t *turn) expel(bare xmpp.JID) {
	for _, o := range t.occupantsOf(bare) {
		if tell := t.evict(o, because{}); tell != nil {
			tell()
		}
	}
	delete(t.hats.worn, bare)
	if _, there := t.lists.by[bare]; !there {
		return
	}
	done, err := t.enlist([]change{{jid: bare, aff: none}})
	if err != nil {
		t.s.log.Error("a removed account could not be taken out of a room's lists", "room", t.jid.String(), "error", err)
		return
	}
	if done[0].was == owner && len(t.lists.with(owner)) == 0 {
		t.s.log.Warn("a room has no owner any more, whose account is removed; parley room affiliation names another",
			"room", t.jid.String(), "was", bare.String())
	}
	t.tellChange(affChange{bare, done[0].was, none}, "", done[0].span)
}
