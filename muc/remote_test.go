package muc_test

import (
	"testing"
	"time"

	"parley/muc"
)

const far = "far.example"

// People of a domain that is not reached any more leave, for all to see; when it is reached
// again they are not there by themselves.
func TestDistantPeopleLeave(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	away := h.Service(far)
	away.Sends("<presence from='juliet@" + far + "/a' to='" + verona + "/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	away.Sends("<presence from='juliet@" + far + "/b' to='" + verona + "/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	romeo.Forgets()
	away.Forgets()
	h.Router.Distant("conference.example.com", "other.example", false)
	h.Router.Distant("example.com", far, false)
	h.Settle()
	romeo.GetsNothing()
	h.Router.Distant("conference.example.com", far, false)
	h.Settle()
	romeo.Gets("<presence from='" + verona + "/Juliet' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none' jid='**'/><status code='333'/></x>…</presence>")
	h.Router.Distant("conference.example.com", far, true)
	h.Settle()
	romeo.GetsNothing()
	if n := rooms(h).Count().Sessions; n != 1 {
		t.Errorf("%d sessions are in rooms", n)
	}
}

// Who is elsewhere and says nothing for long is asked, and leaves if nobody answers.
func TestSilentPeopleAreAsked(t *testing.T) {
	h, c := timed(t)
	romeo := h.Connected("romeo@example.com/x")
	enterRoom(romeo, verona, "Romeo", "")
	open(romeo, verona)
	away := h.Service(far)
	for _, who := range []string{"juliet", "nurse"} {
		away.Sends("<presence from='" + who + "@" + far + "/a' to='" + verona + "/" + who + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	}
	away.Forgets()
	romeo.Forgets()
	c.passes(h, 29*time.Minute)
	away.GetsNothing()
	c.passes(h, 2*time.Minute)
	for range 2 { // in whichever order
		st := away.Gets("<iq type='get' from='" + verona + "' id='*'><ping xmlns='urn:xmpp:ping'/></iq>")
		answer := "<iq type='result' id='" + st.ID + "' from='" + st.To.String() + "' to='" + verona + "'/>"
		if st.To.Local() == "nurse" {
			answer = "<iq type='error' id='" + st.ID + "' from='" + st.To.String() + "' to='" + verona + "'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
		}
		away.Sends(answer)
	}
	h.Settle()
	romeo.Gets("<presence from='" + verona + "/nurse' type='unavailable'>…</presence>")
	romeo.GetsNothing()
}
