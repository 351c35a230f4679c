package muc_test

import (
	"sync"
	"testing"
	"time"

	"parley/muc"
	"parley/router/routertest"
	"parley/xep/mam"
)

// clock is a time that a test moves.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*alarm
}

type alarm struct {
	c  *clock
	at time.Time
	fn func()
}

// Stop implements muc.Timer.
func (a *alarm) Stop() bool {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	was := a.fn != nil
	a.fn = nil
	return was
}

func (c *clock) after(d time.Duration, fn func()) muc.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &alarm{c, c.now.Add(d), fn}
	c.timers = append(c.timers, a)
	return a
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// passes lets time pass.
func (c *clock) passes(h *routertest.House, d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for _, a := range c.timers {
		if a.fn != nil && !a.at.After(c.now) {
			due = append(due, a.fn)
			a.fn = nil
		}
	}
	c.mu.Unlock()
	for _, fn := range due {
		fn()
	}
	h.Settle()
}

func timed(t *testing.T) (*routertest.House, *clock) {
	c := &clock{now: time.Now()}
	set := muc.Settings{Defaults: muc.DefaultRoom()}.Whole()
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	s := muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return set }, Archives: keeper, Now: c.time, After: c.after})
	return routertest.New(t, mam.Feature(keeper), muc.Feature(s)), c
}

// A new room whose owner does not configure it opens by itself (XEP-0045 §10.1.1, step 5).
func TestOpensByItself(t *testing.T) {
	h, c := timed(t)
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	c.passes(h, 29*time.Second)
	enterRoom(juliet, verona, "Juliet", "")
	refused(t, juliet, "item-not-found")
	c.passes(h, time.Second)
	enterRoom(juliet, verona, "Juliet", "")
	well(t, juliet)
}

// Who speaks in a new room takes it as it is.
func TestOpensByBeingUsed(t *testing.T) {
	h, _ := timed(t)
	romeo, juliet := h.Connected("romeo@example.com/x"), h.Connected("juliet@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	romeo.Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>")
	well(t, romeo)
	enterRoom(juliet, verona, "Juliet", "")
	well(t, juliet)
}

// Rooms that nobody is in leave memory after a while, and are as they were when somebody comes.
func TestIdleRoomsLeaveMemory(t *testing.T) {
	h, c := timed(t)
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona, "roomname", "Verona")
	romeo.Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>")
	romeo.Sends("<message to='" + verona + "' type='groupchat'><subject>Love</subject></message>")
	c.passes(h, time.Hour)
	if n := rooms(h).Loaded(); n != 1 {
		t.Fatalf("%d rooms are in memory with somebody in the one there is", n)
	}
	romeo.Sends("<presence to='" + verona + "/Romeo' type='unavailable'/>")
	c.passes(h, 59*time.Second)
	if n := rooms(h).Loaded(); n != 1 {
		t.Fatalf("%d rooms are in memory; the one there is was just left", n)
	}
	c.passes(h, time.Minute)
	c.passes(h, time.Minute)
	if n := rooms(h).Loaded(); n != 0 {
		t.Fatalf("%d rooms are in memory, and nobody is in any", n)
	}
	romeo.Forgets()
	enterRoom(romeo, verona, "Romeo", "")
	romeo.Gets("<presence from='" + verona + "/Romeo'>…</presence>")
	romeo.Gets("<message type='groupchat' from='" + verona + "/Romeo'><body>Hark</body>…</message>")
	romeo.Gets("<message type='groupchat' from='" + verona + "/Romeo'><subject>Love</subject>…</message>")
}
