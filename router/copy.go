package router

import (
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// maxCopied is how many waiting messages one session is remembered to have copies of. Of
// older ones it may be given the message itself besides.
const maxCopied = 512

// Reached returns how many sessions were handed the message.
func (p *Passage) Reached() int { return int(p.reached) }

// Devices returns the recipient's resources as they were when the message was handed over.
// Only for Copy and Miss; the slice must not be changed.
func (p *Passage) Devices() []Resource { return p.seen }

// Got reports whether a session was handed the message itself, or is about to be given it
// among what waits. Only for Copy and Miss.
func (p *Passage) Got(s Session) bool {
	for i := range p.seen {
		if p.seen[i].Session == s {
			return p.names(&p.seen[i])
		}
	}
	return false
}

// Said reports whether a session is the one that sent the message.
func (p *Passage) Said(s Session) bool { return p.speaker != nil && p.speaker.session == s }

// Show hands a session of either account a copy of the message, of whatever form. One that
// has a copy of a message that waits is not given the message later.
func (p *Passage) Show(rd *Round, res *Resource, st *xmpp.Stanza) {
	var err error
	switch {
	case res.deaf():
		return
	case res.catchesUp():
		id := p.id
		if !p.due || !p.written || !p.hasRecipient(res) {
			id = 0
		}
		res.sender.later(rd, st, id)
	case !p.due || !p.written || !p.hasRecipient(res):
		err = rd.Push(res.Session, st)
	case res.due(): // to have the copy is to have the message
		err = res.sender.Hand(rd, st, p.id)
	default:
		err = res.sender.handCopy(rd, st, p.id)
	}
	if err != nil {
		res.sender.deaf.Store(true)
	}
}

// hasRecipient reports whether a resource is one of the account that the message is for.
func (p *Passage) hasRecipient(res *Resource) bool {
	return p.Recipient != nil && res.sender.account == p.Recipient
}

// names reports whether the table names a resource for the message. One that is just being
// given what waits will find a message there that waits as well.
func (p *Passage) names(res *Resource) bool {
	switch p.how {
	case one:
		return res.JID().Resource() == p.Stanza.To.Resource()
	case all: // also one that is just being given what has waited: behind that
		return res.due()
	case store, ignore:
		return res.due() && (p.written && p.how == store || p.early)
	}
	return false
}

// later gives the message to a resource behind what it is just being given. One that was
// kept may be among that, or was taken out before.
func (p *Passage) later(rd *Round, res *Resource) {
	id := p.id
	if !p.due || !p.written {
		id = 0
	}
	res.sender.later(rd, p.arriving(), id)
}

func (s *Sender) hasCopies(ids []storage.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.copied.add(id)
	}
	if n := len(s.copied) - maxCopied; n > 0 {
		s.copied = slices.Delete(s.copied, 0, n)
	}
}

// HasCopy reports whether the session has acknowledged a message, while it was not one of
// those that messages for the account are for.
func (s *Sender) HasCopy(id storage.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copied.has(id)
}

// forgetCopied is called when the session has been given what waited.
func (s *Sender) forgetCopied() {
	s.mu.Lock()
	s.copied = nil
	s.mu.Unlock()
}
