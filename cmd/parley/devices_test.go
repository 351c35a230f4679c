package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"strings"
	"testing"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const (
	thePhone  = "d4565fa7-4d72-4749-b3d3-740edbf87770"
	theLaptop = "9f4c1e0a-3b6d-4c58-8a21-5d0f6b7e1c93"
)

// A device is a client that says which one it is, and keeps its token.
type device struct {
	t     *testing.T
	c     *child
	agent string
	token string
}

func (d *device) dial() *xmpptest.Client {
	d.t.Helper()
	return xmpptest.Dial(d.t, xmpptest.Options{Addr: d.c.starttls, Host: "localhost", TLS: &tls.Config{InsecureSkipVerify: true}})
}

func (d *device) says(more string) string {
	return "<user-agent id='" + d.agent + "'><software>Tester</software><device>" + d.agent[:4] + "</device></user-agent>" + more
}

// enters logs in and returns the session, or the failure.
func (d *device) enters(l xmpptest.Login) (*xmpptest.Client, string) {
	d.t.Helper()
	c := d.dial()
	l.SASL2 = true
	st, err := c.Authenticate(l)
	if err != nil {
		d.t.Fatal(err)
	}
	if st.Name.Local != "success" {
		c.Close()
		return nil, st.String()
	}
	if err := c.LoggedIn(l, st); err != nil {
		d.t.Fatal(err)
	}
	if token := st.Child("urn:xmpp:fast:0", "token").Attr("token"); token != "" {
		d.token = token
	}
	return c, ""
}

// enrols logs in with the password and asks for a token.
func (d *device) enrols(password string) *xmpptest.Client {
	d.t.Helper()
	c, wrong := d.enters(xmpptest.Login{User: "juliet", Password: password, Extra: d.says("<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>")})
	if c == nil || d.token == "" {
		d.t.Fatalf("no token: %s", wrong)
	}
	return c
}

// returns logs in with the token.
func (d *device) returns() (*xmpptest.Client, string) {
	d.t.Helper()
	m := hmac.New(sha256.New, []byte(d.token))
	m.Write([]byte("Initiator"))
	return d.enters(xmpptest.Login{Mechanism: "HT-SHA-256-NONE", Initial: "juliet\x00" + string(m.Sum(nil)), Extra: d.says("<fast xmlns='urn:xmpp:fast:0'/>")})
}

// mustReturn and cannotReturn say whether the token is good.
func (d *device) mustReturn() *xmpptest.Client {
	d.t.Helper()
	c, wrong := d.returns()
	if c == nil {
		d.t.Fatal(wrong)
	}
	return c
}

func (d *device) cannotReturn(condition string) {
	d.t.Helper()
	if _, wrong := d.returns(); !strings.Contains(wrong, "<"+condition) {
		d.t.Errorf("got %q instead of %s", wrong, condition)
	}
}

// TestDeviceCommands lists and revokes devices, beside a running server and without one.
func TestDeviceCommands(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	phone, laptop := &device{t: t, c: c, agent: thePhone}, &device{t: t, c: c, agent: theLaptop}
	onPhone, onLaptop := phone.enrols("pw"), laptop.enrols("pw")
	old := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "old")
	list := func() map[string]deviceInfo {
		var all []deviceInfo
		c.mustJSON(&all, "session", "devices", "juliet")
		by := map[string]deviceInfo{}
		for _, d := range all {
			by[d.Device] = d
		}
		return by
	}
	all := list()
	if p := all["d456"]; len(all) != 3 || p.Software != "Tester" || strings.Join(p.Access, " ") != "password token" || len(p.Sessions) != 1 || p.Sessions[0] != onPhone.JID.Resource() {
		t.Errorf("%+v", all)
	}
	contains(t, c.must("", "session", "devices", "juliet"), "ACCESS", "Tester", "password,token", "old")
	if text := c.must("", "session", "devices", "juliet"); strings.Contains(text, thePhone) {
		t.Errorf("the client's own id is shown:\n%s", text)
	}

	contains(t, c.must("", "session", "revoke", "juliet", all["9f4c"].ID), "Tester 9f4c revoked", "sessions ended: 1", "parley user passwd juliet")
	onLaptop.ExpectEnd("reset")
	laptop.cannotReturn("not-authorized")
	contains(t, c.fails(exitNotFound, "", "session", "revoke", "juliet", all["9f4c"].ID), "juliet@localhost has no such device")
	onPhone.Ping(nil)

	c.must("", "session", "kick", onPhone.JID.String())
	onPhone.ExpectEnd("policy-violation")
	phone.cannotReturn("not-authorized")
	phone.enrols("pw").Bye()
	laptop.enrols("pw").Bye()

	c.stop() // tokens outlive the server, and may be revoked without it
	c.must("", "session", "revoke", "juliet", list()["9f4c"].ID)
	c.start()
	phone.mustReturn().Bye()
	laptop.cannotReturn("not-authorized")
	c.must("", "session", "revoke", "juliet")
	phone.cannotReturn("not-authorized")
	if left := list(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	old.conn.Close()

	again := phone.enrols("pw")
	c.must("new\n", "user", "passwd", "juliet")
	again.ExpectEnd("reset")
	phone.cannotReturn("not-authorized")
	phone.enrols("new").Bye()
	c.must("", "user", "disable", "juliet")
	c.must("", "user", "enable", "juliet")
	phone.cannotReturn("not-authorized")
}

// TestTokenSettings switches tokens off and on by a reload.
func TestTokenSettings(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "")
	c.start()
	c.must("pw\n", "user", "add", "juliet")
	phone := &device{t: t, c: c, agent: thePhone}
	phone.enrols("pw").Bye()
	c.write("parley.toml", "[auth]\ntoken_lifetime = \"0s\"\nremember_devices = \"0s\"\n")
	c.hup("msg=reloaded")
	if f := phone.dial().Features.String(); strings.Contains(f, "urn:xmpp:fast:0") {
		t.Errorf("%s", f)
	}
	phone.cannotReturn("invalid-mechanism")
	c.write("parley.toml", "[auth]\ntoken_lifetime = \"2h\"\nmax_devices = 1\n")
	c.hup("msg=reloaded")
	phone.mustReturn().Bye()
	(&device{t: t, c: c, agent: theLaptop}).enrols("pw").Bye()
	phone.cannotReturn("not-authorized") // one device is remembered
	for text, says := range map[string]string{
		"[auth]\ntoken_lifetime = \"1m\"\n":   "auth.token_lifetime: 1m",
		"[auth]\nremember_devices = \"1s\"\n": "auth.remember_devices: 1s",
		"[auth]\nmax_devices = 0\n":           "auth.max_devices: 0",
	} {
		c.write("parley.toml", text)
		contains(t, c.fails(exitConfig, "", "config", "check"), says)
	}
}

// TestAdministratorTakesTokensBack ends a user's sessions from a client (XEP-0133 §4.5).
func TestAdministratorTakesTokensBack(t *testing.T) {
	c := startChild(t, "PARLEY_ADMINS=bard@localhost")
	for _, name := range []string{"juliet", "bard"} {
		c.must("pw\n", "user", "add", name)
	}
	phone := &device{t: t, c: c, agent: thePhone}
	session := phone.enrols("pw")
	bard := &device{t: t, c: c, agent: theLaptop}
	admin, wrong := bard.enters(xmpptest.Login{User: "bard", Password: "pw"})
	if admin == nil {
		t.Fatal(wrong)
	}
	const node = "http://jabber.org/protocol/admin#end-user-session"
	admin.Say("<iq type='set' id='1' to='localhost'><command xmlns='http://jabber.org/protocol/commands' node='%s'/></iq>", node)
	id := admin.Expect("id='1'", "executing").Payload().Attr("sessionid")
	admin.Say("<iq type='set' id='2' to='localhost'><command xmlns='http://jabber.org/protocol/commands' node='%s' sessionid='%s'>"+
		"<x xmlns='%s' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/admin</value></field>"+
		"<field var='accountjids'><value>juliet@localhost</value></field></x></command></iq>", node, id, xmpp.NSForm)
	admin.Expect("id='2'", "completed")
	session.ExpectEnd("policy-violation")
	phone.cannotReturn("not-authorized")
}
