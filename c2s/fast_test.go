package c2s_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"parley/auth"
	"parley/xep/devices"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const (
	nsFast = "urn:xmpp:fast:0"
	phone  = "d4565fa7-4d72-4749-b3d3-740edbf87770"
	laptop = "9f4c1e0a-3b6d-4c58-8a21-5d0f6b7e1c93"
)

// clients is devices.Accounts on the accounts of the house.
type clients struct{ *house }

func (h clients) Devices(ctx context.Context, account int64) (out []devices.Device, err error) {
	list, err := h.auth.Accounts().Devices(ctx, account)
	for _, d := range list {
		out = append(out, devices.Device{
			ID: d.ID, Agent: d.Agent, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
			Password: d.Password, Certificate: d.Certificate, Token: d.Token,
		})
	}
	return out, err
}

func (h clients) RevokeDevice(ctx context.Context, account int64, id string) error {
	_, err := h.auth.Accounts().RevokeDevice(ctx, account, id)
	return err
}

func (h clients) TidyDevices(ctx context.Context) error { return h.auth.Accounts().TidyDevices(ctx) }

// userAgent is what a client says of itself.
func userAgent(id string) string {
	return "<user-agent id='" + id + "'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>"
}

func wish(mechanism string) string {
	return "<request-token xmlns='" + nsFast + "' mechanism='" + mechanism + "'/>"
}

// hashed is one side's hash of a token, as another program would compute it.
func hashed(token, side string, binding []byte) string {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte(side))
	m.Write(binding)
	return string(m.Sum(nil))
}

// binding is what a client binds a mechanism to on its connection.
func binding(t testing.TB, state *tls.ConnectionState, mechanism string) []byte {
	t.Helper()
	switch mechanism {
	case auth.TokenExporter:
		b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		return b
	case auth.TokenEndPoint:
		return auth.EndPoint(state.PeerCertificates[0])
	}
	return nil
}

// signIn logs in with SASL2 and returns <success/>, and the token in it.
func signIn(t testing.TB, c *xmpptest.Client, l xmpptest.Login) (success *xmpp.Stanza, token string) {
	t.Helper()
	l.SASL2 = true
	st, err := c.Authenticate(l)
	if err != nil || st.Name.Local != "success" {
		t.Fatalf("%v %v", st, err)
	}
	if err := c.LoggedIn(l, st); err != nil {
		t.Fatal(err)
	}
	return st, st.Child(nsFast, "token").Attr("token")
}

// byToken is the login of a client with a token.
func byToken(t testing.TB, c *xmpptest.Client, user, mechanism, token, agent, fast string) xmpptest.Login {
	t.Helper()
	return xmpptest.Login{
		SASL2: true, Mechanism: mechanism, Initial: user + "\x00" + hashed(token, "Initiator", binding(t, c.TLS(), mechanism)),
		Extra: userAgent(agent) + "<fast xmlns='" + nsFast + "'" + fast + "/>",
	}
}

// refusedToken wants a token to be refused with a condition.
func refusedToken(t testing.TB, h *house, user, mechanism, token, agent, condition string) {
	t.Helper()
	c := h.dial()
	defer c.Close()
	st, err := c.Authenticate(byToken(t, c, user, mechanism, token, agent, ""))
	if err != nil || st.Name.Local != "failure" || !strings.Contains(st.String(), "<"+condition) {
		t.Errorf("%v %v instead of %s", st, err, condition)
	}
}

// XEP-0484 §3.1: announced where it belongs, and nowhere else.
func TestTokensAnnounced(t *testing.T) {
	h := open(t, nil)
	want := "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-ENDP</mechanism><mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast></inline>"
	if f := h.dial().Features.String(); strings.Count(f, "HT-SHA-256") != 3 || !strings.Contains(f, want) || strings.Contains(f, "tls-0rtt") {
		t.Errorf("%s", f)
	}
	h.auth.Accounts().SetDevices(auth.DevicePolicy{Lifetime: -1})
	if f := h.dial().Features.String(); strings.Contains(f, "HT-SHA-256") || strings.Contains(f, nsFast) {
		t.Errorf("switched off: %s", f)
	}
}

// A token from a login with the password, used over both versions of TLS with every
// mechanism (XEP-0484 §3.2 to §3.4).
func TestTokenLogin(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, mechanism := range []string{auth.TokenEndPoint, auth.TokenExporter, auth.TokenUnbound} {
			o := h.options()
			o.TLS.MinVersion, o.TLS.MaxVersion = version, version
			c := xmpptest.Dial(t, o)
			st, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(mechanism)})
			expiry, err := time.Parse(time.RFC3339, st.Child(nsFast, "token").Attr("expiry"))
			if err != nil || time.Until(expiry) < 20*24*time.Hour || len(token) != 43 {
				t.Fatalf("%s: %v", st, err)
			}
			c.Bye()
			c = xmpptest.Dial(t, o)
			st, next := signIn(t, c, byToken(t, c, "juliet", mechanism, token, phone, " count='1'"))
			answer := decoded(t, st.Child(nsSASL2, "additional-data").Text())
			if answer != hashed(token, "Responder", binding(t, c.TLS(), mechanism)) || next != "" || c.JID.Bare().String() != "juliet@"+host {
				t.Errorf("%s", st)
			}
			c.Ping(nil)
			c.Bye()
			refusedToken(t, h, "juliet", mechanism, token, laptop, "not-authorized")
			refusedToken(t, h, "nobody", mechanism, token, phone, "not-authorized")
			refusedToken(t, h, "juliet", auth.TokenUnbound, token+"x", phone, "not-authorized")
			refusedToken(t, h, "juliet", mechanism, token, "no uuid", "malformed-request")
			refusedToken(t, h, "juliet", "HT-SHA-256-UNIQ", token, phone, "invalid-mechanism")
		}
	}
}

// What a client sends that is wrong with tokens, and what it does not get.
func TestTokenRefusals(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for _, extra := range []string{wish(auth.TokenUnbound), userAgent(phone) + wish("PLAIN"), userAgent(phone) + wish(""), userAgent("x") + wish(auth.TokenUnbound)} {
		c := h.dial()
		if _, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: extra}); token != "" {
			t.Errorf("a token for %s", extra)
		}
		c.Bye()
	}
	c := h.dial()
	_, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenUnbound)})
	c.Bye()
	initial := encoded("juliet\x00" + hashed(token, "Initiator", nil))
	c = h.dial() // XEP-0484 §3.4
	c.Say("<authenticate xmlns='%s' mechanism='HT-SHA-256-NONE'><initial-response>%s</initial-response>%s</authenticate>", nsSASL2, initial, userAgent(phone))
	c.Expect("<failure", "<malformed-request")
	c.Say("<auth xmlns='%s' mechanism='HT-SHA-256-NONE'>%s</auth>", xmpp.NSSASL, initial)
	c.Expect("<failure", "<invalid-mechanism")
	c.Close()
	c = h.raw()
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	c.Say("<authenticate xmlns='%s' mechanism='HT-SHA-256-NONE'/>", nsSASL2)
	c.ExpectEnd("not-authorized")
}

// XEP-0484 §3.6
func TestInvalidateToken(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	_, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenExporter)})
	c.Bye()
	c = h.dial()
	if _, next := signIn(t, c, byToken(t, c, "juliet", auth.TokenExporter, token, phone, " invalidate='true'")); next != "" {
		t.Error("a new token with the end of the old one")
	}
	c.Ping(nil)
	c.Bye()
	refusedToken(t, h, "juliet", auth.TokenExporter, token, phone, "not-authorized")
}

// A client that comes again ends its earlier sessions, whatever resource they have, and
// nobody else's (XEP-0386 §3.2).
func TestSameClientComesAgain(t *testing.T) {
	h := open(t, nil)
	h.account("juliet", "romeo")
	for _, noBind := range []bool{false, true} {
		first, other, foreign := h.dial(), h.dial(), h.dial()
		signIn(t, first, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone)})
		signIn(t, other, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(laptop)})
		signIn(t, foreign, xmpptest.Login{User: "romeo", Password: password, Extra: userAgent(phone)})
		nameless := h.login("juliet", "")
		again := h.dial()
		signIn(t, again, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone), NoBind: noBind})
		if noBind { // and then binds as in RFC 6120 §7
			first.Ping(nil)
			if err := again.Bind("desk"); err != nil {
				t.Fatal(err)
			}
		}
		first.ExpectEnd("conflict")
		for _, c := range []*xmpptest.Client{other, foreign, nameless, again} {
			c.Ping(nil)
			c.Bye()
		}
		eventually(t, "all are gone", func() bool { return h.router.Sessions() == 0 })
	}
}

// XEP-0494 over the wire: a client with a token is revoked, one that knows the password is
// not until that is another one.
func TestDevices(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	_, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenExporter)})
	desk := h.dial()
	signIn(t, desk, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(laptop)})
	list := func() map[string]xmpp.Element {
		desk.Say("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>")
		all := map[string]xmpp.Element{}
		st := desk.Expect("id='l'", "<clients")
		for e := range st.Payload().Children {
			all[e.Attr("id")] = e
		}
		if strings.Contains(st.String(), phone) || strings.Contains(st.String(), laptop) {
			t.Errorf("the client's own id is shown: %s", st)
		}
		return all
	}
	var id string
	eventually(t, "both devices are listed", func() bool {
		for i, e := range list() {
			if !e.Child("urn:xmpp:cam:0", "auth").Child("urn:xmpp:cam:0", "fast").IsZero() {
				id = i
			}
		}
		return id != "" && len(list()) == 2
	})
	e := list()[id]
	if ua := e.Child("urn:xmpp:cam:0", "user-agent"); e.Attr("connected") != "true" || ua.ChildText("urn:xmpp:cam:0", "software") != "AwesomeXMPP" || ua.ChildText("urn:xmpp:cam:0", "device") != "Kiva's Phone" {
		t.Errorf("%s", e.Payload())
	}
	revoke := "<iq type='set' id='r'><revoke xmlns='urn:xmpp:cam:0' id='" + id + "'/></iq>"
	desk.Say("%s", revoke)
	desk.Expect("id='r'", "<service-unavailable", "<password-reset-required xmlns='urn:xmpp:cam:0'/>")
	c.Ping(nil)
	c.Bye()

	if err := h.ChangePassword(t.Context(), xmpp.MustJID("juliet@"+host), "new password"); err != nil {
		t.Fatal(err)
	}
	refusedToken(t, h, "juliet", auth.TokenExporter, token, phone, "not-authorized")
	c = h.dial()
	_, token = signIn(t, c, xmpptest.Login{User: "juliet", Password: "new password", Extra: userAgent(phone) + wish(auth.TokenExporter)})
	c.Bye()
	c = h.dial()
	signIn(t, c, byToken(t, c, "juliet", auth.TokenExporter, token, phone, ""))
	desk.Say("%s", revoke) // it has shown the new one
	desk.Expect("id='r'", "<password-reset-required")
	if err := h.ChangePassword(t.Context(), xmpp.MustJID("juliet@"+host), password); err != nil {
		t.Fatal(err)
	}
	desk.Say("%s", revoke)
	if st := desk.Expect("id='r'"); st.Type != "result" {
		t.Errorf("%s", st)
	}
	c.ExpectEnd("reset")
	eventually(t, "it is not listed any more", func() bool { return len(list()) == 1 })
}

// A session of a client that has not said which one it is: it is ended, and only another
// password keeps it away. The asker's own goes behind the answer.
func TestRevokeSession(t *testing.T) {
	h := open(t, nil)
	desk, old := h.login("juliet", "desk"), h.login("juliet", "old")
	for _, victim := range []*xmpptest.Client{old, desk} {
		desk.Say("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>")
		var ids []string
		for e := range desk.Expect("id='l'", "<clients").Payload().Children {
			ids = append(ids, e.Attr("id"))
		}
		desk.Say("<iq type='set' id='r'><revoke xmlns='urn:xmpp:cam:0' id='%s'/></iq>", ids[len(ids)-1])
		desk.Expect("id='r'", "<service-unavailable", "<password-reset-required")
		victim.ExpectEnd("reset")
		eventually(t, "it is gone", func() bool { return int(h.router.Sessions()) == len(ids)-1 })
	}
}

// XEP-0509: what is announced has a name, and who knows another one is told so without
// prejudice.
func TestConfigVersion(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Attempts = 1 })
	h.account("juliet")
	version := func(c *xmpptest.Client) string {
		return c.Features.Child("urn:xmpp:iap:0", "config-version").Attr("value")
	}
	c := h.dial()
	known := version(c)
	if known == "" || known != version(h.dial()) {
		t.Errorf("%q, then %q", known, version(h.dial()))
	}
	c.Say("<authenticate xmlns='%s' mechanism='NONSENSE'><config-version xmlns='urn:xmpp:iap:0' value='b2xk'/></authenticate>", nsSASL2)
	c.Expect("<failure", "<aborted", "<config-version-mismatch xmlns='urn:xmpp:iap:0'/>")
	if h.Stats().LoginsFailed.Load() != 0 {
		t.Error("it counts as a failure")
	}
	signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: "<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='" + known + "'/>"})
	if version(c) != "" {
		t.Errorf("after the login: %s", c.Features)
	}
	c.Bye()
	h.auth.Accounts().SetDevices(auth.DevicePolicy{Lifetime: -1})
	if got := version(h.dial()); got == known {
		t.Error("the version stays while what is announced changes")
	}
	raw := h.raw()
	if err := raw.Open(); err != nil || version(raw) != "" {
		t.Errorf("in clear: %v %s", err, raw.Features)
	}
}

// A client whose access is taken away between its login and the binding of a resource gets
// no session, however it has logged in.
func TestTakenBackBeforeBinding(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	_, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenUnbound)})
	c.Bye()
	juliet := xmpp.MustJID("juliet@" + host)
	for _, by := range []struct { // in this order: a new password ends tokens too
		name string
		take func() error
	}{
		{"token", func() error { return h.auth.Accounts().DropTokens(t.Context(), juliet) }},
		{"password", func() error { return h.ChangePassword(t.Context(), juliet, password) }},
	} {
		c := h.dial()
		l := xmpptest.Login{User: "juliet", Password: password, NoBind: true, Extra: userAgent(phone) + wish(auth.TokenUnbound)}
		if by.name == "token" {
			l = byToken(t, c, "juliet", auth.TokenUnbound, token, phone, "")
			l.NoBind = true
		}
		signIn(t, c, l)
		if err := by.take(); err != nil {
			t.Fatal(err)
		}
		c.Say("<iq type='set' id='b'><bind xmlns='%s'/></iq>", xmpp.NSBind)
		c.ExpectEnd("reset")
	}
	eventually(t, "nobody is there", func() bool { return h.router.Sessions() == 0 })
}
