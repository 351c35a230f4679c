package c2s_test

import (
	"net"
	"testing"

	"parley/auth"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// A counter counts the flights of a client: what it says without having waited for an
// answer is one. TCP's own handshake comes before the first.
type counter struct {
	net.Conn
	flights int
	heard   bool
}

func (c *counter) Write(b []byte) (int, error) {
	if c.heard || c.flights == 0 {
		c.flights++
		c.heard = false
	}
	return c.Conn.Write(b)
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.heard = c.heard || n > 0
	return n, err
}

// counted connects a client that is counted; TLS comes first with direct.
func (h *house) counted(direct bool) (*xmpptest.Client, *counter) {
	h.t.Helper()
	o := h.options()
	if direct {
		o.Addr = h.direct
		o.TLS.NextProtos = []string{"xmpp-client"}
	}
	plain := o
	c := xmpptest.Connect(h.t, plain)
	n := &counter{Conn: c.Conn}
	c.Conn = n
	if direct {
		if err := c.Handshake(); err != nil {
			h.t.Fatal(err)
		}
	}
	return c, n
}

const askRoster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"

// untilRoster reads until the roster has come.
func untilRoster(t *testing.T, c *xmpptest.Client) {
	t.Helper()
	for {
		st, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if st.Kind == xmpp.IQ && st.ID == "roster" {
			if st.Type != "result" {
				t.Errorf("%s", st)
			}
			return
		}
	}
}

// From the first byte behind TCP's handshake to the roster: docs/login.md has the table.
func TestFlightsToTheRoster(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	_, token := signIn(t, c, xmpptest.Login{User: "juliet", Password: password, Extra: userAgent(phone) + wish(auth.TokenExporter)})
	c.Bye()
	authenticate := func(c *xmpptest.Client) string {
		return "<authenticate xmlns='" + nsSASL2 + "' mechanism='" + auth.TokenExporter + "'><initial-response>" +
			encoded("juliet\x00"+hashed(token, "Initiator", binding(t, c.TLS(), auth.TokenExporter))) + "</initial-response>" +
			userAgent(phone) + "<fast xmlns='" + nsFast + "'/><bind xmlns='urn:xmpp:bind:0'/></authenticate>" + askRoster
	}
	for _, way := range []struct {
		name    string
		direct  bool
		flights int
		play    func(*xmpptest.Client)
	}{
		{"direct TLS, a token, everything behind the stream header", true, 2, func(c *xmpptest.Client) {
			c.Say("%s", xmpptest.Header(host, "")+authenticate(c))
			if err := c.Opened(); err != nil {
				t.Fatal(err)
			}
		}},
		{"direct TLS, a token, after the stream features", true, 3, func(c *xmpptest.Client) {
			if err := c.Open(); err != nil {
				t.Fatal(err)
			}
			c.Say("%s", authenticate(c))
		}},
		{"direct TLS, the password", true, 5, func(c *xmpptest.Client) {
			if err := c.Open(); err != nil {
				t.Fatal(err)
			}
			signIn(t, c, xmpptest.Login{User: "juliet", Password: password})
			c.Say(askRoster)
		}},
		{"STARTTLS and RFC 6120", false, 9, func(c *xmpptest.Client) {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			c.Login(xmpptest.Login{User: "juliet", Password: password})
			c.Say(askRoster)
		}},
	} {
		c, n := h.counted(way.direct)
		way.play(c)
		untilRoster(t, c)
		if n.flights != way.flights {
			t.Errorf("%s: %d flights, not %d", way.name, n.flights, way.flights)
		}
		c.Bye()
	}
}
