package router

import (
	"context"

	"parley/storage"
	"parley/xmpp"
)

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
				p.forgetRecipient() // it goes on as one to nobody, whose sender is not told either
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
	if p.way != nil && !p.swallowed && !p.r.kept(p.Stanza) {
		if k := p.way.Keep(p.Stanza); k != nil {
			p.Bridge(k)
		}
	}
	return nil
}

// write is the transaction of the message: all that its Keeps named, under one id.
func (p *Passage) write(tx *storage.Tx) error {
	if p.Recipient != nil && p.Recipient.gone.Load() { // removed since; its rows are, too
		return xmpp.Refuse("service-unavailable", "")
	}
	if p.x != nil && p.r.crossings.needless(p.x) {
		p.written = false // of an earlier try
		return nil
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
		p.soon(rd)
	case away:
		if p.visits() { // it is given when the copies are made
			p.reached++
			break
		}
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
		if !p.Kept() {
			if !p.dropped {
				return true
			}
			p.soon(rd)
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

// soon gives a message that is kept nowhere to whoever is just being given what waited: nobody else
// is there for it, and a moment later it would go to them.
func (p *Passage) soon(rd *Round) {
	there := goneSomebody
	if p.Stanza.To.IsBare() {
		there = bareSomebody
	}
	if rules[there][column(p.Stanza.Type)] != all {
		return
	}
	for i := range p.seen {
		if res := &p.seen[i]; res.catchesUp() && !res.deaf() {
			p.later(rd, res)
			p.reached++
			p.early = true
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
