package main

import (
	"crypto/sha1"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const twoComponents = `[components]
listen = ["127.0.0.1:0"]
[component."irc.localhost"]
secret = "the first secret"
name = "IRC"
[component."news.localhost"]
secret = "the second secret"
hidden = true
`

var componentsDoor = regexp.MustCompile(`components on (127\.0\.0\.1:\d+) \(in clear\)`)

// attach connects a component by hand.
func attach(t *testing.T, address, domain, secret string) *client {
	t.Helper()
	c := dial(t, address, domain)
	c.send("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='" + domain + "'>")
	head := c.expect("'>")
	_, id, _ := strings.Cut(head, " id='")
	id, _, _ = strings.Cut(id, "'")
	sum := sha1.Sum([]byte(id + secret))
	c.send("<handshake>" + hex.EncodeToString(sum[:]) + "</handshake>")
	return c
}

// TestComponents attaches two, looks at what is said of them, and changes the configuration
// under them.
func TestComponents(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", twoComponents)
	c.start()
	m := componentsDoor.FindStringSubmatch(c.hello)
	if m == nil {
		t.Fatalf("nothing listens for components:\n%s", c.hello)
	}
	c.must("pw\n", "user", "add", "juliet")
	irc := attach(t, m[1], "irc.localhost", "the first secret")
	irc.expect("<handshake/>")
	attach(t, m[1], "news.localhost", "the first secret").expect("<not-authorized")
	news := attach(t, m[1], "news.localhost", "the second secret")
	news.expect("<handshake/>")

	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
	juliet.send("<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
	if got := juliet.expect("</iq>"); !strings.Contains(got, "<item jid='irc.localhost' name='IRC'/>") || strings.Contains(got, "news") {
		t.Error(got)
	}
	juliet.send("<message to='x@irc.localhost' id='m1'><body>Hello</body></message>")
	irc.expect("<message to='x@irc.localhost' from='juliet@localhost/j' id='m1'><body>Hello</body></message>")
	irc.send("<message from='x@irc.localhost' to='juliet@localhost' id='m2'><body>Hi</body></message>")
	juliet.expect("<body>Hi</body>")

	// The push service of a device may be a component (XEP-0357).
	juliet.send("<iq type='set' id='p'><enable xmlns='urn:xmpp:push:0' jid='news.localhost' node='n1'/></iq>")
	juliet.expect("type='result'")
	juliet.conn.Close()
	c.waitLog("session closed")
	irc.send("<message from='x@irc.localhost' to='juliet@localhost' type='chat' id='m3'><body>Where are you?</body></message>")
	news.expect("<publish node='n1'>")

	contains(t, c.must("", "component", "list"), "irc.localhost", "news.localhost", "127.0.0.1:")
	contains(t, c.must("", "--json", "component", "list"), `"domain": "irc.localhost"`, `"connected": true`)
	r, err := http.Get("http://" + c.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(r.Body)
	r.Body.Close()
	contains(t, string(page), `parley_component_connected{component="irc.localhost"} 1`, `parley_component_stanzas_in_total{component="irc.localhost"} 2`, "parley_component_handshakes_failed_total 1")

	// No secret is shown, in whatever way one asks, nor in the log.
	for _, text := range []string{c.must("", "config", "show"), c.must("", "--json", "config", "show"), c.log.String(), string(page), c.must("", "component", "list")} {
		if strings.Contains(text, "first secret") || strings.Contains(text, "second secret") {
			t.Errorf("a secret is shown:\n%s", text)
		}
	}
	contains(t, c.must("", "config", "show"), "(hidden)")

	// One is removed, one has another secret, one comes.
	c.write("parley.toml", strings.NewReplacer("news", "new", "first", "third").Replace(twoComponents))
	contains(t, c.must("", "reload"), "reloaded")
	irc.expect("<reset ")
	news.expect("<host-gone ")
	attach(t, m[1], "irc.localhost", "the first secret").expect("<not-authorized")
	attach(t, m[1], "irc.localhost", "the third secret").expect("<handshake/>")
	attach(t, m[1], "new.localhost", "the second secret").expect("<handshake/>")
	attach(t, m[1], "news.localhost", "the second secret").expect("<host-unknown")
}

// Without a component nothing listens; the first one that a reload brings opens the door, at
// the address that it brings. What it may do is told, and told anew when that changes.
func TestComponentsComeWithAReload(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "[components]\nlisten = [\"192.0.2.1:5347\"]\n") // which is nowhere here, and matters to nobody yet
	c.start()
	if strings.Contains(c.hello, "components") {
		t.Errorf("something listens:\n%s", c.hello)
	}
	contains(t, c.must("", "component", "list"), "COMPONENT")
	c.write("parley.toml", twoComponents+"message = \"outgoing\"\n")
	if said := c.must("", "reload"); strings.Contains(said, "restart") {
		t.Errorf("the reload says %q", said)
	}
	info := c.must("", "component", "list")
	contains(t, info, "irc.localhost", "news.localhost")
	address := ""
	eventually(t, func() bool {
		m := regexp.MustCompile(`listened on" for=components address=(127\.0\.0\.1:\d+)`).FindStringSubmatch(c.log.String())
		if m != nil {
			address = m[1]
		}
		return address != ""
	}, func() string { return "the log does not say where components are listened to:\n" + c.log.String() })
	news := attach(t, address, "news.localhost", "the second secret")
	news.expect("<perm access='message' type='outgoing'/></privilege></message>")
	news.expect("<privilege xmlns='urn:xmpp:privilege:2'><perm access='message' type='outgoing'/></privilege></message>")
	c.write("parley.toml", twoComponents+"message = \"outgoing\"\nroster = \"get\"\ndelegate = [\"urn:a\"]\n")
	c.must("", "reload")
	news.expect("<privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='get' push='true'/><perm access='message' type='outgoing'/></privilege></message>")
	news.expect("<delegation xmlns='urn:xmpp:delegation:2'><delegated namespace='urn:a'/></delegation></message>")
}

// A mistake in the variable does not show the secrets in it.
func TestComponentsInTheEnvironment(t *testing.T) {
	cfg, err := load(t, "", "PARLEY_COMPONENT=irc.localhost=12345678, b.localhost = 87654321")
	if err != nil || cfg.Component["irc.localhost"].Secret != "12345678" || cfg.Component["b.localhost"].Secret != "87654321" {
		t.Errorf("%v, %+v", err, cfg.Component)
	}
	if _, err := load(t, "", "PARLEY_COMPONENT=irc.localhost=12345678,hush-hush"); err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "1234") {
		t.Errorf("it says %v", err)
	}
}
