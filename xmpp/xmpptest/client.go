// Package xmpptest is a client for tests: it dials, negotiates TLS, logs in, says what it
// is told and expects what must come. What it reads goes through the scanner, so that a
// server that writes nonsense is found out.
package xmpptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
)

// Patience is how long a Client waits for what it expects.
const Patience = 30 * time.Second

// Options say how to connect.
type Options struct {
	Addr   string      // of the server, host:port
	Host   string      // the domain of the stream; SNI unless TLS has a name
	From   string      // of the stream header; "" leaves it out
	TLS    *tls.Config // what certificates to trust, which version, ALPN; nil stays in clear
	Direct bool        // TLS comes first (XEP-0368); else STARTTLS (RFC 6120 §5)

	WebSocket string      // the URL of one, which Addr has (RFC 7395)
	BOSH      string      // the URL for requests, which Addr has (XEP-0206)
	HTTP      http.Header // of the requests for these
	Local     net.IP      // where these come from; nil: any address
}

// A Client is one connection to a server. What fails the test belongs to the test's own
// goroutine; what returns an error may be called by any.
type Client struct {
	net.Conn
	Features *xmpp.Stanza // the last stream features
	Header   *xmpp.Header // the last stream header of the server
	JID      xmpp.JID     // once bound
	Silent   bool         // the server's question whether messages have come is not answered

	t  testing.TB
	o  Options
	sc xmpp.Scanner
}

// Connect opens a connection and says nothing, after TLS where that comes first.
func Connect(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Try(o)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { c.Conn.Close() })
	return c
}

// Try is Connect for any goroutine: only what returns an error may be called of its Client,
// whose user closes it.
func Try(o Options) (*Client, error) {
	if o.WebSocket != "" {
		m, err := overWebSocket(o)
		if err != nil {
			return nil, err
		}
		c := &Client{Conn: m, o: o}
		c.reset()
		return c, nil
	}
	if o.BOSH != "" {
		c := &Client{Conn: overBOSH(o), o: o}
		c.reset()
		return c, nil
	}
	raw, err := net.DialTimeout("tcp", o.Addr, Patience)
	if err != nil {
		return nil, err
	}
	c := &Client{Conn: raw, o: o}
	c.reset()
	if o.Direct {
		if err := c.Handshake(); err != nil {
			raw.Close()
			return nil, err
		}
	}
	return c, nil
}

// Dial opens a stream as far as the features before login: under TLS, unless o.TLS is nil.
func Dial(t testing.TB, o Options) *Client {
	t.Helper()
	c := Connect(t, o)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Start opens the stream of a new connection as Dial does.
func (c *Client) Start() error {
	if err := c.Open(); err != nil {
		return err
	}
	if c.o.TLS == nil || c.o.Direct || c.o.WebSocket != "" || c.o.BOSH != "" {
		return nil
	}
	if err := c.StartTLS(); err != nil {
		return err
	}
	return c.Open()
}

func (c *Client) reset() {
	l := xmpp.DefaultLimits()
	l.Stanza *= 8
	c.sc.Reset(xmpp.NSClient, false, l)
}

// StartTLS asks for TLS and does the handshake (RFC 6120 §5.4).
func (c *Client) StartTLS() error {
	if err := c.Write("<starttls xmlns='" + xmpp.NSTLS + "'/>"); err != nil {
		return err
	}
	st, err := c.Read()
	if err != nil {
		return err
	}
	if st.Name != (xmpp.Name{Space: xmpp.NSTLS, Local: "proceed"}) {
		return fmt.Errorf("got %s instead of <proceed/>", st)
	}
	return c.Handshake()
}

// Handshake puts TLS on the connection.
func (c *Client) Handshake() error {
	cfg := c.o.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = c.o.Host
	}
	tc := tls.Client(c.Conn, cfg)
	tc.SetDeadline(time.Now().Add(Patience))
	if err := tc.Handshake(); err != nil {
		return err
	}
	c.Conn = tc
	return nil
}

// TLS returns the state of the TLS layer, or nil in clear.
func (c *Client) TLS() *tls.ConnectionState {
	if tc, ok := c.Conn.(*tls.Conn); ok {
		s := tc.ConnectionState()
		return &s
	}
	if m, ok := c.Conn.(*messages); ok {
		return m.tls
	}
	return nil
}

// Open says a stream header and reads the server's and its features (RFC 6120 §4.2).
func (c *Client) Open() error {
	if err := c.Write(Header(c.o.Host, c.o.From)); err != nil {
		return err
	}
	return c.Opened()
}

// Opened reads the server's stream header and its features.
func (c *Client) Opened() error {
	c.reset()
	st, err := c.Read()
	if err != nil {
		return err
	}
	if c.Header == nil || st.Name != (xmpp.Name{Space: xmpp.NSStream, Local: "features"}) {
		return fmt.Errorf("got %s instead of stream features", st)
	}
	c.Features = st
	return nil
}

// Header returns the stream header of a client (RFC 6120 §4.7).
func Header(to, from string) string {
	h := "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='" + xmpp.NSStream + "' version='1.0' to='" + to + "'"
	if from != "" {
		h += " from='" + from + "'"
	}
	return h + ">"
}

// Write sends text as it is.
func (c *Client) Write(xml string) error {
	c.Conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := io.WriteString(c.Conn, xml)
	return err
}

// Read returns the next element. io.EOF is the end of the stream.
func (c *Client) Read() (*xmpp.Stanza, error) { return c.ReadWithin(Patience) }

// ReadWithin is Read with other patience.
func (c *Client) ReadWithin(d time.Duration) (*xmpp.Stanza, error) {
	c.Conn.SetReadDeadline(time.Now().Add(d))
	for {
		switch ev, err := c.sc.Next(); {
		case errors.Is(err, xmpp.ErrMore):
			n, err := c.Conn.Read(c.sc.Space(4096))
			if n == 0 && err != nil {
				c.sc.Release()
				return nil, err
			}
			c.sc.Filled(n)
		case err != nil:
			return nil, err
		case ev == xmpp.EventHeader:
			c.Header = c.sc.Header()
		case ev == xmpp.EventEnd:
			return nil, io.EOF
		default:
			st := c.sc.Stanza()
			if !c.sc.Pending() {
				c.sc.Release()
			}
			if c.asksForMessages(st) {
				if err := c.Write(xmpp.Result(st, nil).String()); err != nil {
					return nil, err
				}
				continue
			}
			return st, nil
		}
	}
}

// asksForMessages reports whether the server asks, behind messages, whether they have come.
// As any client does, a Client answers that by itself.
func (c *Client) asksForMessages(st *xmpp.Stanza) bool {
	return !c.Silent && st.Kind == xmpp.IQ && st.Type == "get" && strings.HasPrefix(st.ID, "read-") && st.Has("urn:xmpp:ping", "ping")
}

// Say sends XML; verbs in it stand for args.
func (c *Client) Say(xml string, args ...any) {
	c.t.Helper()
	if len(args) > 0 {
		xml = fmt.Sprintf(xml, args...)
	}
	if err := c.Write(xml); err != nil {
		c.t.Fatalf("%s: cannot say %.100s: %v", c.JID, xml, err)
	}
}

// Next returns the next element, which must come.
func (c *Client) Next() *xmpp.Stanza {
	c.t.Helper()
	st, err := c.Read()
	if err != nil {
		c.t.Fatalf("%s: nothing came: %v", c.JID, err)
	}
	return st
}

// Expect returns the next element. It must hold all these parts, as Stanza.Append writes
// it.
func (c *Client) Expect(parts ...string) *xmpp.Stanza {
	c.t.Helper()
	st := c.Next()
	text := st.String()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			c.t.Fatalf("%s: %q is missing in\n%s", c.JID, p, text)
		}
	}
	return st
}

// ExpectEnd reads until the stream ends, wants an error of this condition before that,
// "" for none, and the closing tag behind it.
func (c *Client) ExpectEnd(condition string) {
	c.t.Helper()
	if got := c.End(); got != condition {
		c.t.Fatalf("%s: the stream ended with %q, not with %q", c.JID, got, condition)
	}
}

// End reads until the stream ends and returns the condition of the stream error, "" for
// none. Whatever else comes is passed over. A connection that just breaks is "broken" and
// why.
func (c *Client) End() string {
	condition := ""
	for {
		st, err := c.Read()
		switch {
		case err == nil && st.Name == (xmpp.Name{Space: xmpp.NSStream, Local: "error"}):
			condition = StreamCondition(st)
		case err == nil:
		case errors.Is(err, io.EOF):
			if condition == "" && c.sc.Pending() {
				return "broken"
			}
			return condition
		default:
			return "broken: " + err.Error()
		}
	}
}

// StreamCondition returns the condition of a stream error (RFC 6120 §4.9.2).
func StreamCondition(st *xmpp.Stanza) string {
	for child := range st.Children {
		if n := child.Name(); n.Space == xmpp.NSStreams && n.Local != "text" {
			return n.Local
		}
	}
	return "none"
}

// Ping asks the server for a sign of life and returns when it answers: all that was said
// before is then done. What comes before the answer is given to each, which may be nil.
func (c *Client) Ping(each func(*xmpp.Stanza)) {
	c.t.Helper()
	c.Say("<iq type='get' id='sync' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", c.o.Host)
	for {
		st := c.Next()
		if st.Kind == xmpp.IQ && st.ID == "sync" {
			return
		}
		if each != nil {
			each(st)
		}
	}
}

// Bye ends the stream in good order (RFC 6120 §4.4).
func (c *Client) Bye() {
	c.t.Helper()
	c.Say("</stream:stream>")
	c.ExpectEnd("")
	c.Conn.Close()
}
