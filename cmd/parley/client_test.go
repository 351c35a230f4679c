package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"
)

// A client speaks XMPP by hand: it sends texts and waits for texts.
type client struct {
	t    *testing.T
	raw  net.Conn
	conn net.Conn // raw or TLS over it
	host string
	got  string // what has come and was not expected yet
	jid  string
}

const streamHead = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='%s'>"

func dial(t *testing.T, address, host string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, raw: conn, conn: conn, host: host}
}

// dialTLS connects with direct TLS.
func dialTLS(t *testing.T, address, host string) *client {
	t.Helper()
	c, err := reach(t, address, host)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reach is dialTLS to a server that may have died.
func reach(t *testing.T, address, host string) (*client, error) {
	raw, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { raw.Close() })
	c := &client{t: t, raw: raw, host: host}
	return c, c.secured(t.Context())
}

// dialSTARTTLS connects in clear and switches to TLS (RFC 6120 §5.4.2).
func dialSTARTTLS(t *testing.T, address, host string) *client {
	t.Helper()
	c := dial(t, address, host)
	c.open()
	c.expect("<required/></starttls>")
	c.expect("</stream:features>")
	c.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	c.expect("<proceed")
	c.expect(">")
	c.secure()
	return c
}

func (c *client) secure() {
	c.t.Helper()
	if err := c.secured(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) secured(ctx context.Context) error {
	tc := tls.Client(c.raw, &tls.Config{ServerName: c.host, InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})
	c.conn, c.got = tc, ""
	return tc.HandshakeContext(ctx)
}

func (c *client) tls() tls.ConnectionState { return c.conn.(*tls.Conn).ConnectionState() }

// certificate is what the server has shown.
func (c *client) certificate() *x509.Certificate { return c.tls().PeerCertificates[0] }

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("sending %.80q: %v", text, err)
	}
}

func (c *client) open() { c.send(strings.ReplaceAll(streamHead, "%s", c.host)) }

// until waits for a text, or the end of the connection, and returns what came up to it.
func (c *client) until(text string) (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 16<<10)
	for {
		if i := strings.Index(c.got, text); text != "" && i >= 0 {
			out := c.got[:i+len(text)]
			c.got = c.got[i+len(text):]
			return out, nil
		}
		n, err := c.conn.Read(buf)
		c.got += string(buf[:n])
		if err != nil && n == 0 {
			return c.got, err
		}
	}
}

// expect waits for a text and returns what came up to its end.
func (c *client) expect(text string) string {
	c.t.Helper()
	out, err := c.until(text)
	if err != nil {
		c.t.Fatalf("waiting for %q: %v; there was %q", text, err, out)
	}
	return out
}

// toEnd returns all that comes until the server closes the connection.
func (c *client) toEnd() string {
	c.t.Helper()
	out, err := c.until("")
	if err != io.EOF {
		c.t.Fatalf("the connection did not end: %v; there was %q", err, out)
	}
	return out
}

// auth tries a login with SCRAM-SHA-256 and returns the last element of the server's.
func (c *client) auth(user, password string) string {
	c.t.Helper()
	last, err := c.authenticate(user, password)
	if err != nil {
		c.t.Fatal(err)
	}
	return last
}

// authenticate is auth for somebody who lives with the server's death.
func (c *client) authenticate(user, password string) (last string, err error) {
	if _, err := io.WriteString(c.conn, strings.ReplaceAll(streamHead, "%s", c.host)); err != nil {
		return "", err
	}
	if _, err := c.until("</stream:features>"); err != nil {
		return "", err
	}
	machine := sasl.NewClient(sasl.ScramSha256, sasl.Credentials(func() ([]byte, []byte, []byte) {
		return []byte(user), []byte(password), nil
	}))
	_, out, err := machine.Step(nil)
	say := "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>%s</auth>"
	for err == nil {
		if _, err := fmt.Fprintf(c.conn, say, base64.StdEncoding.EncodeToString(out)); err != nil {
			return "", err
		}
		element, err := c.until(">")
		if err != nil {
			return "", err
		}
		m := regexp.MustCompile(`<(challenge|success|failure)`).FindStringSubmatch(element)
		if m == nil {
			return "", fmt.Errorf("not an answer of SASL: %q", element)
		}
		content, err := c.until("</" + m[1] + ">")
		if m[1] == "failure" || err != nil {
			return m[1] + content, err
		}
		in, _ := base64.StdEncoding.DecodeString(strings.TrimSuffix(content, "</"+m[1]+">"))
		if _, out, err = machine.Step(in); err != nil || m[1] == "success" {
			return m[1], err
		}
		say = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
	}
	return "", err
}

// login logs in, binds a resource and becomes available.
func (c *client) login(user, password, resource string) *client {
	c.t.Helper()
	if last := c.auth(user, password); !strings.HasPrefix(last, "success") {
		c.t.Fatalf("login of %s: %s", user, last)
	}
	c.open()
	c.expect("</stream:features>")
	c.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>")
	bound := c.expect("</iq>")
	c.jid = regexp.MustCompile(`<jid>([^<]*)</jid>`).FindStringSubmatch(bound)[1]
	c.send("<presence/>")
	c.expect("<presence")
	c.expect(">")
	return c
}

// ping waits until the server has settled all that was sent before.
func (c *client) ping() {
	c.t.Helper()
	c.send("<iq type='get' id='settled'><ping xmlns='urn:xmpp:ping'/></iq>")
	c.expect("settled")
	c.expect(">")
}
