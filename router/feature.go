package router

import (
	"context"
	"log/slog"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// A Feature is one thing the server can do, as a literal: what it announces, answers,
// hooks into and keeps. What is announced is what is registered: the disco answers and
// the tables of RFCs and XEPs in the documentation are made from these literals.
type Feature struct {
	Name string // the word people use, as in the package
	RFCs []RFC
	XEPs []XEP

	Disco        []string                      // features of the server (XEP-0030 §3.1)
	AccountDisco []string                      // features of an account's bare JID
	Identities   []Identity                    // of the server, beside its own
	AccountAs    []Identity                    // identities of an account's bare JID, beside account/registered
	Forms        func(host string) []xmpp.Form // extended information of the server (XEP-0128)

	IQ []IQ

	Commands []Command                                                             // of the server (XEP-0050)
	Node     func(ctx context.Context, q *Request, node string) (*NodeInfo, error) // what stands under a node of the server; nil: none of this feature's
	OwnNode  func(ctx context.Context, q *Request, node string) (*NodeInfo, error) // the same of the asker's own account

	AccountNode  func(ctx context.Context, q *Request, node string) (*NodeInfo, error) // what stands under a node of any account, if who asks may see it; nil: nothing. q.Account is nil where there is no such account for who asks
	AccountNodes func(ctx context.Context, q *Request) ([]Item, error)                 // the nodes of any account that who asks may see; q.Account as above

	Service Service // domains of its own
	HTTP    []HTTP  // what it serves to browsers and other programs that speak HTTP

	Items func(host string) []Item                      // services of a domain of this house that have addresses of their own
	Nest  func(host string, bare bool, about *NodeInfo) // may change what is said of a domain, or (bare) of the accounts there; see Router.Nested

	Instead   func(ctx context.Context, q *Request) Handler                          // answers a request of its choice before all who are registered for it; nil: none of this feature's
	Elsewhere func(q *Request) Handler                                               // answers disco about a node of an account that nobody here knows, or (items without a node) about the account; nil: not this feature
	Deputy    func(q *Request) bool                                                  // who asks may ask this as the owner of the account
	Unwrap    func(ctx context.Context, st *xmpp.Stanza) (*xmpp.Stanza, *xmpp.Error) // see Link.Deliver; nil: none of this feature's

	Attached func(component xmpp.JID)                       // see Router.Attached
	Shows    func(rd *Round, st *xmpp.Stanza)               // presence has come for an account's bare JID, whoever is there; from others than the account
	Shares   func(rd *Round, st *xmpp.Stanza)               // a client of this house has sent available presence to an account's bare JID alone (RFC 6121 §4.6)
	Pushed   func(t *Turn, a *Account, change xmpp.Payload) // see Router.Pushed

	Inline []Inline                 // what Bind 2 may enable with a session (XEP-0386 §3.1)
	Bound  func(t *Turn, s *Sender) // s was bound by Bind 2; called before what is enabled with it

	Sent    Hooks // steps of the sender's account
	Arrived Hooks // steps of the recipient's account

	Shown    func(a *Account, st *xmpp.Stanza) *xmpp.Stanza                 // may replace presence of any type that a client of a's sends; never waits
	Presence func(t *Turn, a *Account, c PresenceChange)                    // an own resource came, changed or went
	Absent   func(t *Turn, a *Account) xmpp.Payload                         // what is told of a, of whom no resource is available, to who may know
	Due      func(t *Turn, a *Account, res Resource, then func(*Round))     // res begins to take messages; call then on the postman
	Took     func(a *Account, ids []storage.ID)                             // a device of a's has taken messages that wait; never waits
	Unsure   func(a *Account, since time.Time)                              // see Sender.Unsure; never waits
	Lost     func(a *Account, s *Sender)                                    // see Sender.Lost; never waits
	Left     func(t *Turn, a *Account, s *Sender)                           // a session of a's is gone for good, with what it holds (Sender.Held)
	Outgoing func(t *Turn, a *Account, st *xmpp.Stanza) error               // a subscription stanza of a's, from and to bare JIDs
	Incoming func(t *Turn, a *Account, st *xmpp.Stanza)                     // a subscription stanza or a probe for a
	Trusted  func(ctx context.Context, a *Account, from xmpp.JID) bool      // the bare JID from may see a's presence; anyone asks
	Barred   func(t *Turn, a *Account, match func(xmpp.JID) bool, now bool) // a begins (now) or ceases to bar others; see Router.Barred
	Watchers func(t *Turn, a *Account, each func(bare xmpp.JID))            // see Router.Watchers
	Watched  func(t *Turn, a *Account, each func(bare xmpp.JID))            // see Router.Watched
	Admitted func(t *Turn, a *Account, bare xmpp.JID, now bool)             // see Router.Admitted
	Leaving  func(t *Turn, a *Account) error                                // a is about to be removed
	Distant  func(local, remote string, reached bool)                       // see Router.Distant; never waits
	Joined   func(bare xmpp.JID)                                            // an account has been made
	Heeds    func(account int64) bool                                       // see Router.Heeded; never waits
	Noticed  func(a *Account, n Notice) (told bool)                         // see Router.Notify; never waits

	Edits     func(ctx context.Context, t *Turn, a *Account, by xmpp.JID, do func(Edit) error) error // see Router.Edit
	Published map[string]func(e Edit, ids []string) error                                            // by node; see Router.Published

	Save    func(t *Turn, a *Account, res Resource) []byte             // what is to be kept of a session over a restart, beside what the router knows
	Restore func(t *Turn, a *Account, res Resource, data []byte) error // the session is there again, data as saved, nil for nothing; an error: it is not what it was

	Contact func(ctx context.Context, a *Account, bare xmpp.JID) (bool, error)     // the address is in a's roster; anyone asks
	Groups  func(ctx context.Context, a *Account, bare xmpp.JID) ([]string, error) // the groups of a's roster that it is in; anyone asks

	Capabilities func(full xmpp.JID, st *xmpp.Stanza) ([]string, bool)      // see Router.Capabilities
	Known        func(t *Turn, a *Account, res Resource, features []string) // see Router.Known
	Inquire      func(a *Account, st *xmpp.Stanza, then func([]string))     // see Router.Inquire

	Load   func(tx *storage.Tx, a *Account) error                  // an account comes into use: fill the Memo
	Start  func(Hall)                                              // before the first stanza
	Stop   func()                                                  // behind the last stanza, before the store is closed
	Tidy   func(context.Context) error                             // now and then: delete what is too old, a little at a time
	Forget func(tx *storage.Tx, account int64, jid xmpp.JID) error // an account is removed
	Schema storage.Schema
}

// A Hall is what a feature is given of the router at the start.
type Hall struct {
	Router *Router
	Store  *storage.Store
	Log    *slog.Logger
}

// RFC names an RFC that a feature implements.
type RFC struct {
	Number int
	Note   string
}

// XEP names an extension that a feature implements, in the version that was read.
type XEP struct {
	Number  int
	Version string
	Note    string
}

// An Identity is a category and type of XEP-0030 §3.1.
type Identity struct{ Category, Type, Name string }

// At says whom an IQ request is addressed to.
type At uint8

const (
	ToServer  At = iota // a domain of this house (RFC 6120 §10.5.1)
	ToOwn               // the asker's own account: no 'to', or the own bare JID
	ToAccount           // any account's bare JID; the handler checks who asks
)

// A Handler answers one kind of IQ request. A nil payload is an empty result; an error
// that is no *xmpp.Error is one of ours. It may wait for storage, never for a peer.
type Handler func(context.Context, *Request) (xmpp.Payload, error)

// IQ registers a handler for a type ("get" or "set") and the name of the payload.
type IQ struct {
	At          At
	Type        string
	Space, Name string
	Handle      Handler
}

// Get registers a handler for IQ gets.
func Get(at At, ns, name string, h Handler) IQ { return IQ{at, "get", ns, name, h} }

// Set registers a handler for IQ sets.
func Set(at At, ns, name string, h Handler) IQ { return IQ{at, "set", ns, name, h} }

// Hooks are the functions that a feature adds to the named steps of a message's way.
// Bar is what Guard is, for all that is no message, and for messages that have waited: it
// may refuse a stanza that the account sends, or that is for it. It never waits.
// Guard may refuse: nothing has been stored or shown yet. Mark may replace the stanza.
// Keep names what is to be written (Passage.Keep). Copy knows who was reached
// (Passage.Devices, Passage.Got) and Miss is told who was not; both never wait and never
// write. They run once for each message that was not refused.
type Hooks struct {
	Bar   func(*Account, *xmpp.Stanza) *xmpp.Error
	Guard func(*Passage) *xmpp.Error
	Mark  func(*Passage)
	Keep  func(*Passage) *xmpp.Error
	Copy  func(*Passage, *Round)
	Miss  func(*Passage)
}

// steps are the hooks of all features, step by step, in the order of the list of
// features.
type steps struct {
	bar   []func(*Account, *xmpp.Stanza) *xmpp.Error
	guard []func(*Passage) *xmpp.Error
	mark  []func(*Passage)
	keep  []func(*Passage) *xmpp.Error
	copy  []func(*Passage, *Round)
	miss  []func(*Passage)
}

func (s *steps) add(h Hooks) {
	if h.Bar != nil {
		s.bar = append(s.bar, h.Bar)
	}
	if h.Guard != nil {
		s.guard = append(s.guard, h.Guard)
	}
	if h.Mark != nil {
		s.mark = append(s.mark, h.Mark)
	}
	if h.Keep != nil {
		s.keep = append(s.keep, h.Keep)
	}
	if h.Copy != nil {
		s.copy = append(s.copy, h.Copy)
	}
	if h.Miss != nil {
		s.miss = append(s.miss, h.Miss)
	}
}

// A PresenceChange tells what became of one resource of an account. Stanza is what it
// sent, or an unavailable presence made for it when its stream ended.
type PresenceChange struct {
	Before, After Resource // After.Presence is nil when it went away
	Stanza        *xmpp.Stanza
}

// Came reports whether this is initial presence (RFC 6121 §4.2.1).
func (c PresenceChange) Came() bool { return !c.Before.Available() && c.After.Available() }

// Went reports whether the resource is no longer available (RFC 6121 §4.5.2).
func (c PresenceChange) Went() bool { return !c.After.Available() }
