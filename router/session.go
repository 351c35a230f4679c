package router

import (
	"time"

	"parley/storage"
	"parley/xmpp"
)

// A Session is one connected client, local or on another node. The c2s door has the
// real one; tests have others.
type Session interface {
	// JID returns the full JID that was bound.
	JID() xmpp.JID
	// Push queues st for the client. It never blocks and changes nobody else; an error
	// says that the session is over or reads too slowly, and it ends by itself then.
	Push(st *xmpp.Stanza) error
	// Hand is Push for a message that waits under an id until some device has taken it: when
	// its client has acknowledged the message, the session calls Sender.Took.
	Hand(st *xmpp.Stanza, id storage.ID) error
	// Attention says whether somebody is there to see what is pushed.
	Attention() Attention
	// Flush writes what is queued, as far as the socket takes it. It never waits.
	Flush()
	// End closes the stream with err, on a goroutine of its own.
	End(err *xmpp.StreamError)
}

// Attention says how likely it is that what a session is pushed is seen.
type Attention uint8

const (
	Awake    Attention = iota
	Inactive           // connected, and nobody looks at it (XEP-0352)
	Gone               // not connected; it may be resumed (XEP-0198 §5)
)

// A Resource is a session in the list of its account: a connected resource, and an
// available one after initial presence (RFC 6121 §4.2). It is a value; the list is
// replaced whenever one changes.
type Resource struct {
	Session
	Presence *xmpp.Stanza // the last broadcast presence, as it was shown; nil unless available
	Sent     time.Time    // when the client sent it
	Priority int8         // RFC 6121 §4.7.2.3
	Ready    bool         // what waited for it has been queued: messages may follow
	Interest bool         // asked for the roster (RFC 6121 §2.1.6)
	Copies   bool         // asked for copies of what others of the account send and get (XEP-0280 §4)
	sender   *Sender
	said     *xmpp.Stanza // Presence as the client sent it
	since    time.Time
}

// Available reports whether the resource has sent initial presence.
func (r *Resource) Available() bool { return r.Presence != nil }

// takes reports whether messages for the bare JID go to it (RFC 6121 §8.5.2.1.1).
func (r *Resource) takes() bool {
	return r.due() && r.Ready && !r.deaf()
}

// due reports whether messages for the bare JID are for it, at once or as soon as what
// waited before has been queued.
func (r *Resource) due() bool { return r.Presence != nil && r.Priority >= 0 }

// catchesUp reports whether the resource is just being given what waited for it: all else
// that is for it comes behind that, as its senders have said it.
func (r *Resource) catchesUp() bool { return r.due() && !r.Ready }

// deaf reports whether the session has refused a stanza: it ends, and what cannot be
// lost is not for it any more.
func (r *Resource) deaf() bool { return r.sender != nil && r.sender.deaf.Load() }

// Shares reports whether the resource has sent directed presence to this address and not
// gone again since (RFC 6121 §4.6).
func (r *Resource) Shares(with xmpp.JID) bool { return r.sender != nil && r.sender.shares(with) }

// Sender returns the sender that the resource speaks through.
func (r *Resource) Sender() *Sender { return r.sender }

// Since returns when the resource was bound.
func (r *Resource) Since() time.Time { return r.since }
