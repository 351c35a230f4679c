package router

import (
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
	x         *crossing    // where it is handed over before it is written
	id        storage.ID   // of what is written
	due       bool         // the recipient's row waits until some device has taken the message
	swallowed bool         // it was sent before
	stamps    stamps       // whose archives have it
	bridges   uint8        // how many of what is written only bridge its way
	crossed   bool         // it was handed over before it was written; the window's lock guards it
	out       *xmpp.Stanza // what the recipient's devices see of it; nil: the message itself
	size      int          // bytes, about
	place     uint64       // in the line of its link
	written   bool
	heard     bool         // its Keepings know what became of them
	pinned    bool         // the sender's account is held in memory by the message alone
	loose     bool         // in flight, and it may yet have to be kept
	ours      bool         // an error made by the house, whatever its 'from' says: no Guard refuses it
	early     bool         // given to whoever is just being given what waited, see soon
	returned  *xmpp.Stanza // what this is the answer to, see Router.Return
	hidden    bool         // the recipient refuses it as if there were no such account
	untold    bool         // its sender is not told that it is refused
	asked     bool         // whether it is has been found out
	dropped   bool         // nobody is there and it is worth nothing later
	reached   int32        // sessions that have it in their queues

	how  fate       // what the table said when it was handed over
	seen []Resource // the recipient's resources then
}

// A Keeping is what one Keep hook names to be written for a message.
type Keeping interface {
	// Write runs in the transaction of the writer, with the message's archive id.
	Write(tx *storage.Tx, id storage.ID) error
	// Written is called once, before the message is handed over, or when it is settled: err is
	// nil, and the postman calls, when it is committed; else nothing is.
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

// Bridge is Keep for what is of use only until the message has arrived: for the recipient's
// device to have it, or another server. Where that takes but a moment, it is never written.
func (p *Passage) Bridge(k Keeping) {
	p.bridges++
	p.Keep(k)
}

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
// as handled. Only in Guard, Mark and Keep.
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
