package xmpptest

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"

	"parley/xmpp"
)

const (
	nsSASL2 = "urn:xmpp:sasl:2"
	nsBind2 = "urn:xmpp:bind:0"
)

// Login says who logs in and how.
type Login struct {
	User, Password string
	Authzid        string
	Mechanism      string // default SCRAM-SHA-256, with -PLUS where there is a Binding
	Binding        string // a channel binding: tls-exporter, tls-server-end-point or tls-unique
	Initial        string // the initial response of another mechanism than SCRAM, before base64
	Resource       string // to bind; with SASL2 the tag; "" leaves it to the server
	SASL2          bool   // XEP-0388, with Bind 2 (XEP-0386) unless NoBind is set
	NoBind         bool
	Inline         string // elements that go into <bind/> of Bind 2
	Extra          string // elements that go into <authenticate/>
}

// Login logs in and binds a resource.
func (c *Client) Login(l Login) {
	c.t.Helper()
	if err := c.TryLogin(l); err != nil {
		c.t.Fatalf("%s: %v", l.User, err)
	}
}

// TryLogin is Login with an error.
func (c *Client) TryLogin(l Login) error {
	st, err := c.Authenticate(l)
	if err != nil {
		return err
	}
	if st.Name.Local != "success" {
		return fmt.Errorf("login failed: %s", st)
	}
	if l.SASL2 {
		return c.LoggedIn(l, st)
	}
	if err := c.Open(); err != nil || l.NoBind {
		return err
	}
	return c.Bind(l.Resource)
}

// LoggedIn takes what SASL2 brings about with success (XEP-0388 §2.6.1).
func (c *Client) LoggedIn(l Login, success *xmpp.Stanza) (err error) {
	if c.Features, err = c.Read(); err != nil {
		return err
	}
	if c.Features.Name.Local != "features" {
		return fmt.Errorf("got %s instead of features", c.Features)
	}
	if l.NoBind {
		return nil
	}
	c.JID, err = xmpp.ParseJID(success.Child(nsSASL2, "authorization-identifier").Text())
	return err
}

// Bind asks for a resource (RFC 6120 §7).
func (c *Client) Bind(resource string) error {
	name := ""
	if resource != "" {
		name = "<resource>" + string(xmpp.AppendEscaped(nil, resource)) + "</resource>"
	}
	if err := c.Write("<iq type='set' id='bind'><bind xmlns='" + xmpp.NSBind + "'>" + name + "</bind></iq>"); err != nil {
		return err
	}
	st, err := c.Read()
	if err != nil {
		return err
	}
	if st.Type != "result" || st.ID != "bind" {
		return fmt.Errorf("binding failed: %s", st)
	}
	c.JID, err = xmpp.ParseJID(st.Child(xmpp.NSBind, "bind").ChildText(xmpp.NSBind, "jid"))
	return err
}

// Authenticate runs a mechanism and returns what it ended with: <success/>, <failure/> or
// a stream error.
// The server's signature is checked.
func (c *Client) Authenticate(l Login) (*xmpp.Stanza, error) {
	if l.Mechanism == "" {
		l.Mechanism = "SCRAM-SHA-256"
		if l.Binding != "" {
			l.Mechanism += "-PLUS"
		}
	}
	step := func(string) (string, error) { return l.Initial, nil }
	var conversation *scram.ClientConversation
	if strings.HasPrefix(l.Mechanism, "SCRAM-") {
		var err error
		if conversation, err = c.conversation(l); err != nil {
			return nil, err
		}
		step = conversation.Step
	}
	first, err := step("")
	if err != nil {
		return nil, err
	}
	if err := c.Write(begin(l, first)); err != nil {
		return nil, err
	}
	for {
		st, err := c.Read()
		if err != nil {
			return nil, err
		}
		if st.Name.Local != "challenge" && st.Name.Local != "success" || conversation == nil {
			return st, nil
		}
		answer, err := step(payload(st))
		if err != nil {
			return nil, err
		}
		if st.Name.Local == "success" {
			if !conversation.Valid() {
				return nil, fmt.Errorf("the server's signature is wrong: %s", st)
			}
			return st, nil
		}
		if err := c.Write("<response xmlns='" + st.Name.Space + "'>" + encode(answer) + "</response>"); err != nil {
			return nil, err
		}
	}
}

// begin is <auth/> or <authenticate/>.
func begin(l Login, first string) string {
	if !l.SASL2 {
		text := "="
		if first != "" {
			text = encode(first)
		}
		return "<auth xmlns='" + xmpp.NSSASL + "' mechanism='" + l.Mechanism + "'>" + text + "</auth>"
	}
	bind := ""
	switch {
	case l.NoBind:
	case l.Resource != "":
		bind = "<bind xmlns='" + nsBind2 + "'><tag>" + l.Resource + "</tag>" + l.Inline + "</bind>"
	default:
		bind = "<bind xmlns='" + nsBind2 + "'>" + l.Inline + "</bind>"
	}
	return "<authenticate xmlns='" + nsSASL2 + "' mechanism='" + l.Mechanism + "'><initial-response>" + encode(first) +
		"</initial-response>" + l.Extra + bind + "</authenticate>"
}

// payload is the mechanism's part of a challenge or success.
func payload(st *xmpp.Stanza) string {
	text := st.Text()
	if extra := st.Child(nsSASL2, "additional-data"); !extra.IsZero() {
		text = extra.Text()
	}
	b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return string(b)
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// conversation makes the client's side of SCRAM.
func (c *Client) conversation(l Login) (*scram.ClientConversation, error) {
	hash := scram.SHA256
	switch strings.TrimSuffix(strings.TrimPrefix(l.Mechanism, "SCRAM-"), "-PLUS") {
	case "SHA-1":
		hash = scram.SHA1
	case "SHA-512":
		hash = scram.SHA512
	}
	client, err := hash.NewClient(l.User, l.Password, l.Authzid)
	if err != nil {
		return nil, err
	}
	state := c.TLS()
	var bound scram.ChannelBinding
	switch l.Binding {
	case "":
		return client.NewConversation(), nil
	case "tls-exporter":
		bound, err = scram.NewTLSExporterBinding(state)
	case "tls-server-end-point":
		bound, err = scram.NewTLSServerEndpointBinding(state)
	case "tls-unique":
		bound = scram.ChannelBinding{Type: scram.ChannelBindingTLSUnique, Data: state.TLSUnique}
	default:
		err = fmt.Errorf("no channel binding %q", l.Binding)
	}
	if err != nil {
		return nil, err
	}
	return client.NewConversationWithChannelBinding(bound), nil
}
