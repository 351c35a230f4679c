package muc

import (
	"fmt"
	"strconv"
	"time"

	"parley/xmpp"
)

// Slow mode: one account has to wait between two messages, with whichever session and nickname
// (XEP-0500 §6, §8).

const (
	fieldSlow     = "muc#roomconfig_slow_mode_duration" // XEP-0500 §5.1
	fieldSlowInfo = "muc#roominfo_slow_mode_duration"   // XEP-0500 §5.2
)

// pace is when accounts have spoken last in a room.
type pace struct {
	said map[xmpp.JID]time.Time
	last time.Time // of these
	size int       // at which those that count no more are cleared away
}

// slowness is how long one has to wait between two messages.
func (c *RoomConfig) slowness() time.Duration { return time.Duration(c.SlowMode) * time.Second }

// isSlowed reports whether a message counts: it has a text, and comes from somebody who does not
// run the room (XEP-0500 §6).
func (t *turn) isSlowed(o *occupant, st *xmpp.Stanza) bool {
	return t.cfg.SlowMode > 0 && o.aff < admin && st.Has("", "body")
}

// mayGoOn refuses a message that comes too early.
func (t *turn) mayGoOn(o *occupant, st *xmpp.Stanza) error {
	if !t.isSlowed(o, st) {
		return nil
	}
	rest := t.pace.said[o.real].Add(t.cfg.slowness()).Sub(t.now())
	if rest <= 0 {
		return nil
	}
	return &xmpp.Error{Type: "wait", Condition: "policy-violation",
		Text: fmt.Sprintf("This room is slow: wait %d seconds between two messages. You may write again in %d.", t.cfg.SlowMode, (rest+time.Second-1)/time.Second)}
}

// paced notes that somebody has said something.
func (t *turn) paced(o *occupant, st *xmpp.Stanza) {
	if !t.isSlowed(o, st) {
		return
	}
	p, now := &t.pace, t.now()
	if p.said == nil {
		p.said = map[xmpp.JID]time.Time{}
	}
	if len(p.said) > p.size {
		for who, at := range p.said {
			if now.Sub(at) >= t.cfg.slowness() {
				delete(p.said, who)
			}
		}
		p.size = 2*len(p.said) + 64
	}
	p.said[o.real], p.last = now, now
}

// slowField is how long that is, in the form of the room.
func (t *turn) slowField() xmpp.Field {
	f := text(fieldSlow, "How many seconds one has to wait between two messages (0: none)", strconv.Itoa(t.cfg.SlowMode))
	f.Range = &xmpp.Range{Max: max(t.settings().SlowMode, t.cfg.SlowMode)}
	return f
}

// fillSlow takes it from there.
func (c *RoomConfig) fillSlow(form xmpp.Form, has func(string) bool) error {
	if !has(fieldSlow) {
		return nil
	}
	n, err := strconv.Atoi(form.Value(fieldSlow))
	if err != nil {
		return xmpp.Refuse("not-acceptable", fieldSlow+" is a number")
	}
	c.SlowMode = n
	return nil
}
