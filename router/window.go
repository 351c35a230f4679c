package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"parley/xmpp"
)

// How far one sender may run ahead of the commits of its messages: stanzas and bytes.
const (
	maxAhead      = 64
	maxAheadBytes = 1 << 20
)

// A window is what one sender has in flight: messages that run ahead of their commits. They
// are handed over in the order in which they were sent.
type window struct {
	over    atomic.Bool // nothing begins any more
	account *Account    // the sender's; nil for one of elsewhere
	link    *Link       // what it came by, if that carries many senders
	inLink  int         // how many of flying the link knows of; the link's lock guards it

	mu      sync.Mutex // a leaf
	moved   sync.Cond  // a passage was settled
	flying  int        // messages in flight
	ahead   int        // of these, how many were handed over already (Passage.cross)
	crosses bool       // some were, since nothing was in flight
	begun   uint64     // messages that ever were, and what passed
	line    []*Passage // in the order in which they began, from the first in flight; nil where it is settled
	bytes   int        // their size
	loose   []*Account // recipients of those that may yet have to be kept
	detour  []*Passage // see Passage.follows
	waiting []waiter   // for messages to be settled

	spare *Passage // for the next message, where the last one was handed over at once
}

func (w *window) open(a *Account, l *Link) {
	w.account, w.link = a, l
	w.moved.L = &w.mu
}

// settle waits until nothing of the sender is in flight.
func (w *window) settle(rd *Round) {
	w.mu.Lock()
	if w.flying > 0 {
		w.mu.Unlock()
		rd.Flush() // who waits, flushes
		w.land()
		w.mu.Lock()
		for w.flying > 0 {
			w.moved.Wait()
		}
	}
	w.mu.Unlock()
}

// room waits until a message of n bytes may run ahead.
func (w *window) room(rd *Round, n int) {
	w.mu.Lock()
	for w.flying > 0 && (w.flying >= maxAhead || w.bytes+n > maxAheadBytes) {
		w.mu.Unlock()
		rd.Flush()
		w.land()
		w.mu.Lock()
		if w.flying > 0 && (w.flying >= maxAhead || w.bytes+n > maxAheadBytes) {
			w.moved.Wait()
		}
	}
	w.mu.Unlock()
}

// begin notes that a message is in flight; not any more once the session is over: who waits
// then until nothing is in flight knows that nothing follows.
func (w *window) begin(p *Passage) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over.Load() {
		return false
	}
	w.flying++
	w.begun++
	w.line = append(w.line, p)
	w.bytes += p.size
	if p.loose {
		w.loose = append(w.loose, p.Recipient)
	}
	return true
}

// ends has nothing of the sender begin any more.
func (w *window) ends() {
	w.mu.Lock()
	w.over.Store(true)
	w.mu.Unlock()
}

// errOver is what becomes of a message that a newer session has overtaken: its client says
// it again there.
var errOver = errors.New("the session is over")

// settled is called once for each message that began, by the postman or by who answers for a
// service.
func (w *window) settled(p *Passage) {
	w.mu.Lock()
	if w.flying--; p.crossed {
		w.ahead--
	}
	w.crosses = w.crosses && w.flying > 0
	w.line[slices.Index(w.line, p)] = nil
	for len(w.line) > 0 && w.line[0] == nil {
		w.line = w.line[1:]
	}
	if len(w.line) == 0 {
		w.line = nil
	}
	w.bytes -= p.size
	if p.loose {
		i := slices.Index(w.loose, p.Recipient)
		w.loose = slices.Delete(w.loose, i, i+1)
	}
	if i := slices.Index(w.detour, p); i >= 0 {
		w.detour = slices.Delete(w.detour, i, i+1)
	}
	w.moved.Broadcast()
	list := w.due()
	w.mu.Unlock()
	for _, waits := range list {
		waits.then()
	}
	if w.link != nil {
		w.link.settled(w, p)
	}
}

// behindLoose reports whether a message for a is in flight that may yet have to be kept.
func (w *window) behindLoose(a *Account) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.loose, a)
}

// state reports whether nothing of the sender is in flight, or (free) only what was handed
// over already.
func (w *window) state() (empty, free bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flying == 0, w.flying == w.ahead
}

// crossed notes that a message in flight was handed over.
func (w *window) crossed(p *Passage) {
	w.mu.Lock()
	p.crossed, w.crosses = true, true
	w.ahead++
	w.mu.Unlock()
}

// passed counts a stanza that is settled, among the messages in flight before it.
func (w *window) passed() {
	w.mu.Lock()
	if len(w.line) > 0 {
		w.line = append(w.line, nil)
		w.begun++
	}
	w.mu.Unlock()
}

// land has what was handed over and is in flight be written.
func (w *window) land(then ...errand) {
	var list []*crossing
	var r *Router
	w.mu.Lock()
	for _, p := range w.line {
		if p != nil && p.x != nil {
			list, r = append(list, p.x), p.r
		}
	}
	w.mu.Unlock()
	if len(then) > 0 {
		r = then[0].p.r
	}
	if r != nil {
		r.crossings.land(list, then...)
	}
}

// put has a message in flight travel, behind what of the sender was handed over before.
func (w *window) put(p *Passage, refused *xmpp.Error) {
	w.mu.Lock()
	crosses := w.crosses
	w.mu.Unlock()
	if crosses {
		w.land(errand{p, refused})
		return
	}
	p.travel(refused)
}

// carry has a message go its way. Where nothing is to be written, or only to bridge its way,
// and nothing of the sender is in flight that is not handed over, it is handed over at once;
// else it stands in the store's line. It returns false where the sender is over.
func (w *window) carry(ctx context.Context, rd *Round, as Passage) bool {
	as.win, as.size = w, as.Stanza.Len()
	w.room(rd, as.size)
	p := w.spare
	if w.spare = nil; p == nil {
		p = new(Passage)
	}
	*p = as
	err := p.begin(ctx)
	empty, free := w.state()
	switch {
	case free && err == nil && !p.Kept() && p.visits():
		return w.calls(rd, p)
	case free && err == nil && p.crosses():
		if p.x = p.r.crossings.draw(p); p.x != nil {
			return w.cross(rd, p)
		}
	case free && !empty && !p.Kept():
		return w.aside(rd, p, err)
	case empty && !p.Kept():
		if err == nil {
			err = p.handNow(rd)
		}
		if !p.Kept() {
			if err != nil {
				p.bounce(rd, err)
			}
			p.release()
			*p = Passage{} // an idle session holds no stanza
			w.spare = p
			return true
		}
	}
	return w.launch(ctx, rd, p, err) // what its Keeps named may speak of it: it is not used again
}

// calls has a message go to a service, where nothing is written for it on the way.
func (w *window) calls(rd *Round, p *Passage) bool {
	if !w.departs(rd, p) {
		return false
	}
	p.hand(rd)
	p.call(rd)
	return true
}

// cross hands over a message before it is written, where that can be.
func (w *window) cross(rd *Round, p *Passage) bool {
	if !w.departs(rd, p) {
		p.r.crossings.drop(p.x)
		return false
	}
	if !p.cross(rd) {
		w.put(p, nil)
	}
	return true
}

// aside hands over a message for which nothing is written, while others are in flight that
// were handed over before. It counts as one of these: what is settled is counted from the first.
func (w *window) aside(rd *Round, p *Passage, err *xmpp.Error) bool {
	if !w.departs(rd, p) {
		return false
	}
	if err == nil {
		err = p.handNow(rd)
	}
	switch {
	case p.Kept():
		w.put(p, err)
		return true
	case err != nil:
		p.bounce(rd, err)
	}
	p.settle()
	return true
}

// departs has a message be in flight, where there is room for it; false: the sender is over.
func (w *window) departs(rd *Round, p *Passage) bool {
	if w.link != nil {
		w.link.room(rd, p.size)
	}
	if !w.begin(p) {
		p.tell(errOver)
		p.release()
		return false
	}
	if w.link != nil {
		w.link.began(p)
	}
	return true
}

// launch puts a message into the store's line, where there is room for it.
//
// A message that was to be handed over when it was sent, and finds everybody gone when
// its turn comes, is kept then, under an id that is greater than those behind it. So what
// is kept because nobody is there does not begin behind such a one.
func (w *window) launch(ctx context.Context, rd *Round, p *Passage, refused *xmpp.Error) bool {
	if p.Kept() && w.behindLoose(p.Recipient) && p.WillWait() {
		w.settle(rd)
	}
	if !p.r.store.Room() {
		rd.Flush()
		p.r.store.Wait(ctx) // where this fails the store is closed, and says so to Keep
	}
	p.loose = refused == nil && !p.Kept() && !p.dropped && p.Recipient != nil
	if !w.departs(rd, p) {
		return false
	}
	w.put(p, refused)
	return true
}

// due takes out who waits for no more than is settled now. The lock is held.
func (w *window) due() (list []waiter) {
	n := 0
	for n < len(w.waiting) && w.waiting[n].n <= w.begun-uint64(len(w.line)) {
		n++
	}
	if n == 0 {
		return nil
	}
	list = slices.Clone(w.waiting[:n])
	if w.waiting = slices.Delete(w.waiting, 0, n); len(w.waiting) == 0 {
		w.waiting = nil
	}
	return list
}

// waiter is who waits until as many messages are settled.
type waiter struct {
	n    uint64
	then func()
}
