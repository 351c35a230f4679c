package router

import (
	"errors"
	"slices"
	"time"

	"parley/storage"
)

// A message that is written only so that it does not get lost on its way (Passage.Bridge) need
// not be, where its way is short: it crosses. It is handed over at once, under a provisional
// id, and is in flight until whoever has it says so (Through). Then it is settled, and was never
// on the disk. Who cannot wait for that, and time, has it written after all (land): so what is
// acknowledged is on the disk, or where it was to go.

// CrossWithin is how long a message may be on its way before it is written.
const CrossWithin = 100 * time.Millisecond

// errThrough is what the Keepings of a message hear that has arrived before it was written.
var errThrough = errors.New("the message has arrived and need not be written")

// Provisional reports whether an id is one under which nothing is written yet. Who is handed
// a message under such an id does well to find out soon whether it has arrived.
func Provisional(id storage.ID) bool { return id < 0 }

// crosses reports whether the message may be handed over before it is written: if all that is
// written is to bridge its way, and whoever gets it is there and will say so. It must be one
// device: several see messages in the same order, that of commits.
func (p *Passage) crosses() bool {
	if p.bridges == 0 || int(p.bridges) < len(p.writes) || p.swallowed || p.returned != nil {
		return false
	}
	if p.look(); p.how == away {
		return p.way.Prompt()
	}
	s := p.alone()
	return p.due && s != nil && s.session.Attention() == Awake
}

// cross hands over a message that is in flight. It returns false where it cannot be: nothing
// has happened, and it is to be written first.
func (p *Passage) cross(rd *Round) bool {
	c := &p.r.crossings
	if !p.crossNow(rd) {
		c.drop(p.x)
		return false
	}
	p.reached++
	p.after(rd)
	p.win.crossed(p)
	c.mu.Lock()
	switch x := p.x; {
	case x.through:
		c.over(x)
		c.mu.Unlock()
		p.arrived()
	case x.wanted || c.ended:
		x.stage = landing
		c.mu.Unlock()
		c.put(errand{p, nil})
	default:
		x.stage = onWay
		c.onWay = append(c.onWay, x)
		c.waits(p.r)
		c.mu.Unlock()
	}
	return true
}

// crossNow gives the message to the one who gets it.
func (p *Passage) crossNow(rd *Round) bool {
	if p.how == away {
		return p.way.Carry(rd, p.Stanza, p.x.id) == nil
	}
	s := p.alone()
	if s == nil {
		return false
	}
	p.r.crossings.mu.Lock()
	p.x.to = s
	p.r.crossings.mu.Unlock()
	s.holds(p.x.id)
	if p.look(); p.alone() != s { // who comes or goes from now on finds it among what is held
		s.release(p.x.id)
		return false
	}
	if s.Hand(rd, p.Stanza, p.x.id) != nil {
		s.deaf.Store(true)
		return false
	}
	return true
}

// alone returns whose session gets the message, where that is the only one of the account; nil:
// there are others, or it does not get it now.
func (p *Passage) alone() *Sender {
	if p.how != all && p.how != one || len(p.seen) != 1 || !p.names(&p.seen[0]) || !p.seen[0].takes() {
		return nil
	}
	return p.seen[0].sender
}

// arrived settles a message that need not be written any more.
func (p *Passage) arrived() {
	p.r.stats.Crossed.Add(1)
	p.hears(errThrough)
	p.settle()
}

// hears is tell where nobody else sees to it that the message is settled when a hook panics.
func (p *Passage) hears(failed error) {
	defer p.r.caught("a step", nil)
	p.tell(failed)
}

// landed is arrive for a message that was handed over already: it is settled. Where it could
// not be written its sender hears that, for nobody knows whether it will arrive.
func (p *Passage) landed(rd *Round, failed error) {
	defer p.settle()
	c, x := &p.r.crossings, p.x
	written := failed == nil && p.written
	if failed == nil && !written {
		failed = errThrough
	}
	p.hears(failed)
	if written && x.to != nil {
		x.to.holds(p.id)
	}
	c.mu.Lock()
	through := x.through
	if x.row = p.id; written && !through {
		x.stage, x.p = landed, nil
		c.moved.Broadcast()
	} else {
		c.over(x)
	}
	c.mu.Unlock()
	switch {
	case written && through && x.to != nil:
		x.to.Took([]storage.ID{p.id})
	case written && through:
		p.way.Gone(p.id)
	case !written && !through:
		p.bounce(rd, p.r.failed(failed))
	}
}

// Through says that messages have arrived, or need not wait any more, that were handed over
// under these ids. It returns the ids under which some of them were written. It never waits;
// anyone may call it who holds no lock.
func (r *Router) Through(ids []storage.ID) (rows []storage.ID) {
	if !slices.ContainsFunc(ids, Provisional) {
		return ids
	}
	var few [16]*Passage
	there := few[:0]
	c := &r.crossings
	c.mu.Lock()
	for _, id := range ids {
		if !Provisional(id) {
			rows = append(rows, id)
			continue
		}
		x := c.m[id]
		if x == nil {
			continue
		}
		switch x.stage {
		case handing, landing:
			x.through = true
		case onWay:
			there = append(there, x.p)
			c.over(x)
		case landed:
			rows = append(rows, x.row)
			c.over(x)
		}
	}
	c.mu.Unlock()
	for _, p := range there {
		p.arrived()
	}
	return rows
}

// Row returns the id under which something is written that was handed over under this id; 0:
// nothing is.
func (r *Router) Row(id storage.ID) storage.ID {
	if !Provisional(id) {
		return id
	}
	c := &r.crossings
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.m[id]; x != nil && x.stage == landed {
		return x.row
	}
	return 0
}
