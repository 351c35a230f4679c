package roster

import (
	"strings"
	"testing"

	"parley/router/routertest"
)

// TestStrangers asks for an account that is there, one that is away, one that hides, one
// that asked the stranger, and for nobody: every answer is the same, byte for byte.
func TestStrangers(t *testing.T) {
	s := newStage(t)
	stranger := s.Online("stranger@example.com/x")
	s.Online("aaaa@example.com/home")                                         // there
	s.Exists(stranger.JID().Bare())                                           // so that accounts are made in any order
	s.Connected("bbbb@example.com/home")                                      // away, but connected
	s.Online("cccc@example.com/home").Sends("<presence type='unavailable'/>") // gone again
	asks := s.Online("dddd@example.com/home")
	asks.Sends("<presence type='subscribe' to='stranger@example.com'/>")
	s.Online("eeee@example.com/home").Sends("<presence type='subscribed' to='stranger@example.com'/>")
	friends := s.Online("ffff@example.com/home") // somebody whom others see
	sees := s.Online("friend@example.com/home")
	sees.Sends("<presence type='subscribe' to='ffff@example.com'/>")
	friends.Sends("<presence type='subscribed' to='friend@example.com'/>")
	stranger.Forgets()

	for _, ask := range []string{
		"<presence type='probe' id='1' to='%'/>",
		"<presence type='probe' id='1' to='%/home'/>",
		"<presence type='subscribed' to='%'/>", // a pre-approval, seen by nobody
		"<presence type='unsubscribe' to='%'/>",
		"<presence to='%'/>",
		"<presence type='unavailable' to='%'/>",
		"<presence type='error' to='%'/>",
		"<iq type='get' id='1' to='%'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<iq type='get' id='1' to='%'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>",
		"<iq type='get' id='1' to='%'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
		"<iq type='get' id='1' to='%'><query xmlns='jabber:iq:roster'/></iq>",
		"<iq type='get' id='1' to='%'><query xmlns='jabber:iq:last'/></iq>",
		"<iq type='set' id='1' to='%'><query xmlns='jabber:iq:last'/></iq>",
		"<iq type='get' id='1' to='%/home'><query xmlns='jabber:iq:version'/></iq>",
		"<iq type='get' id='1' to='%/home'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<iq type='result' id='1' to='%/none'/>",
	} {
		want := answers(stranger, ask, "zzzz")
		for _, name := range []string{"aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff"} {
			if got := answers(stranger, ask, name); got != want {
				t.Errorf("%s of %s is answered\n%s\nthat of nobody\n%s", ask, name, got, want)
			}
		}
	}
	for _, name := range []string{"aaaa", "bbbb", "cccc", "ffff", "zzzz"} { // not who has asked or approved
		if got := answers(stranger, "<presence type='subscribe' id='1' to='%'/>", name); got != "" {
			t.Errorf("a request to %s is answered\n%s", name, got)
		}
	}
}

// answers returns all that comes of a stanza to somebody, without the name.
func answers(a *routertest.Actor, ask, name string) string {
	a.Sends(strings.ReplaceAll(ask, "%", name+"@example.com"))
	var all strings.Builder
	for st := a.Hears(); st != nil; st = a.Hears() {
		all.WriteString(strings.ReplaceAll(st.String(), name, "zzzz") + "\n")
	}
	return all.String()
}
