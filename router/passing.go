package router

import (
	"context"
	"errors"
	"slices"

	"parley/storage"
	"parley/xmpp"
)

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
	switch {
	case err != nil || p.Kept():
	case p.visits():
		p.hand(rd)
		p.call(rd)
		return
	default:
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

// release lets the accounts be forgotten again.
func (p *Passage) release() {
	p.forgetRecipient()
	if p.pinned {
		p.pinned = false
		p.Sender.pins.Add(-1)
	}
}

func (p *Passage) forgetRecipient() {
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
	if p.x != nil && p.r.crossings.lands(p.x) {
		p.landed(rd, failed)
		return
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
	if failed == nil && refused != nil { // nothing was written
		failed = refused
	}
	p.tell(failed)
	switch {
	case err != nil:
		p.bounce(rd, err)
	case p.follows():
		travels = true
		p.travel(nil)
	case p.visits():
		p.hand(rd)
		travels = true
		p.call(rd)
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
	copied, behind, listed := p.Sender != nil && p.Sender.wantsCopies(), false, false
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
