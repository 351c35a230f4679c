package router

import (
	"context"
	"errors"
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// A Passage is one message on its way from one account to another. It belongs to one
// goroutine at a time: the reader's until it is handed over or given to the store, the
// postman's then.
type Passage struct {
	Stanza    *xmpp.Stanza
	Sender    *Account // the account that sent it, nil when none of this house did
	Recipient *Account // the account it is for, nil when that is none of this house

	r         *Router
	speaker   *Sender // nil when no local session speaks
	win       *window // of whoever sent it; nil when nobody waits for it
	way       Way     // where it leads out of the house; nil within
	writes    []Keeping
	id        storage.ID   // of what is written
	due       bool         // the recipient's row waits until some device has taken the message
	swallowed bool         // it was sent before
	stamps    stamps       // whose archives have it
	out       *xmpp.Stanza // what the recipient's devices see of it; nil: the message itself
	size      int          // bytes, about
	written   bool
	heard     bool         // its Keepings know what became of them
	loose     bool         // in flight, and it may yet have to be kept
	ours      bool         // an error made by the house, whatever its 'from' says: no Guard refuses it
	returned  *xmpp.Stanza // what this is the answer to, see Router.Return
	hidden    bool         // the recipient refuses it as if there were no such account
	untold    bool         // its sender is not told that it is refused
	asked     bool         // whether it is has been found out
	dropped   bool         // nobody is there and it is worth nothing later
	reached   int          // sessions that have it in their queues

	how  fate       // what the table said when it was handed over
	seen []Resource // the recipient's resources then
}

// A Keeping is what one Keep hook names to be written for a message.
type Keeping interface {
	// Write runs in the transaction of the writer, with the message's archive id.
	Write(tx *storage.Tx, id storage.ID) error
	// Written is called once on the postman, before the message is handed over: err is nil
	// when it is committed, else nothing is.
	Written(id storage.ID, err error)
	// Undo takes back what Write has written, where the message turns out to be refused.
	Undo(tx *storage.Tx, id storage.ID) error
}

// WillWait reports whether the message, as things stand, is to wait until somebody is
// there for it (the outcome "store" of the delivery table).
func (p *Passage) WillWait() bool {
	return p.Recipient != nil && p.fate() == store
}

// Keep names what is to be written for the message.
func (p *Passage) Keep(k Keeping) { p.writes = append(p.writes, k) }

// Wait says that what is kept waits until a device of the recipient has taken the message
// (Sender.Took).
func (p *Passage) Wait() { p.due = true }

// stamps says whose archives have a message.
type stamps uint8

const (
	stampSender stamps = 1 << iota
	stampRecipient
)

// Stamp says that the archive of the sender's or the recipient's account has the message,
// under the id that it is written with: what that account sees of it says so (XEP-0359 §4).
func (p *Passage) Stamp(a *Account) {
	if a == p.Sender {
		p.stamps |= stampSender
	}
	if a == p.Recipient {
		p.stamps |= stampRecipient
	}
}

// Seen returns the message as the sender's or the recipient's account sees it: with the id
// that it has in the archive of that account, and of no other (XEP-0313 §3.5). For Copy and Miss.
func (p *Passage) Seen(by *Account) *xmpp.Stanza {
	switch {
	case !p.written:
	case by == p.Recipient:
		return p.arriving()
	case by == p.Sender && p.stamps&stampSender != 0:
		return p.stamped(by)
	}
	return p.Stanza
}

// arriving is the message as the recipient's devices see it.
func (p *Passage) arriving() *xmpp.Stanza {
	switch {
	case p.out != nil:
	case p.written && p.stamps&stampRecipient != 0:
		p.out = p.stamped(p.Recipient)
	default:
		return p.Stanza
	}
	return p.out
}

func (p *Passage) stamped(by *Account) *xmpp.Stanza {
	return p.Stanza.With(StanzaID(by.JID, p.r.store.Opaque(p.id)))
}

// StanzaID is the element that says under which id an archive has a message (XEP-0359 §4).
func StanzaID(by xmpp.JID, id string) xmpp.Payload {
	var b xmpp.Builder
	return b.Grow(stanzaIDLen).Open("urn:xmpp:sid:0", "stanza-id", "by", by.String(), "id", id).Payload()
}

// stanzaIDLen is about how long a <stanza-id/> is, in bytes.
const stanzaIDLen = 112

// WillBeRefused reports whether the message, as things stand, is to be answered with an
// error. Where its sender may not be told so, it is not (RFC 6120 §13.11).
func (p *Passage) WillBeRefused() bool { return p.fate() == refuse && (p.Recipient != nil || p.told()) }

// WillBeIgnored reports whether the message, as things stand, reaches nobody.
func (p *Passage) WillBeIgnored() bool { return p.fate() == ignore }

// Swallow says that the message has been sent before: nothing is done with it, and it counts
// as handled. Only in Mark and Keep.
func (p *Passage) Swallow() { p.swallowed, p.dropped = true, true }

// Swallowed reports whether the message has been sent before.
func (p *Passage) Swallowed() bool { return p.swallowed }

// ID returns the id under which the message is written; 0 where it is not. For Copy and Miss.
func (p *Passage) ID() storage.ID {
	if !p.written {
		return 0
	}
	return p.id
}

// Returned returns the message of the recipient's that was given up, where this one says so.
func (p *Passage) Returned() *xmpp.Stanza { return p.returned }

// Speaker returns the local session that sends the message; nil where none does.
func (p *Passage) Speaker() *Sender { return p.speaker }

// Drop says that the message is worth nothing to somebody who is not there now: it is
// neither kept nor refused.
func (p *Passage) Drop() { p.dropped = true }

// Kept reports whether something is written for the message.
func (p *Passage) Kept() bool { return len(p.writes) > 0 }

// fate looks the message up in the delivery table.
func (p *Passage) fate() fate {
	f, _ := p.present()
	return f
}

// look is fate for the time when the message is handed over.
func (p *Passage) look() { p.how, p.seen = p.present() }

func (p *Passage) present() (f fate, list []Resource) {
	if p.way != nil {
		return away, nil
	}
	exists := p.Recipient != nil && !p.Recipient.gone.Load()
	if exists {
		list = p.Recipient.Resources()
	}
	return fateOf(p.Stanza.Type, p.Stanza.To.Resource(), exists, list), list
}

// begin finds the recipient and runs what comes before the commit. An error refuses the
// message.
func (p *Passage) begin(ctx context.Context) (err *xmpp.Error) {
	if p.Stanza.Fault != nil {
		return p.Stanza.Fault
	}
	if p.r.Serves(p.Stanza.To.Domain()) {
		p.Recipient, err = p.r.recipient(ctx, p.Stanza.To)
	} else {
		p.way, err = p.r.wayOf(p.Stanza)
	}
	if err != nil {
		return err
	}
	return p.prepare()
}

// deliver carries a message that no local session speaks.
func (p *Passage) deliver(ctx context.Context, rd *Round) {
	err := p.begin(ctx)
	if err == nil && !p.Kept() {
		err = p.handNow(rd)
	}
	switch {
	case err == nil && p.Kept() && p.reached == 0:
		p.travel(nil)
		return
	case err != nil:
		p.bounce(rd, err)
	}
	p.release()
}

// release lets the recipient's account be forgotten again.
func (p *Passage) release() {
	if p.Recipient != nil {
		p.Recipient.pins.Add(-1)
		p.Recipient = nil
	}
}

// handNow hands over a message for which nothing is written. Where everybody has left since
// the Keeps looked, these may name something now, and then it is still to be handed over.
func (p *Passage) handNow(rd *Round) *xmpp.Error {
	if !p.hand(rd) {
		return nil
	}
	err := p.keepAgain()
	if err == nil && !p.Kept() {
		p.hand(rd) // it is worth nothing later; who wants copies may be there
	}
	return err
}

// keepAgain runs the Keeps once more, when everybody has left since they looked.
func (p *Passage) keepAgain() (err *xmpp.Error) {
	defer p.r.caught("a step", &err)
	if err := p.keep(); err != nil {
		return err
	}
	if !p.Kept() && !p.dropped { // no feature keeps messages, or not this one
		return xmpp.Refuse("service-unavailable", "")
	}
	return nil
}

// travel puts the message into the store's line: what is to be written, or, where there
// is nothing or refused is set, just its place in the order.
func (p *Passage) travel(refused *xmpp.Error) {
	var do func(*storage.Tx) error
	if refused == nil && p.Kept() && !p.written {
		do = p.write
	}
	p.r.store.Keep(p.size, do, func(failed error) { p.arrive(refused, failed) })
}

// arrive is the postman's part: it hands the message over, or bounces what failed. Where
// the message must travel on it is not settled; else it is, also when a hook panics.
func (p *Passage) arrive(refused *xmpp.Error, failed error) {
	rd := &p.r.postman
	if errors.Is(failed, storage.ErrClosed) { // nobody's goroutine: there is no postman now
		rd = new(Round)
		defer rd.Flush()
	}
	travels := false
	defer func() {
		if !travels {
			p.settle()
		}
	}()
	err := refused
	if err == nil && failed != nil {
		err = p.r.failed(failed)
	}
	p.tell(failed)
	switch {
	case err != nil:
		p.bounce(rd, err)
	case p.follows():
		travels = true
		p.travel(nil)
	case p.hand(rd):
		p.leads()
		again := p.keepAgain()
		travels = true
		p.travel(again)
	}
}

// tell has those who named something to be written hear what became of it, once.
func (p *Passage) tell(failed error) {
	if !p.Kept() || p.heard {
		return
	}
	p.heard = true
	for _, k := range p.writes {
		k.Written(p.id, failed)
	}
}

func (p *Passage) settle() {
	if p.win != nil {
		p.win.settled(p)
	}
	p.release()
}

// follows reports whether a message of the same sender to the same account, which was
// sent earlier, is on its way through the line once more. This one goes behind it then. Where
// devices of the sender get copies, their order counts too: to whichever account it is.
func (p *Passage) follows() bool {
	w := p.win
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.detour) == 0 {
		return false
	}
	copied, behind, listed := w.account != nil && w.account.wantsCopies(), false, false
	for _, q := range w.detour {
		if q == p {
			listed = true
			break
		}
		behind = behind || copied || q.Recipient == p.Recipient
	}
	if behind && !listed {
		w.detour = append(w.detour, p)
	}
	return behind
}

// leads says that the message goes through the line once more.
func (p *Passage) leads() {
	if w := p.win; w != nil {
		w.mu.Lock()
		if !slices.Contains(w.detour, p) {
			w.detour = append(w.detour, p)
		}
		w.mu.Unlock()
	}
}

// prepare runs what comes before the commit: Guard and Mark of both accounts, then both
// Keeps. An error refuses the message.
func (p *Passage) prepare() (err *xmpp.Error) {
	defer p.r.caught("a step", &err)
	sent, arrived := &p.r.sent, &p.r.arrived
	if p.Sender != nil {
		for _, guard := range sent.guard {
			if err := guard(p); err != nil {
				return err
			}
		}
	}
	if p.Recipient != nil && !p.ours {
		for _, guard := range arrived.guard {
			if err := guard(p); err != nil {
				p.hidden = err.Condition == "service-unavailable"
				if !p.hidden || p.told() {
					return err
				}
				p.release() // it goes on as one to nobody, whose sender is not told either
				break
			}
		}
	}
	if p.Sender != nil {
		for _, mark := range sent.mark {
			mark(p)
		}
	}
	if p.Recipient != nil {
		for _, mark := range arrived.mark {
			mark(p)
		}
	}
	return p.keep()
}

func (p *Passage) keep() *xmpp.Error {
	if p.Sender != nil {
		for _, keep := range p.r.sent.keep {
			if err := keep(p); err != nil {
				return err
			}
		}
	}
	if p.Recipient != nil {
		for _, keep := range p.r.arrived.keep {
			if err := keep(p); err != nil {
				return err
			}
		}
	}
	if p.way != nil && !p.swallowed {
		if k := p.way.Keep(p.Stanza); k != nil {
			p.Keep(k)
		}
	}
	return nil
}

// write is the transaction of the message: all that its Keeps named, under one id.
func (p *Passage) write(tx *storage.Tx) error {
	if p.Recipient != nil && p.Recipient.gone.Load() { // removed since; its rows are, too
		return xmpp.Refuse("service-unavailable", "")
	}
	p.id, p.written = tx.NextID(), true
	for _, w := range p.writes {
		if err := w.Write(tx, p.id); err != nil {
			return err
		}
	}
	return nil
}

// hand gives the message to the sessions that the table names; it is the router's own
// step, after the commit. again is true when the message must wait although nothing was
// written for it: everybody has left since the Keeps looked.
func (p *Passage) hand(rd *Round) (again bool) {
	if p.swallowed {
		return false
	}
	p.look()
	switch p.how {
	case ignore:
	case away:
		if err := p.way.Carry(rd, p.Stanza, p.ID()); err != nil {
			p.takeBack()
			p.bounce(rd, err)
			return false
		}
		p.reached++
	case refuse:
		p.takeBack()
		if p.Recipient != nil || p.told() {
			p.bounce(rd, xmpp.Refuse("service-unavailable", ""))
			return false
		}
	case store:
		if !p.Kept() && !p.dropped {
			return true
		}
	case all, one:
		if p.push(rd); p.reached == 0 { // they all have just ended: as if they were not there
			return p.hand(rd)
		}
	}
	p.after(rd)
	return false
}

func (p *Passage) push(rd *Round) {
	for i := range p.seen {
		res := &p.seen[i]
		if !p.names(res) || res.deaf() {
			continue
		}
		if p.how == all && !res.Ready {
			p.later(rd, res)
			continue
		}
		if res.catchesUp() && p.Stanza.Type != "groupchat" { // a room wants to know of each that it is lost
			p.later(rd, res)
			p.reached++
			continue
		}
		if p.give(rd, res, p.arriving()) == nil {
			p.reached++
		} else {
			res.sender.deaf.Store(true)
		}
	}
}

// give hands a session the message, or a copy of it.
func (p *Passage) give(rd *Round, res *Resource, st *xmpp.Stanza) error {
	if p.due && p.written {
		return res.sender.Hand(rd, st, p.id)
	}
	return rd.Push(res.Session, st)
}

// takeBack writes away what was kept for a message that is refused after all.
func (p *Passage) takeBack() {
	if !p.written {
		return
	}
	id := p.id
	for _, w := range p.writes {
		p.r.store.Keep(64, func(tx *storage.Tx) error { return w.Undo(tx, id) }, nil)
	}
}

// after runs Copy and Miss. What was refused has neither: only its sender knows of it. But
// where the sender is not told (see told), it must not learn by the want of a copy either.
func (p *Passage) after(rd *Round) {
	defer p.r.caught("a step", nil)
	if p.Sender != nil {
		for _, c := range p.r.sent.copy {
			c(p, rd)
		}
	}
	if p.Recipient == nil {
		return
	}
	for _, c := range p.r.arrived.copy {
		c(p, rd)
	}
	for _, m := range p.r.arrived.miss {
		m(p)
	}
}

// bounce answers the message with an error, where it may be answered with one.
func (p *Passage) bounce(rd *Round, err *xmpp.Error) {
	if answer := xmpp.Bounce(p.Stanza, err); answer != nil {
		p.r.deliver(context.Background(), rd, answer, true)
	}
}
