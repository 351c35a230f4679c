package c2s

import (
	"testing"
	"time"

	"parley/storage"
)

func outboundAt(n uint32) *outbound {
	set := Defaults()
	return &outbound{limits: func() *Settings { return &set }, acked: n, said: n}
}

// XEP-0198 §4: the counts wrap at 2^32.
func TestCountsWrap(t *testing.T) {
	now := time.Now()
	o := outboundAt(1<<32 - 3)
	for i := range 6 {
		o.add(message("x"), storage.ID(i+1), true, now)
	}
	step := func(h uint32, n int, back, wrong bool) {
		t.Helper()
		took, isBack, err := o.ack(h, now)
		if len(took) != n || isBack != back || (err != nil) != wrong {
			t.Errorf("h=%d: %d taken, back %v, %v", h, len(took), isBack, err)
		}
	}
	step(1<<32-2, 1, false, false)
	step(1<<32-3, 0, true, false)
	step(4, 0, false, true)
	step(1, 3, false, false)
	step(1<<32-1, 0, true, false)
	step(0, 0, true, false)
	step(3, 2, false, false)
	step(3, 0, false, false)
	step(4, 0, false, true)
	if len(o.list) != 0 || o.bytes != 0 {
		t.Errorf("%d left, %d bytes", len(o.list), o.bytes)
	}
	s := &sink{}
	q := queueOf(s)
	q.manage(outboundAt(1<<32-1), nil)
	for _, h := range []uint32{1<<32 - 1, 0, 1<<32 - 1, 1} {
		q.say(h)
	}
	q.flush()
	if want := 4*len("<a xmlns='urn:xmpp:sm:3' h=''/>") + 10 + 1 + 1 + 1; s.bytes != want { // never back
		t.Errorf("%d bytes instead of %d", s.bytes, want)
	}
}

// What is acknowledged is forgotten, and an idle session holds little.
func TestUnackedHoldsLittle(t *testing.T) {
	now := time.Now()
	o := outboundAt(0)
	n := uint32(0)
	for range 1000 {
		o.add(message("x"), 0, true, now)
	}
	for n < 1000 {
		n += 7
		o.ack(min(n, 1000), now)
	}
	if cap(o.list) > keepSent || o.bytes != 0 {
		t.Errorf("room for %d, %d bytes", cap(o.list), o.bytes)
	}
}

// Nobody acknowledges what was never sent, also where it waits (XEP-0198 §6).
func TestWaitingIsNotSent(t *testing.T) {
	now := time.Now()
	o := outboundAt(0)
	o.add(message("x"), 0, true, now)
	o.add(message("y"), 0, false, now)
	if _, _, err := o.ack(2, now); err == nil {
		t.Error("acknowledged")
	}
	if _, _, err := o.ack(1, now); err != nil || len(o.list) != 1 || o.told != 0 {
		t.Errorf("%v, %d left, %d sent", err, len(o.list), o.told)
	}
}

// Asking and answering cost no memory.
func TestAcknowledgingDoesNotAllocate(t *testing.T) {
	q, st := queueOf(&sink{}), chat(t)
	q.manage(outboundAt(0), nil)
	h := uint32(0)
	n := testing.AllocsPerRun(1000, func() {
		q.push(st, 0)
		h++
		q.say(h)
		q.acked(h)
		q.flush()
	})
	if n > 0.5 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkQueueManaged(b *testing.B) {
	q, st := queueOf(&sink{}), chat(b)
	q.manage(outboundAt(0), nil)
	h := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		q.push(st, 0)
		h++
		q.acked(h)
		q.flush()
	}
}

// What nobody has written is asked for at once, or after hastyEvery; all else once a second.
func TestAskedInHaste(t *testing.T) {
	now := time.Now()
	o := outboundAt(0)
	calls := make(chan time.Duration, 4)
	o.later = func() { calls <- time.Since(now) }
	add := func(id storage.ID, after time.Duration, asks bool) {
		t.Helper()
		if o.add(message("x"), id, true, now.Add(after)) != asks {
			t.Errorf("%d after %s: not %v", id, after, asks)
		}
	}
	add(-9, 0, true)
	add(1, 2*hastyEvery, false)
	add(-8, 2*hastyEvery, true)
	add(-7, 2*hastyEvery+1, false)
	if after := <-calls; after > askEvery-hastyEvery {
		t.Errorf("asked %s later", after)
	}
	add(2, 2*hastyEvery+askEvery+1, true)
}

func TestPingedInHaste(t *testing.T) {
	var l ledger
	calls := make(chan struct{}, 4)
	due := func(what bool) {
		t.Helper()
		if l.due(func() { calls <- struct{}{} }) != what {
			t.Errorf("due: not %v", what)
		}
	}
	for range asksAtOnce {
		l.add(1)
		due(true)
		l.answered()
	}
	time.Sleep(hastyEvery)
	for range 3 { // more often than others are asked
		l.add(-1)
		due(true)
		due(false) // one is under way
		if n := len(l.answered()); n != 1 {
			t.Fatalf("%d answered", n)
		}
		l.last += int64(askEvery / 2) // it is not long ago, however slow the machine is
		l.add(-1)
		due(false)
		<-calls
		l.again()
		due(true)
		l.answered()
		time.Sleep(hastyEvery)
	}
	l.add(1)
	due(false) // it has been asked often enough for that
}
