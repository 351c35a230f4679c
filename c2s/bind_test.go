package c2s_test

import (
	"slices"
	"strings"
	"testing"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const (
	nsSASL2 = "urn:xmpp:sasl:2"
	nsBind2 = "urn:xmpp:bind:0"
)

// Binding by IQ (RFC 6120 §7): a name of the client's or the server's choice, errors that
// the stream survives.
func TestBind(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	dial := func() *xmpptest.Client {
		c := h.dial()
		c.Login(xmpptest.Login{User: "juliet", Password: password, NoBind: true})
		return c
	}
	c := dial()
	for _, bad := range []string{"\u0007", "&#x200E;", strings.Repeat("x", 1024)} {
		c.Say("<iq type='set' id='1'><bind xmlns='%s'><resource>%s</resource></bind></iq>", xmpp.NSBind, bad)
		if bad == "\u0007" { // no XML at all
			c.ExpectEnd("not-well-formed")
			c = dial()
			continue
		}
		c.Expect("type='error'", "<bad-request", "id='1'")
	}
	if err := c.Bind("a <b> & 'c'"); err != nil || c.JID.Resource() != "a <b> & 'c'" {
		t.Errorf("bound %q, %v", c.JID, err)
	}
	c.Say("<iq type='set' id='s'><session xmlns='%s'/></iq>", xmpp.NSSession)
	c.Expect("type='result'", "id='s'")
	c.Say("<iq type='set' id='2'><bind xmlns='%s'/></iq>", xmpp.NSBind)
	c.Expect("type='error'", "id='2'")
	c.Bye()
	seen := map[string]bool{}
	for range 3 {
		c := dial()
		if err := c.Bind(""); err != nil || len(c.JID.Resource()) < 22 || seen[c.JID.Resource()] {
			t.Errorf("bound %q, %v", c.JID, err)
		}
		seen[c.JID.Resource()] = true
	}
	c = dial()
	c.Say("<iq type='get' id='g'><bind xmlns='%s'/></iq>", xmpp.NSBind)
	c.Expect("type='error'", "<not-authorized")
	c.ExpectEnd("not-authorized")
}

// SASL2 with Bind 2 (XEP-0388 §2.6.1, XEP-0386 §3.2): the full address in success,
// features behind it, no restart.
func TestBind2(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	if e := c.Features.Child(nsSASL2, "authentication").Child("", "inline").Child("urn:xmpp:bind:0", "bind"); e.IsZero() {
		t.Errorf("not announced: %s", c.Features)
	}
	header := c.Header
	c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Resource: "Parley Phone"})
	if r := c.JID.Resource(); !strings.HasPrefix(r, "Parley Phone/") || len(r) < len("Parley Phone/")+10 {
		t.Errorf("with a tag: %s", c.JID)
	}
	if c.Header != header {
		t.Error("the stream was restarted")
	}
	if f := c.Features.String(); strings.Contains(f, "<bind") || strings.Contains(f, "mechanism") || !strings.Contains(f, "<ver ") {
		t.Errorf("features: %s", f)
	}
	c.Ping(nil)
	other := h.dial()
	other.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Resource: "Parley Phone"})
	if other.JID == c.JID {
		t.Error("one tag gave one address twice")
	}
	c.Ping(nil)
	for tag, good := range map[string]bool{"": true, "&#x200E;": false, strings.Repeat("x", 1023): false} {
		c := h.dial()
		c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Resource: tag})
		if c.JID.Resource() == "" || good != (tag == "") {
			t.Errorf("tag %q: %s", tag, c.JID)
		}
		c.Bye()
	}
}

// What a client asks for within <bind/> is announced, and there when it is bound (XEP-0386
// §3.1, §3.2); what nobody knows is left alone.
func TestBind2Inline(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	const carbons = "<enable xmlns='urn:xmpp:carbons:2'/>"
	login := func(inline string) *xmpptest.Client {
		c := h.dial()
		c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Inline: inline})
		return c
	}
	c := h.dial()
	offered := c.Features.Child(nsSASL2, "authentication").Child("", "inline").Child("urn:xmpp:bind:0", "bind").Child("", "inline")
	var announced []string
	for f := range offered.Children {
		announced = append(announced, f.Attr("var"))
	}
	if !slices.Contains(announced, "urn:xmpp:carbons:2") || !slices.Contains(announced, "urn:xmpp:csi:0") {
		t.Errorf("announced: %s", c.Features)
	}
	c.Close()
	nothing := func(st *xmpp.Stanza) { t.Errorf("heard %s", st) }
	with, without := login("<tag>x</tag>"+carbons+carbons+"<enable xmlns='urn:xmpp:mystery:0'/>"), login("<enable xmlns='x'/>")
	romeo := h.login("romeo", "x")
	desk := h.login("juliet", "desk")
	romeo.Say("<message type='chat' to='juliet@%s/desk'><body>x</body></message>", host)
	desk.Expect("<body>x")
	with.Expect("<received xmlns='urn:xmpp:carbons:2'", "to='"+with.JID.String()+"'", "from='juliet@"+host+"'")
	without.Ping(nothing)
	with.Say("<iq type='set' id='d'><disable xmlns='urn:xmpp:carbons:2'/></iq>")
	with.Expect("type='result'", "id='d'")
	desk.Say("<message type='chat' to='romeo@%s/x'><body>y</body></message>", host)
	romeo.Expect("<body>y")
	with.Ping(nothing)
	without.Ping(nothing)
}

// SASL2 without Bind 2: the bare address, and binding by IQ afterwards.
func TestSASL2WithoutBind(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	st, err := c.Authenticate(xmpptest.Login{User: "juliet", Password: password, SASL2: true, NoBind: true})
	if err != nil || st.Child(nsSASL2, "authorization-identifier").Text() != "juliet@"+host {
		t.Fatalf("got %v %v", st, err)
	}
	if f := c.Expect("<features"); !f.Has(xmpp.NSBind, "bind") {
		t.Errorf("got %s", f)
	}
	if err := c.Bind("x"); err != nil {
		t.Error(err)
	}
	c.Bye()
}

// A stream's 'from' must be the account that logs in (XEP-0388 §2.3), also where it is
// said on one header and not on the next.
func TestSASL2From(t *testing.T) {
	h := open(t, nil)
	h.account("juliet", "romeo")
	for from, good := range map[string]bool{"juliet@" + host: true, "JULIET@" + host: true, "romeo@" + host: false, "juliet@" + other: true} {
		o := h.options()
		o.From = from
		c := xmpptest.Dial(t, o)
		st, err := c.Authenticate(xmpptest.Login{User: "juliet", Password: password, SASL2: true})
		if err != nil || (st.Name.Local == "success") != good {
			t.Errorf("from %s: %v %v", from, st, err)
		}
		if !good && !strings.Contains(st.String(), "<invalid-authzid") {
			t.Errorf("from %s: %s", from, st)
		}
		c.Close()
	}
}

// Giving up is answered (XEP-0388 §4.5), and another attempt may follow.
func TestSASL2Abort(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	c.Say("<authenticate xmlns='%s' mechanism='SCRAM-SHA-1'><initial-response>%s</initial-response></authenticate>", nsSASL2, encoded("n,,n=juliet,r=abcdefghijklmnop"))
	c.Expect("<challenge xmlns='" + nsSASL2 + "'")
	c.Say("<abort xmlns='%s'/>", nsSASL2)
	c.Expect("<failure xmlns='"+nsSASL2+"'", "<aborted xmlns='"+xmpp.NSSASL+"'")
	c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true})
	c.Say("<authenticate xmlns='%s' mechanism='SCRAM-SHA-1'/>", nsSASL2)
	if got := c.End(); got == "" || strings.HasPrefix(got, "broken") {
		t.Errorf("a second login on one stream: %q", got)
	}
}

// What is sent to a session while it is being bound comes behind the answer to that.
func TestNothingComesBeforeTheBindResult(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	romeo := h.login("romeo", "x")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if romeo.Write("<message to='juliet@"+host+"/fixed' type='headline'><body>x</body></message>") != nil {
					return
				}
			}
		}
	}()
	go func() { // errors come back
		for {
			if _, err := romeo.Read(); err != nil {
				return
			}
		}
	}()
	for i := range 10 {
		c := h.dial()
		c.Login(xmpptest.Login{User: "juliet", Password: password, Resource: "fixed"}) // fails on anything but the answer
		if i%2 == 0 {
			c.Close()
		}
	}
	close(stop)
	<-done
	romeo.Close()
}
