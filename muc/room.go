package muc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A room is one room: what is kept of it, and who is in it. All but the line belongs to its
// turns.
type room struct {
	s     *Service
	jid   xmpp.JID
	host  string // whose rooms these are: a domain of the house
	inbox *router.Inbox

	mu      sync.Mutex // a leaf
	waiting []event
	bytes   int
	running bool
	gone    bool // it has been forgotten: ask for another

	loaded  bool
	exists  bool
	id      storage.ID
	cfg     *RoomConfig // never changes; it is replaced
	locked  bool        // nobody but its owner enters yet (XEP-0045 §10.1)
	unlock  Timer
	lists   lists
	version storage.ID // of the lists (XEP-0463)
	hats    hats
	photos  []string // hashes of the room's pictures
	subject subject
	history []heard

	occupants []*occupant // in the order in which they came
	byNick    map[string]*occupant
	bySession map[xmpp.JID]*seat
	asked     asked
	pace      pace
	hastes    hastes
	nicks     map[xmpp.JID]string // of members, as they were in the room last
	teller    *teller
	tries     map[xmpp.JID]*budget // of who has said a wrong password
	idleSince time.Time

	public atomic.Pointer[summary] // what others may look at without a turn
}

// settings returns what the operator says of the room.
func (r *room) settings() *Settings { return r.s.cfg.Settings(r.host) }

// event is what a turn of a room is about: a stanza for it, or something to do.
type event struct {
	st      *xmpp.Stanza
	do      func(*turn, error) // called with an error, and without a turn, where it could not be done, or not wholly
	settled func()
	size    int
}

// summary is what is told of a room without a turn.
type summary struct {
	name      string
	public    bool
	locked    bool
	occupants int
}

// turn is what one turn of a room works with.
type turn struct {
	*router.Turn
	*room
	mail *router.Link // see together
}

type putResult uint8

const (
	accepted putResult = iota
	full
	gone
)

// batch is how many events are handled before what they said is written to the sessions.
const batch = 64

// put puts an event in the line.
func (r *room) put(e event) putResult {
	more := 1
	if e.do == nil && leaves(e.st) && r.s.isSeated(e.st.From, r.jid) {
		more = leaveSurplus
	}
	r.mu.Lock()
	switch {
	case r.gone:
		r.mu.Unlock()
		return gone
	case e.do == nil && r.over(e.size, more):
		r.mu.Unlock()
		return full
	}
	r.waiting = append(r.waiting, e)
	r.bytes += e.size
	start := !r.running
	r.running = true
	r.mu.Unlock()
	if start {
		r.inbox.Post(r.work)
	}
	return accepted
}

// leaveSurplus is how many times more may wait where somebody says that it is not there: it would
// stay otherwise.
const leaveSurplus = 4

// over reports whether no more may wait than many times the limit.
func (r *room) over(size, many int) bool {
	lim := r.settings()
	return len(r.waiting) > 0 && (len(r.waiting) >= many*lim.Queue || r.bytes+size > many*lim.QueueBytes)
}

// leaves reports whether a stanza says that somebody is not there.
func leaves(st *xmpp.Stanza) bool {
	return st.Type == "error" || st.Kind == xmpp.Presence && st.Type == "unavailable"
}

// work handles what waits, a batch at a time.
func (r *room) work(rt *router.Turn) {
	t := &turn{Turn: rt, room: r}
	for {
		r.mu.Lock()
		list := r.waiting
		if len(list) == 0 {
			r.running, r.waiting = false, nil
			if r.forgettable() {
				r.gone = true
			}
			over := r.gone
			r.mu.Unlock()
			if over {
				r.s.forget(r)
			}
			return
		}
		list = list[:min(len(list), batch)]
		r.waiting = r.waiting[len(list):]
		for _, e := range list {
			r.bytes -= e.size
		}
		r.mu.Unlock()
		t.handle(list)
		t.Flush()
	}
}

// handle runs the events in their order. Messages that everybody is to hear are written
// together.
func (t *turn) handle(list []event) {
	for len(list) > 0 {
		if n := spoken(list); n > 0 {
			t.guarded(list[:n], func() { t.speak(list[:n]) })
			list = list[n:]
			continue
		}
		e := list[0]
		t.guarded(list[:1], func() { t.one(e) })
		list = list[1:]
	}
	t.publish()
}

// guarded runs fn and settles the events, also when fn panics: that ends the event, not the
// room.
func (t *turn) guarded(list []event, fn func()) {
	defer func() {
		if v := recover(); v != nil {
			t.s.router.Stats().Panics.Add(1)
			t.s.log.Error("a turn of a room panicked", "room", t.jid.String(), "panic", v)
			for _, e := range list {
				if e.st != nil {
					t.refuse(e.st, xmpp.Failure(errPanicked))
				} else {
					e.do(nil, errPanicked)
				}
			}
		}
		for _, e := range list {
			e.settled()
		}
	}()
	if err := t.load(); err != nil {
		for _, e := range list {
			if e.st != nil {
				t.refuse(e.st, err)
			} else {
				e.do(nil, err)
			}
		}
		return
	}
	fn()
}

var errPanicked = errors.New("a turn of a room panicked")

// spoken returns how many events from the first on are messages to everybody.
func spoken(list []event) int {
	for i, e := range list {
		if e.st == nil || e.st.Kind != xmpp.Message || e.st.Type != "groupchat" || !e.st.To.IsBare() {
			return i
		}
	}
	return len(list)
}

func (t *turn) one(e event) {
	switch {
	case e.do != nil:
		e.do(t, nil)
	case e.st.Kind == xmpp.Presence:
		t.presence(e.st)
	case e.st.Kind == xmpp.Message:
		t.message(e.st)
	default:
		t.iq(e.st)
	}
}

// load reads the room from the disk, once.
func (t *turn) load() error {
	if t.loaded {
		return nil
	}
	t.byNick, t.bySession = map[string]*occupant{}, map[xmpp.JID]*seat{}
	t.lists.init()
	t.hats.init()
	err := t.s.store.Read(context.Background(), func(tx *storage.Tx) error { return t.room.read(tx) })
	if err != nil {
		return err
	}
	t.loaded, t.idleSince = true, t.now()
	if t.exists && t.locked {
		t.awaitUnlock()
	}
	t.publish()
	return nil
}

// forgettable reports whether nothing is lost when the room is forgotten. The lock is held,
// and no turn is running.
func (r *room) forgettable() bool {
	if !r.loaded {
		return true
	}
	if len(r.occupants) > 0 || r.unlock != nil {
		return false
	}
	now := r.s.cfg.Now()
	return !r.exists || now.Sub(r.idleSince) >= r.settings().Idle && now.Sub(r.pace.last) >= r.cfg.slowness()
}

// forget takes a room out of memory.
func (s *Service) forget(r *room) {
	s.mu.Lock()
	if s.rooms[r.jid] == r {
		delete(s.rooms, r.jid)
	}
	s.mu.Unlock()
}

// publish tells those who do not take turns what the room is like now.
func (t *turn) publish() {
	now := summary{occupants: len(t.occupants), locked: t.locked}
	if t.exists {
		now.name, now.public = t.cfg.Name, t.cfg.Public
	}
	if was := t.room.public.Load(); was == nil || *was != now {
		t.room.public.Store(&now)
	}
	if len(t.occupants) > 0 {
		t.idleSince = t.now()
	}
}

func (t *turn) now() time.Time { return t.s.cfg.Now() }

// write runs fn in a transaction and waits for it.
func (t *turn) write(fn func(*storage.Tx) error) error {
	return t.Turn.Write(context.Background(), fn)
}

// say sends a stanza of the room.
func (t *turn) say(st *xmpp.Stanza) { t.s.router.Deliver(&t.Round, st) }

// refuse answers a stanza with an error. One to presence has the request's <x/> with it:
// clients wait for that.
func (t *turn) refuse(st *xmpp.Stanza, err error) {
	if st.Kind == xmpp.IQ {
		t.s.router.Answer(&t.Round, st, nil, err)
		return
	}
	e := t.s.errorOf(err)
	if x := st.Child(nsMUC, "x"); st.Kind == xmpp.Presence && !x.IsZero() {
		echoed := *e
		var b xmpp.Builder
		echoed.Echo = b.Open(nsMUC, "x").Payload()
		e = &echoed
	}
	t.s.router.Bounce(&t.Round, st, e)
}

// errorOf makes a stanza error of what went wrong.
func (s *Service) errorOf(err error) *xmpp.Error {
	var e *xmpp.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, storage.ErrFull):
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the server's disk is full", Cause: err}
	}
	s.log.Error("a room could not do what it was asked", "error", err)
	return xmpp.Failure(err)
}
