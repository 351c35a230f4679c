package router

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"parley/storage"
	"parley/xmpp"
)

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
