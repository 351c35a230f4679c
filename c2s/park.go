package c2s

import (
	"errors"
	"os"
	"time"
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
	for c.work() {
		switch err := c.t.Wait(); {
		case errors.Is(err, os.ErrDeadlineExceeded) && c.parking.CompareAndSwap(true, false):
			c.t.Nudge(false)
			c.t.Trim()
			c.parked.Store(true)
			go c.park()
			return
		case err != nil:
			c.finish(err)
			c.leave()
			return
		}
	}
	c.leave()
}

// park waits until the socket has something or the connection ends.
func (c *conn) park() {
	err := c.t.Wait()
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
	if !c.parked.Load() && now.Sub(time.Unix(0, c.heard.Load())) > parkAfter && c.parking.CompareAndSwap(false, true) {
		c.t.Nudge(true)
	}
}
