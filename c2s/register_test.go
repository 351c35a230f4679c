package c2s_test

import (
	"strings"
	"testing"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const registerNew = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>%s</username><password>%s</password></query></iq>"

// Requirement 21: registration is closed unless the operator opens it.
func TestRegistrationIsClosed(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	if strings.Contains(c.Features.String(), "register") {
		t.Errorf("announced: %s", c.Features)
	}
	c.Say(registerNew, "juliet", "secretsecret")
	c.ExpectEnd("not-authorized")
	if _, found, _ := h.auth.Accounts().Get(t.Context(), xmpp.MustJID("juliet@"+host)); found {
		t.Error("the account was made")
	}
}

// Open registration (XEP-0077 §3.1): one form, conflicts that cost nothing, a limit a day.
func TestRegistration(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Register, p.set.RegisterPerDay = true, 2 })
	h.account("romeo")
	clear := h.raw()
	if err := clear.Open(); err != nil {
		t.Fatal(err)
	}
	clear.Say(registerNew, "juliet", "secretsecret")
	clear.ExpectEnd("not-authorized") // not in clear
	c := h.dial()
	if !c.Features.Has("http://jabber.org/features/iq-register", "register") {
		t.Errorf("not announced: %s", c.Features)
	}
	c.Say("<iq type='get' id='g'><query xmlns='jabber:iq:register'/></iq>")
	c.Expect("<username/>", "<password/>", "id='g'", "result")
	for range 3 {
		c.Say(registerNew, "romeo", "secretsecret")
		c.Expect("type='error'", "<conflict")
	}
	c.Say(registerNew, "", "secretsecret")
	c.Expect("type='error'", "<not-acceptable")
	c.Say(registerNew, "a b@c", "secretsecret")
	c.Expect("type='error'", "<not-acceptable")
	c.Say("%s", strings.Replace(registerNew, "'set'", "'result'", 1)) // is no request
	c.Say(registerNew, "juliet", "secretsecret")
	c.Expect("type='result'", "id='r'")
	c.Login(xmpptest.Login{User: "juliet", Password: "secretsecret"})
	c.Bye()
	c = h.dial()
	c.Say("<iq type='set' id='r'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='username'><value>nurse</value></field><field var='password'><value>secretsecret</value></field></x></query></iq>")
	c.Expect("type='result'")
	c.Say(registerNew, "mercutio", "secretsecret")
	c.Expect("type='error'", "<resource-constraint", "type='wait'")
	c.Bye()
}

// Who registers is in the shared groups at once: bob is one of those of the conversations.
func TestRegistrationIsSeenInGroups(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Register = true })
	h.account("ann")
	h.router.Joined(xmpp.MustJID("ann@" + host))
	ann := h.login("ann", "a")
	ann.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
	ann.Expect("id='g'")
	c := h.dial()
	c.Say(registerNew, "bob", "secretsecret")
	c.Expect("type='result'")
	ann.Expect("type='set'", "bob@example.com", "subscription='both'", "<group>Staff</group>")
}
