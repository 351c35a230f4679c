package c2s

import (
	"errors"
	"runtime/debug"
	"time"

	"parley/xmpp"
)

// A session has one goroutine that waits for the client and handles what comes. Handling
// takes a stack of 8 KiB, which would stay for as long as the session says nothing. So
// after a while of silence the goroutine gives way to one that does nothing but wait, on
// the smallest stack there is, and that one gives way again when bytes come. (Tried: such
// a goroutine and a worker for every burst cost a third more for a lone message.)

// parkAfter is the silence after which a session is parked.
const parkAfter = 8 * time.Second

// live handles what comes, beginning with what has come already.
func (c *conn) live() {
	if c.attend() {
		c.parked.Store(true)
		go c.park()
		return
	}
	c.leave()
}

// attend handles what comes until the session ends or, and then it returns true, is to be
// parked.
func (c *conn) attend() (park bool) {
	defer func() {
		if p := recover(); p != nil { // it ends the stream, not the house
			c.log().Error("a stanza's handling panicked", "panic", p, "stack", string(debug.Stack()))
			c.End(xmpp.EndStream("internal-server-error", ""))
			park = false
		}
	}()
	for c.work() {
		switch err := c.t.Wait(); {
		case errors.Is(err, xmpp.ErrNudged):
			c.t.Trim()
			return true
		case err != nil:
			c.finish(err)
			return false
		}
	}
	return false
}

// park waits until the socket has something or the connection ends.
func (c *conn) park() {
	err := c.t.Wait()
	for errors.Is(err, xmpp.ErrNudged) { // it came too late for attend
		err = c.t.Wait()
	}
	c.parked.Store(false)
	if err == nil {
		go c.live()
		return
	}
	go func() { // on a stack of its own
		c.finish(err)
		c.leave()
	}()
}

// quieten has a silent session parked. It is called by the sweeper.
func (c *conn) quieten(now time.Time) {
	if !c.parked.Load() && now.Sub(time.Unix(0, c.heard.Load())) > parkAfter {
		c.t.Nudge()
	}
}
