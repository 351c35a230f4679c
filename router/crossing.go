package router

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"parley/storage"
	"parley/xmpp"
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

// crossings are the messages that have been handed over before they are written, and those
// that were written since, for as long as somebody knows them by their provisional ids.
type crossings struct {
	mu    sync.Mutex // a leaf
	moved sync.Cond  // one was written, or is through
	m     map[storage.ID]*crossing
	last  storage.ID  // that was drawn
	onWay []*crossing // by age; also some that are not any more
	timed bool        // landOld will be called
	ended bool        // no more begin
	line  []errand    // to be put into the store's line, in this order
	busy  bool        // somebody does that
}

// A crossing is one of them. All but id and at is guarded by the lock.
type crossing struct {
	id      storage.ID // provisional
	at      time.Time
	p       *Passage // until it is written, or through
	to      *Sender  // whose session has it; nil: it leaves the house
	stage   stage
	through bool       // it has arrived, while it was handed over or written
	wanted  bool       // it is to be written, as soon as it is handed over
	row     storage.ID // under which it was written
}

// stage is how far a crossing is.
type stage uint8

const (
	handing stage = iota // somebody is just handing it over
	onWay
	landing // it is about to be written
	landed
	over // it is through, or was none
)

// An errand is a passage that is to travel.
type errand struct {
	p       *Passage
	refused *xmpp.Error
}

func (c *crossings) init() {
	c.m, c.last = map[storage.ID]*crossing{}, math.MinInt64
	c.moved.L = &c.mu
}

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

// draw makes a crossing of a message that is about to be in flight; nil: none begins any more.
func (c *crossings) draw(p *Passage) *crossing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	c.last++
	x := &crossing{id: c.last, at: time.Now(), p: p}
	c.m[x.id] = x
	return x
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

// drop takes out a crossing that does not begin.
func (c *crossings) drop(x *crossing) {
	c.mu.Lock()
	c.over(x)
	c.mu.Unlock()
}

// over notes that a crossing is none any more. The lock is held.
func (c *crossings) over(x *crossing) {
	x.stage, x.p = over, nil
	delete(c.m, x.id)
	c.moved.Broadcast()
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

// waits sees to it that what is on its way is written in time. The lock is held.
func (c *crossings) waits(r *Router) {
	for len(c.onWay) > 0 && c.onWay[0].stage != onWay {
		c.onWay[0] = nil
		c.onWay = c.onWay[1:]
	}
	if len(c.onWay) == 0 {
		c.onWay = nil
	} else if !c.timed {
		c.timed = true
		time.AfterFunc(time.Until(c.onWay[0].at.Add(CrossWithin)), r.landOld)
	}
}

// landOld has what has been on its way for long enough be written.
func (r *Router) landOld() {
	c := &r.crossings
	before := time.Now().Add(-CrossWithin)
	c.mu.Lock()
	c.timed = false
	for _, x := range c.onWay {
		if x.at.After(before) {
			break
		}
		c.wants(x)
	}
	c.waits(r)
	c.mu.Unlock()
	c.run()
}

// wants has a crossing be written, unless it is through. The lock is held, and run is called
// behind that.
func (c *crossings) wants(x *crossing) {
	switch x.stage {
	case handing:
		x.wanted = true
	case onWay:
		x.stage = landing
		c.line = append(c.line, errand{x.p, nil})
	}
}

// land has crossings be written, in this order, and behind them what else is to travel.
func (c *crossings) land(list []*crossing, then ...errand) {
	c.mu.Lock()
	for _, x := range list {
		c.wants(x)
	}
	c.line = append(c.line, then...)
	c.mu.Unlock()
	c.run()
}

// put has passages travel, in this order, and behind those that were put here before.
func (c *crossings) put(list ...errand) { c.land(nil, list...) }

// run puts what is to travel into the store's line. One does it at a time, so that the order
// stays.
func (c *crossings) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return
	}
	c.busy = true
	for len(c.line) > 0 {
		list := c.line
		c.line = nil
		c.mu.Unlock()
		for _, e := range list {
			e.p.travel(e.refused)
		}
		c.mu.Lock()
	}
	c.busy = false
}

// needless reports whether a message that was to be written is through meanwhile.
func (c *crossings) needless(x *crossing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return x.stage == landing && x.through
}

// lands reports whether a message was handed over before it was to be written.
func (c *crossings) lands(x *crossing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return x.stage == landing
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
	var there []*Passage
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

// Land has all that is on its way be written, and waits for that, or until ctx is over.
// Nothing crosses any more from now on.
func (r *Router) Land(ctx context.Context) {
	c := &r.crossings
	c.mu.Lock()
	c.ended = true
	list := slices.Clone(c.onWay)
	c.mu.Unlock()
	c.land(list)
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.moved.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for ctx.Err() == nil && c.flying() {
		c.moved.Wait()
	}
}

// flying reports whether anything is neither written nor through. The lock is held.
func (c *crossings) flying() bool {
	for _, x := range c.m {
		if x.stage != landed {
			return true
		}
	}
	return false
}

// await has crossings with these ids be written, and waits until they are, or are through.
func (c *crossings) await(ids []storage.ID) {
	var list []*crossing
	c.mu.Lock()
	for _, id := range ids {
		if x := c.m[id]; x != nil {
			list = append(list, x)
		}
	}
	c.mu.Unlock()
	c.land(list)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range list {
		for x.stage < landed {
			c.moved.Wait()
		}
	}
}

// forget takes out what was written and nobody will ask for any more.
func (c *crossings) forget(ids []storage.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if x := c.m[id]; x != nil && x.stage == landed {
			c.over(x)
		}
	}
}
