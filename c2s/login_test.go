package c2s_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// Every mechanism and channel binding, with both profiles, over both versions of TLS.
func TestMechanisms(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		bindings := []string{"", "tls-exporter", "tls-server-end-point"}
		if version == tls.VersionTLS12 {
			bindings = append(bindings, "tls-unique")
		}
		for _, hash := range []string{"SHA-1", "SHA-256", "SHA-512"} {
			for _, binding := range bindings {
				for _, sasl2 := range []bool{false, true} {
					l := xmpptest.Login{User: "juliet", Password: password, Mechanism: "SCRAM-" + hash, Binding: binding, SASL2: sasl2}
					if binding != "" {
						l.Mechanism += "-PLUS"
					}
					t.Run(fmt.Sprintf("%s %s %s %v", tls.VersionName(version), l.Mechanism, binding, sasl2), func(t *testing.T) {
						o := h.options()
						o.TLS.MinVersion, o.TLS.MaxVersion = version, version
						c := xmpptest.Dial(t, o)
						if binding != "" && !strings.Contains(c.Features.String(), "<channel-binding type='"+binding+"'") {
							t.Errorf("the binding is not announced: %s", c.Features)
						}
						c.Login(l)
						if c.JID.Bare().String() != "juliet@"+host {
							t.Errorf("logged in as %s", c.JID)
						}
						c.Ping(nil)
						c.Bye()
					})
				}
			}
		}
	}
	for _, sasl2 := range []bool{false, true} {
		c := h.dial()
		c.Login(xmpptest.Login{Mechanism: "PLAIN", Initial: "\x00juliet\x00" + password, SASL2: sasl2})
		c.Bye()
	}
}

// XEP-0440 §2: with TLS 1.3 there is no tls-unique, and it is not announced.
func TestBindingsAnnounced(t *testing.T) {
	h := open(t, nil)
	list := func(version uint16) string {
		o := h.options()
		o.TLS.MinVersion, o.TLS.MaxVersion = version, version
		return fmt.Sprint(regexp.MustCompile(`type='([^']*)'`).FindAllString(xmpptest.Dial(t, o).Features.String(), -1))
	}
	if got := list(tls.VersionTLS13); got != "[type='tls-exporter' type='tls-server-end-point']" {
		t.Errorf("TLS 1.3: %s", got)
	}
	if got := list(tls.VersionTLS12); got != "[type='tls-exporter' type='tls-server-end-point' type='tls-unique']" {
		t.Errorf("TLS 1.2: %s", got)
	}
}

// XEP-0474: the challenge carries the hash of what was announced.
func TestDowngradeHash(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	c.Say("<auth xmlns='%s' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==</auth>", xmpp.NSSASL)
	if st := c.Next(); !strings.Contains(decoded(t, st.Text()), ",h=") {
		t.Errorf("got %s", decoded(t, st.Text()))
	}
	c.Close()
}

// Requirement 12: no login in clear, neither offered nor taken.
func TestSASLInClear(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet")
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-1", "EXTERNAL", "NONSENSE"} {
		c := h.raw()
		if err := c.Open(); err != nil {
			t.Fatal(err)
		}
		st, err := c.Authenticate(xmpptest.Login{User: "juliet", Password: password, Mechanism: mechanism, Initial: "\x00juliet\x00" + password})
		if err != nil || !strings.Contains(st.String(), "<encryption-required") {
			t.Errorf("%s: %v %v", mechanism, st, err)
		}
		c.Close()
	}
	c := h.raw()
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	c.Say("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>")
	c.ExpectEnd("not-authorized")
}

// Where the operator allows it, SCRAM works in clear, PLAIN still does not.
func TestClearWhereAllowed(t *testing.T) {
	h := open(t, func(p *plan) { p.set.RequireTLS, p.auth.Plain = false, true })
	h.account("juliet")
	dial := func() *xmpptest.Client { return xmpptest.Dial(t, xmpptest.Options{Addr: h.starttls, Host: host}) }
	c := dial()
	if f := c.Features.String(); strings.Contains(f, "PLAIN") || strings.Contains(f, "sasl:2") || !strings.Contains(f, "<starttls") {
		t.Errorf("got %s", f)
	}
	c.Login(xmpptest.Login{User: "juliet", Password: password})
	c.Ping(nil)
	c.Bye()
	c = dial()
	if st, _ := c.Authenticate(xmpptest.Login{Mechanism: "PLAIN", Initial: "\x00juliet\x00" + password}); !strings.Contains(st.String(), "failure") {
		t.Errorf("PLAIN in clear: %s", st)
	}
	c.Close()
}

// Requirement 15: nobody acts for somebody else; the session is that of who has proved
// who it is.
func TestAuthzid(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet", "romeo")
	for _, sasl2 := range []bool{false, true} {
		for authzid, want := range map[string]string{
			"": "", "juliet@" + host: "", "JULIET@" + strings.ToUpper(host): "", "romeo@" + host: "invalid-authzid",
			"juliet@" + other: "invalid-authzid", "juliet@" + host + "/x": "invalid-authzid", "romeo": "invalid-authzid", "@@": "invalid-authzid",
		} {
			for _, l := range []xmpptest.Login{
				{User: "juliet", Password: password, Authzid: authzid, SASL2: sasl2, NoBind: true},
				{Mechanism: "PLAIN", Initial: authzid + "\x00juliet\x00" + password, SASL2: sasl2, NoBind: true},
			} {
				c := h.dial()
				st, err := c.Authenticate(l)
				if err != nil {
					t.Fatal(err)
				}
				if want == "" && st.Name.Local != "success" || want != "" && !strings.Contains(st.String(), "<"+want) {
					t.Errorf("%q %s: %s", authzid, l.Mechanism, st)
				}
				c.Close()
			}
		}
	}
}

// Requirement 18: who does not exist and who guesses wrong see the same.
func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet")
	shape := regexp.MustCompile(`r=[^,]*|s=[^,]*`)
	steps := func(user, mechanism string, sasl2 bool) string {
		c := h.dial()
		defer c.Close()
		ns, open := xmpp.NSSASL, "<auth xmlns='%s' mechanism='%s'>%s</auth>"
		if sasl2 {
			ns, open = "urn:xmpp:sasl:2", "<authenticate xmlns='%s' mechanism='%s'><initial-response>%s</initial-response></authenticate>"
		}
		first := "n,,n=" + user + ",r=fyko+d2lbbFgONRv9qkxdawL"
		if mechanism == "PLAIN" {
			first = "\x00" + user + "\x00wrong"
		}
		c.Say(open, ns, mechanism, encoded(first))
		st := c.Next()
		said := st.Name.Local + " "
		if st.Name.Local == "challenge" {
			challenge := decoded(t, st.Text())
			said += shape.ReplaceAllStringFunc(challenge, func(s string) string { return fmt.Sprint(s[:2], len(s)) })
			nonce := regexp.MustCompile(`r=([^,]*)`).FindString(challenge)
			c.Say("<response xmlns='%s'>%s</response>", ns, encoded("c=biws,"+nonce+",p=AAAAAAAAAAAAAAAAAAAAAAAAAAA="))
			st = c.Next()
		}
		return said + st.String()
	}
	for _, mechanism := range []string{"SCRAM-SHA-1", "PLAIN"} {
		for _, sasl2 := range []bool{false, true} {
			known, unknown := steps("juliet", mechanism, sasl2), steps("nobody", mechanism, sasl2)
			if known != unknown {
				t.Errorf("%s:\nknown   %s\nunknown %s", mechanism, known, unknown)
			}
			if !strings.Contains(known, "<not-authorized") {
				t.Errorf("got %s", known)
			}
		}
	}
}

// Requirement 16 on the wire: m=, a false y, and bindings that do not match.
func TestSCRAMRefusals(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for first, condition := range map[string]string{
		"n,,m=x,n=juliet,r=abcdefghijklmnop":          "not-authorized",
		"y,,n=juliet,r=abcdefghijklmnop":              "not-authorized",
		"p=tls-nonsense,,n=juliet,r=abcdefghijklmnop": "not-authorized",
		"p=tls-exporter,,n=juliet,r=abcdefghijklmnop": "not-authorized",
		"nonsense":         "malformed-request",
		"n,,n=juliet,r=":   "malformed-request",
		"\x00\x00\x00\x00": "malformed-request",
	} {
		c := h.dial()
		c.Say("<auth xmlns='%s' mechanism='SCRAM-SHA-1'>%s</auth>", xmpp.NSSASL, encoded(first))
		if st := c.Next(); st.Name.Local != "failure" {
			t.Errorf("%q: %s", first, st)
		} else if !strings.Contains(st.String(), "<"+condition) && !strings.Contains(st.String(), "<malformed-request") {
			t.Errorf("%q: %s", first, st)
		}
		c.Close()
	}
}

// Requirement 19: a few attempts, then policy-violation; the last good one still counts.
func TestAttempts(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	wrong := xmpptest.Login{User: "juliet", Password: "wrong"}
	for _, sasl2 := range []bool{false, true} {
		wrong.SASL2 = sasl2
		c := h.dial()
		for i := range 3 {
			if st, err := c.Authenticate(wrong); err != nil || !strings.Contains(st.String(), "not-authorized") {
				t.Fatalf("attempt %d: %v %v", i, st, err)
			}
		}
		c.ExpectEnd("policy-violation")
		c = h.dial()
		for range 2 {
			c.Authenticate(wrong)
		}
		c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: sasl2})
		c.Bye()
	}
	c := h.dial() // giving up counts, too
	for range 3 {
		c.Say("<auth xmlns='%s' mechanism='SCRAM-SHA-1'/>", xmpp.NSSASL)
		c.Expect("<challenge")
		c.Say("<abort xmlns='%s'/>", xmpp.NSSASL)
		c.Expect("<aborted")
	}
	c.ExpectEnd("policy-violation")
}

// What is wrong with an attempt is a SASL failure and leaves the stream (RFC 6120 §6.5).
func TestSASLFailures(t *testing.T) {
	h := open(t, nil)
	for xml, condition := range map[string]string{
		"<auth xmlns='%[1]s' mechanism='SCRAM-SHA-1'>!</auth>":                                                      "incorrect-encoding",
		"<auth xmlns='%[1]s' mechanism='SCRAM-SHA-1'>bi ws</auth>":                                                  "incorrect-encoding",
		"<auth xmlns='%[1]s' mechanism='SCRAM-SHA-1'>biw=s</auth>":                                                  "incorrect-encoding",
		"<auth xmlns='%[1]s' mechanism='NONSENSE'>biws</auth>":                                                      "invalid-mechanism",
		"<auth xmlns='%[1]s'>biws</auth>":                                                                           "invalid-mechanism",
		"<auth xmlns='%[1]s' mechanism='PLAIN'>AGEAYg==</auth>":                                                     "invalid-mechanism",
		"<auth xmlns='%[1]s' mechanism='SCRAM-SHA-1'>=</auth>":                                                      "malformed-request",
		"<authenticate xmlns='%[2]s' mechanism='SCRAM-SHA-1'><initial-response>!</initial-response></authenticate>": "incorrect-encoding",
		"<authenticate xmlns='%[2]s' mechanism='NONSENSE'/>":                                                        "invalid-mechanism",
		"<authenticate xmlns='%[2]s' mechanism='SCRAM-SHA-1'><initial-response/></authenticate>":                    "malformed-request",
	} {
		c := h.dial()
		c.Say(xml, xmpp.NSSASL, "urn:xmpp:sasl:2")
		st := c.Expect("<failure", "<"+condition)
		if st.Child(xmpp.NSSASL, condition).IsZero() {
			t.Errorf("%s: the condition is in the wrong namespace: %s", xml, st)
		}
		c.Bye()
	}
}

// What does not belong into an exchange ends the stream (XEP-0388 §2.4).
func TestForeignElementsAmidSASL(t *testing.T) {
	h := open(t, nil)
	for _, xml := range []string{
		"<response xmlns='urn:xmpp:sasl:2'>biws</response>", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
		"<message/>", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'/>",
	} {
		c := h.dial()
		c.Say("<auth xmlns='%s' mechanism='SCRAM-SHA-1'/>", xmpp.NSSASL)
		c.Expect("<challenge")
		c.Say("%s", xml)
		c.ExpectEnd("not-authorized")
	}
	c := h.dial()
	c.Say("<auth xmlns='%s' mechanism='SCRAM-SHA-1'/>", xmpp.NSSASL)
	c.Expect("<challenge")
	c.Say("</stream:stream>")
	c.ExpectEnd("")
}

// An account can be used for one login after the other, and at once, but not after it
// was disabled.
func TestDisabledAccount(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	if err := h.auth.Accounts().Disable(t.Context(), xmpp.MustJID("juliet@"+host)); err != nil {
		t.Fatal(err)
	}
	c := h.dial()
	if st, err := c.Authenticate(xmpptest.Login{User: "juliet", Password: password}); err != nil || !strings.Contains(st.String(), "<account-disabled") {
		t.Errorf("got %v %v", st, err)
	}
}

// Requirement 23: who does not log in is gone in time, even dripping bytes.
func TestLoginTimeout(t *testing.T) {
	h := open(t, func(p *plan) { p.set.LoginTimeout = 3 * time.Second })
	h.account("mallory")
	for stage, reach := range stages {
		if stage == "bound" || stage == "managed" {
			continue
		}
		for _, drip := range []string{"", " ", "a"} {
			t.Run(stage+" "+drip, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				c := reach(h)
				if drip == "a" {
					c.Say("<")
				}
				over := make(chan string, 1)
				go func() { over <- c.End() }()
				for {
					select {
					case got := <-over:
						if got != "connection-timeout" {
							t.Errorf("it ended with %q", got)
						}
						if took := time.Since(began); took > 20*time.Second {
							t.Errorf("it lived for %v", took)
						}
						return
					case <-time.After(10 * time.Millisecond):
						if drip != "" {
							c.Write(drip)
						}
					}
				}
			})
		}
	}
}

// What a client sends ahead, without waiting for the answers, is not lost (XEP-0305 §3).
func TestPipelinedLogin(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet")
	c := h.dial()
	c.Say("<auth xmlns='" + xmpp.NSSASL + "' mechanism='PLAIN'>" + encoded("\x00juliet\x00"+password) + "</auth>" +
		xmpptest.Header(host, "") + "<iq type='set' id='b'><bind xmlns='" + xmpp.NSBind + "'/></iq>" +
		"<iq type='get' id='p' to='" + host + "'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>")
	c.Expect("<success")
	if err := c.Opened(); err != nil {
		t.Fatal(err)
	}
	c.Expect("id='b'", "result")
	c.Expect("id='p'", "result")
	c.ExpectEnd("")
}

// Data right behind the last message of SASL2 with Bind 2 reaches the session.
func TestPipelinedBehindBind2(t *testing.T) {
	h := open(t, func(p *plan) { p.auth.Plain = true })
	h.account("juliet")
	c := h.dial()
	c.Say("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" + encoded("\x00juliet\x00"+password) +
		"</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate><iq type='get' id='p' to='" + host + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	c.Expect("<success", "<bound")
	c.Expect("<features")
	c.Expect("id='p'", "result")
	c.Bye()
}

// A failure of the house's own is temporary, and the log says which.
func TestManyLoginsAtOnce(t *testing.T) {
	h := open(t, func(p *plan) { p.resources = 100 })
	h.account("juliet")
	const n = 40
	done := make(chan error, n)
	for range n {
		go func() {
			c, err := xmpptest.Try(h.options())
			if err == nil {
				defer c.Close()
				err = errors.Join(c.Start(), c.TryLogin(xmpptest.Login{User: "juliet", Password: password, SASL2: true}))
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
