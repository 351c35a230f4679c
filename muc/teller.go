package muc

import (
	"context"
	"sync"
	"time"

	"parley/router"
	"parley/xmpp"
)

// How often one member is told of one room. What is said meanwhile is told when that is over.
const (
	tellEvery    = 30 * time.Second
	mentionEvery = 2 * time.Second
)

// How many members of one room are told at once; the next ones behind a pause.
const (
	tellAtOnce = 500
	tellPause  = time.Second
)

// How much may wait to be told of one room: what is more is not told, as the members are being
// told already.
const (
	maxTellings     = 512
	maxTellingBytes = 1 << 20
)

// A teller tells the members of one room who are not there, in order and beside its turns, which
// wait for nothing of that. All but the line belongs to its goroutine.
type teller struct {
	s    *Service
	room xmpp.JID

	mu      sync.Mutex // a leaf
	line    []telling
	bytes   int
	running bool

	known map[xmpp.JID]*acquaintance // belongs to the turns

	timer   Timer
	timerAt time.Time
}

// A telling is one message to be told.
type telling struct {
	st    *xmpp.Stanza // nil: what had to wait
	by    xmpp.JID     // bare
	to    *absentees
	named []xmpp.JID
}

func (x *telling) size() int {
	if x.st == nil {
		return 0
	}
	return x.st.Len()
}

// An acquaintance is what a teller remembers of a member.
type acquaintance struct {
	account int64     // 0: not known yet
	looked  time.Time // when there was none
	told    time.Time
	missed  *xmpp.Stanza // said since, and not told yet
	mention bool         // so is one that mentions the member
}

// acquaint returns what is remembered of a member. Only in a turn.
func (tl *teller) acquaint(who xmpp.JID) *acquaintance {
	k := tl.known[who]
	if k == nil {
		if tl.known == nil {
			tl.known = map[xmpp.JID]*acquaintance{}
		}
		k = new(acquaintance)
		tl.known[who] = k
	}
	return k
}

// forgetOthers forgets who is no member any more. Only in a turn.
func (tl *teller) forgetOthers(a *absentees) {
	if len(tl.known) <= len(a.list) {
		return
	}
	tl.known = make(map[xmpp.JID]*acquaintance, len(a.list))
	for _, m := range a.list {
		tl.known[m.jid] = m.known
	}
}

// put puts a message in the line. It never waits.
func (tl *teller) put(x telling) {
	tl.mu.Lock()
	if x.st != nil && (len(tl.line) >= maxTellings || len(tl.line) > 0 && tl.bytes+x.size() > maxTellingBytes) {
		tl.mu.Unlock()
		tl.s.stats.Untold.Add(1)
		return
	}
	tl.line = append(tl.line, x)
	tl.bytes += x.size()
	start := !tl.running
	tl.running = true
	tl.mu.Unlock()
	if start {
		tl.s.router.Beside(tl.work)
	}
}

func (tl *teller) work() {
	for {
		tl.mu.Lock()
		if len(tl.line) == 0 {
			tl.line, tl.running = nil, false
			tl.mu.Unlock()
			return
		}
		x := tl.line[0]
		tl.line = tl.line[1:]
		tl.bytes -= x.size()
		tl.mu.Unlock()
		tl.guarded(x)
	}
}

// guarded is tell; a panic ends the telling, not the teller.
func (tl *teller) guarded(x telling) {
	defer func() {
		if v := recover(); v != nil {
			tl.s.router.Stats().Panics.Add(1)
			tl.s.log.Error("telling who is not in a room panicked", "room", tl.room.String(), "panic", v)
		}
	}()
	tl.tell(x)
}

// tell goes through the members once. Where many are to be told, the rest is a little later: the
// house has other questions to ask than those of this room.
func (tl *teller) tell(x telling) {
	mentioned := x.mentioned()
	now, left := tl.s.cfg.Now(), tellAtOnce
	var next time.Time
	for i := range x.to.list {
		m := &x.to.list[i]
		if x.st != nil {
			mention := mentioned[m.jid]
			if m.jid == x.by {
				m.known.missed, m.known.mention = nil, false // it is there
			}
			if m.jid == x.by || !mention && m.level != always || !tl.heeded(m, now) {
				continue
			}
			m.known.missed, m.known.mention = x.st, m.known.mention || mention
		}
		if m.known.missed == nil {
			continue
		}
		due := now.Add(tellPause)
		if left > 0 {
			var told bool
			if told, due = tl.settle(m, now); told {
				left--
			}
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	if !next.IsZero() {
		tl.again(x.to, now, next)
	}
}

// mentioned returns who is spoken to by name; nil for nobody.
func (x *telling) mentioned() map[xmpp.JID]bool {
	if x.st == nil {
		return nil
	}
	names := append(x.named, x.to.called(x.st.Child("", "body").Text())...)
	if len(names) == 0 {
		return nil
	}
	m := make(map[xmpp.JID]bool, len(names))
	for _, j := range names {
		m[j] = true
	}
	return m
}

// settle tells a member what it has missed, or returns when that may be done.
func (tl *teller) settle(m *absentee, now time.Time) (told bool, due time.Time) {
	k := m.known
	pause := tellEvery
	if k.mention {
		pause = mentionEvery
	}
	if due = k.told.Add(pause); now.Before(due) {
		return false, due
	}
	n := router.Notice{Stanza: k.missed, Mention: k.mention}
	k.missed, k.mention = nil, false
	if !n.Mention && tl.s.attends(m.jid, tl.room) {
		return false, time.Time{}
	}
	told, err := tl.s.router.Notify(context.Background(), m.jid, n)
	if told {
		k.told = now
		tl.s.stats.Told.Add(1)
	}
	if err != nil {
		tl.s.log.Warn("a member could not be told what was said in a room", "room", tl.room.String(), "member", m.jid.String(), "error", err)
	}
	return told, time.Time{}
}

// again has the line go on with what had to wait, when it may.
func (tl *teller) again(to *absentees, now, at time.Time) {
	if tl.timer != nil {
		if tl.timerAt.After(now) && !at.Before(tl.timerAt) {
			return
		}
		tl.timer.Stop()
	}
	tl.timerAt = at
	tl.timer = tl.s.after(at.Sub(now), func() { tl.put(telling{to: to}) })
}

// lookEvery is how often it is looked whether a member has got an account.
const lookEvery = 10 * time.Minute

// heeded reports whether it is of any use to tell a member.
func (tl *teller) heeded(m *absentee, now time.Time) bool {
	k := m.known
	if k.account == 0 && now.Sub(k.looked) >= lookEvery {
		id, found, err := tl.s.router.Number(context.Background(), m.jid)
		if k.account = id; err != nil || !found {
			k.account, k.looked = 0, now
		}
	}
	return k.account != 0 && tl.s.router.Heeded(k.account)
}

// attends reports whether somebody is in a room with a session that is awake.
func (s *Service) attends(bare, room xmpp.JID) (does bool) {
	s.router.WithAccountInMemory(bare, func(a *router.Account) {
		for _, res := range a.Resources() {
			does = does || res.Attention() == router.Awake && s.isSeated(res.JID(), room)
		}
	})
	return does
}
