package routertest

import (
	"strings"
	"testing"

	"parley/xmpp"
)

// People is a place where conversations happen: a House, or a server behind a real
// connection.
type People interface {
	// Exists makes the account with this bare JID, if it is not there.
	Exists(bare xmpp.JID)
	// Connect logs in and binds this full JID. It sends no presence. The account exists.
	Connect(full xmpp.JID) Person
}

// A Person is somebody who is connected.
type Person interface {
	// Says sends one stanza, and returns when all that it causes is on its way to those
	// who will hear of it (on a real connection: a ping behind it was answered).
	Says(xml string)
	// Hears returns the next stanza that has come, nil when nothing more comes. What
	// anybody said before must be among it (on a real connection: ask with a ping).
	Hears() *xmpp.Stanza
	// Ended returns the condition of the stream error that ended the stream, "" if none did.
	Ended() string
	// Leaves ends the stream, and returns when the house knows.
	Leaves()
}

// An Actor is a person in a test: what is expected is checked. It answers the server's
// pings (XEP-0199) as a client does.
type Actor struct {
	Person

	t     testing.TB
	jid   xmpp.JID
	echo  bool         // its own presence is on its way back to it
	asked *xmpp.Stanza // the last request that it has heard
}

// JID returns the actor's full JID.
func (a *Actor) JID() xmpp.JID { return a.jid }

// Peer returns the session in memory behind an actor of a House.
func (a *Actor) Peer() *Peer { return a.Person.(*Peer) }

// Comes sends initial presence. The actor does not hear its own presence of it.
func (a *Actor) Comes(presence string) {
	a.t.Helper()
	a.echo = true
	a.Says(presence)
}

// Sends sends one stanza.
func (a *Actor) Sends(xml string) {
	a.t.Helper()
	a.Says(xml)
}

// Does sends an IQ request and wants an empty or other result.
func (a *Actor) Does(xml string) {
	a.t.Helper()
	a.Says(xml)
	if st := a.next(); st == nil || st.Kind != xmpp.IQ || st.Type != "result" {
		a.t.Fatalf("%s did %s\nand heard %v", a.jid, xml, st)
	}
}

// Gets wants the next stanza to be as the pattern says; see Match. It returns the stanza.
func (a *Actor) Gets(pattern string) *xmpp.Stanza {
	a.t.Helper()
	st := a.next()
	if st == nil {
		a.t.Fatalf("%s hears nothing, instead of\n%s", a.jid, pattern)
	}
	if why := Match(pattern, st); why != "" {
		a.t.Fatalf("%s hears\n%s\ninstead of\n%s\n(%s)", a.jid, st, pattern, why)
	}
	return st
}

// Answers answers the last request that the actor heard with a result of this content, or
// with content that is an <error/>.
func (a *Actor) Answers(content string) {
	a.t.Helper()
	if a.asked == nil {
		a.t.Fatalf("%s has heard no request", a.jid)
	}
	st := xmpp.Result(a.asked, xmpp.Payload(content))
	if strings.HasPrefix(content, "<error") {
		st.Type = "error"
	}
	a.asked = nil
	a.Says(st.String())
}

// GetsNothing wants nothing more to have come.
func (a *Actor) GetsNothing() {
	a.t.Helper()
	if st := a.next(); st != nil {
		a.t.Fatalf("%s hears\n%s\ninstead of nothing", a.jid, st)
	}
}

// Forgets lets go of whatever has come.
func (a *Actor) Forgets() {
	for a.next() != nil {
	}
}

// IsEnded wants the stream to have ended with this condition.
func (a *Actor) IsEnded(condition string) {
	a.t.Helper()
	if got := a.Ended(); got != condition {
		a.t.Fatalf("%s: the stream's end is %q instead of %q", a.jid, got, condition)
	}
}

// next returns the next stanza that a test is to see.
func (a *Actor) next() *xmpp.Stanza {
	a.t.Helper()
	for {
		st := a.Hears()
		switch {
		case st == nil:
			return nil
		case a.echo && st.Kind == xmpp.Presence && st.Type == "" && st.From == a.jid:
			a.echo = false
		case st.Kind == xmpp.IQ && st.Type == "get" && st.Has("urn:xmpp:ping", "ping") && st.From == a.jid.Host():
			a.Says(xmpp.Result(st, nil).String())
		case st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set"):
			a.asked = st
			return st
		default:
			return st
		}
	}
}
