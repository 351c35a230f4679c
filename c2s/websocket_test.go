package c2s_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/web"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// plainly opens a listener in clear that believes every proxy on this machine, or none.
func (h *house) plainly(trusted bool) string {
	h.t.Helper()
	set := web.Settings{}
	if trusted {
		set.Trusted = loopback
	}
	site := web.NewServer(web.Config{Settings: set, Pages: h.pages()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	go site.Serve(l, false)
	h.t.Cleanup(func() { site.Shutdown(context.Background()) })
	return l.Addr().String()
}

// TestWebSocketOffers: what a client may log in with depends on who ends TLS.
func TestWebSocketOffers(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	over := func(addr string, header http.Header) xmpptest.Options {
		return xmpptest.Options{Addr: addr, Host: host, WebSocket: "ws://" + host + c2s.WebSocketPath, HTTP: header}
	}
	believed, alone := h.plainly(true), h.plainly(false)
	for name, test := range map[string]struct {
		o           xmpptest.Options
		login, plus bool
		token       string
	}{
		"TLS here":                   {h.webOptions(), true, true, "HT-SHA-256-EXPR"},
		"TLS at a proxy":             {over(believed, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"192.0.2.1"}}), true, false, "HT-SHA-256-NONE"},
		"the same, as RFC 7239 says": {over(believed, http.Header{"Forwarded": {`for="[2001:db8::1]:99";proto=https;host=example.com`}}), true, false, "HT-SHA-256-NONE"},
		"a proxy without TLS":        {over(believed, http.Header{"X-Forwarded-Proto": {"http"}, "X-Forwarded-For": {"192.0.2.1"}}), false, false, ""},
		"no word of a proxy":         {over(believed, nil), false, false, ""},
		"a stranger's word":          {over(alone, http.Header{"X-Forwarded-Proto": {"https"}}), false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := xmpptest.Dial(t, test.o)
			f := c.Features.String()
			if strings.Contains(f, "starttls") {
				t.Error("starttls (RFC 7395 §3.9)")
			}
			if got := strings.Contains(f, "SCRAM-SHA-256"); got != test.login {
				t.Errorf("mechanisms: %s", f)
			}
			if got := strings.Contains(f, "-PLUS") || strings.Contains(f, "sasl-cb"); got != test.plus {
				t.Errorf("channel bindings: %s", f)
			}
			if test.token != "" && !strings.Contains(f, test.token) || !test.plus && strings.Contains(f, "HT-SHA-256-E") {
				t.Errorf("tokens: %s", f)
			}
			err := c.TryLogin(xmpptest.Login{User: "juliet", Password: password})
			if (err == nil) != test.login {
				t.Errorf("login: %v", err)
			}
		})
	}
}

// TestWebSocketBinding: channel binding works where TLS ends here.
func TestWebSocketBinding(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	for _, binding := range []string{"tls-exporter", "tls-server-end-point"} {
		c := xmpptest.Dial(t, h.webOptions())
		c.Login(xmpptest.Login{User: "juliet", Password: password, SASL2: true, Binding: binding})
		c.Ping(nil)
		c.Bye()
	}
}

// TestWebSocketRefused: what is no request for an XMPP WebSocket gets the status that says why.
func TestWebSocketRefused(t *testing.T) {
	h := open(t, func(p *plan) { p.set.PerAddress = 2 })
	addr := h.plainly(true)
	good := map[string]string{"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "chat, xmpp",
		"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
	ask := func(change map[string]string) (string, net.Conn) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		req := "GET " + c2s.WebSocketPath + " HTTP/1.1\r\nHost: example.com\r\n"
		for k, v := range good {
			if c, changed := change[k]; changed {
				v = c
			}
			if v != "" {
				req += k + ": " + v + "\r\n"
			}
		}
		io.WriteString(conn, req+"\r\n")
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 2048)
		n, _ := conn.Read(b)
		return string(b[:n]), conn
	}
	for _, test := range []struct{ key, value, status string }{
		{"Upgrade", "", "426"}, {"Upgrade", "h2c", "426"}, {"Connection", "close", "426"},
		{"Sec-WebSocket-Version", "8", "426"}, {"Sec-WebSocket-Version", "", "426"},
		{"Sec-WebSocket-Key", "", "400"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZQ==", "400"},
		{"Sec-WebSocket-Protocol", "", "400"}, {"Sec-WebSocket-Protocol", "mqtt", "400"},
	} {
		if got, _ := ask(map[string]string{test.key: test.value}); !strings.HasPrefix(got, "HTTP/1.1 "+test.status) {
			t.Errorf("%s: %q: %.60q", test.key, test.value, got)
		}
	}
	got, _ := ask(nil)
	for _, want := range []string{"HTTP/1.1 101 ", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "Sec-WebSocket-Protocol: xmpp\r\n"} { // RFC 7395 §3.1
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	if strings.Contains(got, "Sec-WebSocket-Extensions") { // nothing is unpacked
		t.Errorf("an extension in %q", got)
	}
	ask(nil)
	if got, _ := ask(nil); !strings.HasPrefix(got, "HTTP/1.1 429") { // PerAddress
		t.Errorf("a third one of an address: %.60q", got)
	}
	h.CloseListeners()
	if got, _ := ask(nil); !strings.HasPrefix(got, "HTTP/1.1 503") {
		t.Errorf("while stopping: %.60q", got)
	}
}

// TestWebSocketResumes: a session goes on over another kind of connection, with what was not
// acknowledged (RFC 7395 §3.10, XEP-0198 §5).
func TestWebSocketResumes(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	romeo := h.login("romeo", "orchard")
	for _, next := range []xmpptest.Options{h.webOptions(), h.options()} {
		c := xmpptest.Dial(t, h.webOptions())
		c.Login(xmpptest.Login{User: "juliet", Password: password, Resource: "balcony"})
		c.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
		enabled := c.Expect("<enabled")
		previd, _ := enabled.Attr("id")
		c.Say("<presence/>")
		c.Expect("<presence")
		c.Conn.Close()
		romeo.Say("<message to='juliet@example.com/balcony' type='chat' id='m'><body>still there?</body></message>")
		romeo.Ping(nil)
		c = xmpptest.Dial(t, next)
		c.Login(xmpptest.Login{User: "juliet", Password: password, NoBind: true})
		c.Say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='%s'/>", previd)
		c.Expect("<resumed", "h='1'")
		for st := c.Next(); st.Kind != xmpp.Message; st = c.Next() {
		}
		c.Bye()
	}
}

// TestWebSocketStops: with system-shutdown, <close/> and a Close frame.
func TestWebSocketStops(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := xmpptest.Dial(t, h.webOptions())
	c.Login(xmpptest.Login{User: "juliet", Password: password})
	go h.Shutdown(context.Background())
	c.ExpectEnd("system-shutdown")
	if _, err := c.Conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind </stream:stream> came %v", err)
	}
}

// TestWebSocketRestrictedXML: what is no part of XMPP ends a stream before login and after it, as over TCP
// (RFC 6120 §11.1).
func TestWebSocketRestrictedXML(t *testing.T) {
	h := open(t, nil)
	h.account("mallory")
	for _, xml := range []string{
		"<message><!DOCTYPE m [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><body>&e;</body></message>", "<message><!-- hello --></message>", "<message><?php echo 1 ?></message>",
	} {
		for _, in := range []bool{false, true} {
			c := xmpptest.Dial(t, h.webOptions())
			if in {
				c.Login(xmpptest.Login{User: "mallory", Password: password})
			}
			c.Say("%s", xml)
			c.ExpectEnd("restricted-xml")
		}
	}
	for _, xml := range []string{"<!DOCTYPE m [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>", "<!-- hello -->"} {
		c := xmpptest.Dial(t, h.webOptions())
		c.Say("%s", xml)
		c.ExpectEnd("restricted-xml")
	}
}

// TestWebSocketLimits: those of every stream.
func TestWebSocketLimits(t *testing.T) {
	h := open(t, func(p *plan) {
		p.set.Stanza = 20000
		p.set.StanzaBefore = 10000
		p.set.LoginTimeout = 3 * time.Second
	})
	h.account("juliet")
	c := xmpptest.Dial(t, h.webOptions())
	c.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'/>", strings.Repeat("x", 12000))
	c.ExpectEnd("policy-violation")
	c = xmpptest.Dial(t, h.webOptions())
	c.ExpectEnd("connection-timeout")
	c = xmpptest.Dial(t, h.webOptions())
	c.Login(xmpptest.Login{User: "juliet", Password: password})
	c.Say("<message to='juliet@example.com'><body>%s</body></message>", strings.Repeat("x", 25000))
	c.ExpectEnd("policy-violation")
}
