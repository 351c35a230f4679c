package muc

import (
	"time"

	"parley/xmpp"
)

// A haste is what is left to somebody of the limits of a room. It is there for a while when its
// owner is gone: who comes and goes, or is there under many nicknames, has no more than who stays.
type haste struct {
	chat  budget // messages
	bytes budget // of these
	moves budget // changes of presence
	joins budget // entering, also with one session more
}

// A budget is how much of a limit is left. It comes back little by little, and is whole
// again after rateTime.
type budget struct {
	spent float64
	at    time.Time
}

// rateTime is the time that limits of occupants are for.
const rateTime = 10 * time.Second

// spend takes n from a budget, if there is that much.
func (b *budget) spend(n, limit int, now time.Time) bool {
	b.spent = max(0, b.spent-float64(limit)*float64(now.Sub(b.at))/float64(rateTime))
	b.at = now
	if b.spent > 0 && b.spent+float64(n) > float64(limit) {
		return false
	}
	b.spent += float64(n)
	return true
}

// hastes are those of a room, by bare address.
type hastes struct {
	of   map[xmpp.JID]*haste
	size int // at which those that count no more are cleared away
}

// hasteOf returns somebody's.
func (r *room) hasteOf(bare xmpp.JID) *haste {
	h := r.hastes.of[bare]
	if h == nil {
		r.clearHastes()
		h = new(haste)
		r.hastes.of[bare] = h
	}
	return h
}

// clearHastes forgets the haste of who is gone, and has been for long enough.
func (r *room) clearHastes() {
	all := &r.hastes
	if all.of == nil {
		all.of = map[xmpp.JID]*haste{}
	}
	if len(all.of) < all.size {
		return
	}
	here := make(map[xmpp.JID]bool, len(r.occupants))
	for _, o := range r.occupants {
		here[o.real] = true
	}
	now := r.s.cfg.Now()
	for who, h := range all.of {
		if !here[who] && now.Sub(h.last()) >= rateTime {
			delete(all.of, who)
		}
	}
	all.size = 2*len(all.of) + 64
}

// last is when anything was spent last.
func (h *haste) last() (at time.Time) {
	for _, b := range []*budget{&h.chat, &h.bytes, &h.moves, &h.joins} {
		if b.at.After(at) {
			at = b.at
		}
	}
	return at
}

// mayCome refuses who enters again and again: everybody is told each time.
func (t *turn) mayCome(bare xmpp.JID) error {
	if t.hasteOf(bare).joins.spend(1, t.settings().PresenceRate, t.now()) {
		return nil
	}
	t.s.stats.Refused.Add(1)
	return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many changes of presence"}
}
