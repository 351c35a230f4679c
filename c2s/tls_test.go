package c2s_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// Requirement 13: what comes behind <starttls/> never reaches the stream under TLS.
func TestSTARTTLSInjection(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for name, behind := range map[string]string{
		"a stanza":  "<iq type='get' id='evil' to='" + host + "'><ping xmlns='urn:xmpp:ping'/></iq>",
		"a header":  xmpptest.Header(host, "") + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
		"a half":    "<iq type='get'",
		"a space":   " ",
		"a lot":     strings.Repeat(" ", 7000),
		"a closing": "</stream:stream>",
	} {
		t.Run(name, func(t *testing.T) {
			c := xmpptest.Connect(t, h.options())
			if err := c.Open(); err != nil {
				t.Fatal(err)
			}
			c.Say("<starttls xmlns='%s'/>%s", xmpp.NSTLS, behind)
			c.Expect("<proceed")
			if err := c.Handshake(); err != nil {
				return // closing the connection is an answer, too
			}
			id := c.Header.ID
			if err := c.Open(); err != nil {
				t.Fatal(err)
			}
			if c.Header.ID == id {
				t.Error("the stream id was not renewed")
			}
			c.Login(xmpptest.Login{User: "juliet", Password: password})
			c.Ping(func(st *xmpp.Stanza) { t.Errorf("got %s", st) })
			c.Bye()
		})
	}
}

// STARTTLS twice is refused (RFC 6120 §5.4.2.2).
func TestSTARTTLSTwice(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.Say("<starttls xmlns='%s'/>", xmpp.NSTLS)
	c.Expect("<failure xmlns='" + xmpp.NSTLS + "'")
	c.ExpectEnd("policy-violation")
}

// Requirement 14: no TLS below 1.2, no cipher without AEAD and forward secrecy.
func TestWeakTLSIsRefused(t *testing.T) {
	h := open(t, nil)
	for name, weaken := range map[string]func(*tls.Config){
		"TLS 1.0": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		},
		"RSA key exchange": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		for _, direct := range []bool{false, true} {
			o := h.options()
			weaken(o.TLS)
			o.Direct = direct
			if direct {
				o.Addr = h.direct
			}
			var err error
			if direct {
				var raw net.Conn
				if raw, err = net.Dial("tcp", o.Addr); err != nil {
					t.Fatal(err)
				}
				o.TLS.ServerName = host
				tc := tls.Client(raw, o.TLS)
				err = tc.Handshake()
				raw.Close()
			} else {
				c := xmpptest.Connect(t, o)
				if err := c.Open(); err != nil {
					t.Fatal(err)
				}
				err = c.StartTLS()
			}
			if err == nil {
				t.Errorf("%s (direct %v) was accepted", name, direct)
			} else if !strings.Contains(err.Error(), "remote error: tls: ") {
				t.Errorf("%s (direct %v): the client is not told: %v", name, direct, err)
			}
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		o := h.options()
		o.TLS.MinVersion, o.TLS.MaxVersion = version, version
		xmpptest.Dial(t, o)
	}
}

// Direct TLS speaks the ALPN protocol xmpp-client (XEP-0368 §3), and refuses others.
func TestDirectTLS(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for _, alpn := range [][]string{{"xmpp-client"}, {"http/1.1", "xmpp-client"}, nil} {
		o := xmpptest.Options{Addr: h.direct, Host: host, TLS: h.trust(host), Direct: true}
		o.TLS.NextProtos = alpn
		c := xmpptest.Dial(t, o)
		if got := c.TLS().NegotiatedProtocol; alpn != nil && got != "xmpp-client" {
			t.Errorf("ALPN gave %q", got)
		}
		c.Login(xmpptest.Login{User: "juliet", Password: password, Binding: "tls-exporter"})
		c.Bye()
	}
	cfg := h.trust(host)
	cfg.ServerName, cfg.NextProtos = host, []string{"h2"}
	if conn, err := tls.Dial("tcp", h.direct, cfg); err == nil {
		conn.Close()
		t.Error("ALPN h2 was accepted")
	}
}

// The name that a client asks for chooses the certificate; without one the stream's does.
func TestCertificateByName(t *testing.T) {
	h := open(t, nil)
	for _, name := range []string{host, other} {
		for _, direct := range []bool{false, true} {
			o := xmpptest.Options{Addr: h.starttls, Host: name, TLS: h.trust(name), Direct: direct}
			if direct {
				o.Addr = h.direct
			}
			c := xmpptest.Dial(t, o)
			if got := c.TLS().PeerCertificates[0].DNSNames; got[0] != name {
				t.Errorf("%s (direct %v): certificate for %v", name, direct, got)
			}
			c.Close()
		}
		o := xmpptest.Options{Addr: h.starttls, Host: name, TLS: &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true}} // no SNI for an address
		c := xmpptest.Dial(t, o)
		if got := c.TLS().PeerCertificates[0].DNSNames; got[0] != name {
			t.Errorf("%s without a name: certificate for %v", name, got)
		}
		c.Close()
	}
}

// A second connection resumes the session of the first, and may bind the channel.
func TestSessionTickets(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := h.trust(host)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		for i := range 2 {
			o := h.options()
			o.TLS = cfg
			c := xmpptest.Dial(t, o)
			if got := c.TLS().DidResume; got != (i == 1) {
				t.Errorf("%s, connection %d: resumed %v", tls.VersionName(version), i, got)
			}
			for _, binding := range []string{"tls-exporter", "tls-server-end-point"} {
				c := xmpptest.Dial(t, o)
				c.Login(xmpptest.Login{User: "juliet", Password: password, Binding: binding, SASL2: true})
				c.Bye()
			}
			c.Bye()
		}
	}
}

// Data that comes with the end of the handshake, in one segment, is not lost.
func TestDataBehindTheHandshake(t *testing.T) {
	h := open(t, nil)
	raw, err := net.Dial("tcp", h.direct)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	hold := &holding{Conn: raw}
	cfg := h.trust(host)
	cfg.ServerName = host
	c := tls.Client(hold, cfg)
	c.SetDeadline(time.Now().Add(xmpptest.Patience))
	hold.last = true // the client's second flight waits for what follows it
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, xmpptest.Header(host, ""))
	hold.release()
	got := make([]byte, 4096)
	n, err := c.Read(got)
	if err != nil || !bytes.Contains(got[:n], []byte("<stream:stream")) {
		t.Errorf("got %q, %v", got[:n], err)
	}
}

// holding keeps back what is written after the first write, until release.
type holding struct {
	net.Conn
	last   bool
	writes int
	kept   []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if h.writes++; h.writes == 1 || !h.last {
		return h.Conn.Write(p)
	}
	h.kept = append(h.kept, p...)
	return len(p), nil
}

func (h *holding) release() {
	h.Conn.Write(h.kept)
	h.last = false
}

// A handshake that is not one ends the connection, and so does one that never comes.
func TestBrokenHandshakes(t *testing.T) {
	h := open(t, func(p *plan) { p.set.LoginTimeout = 2 * time.Second })
	for _, first := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x80\x2e\x01"} {
		raw, err := net.Dial("tcp", h.direct)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(raw, first)
		raw.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(raw); timedOut(err) {
			t.Errorf("%q: still open", first)
		}
		raw.Close()
	}
	c := xmpptest.Connect(t, h.options())
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	c.Say("<starttls xmlns='%s'/>", xmpp.NSTLS)
	c.Expect("<proceed")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if rest, err := io.ReadAll(c.Conn); len(rest) > 0 || timedOut(err) {
		t.Errorf("got %q, %v: nothing belongs into a handshake that does not come", rest, err)
	}
	eventually(t, "all are gone", func() bool { return h.Stats().Open.Load() == 0 })
}

// A client's certificate logs in with EXTERNAL, by its address alone (requirement 17).
func TestExternal(t *testing.T) {
	ca := newAuthority(t)
	h := open(t, func(p *plan) { p.clientCAs = ca.pool })
	h.account("juliet", "romeo")
	dial := func(cert *tls.Certificate) *xmpptest.Client {
		o := h.options()
		if cert != nil {
			o.TLS.Certificates = []tls.Certificate{*cert}
		}
		return xmpptest.Dial(t, o)
	}
	juliet := ca.issue(t, "romeo", "juliet@"+host) // the common name is nobody's business
	for _, sasl2 := range []bool{false, true} {
		for _, authzid := range []string{"", "juliet@" + host} {
			c := dial(juliet)
			if !strings.Contains(c.Features.String(), "EXTERNAL") {
				t.Fatalf("not offered: %s", c.Features)
			}
			c.Login(xmpptest.Login{Mechanism: "EXTERNAL", Initial: authzid, SASL2: sasl2, Resource: "x"})
			if c.JID.Local() != "juliet" {
				t.Errorf("got %s", c.JID)
			}
			c.Bye()
		}
	}
	c := dial(juliet)
	if st, _ := c.Authenticate(xmpptest.Login{Mechanism: "EXTERNAL", Initial: "romeo@" + host}); !strings.Contains(st.String(), "invalid-authzid") {
		t.Errorf("somebody else: %s", st)
	}
	for name, cert := range map[string]*tls.Certificate{
		"none": nil, "of a stranger": newAuthority(t).issue(t, "juliet", "juliet@"+host), "common name only": ca.issue(t, "juliet@"+host, ""),
	} {
		c := dial(cert)
		if strings.Contains(c.Features.String(), "EXTERNAL") {
			t.Errorf("%s: EXTERNAL is offered", name)
		}
		if st, _ := c.Authenticate(xmpptest.Login{Mechanism: "EXTERNAL"}); !strings.Contains(st.String(), "invalid-mechanism") {
			t.Errorf("%s: %s", name, st)
		}
		c.Login(xmpptest.Login{User: "juliet", Password: password}) // a password still does
		c.Bye()
	}
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
