package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An examiner asks a server that nobody has configured what the compliance testers of clients'
// makers ask: with one account, over the wire.
type examiner struct {
	*child
	*client
	t        *testing.T
	features string // of the stream, after the login
	n        int
	http     *http.Client
}

func newExaminer(t *testing.T) *examiner {
	s := startChild(t) // ports apart, there is no configuration
	s.must("pw\n", "user", "add", "juliet@localhost")
	e := &examiner{child: s, client: dialTLS(t, s.direct, "localhost"), t: t}
	if last := e.auth("juliet", "pw"); !strings.HasPrefix(last, "success") {
		t.Fatal(last)
	}
	e.client.open()
	e.features = e.expect("</stream:features>")
	e.client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><presence/>")
	e.expect("</jid>")
	e.ping()
	e.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		// The certificate is the server's own, and localhost is where it listens.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.web)
		},
	}}
	t.Cleanup(e.http.CloseIdleConnections)
	return e
}

// ask sends a request and returns the answer. Beside it nothing comes that anybody waits for.
func (e *examiner) ask(typ, to, payload string) string {
	e.t.Helper()
	e.n++
	id := fmt.Sprintf("ask%d", e.n)
	e.client.send(fmt.Sprintf("<iq type='%s' id='%s' to='%s'>%s</iq>", typ, id, to, payload))
	before := e.expect("id='" + id + "'") // attributes of the server's making
	before = before[strings.LastIndex(before, "<iq "):]
	rest := e.expect(">")
	if !strings.HasSuffix(rest, "/>") {
		rest += e.expect("</iq>")
	}
	return before + rest
}

func (e *examiner) disco(to string) string {
	e.t.Helper()
	return e.ask("get", to, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
}

// service returns the domain of the item with an identity.
func (e *examiner) service(category, kind string) string {
	e.t.Helper()
	items := e.ask("get", "localhost", "<query xmlns='http://jabber.org/protocol/disco#items'/>")
	for _, m := range regexp.MustCompile(`<item [^>]*jid=['"]([^'"]+)['"]`).FindAllStringSubmatch(items, -1) {
		info := e.disco(m[1])
		for _, id := range regexp.MustCompile(`<identity [^>]*>`).FindAllString(info, -1) {
			if attr(id, "category") == category && attr(id, "type") == kind {
				return m[1]
			}
		}
	}
	e.t.Errorf("there is no %s/%s among %s", category, kind, items)
	return "nowhere.invalid"
}

func attr(element, name string) string {
	m := regexp.MustCompile(`\s` + name + `=['"]([^'"]*)['"]`).FindStringSubmatch(element)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// has wants features in an answer of service discovery.
func has(t *testing.T, info string, features ...string) {
	t.Helper()
	for _, f := range features {
		if !strings.Contains(info, "'"+f+"'") && !strings.Contains(info, `"`+f+`"`) {
			t.Errorf("%s is not among %s", f, info)
		}
	}
}

// fetch asks the web's listener, as a page of another origin would.
func (e *examiner) fetch(method, url, kind string, body []byte) (*http.Response, string) {
	e.t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Origin", "https://client.example")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if method == http.MethodOptions {
		r.Header.Set("Access-Control-Request-Method", http.MethodPut)
	}
	answer, err := e.http.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return answer, string(text)
}

func (e *examiner) mayBeReadByAll(r *http.Response) {
	e.t.Helper()
	if got := r.Header.Get("Access-Control-Allow-Origin"); got != "*" && got != "https://client.example" {
		e.t.Errorf("%s %s: pages of other origins may not (%q)", r.Request.Method, r.Request.URL, got)
	}
}

// TestCompliance is the list of the compliance tester of Conversations, asked of a server
// without any configuration. What it cannot have by itself, a relay for calls, it says.
func TestCompliance(t *testing.T) {
	const me, domain = "juliet@localhost", "localhost"
	e := newExaminer(t)
	offered := func(t *testing.T, wants ...string) { t.Helper(); contains(t, e.features, wants...) }
	for _, one := range []struct {
		name string
		look func(t *testing.T)
	}{
		{"XEP-0045 rooms", func(t *testing.T) { has(t, e.disco(e.service("conference", "text")), "http://jabber.org/protocol/muc") }},
		{"XEP-0065 file proxy", func(t *testing.T) {
			proxy := e.service("proxy", "bytestreams")
			contains(t, e.ask("get", proxy, "<query xmlns='http://jabber.org/protocol/bytestreams'/>"), "<streamhost ", "port=")
		}},
		{"XEP-0077 password change, and no registration", func(t *testing.T) {
			has(t, e.disco(domain), "jabber:iq:register")
			if strings.Contains(e.features, "register") {
				t.Error("an operator who did not ask for it has open registration")
			}
		}},
		{"XEP-0115 capabilities of the server", func(t *testing.T) { offered(t, "http://jabber.org/protocol/caps", "ver=") }},
		{"XEP-0156 other ways to connect", e.compliesConnections},
		{"XEP-0157 whom to write to", func(t *testing.T) {
			contains(t, e.disco(domain), "http://jabber.org/network/serverinfo", "<field var='abuse-addresses'", "<value>mailto:abuse@localhost</value>")
		}},
		{"XEP-0160 messages wait", func(t *testing.T) { has(t, e.disco(domain), "msgoffline") }},
		{"XEP-0163 personal eventing", func(t *testing.T) {
			has(t, e.disco(me), "pep", "http://jabber.org/protocol/pubsub#publish", "http://jabber.org/protocol/pubsub#auto-create")
		}},
		{"XEP-0191 blocking", func(t *testing.T) { has(t, e.disco(domain), "urn:xmpp:blocking") }},
		{"XEP-0198 stream management", func(t *testing.T) { offered(t, "urn:xmpp:sm:3") }},
		{"XEP-0215 no relay for calls until it is configured", func(t *testing.T) {
			if strings.Contains(e.disco(domain), "urn:xmpp:extdisco") {
				t.Error("it is announced")
			}
			contains(t, e.ask("get", domain, "<services xmlns='urn:xmpp:extdisco:2'/>"), "service-unavailable")
		}},
		{"XEP-0237 versions of the roster", func(t *testing.T) { offered(t, "urn:xmpp:features:rosterver") }},
		{"XEP-0280 carbons", func(t *testing.T) { has(t, e.disco(domain), "urn:xmpp:carbons:2") }},
		{"XEP-0313 archives of accounts", func(t *testing.T) { has(t, e.disco(me), "urn:xmpp:mam:2") }},
		{"XEP-0313 archives of rooms", func(t *testing.T) { has(t, e.disco(e.room()), "urn:xmpp:mam:2") }},
		{"vCards of rooms", func(t *testing.T) {
			room := e.room()
			has(t, e.disco(room), "vcard-temp")
			e.ask("set", room, "<vCard xmlns='vcard-temp'><FN>The orchard</FN></vCard>")
			contains(t, e.ask("get", room, "<vCard xmlns='vcard-temp'/>"), "The orchard")
		}},
		{"XEP-0352 whether anybody looks", func(t *testing.T) { offered(t, "urn:xmpp:csi:0") }},
		{"XEP-0357 push", func(t *testing.T) { has(t, e.disco(me), "urn:xmpp:push:0") }},
		{"XEP-0363 uploads", e.compliesUpload},
		{"XEP-0368 direct TLS", func(t *testing.T) {
			if got := e.tls().NegotiatedProtocol; got != "xmpp-client" { // everything here goes over it
				t.Errorf("ALPN %q", got)
			}
		}},
		{"XEP-0384 keys with publish-options", func(t *testing.T) {
			has(t, e.disco(me), "http://jabber.org/protocol/pubsub#publish-options")
			got := e.ask("set", me, `<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='eu.siacs.conversations.axolotl.devicelist'><item id='current'><list xmlns='eu.siacs.conversations.axolotl'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub>`)
			if attr(got, "type") != "result" {
				t.Error(got)
			}
		}},
		{"XEP-0398 avatars for all clients", func(t *testing.T) { has(t, e.disco(me), "urn:xmpp:pep-vcard-conversion:0") }},
		{"XEP-0411 bookmarks for all clients", func(t *testing.T) { has(t, e.disco(me), "urn:xmpp:bookmarks-conversion:0") }},
	} {
		t.Run(one.name, one.look)
	}
}

// compliesConnections wants host-meta by https, in both forms, for pages of all origins, and
// what it tells of to be there.
func (e *examiner) compliesConnections(t *testing.T) {
	const where = "https://localhost/.well-known/host-meta"
	r, text := e.fetch("GET", where, "", nil)
	e.mayBeReadByAll(r)
	var doc struct {
		Link []struct {
			Rel  string `xml:"rel,attr"`
			Href string `xml:"href,attr"`
		}
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Link) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, l := range doc.Link {
		switch l.Rel {
		case "urn:xmpp:alt-connections:websocket":
			e.compliesWebSocket(t, l.Href)
		case "urn:xmpp:alt-connections:xbosh":
			r, text := e.fetch("POST", l.Href, "text/xml", []byte("<body rid='1' xmlns='http://jabber.org/protocol/httpbind' to='localhost' wait='1' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>"))
			if r.StatusCode != 200 || !strings.Contains(text, "sid=") {
				t.Errorf("BOSH answers %d: %s", r.StatusCode, text)
			}
		default:
			t.Errorf("%+v", l)
		}
	}
	r, text = e.fetch("GET", where+".json", "", nil)
	e.mayBeReadByAll(r)
	var list struct{ Links []struct{ Rel, Href string } }
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Links) != 2 {
		t.Errorf("%v: %s", err, text)
	}
}

// compliesWebSocket wants a WebSocket for XMPP, which a browser's handshake opens (RFC 7395 §3.1).
func (e *examiner) compliesWebSocket(t *testing.T, href string) {
	rest, ok := strings.CutPrefix(href, "wss://")
	if !ok {
		t.Fatalf("%s is not encrypted", href)
	}
	r, err := http.NewRequest("GET", "https://"+rest, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Origin": "https://client.example",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "xmpp",
	} {
		r.Header.Set(name, value)
	}
	answer, err := e.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Protocol") != "xmpp" {
		t.Errorf("WebSocket answers %d: %v", answer.StatusCode, answer.Header)
	}
}

// compliesUpload sends a file and fetches it, from a page of another origin.
func (e *examiner) compliesUpload(t *testing.T) {
	service := e.service("store", "file")
	has(t, e.disco(service), "urn:xmpp:http:upload:0", "max-file-size")
	slot := e.ask("get", service, "<request xmlns='urn:xmpp:http:upload:0' filename='a picture.png' size='5' content-type='image/png'/>")
	m := regexp.MustCompile(`(?s)<put ([^>]*)>.*<get ([^>]*)>`).FindStringSubmatch(slot)
	if m == nil {
		t.Fatalf("no slot: %s", slot)
	}
	put, get := attr(" "+m[1], "url"), attr(" "+m[2], "url")
	r, _ := e.fetch("OPTIONS", put, "", nil)
	e.mayBeReadByAll(r)
	if !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("pages may not PUT: %v", r.Header)
	}
	if r, text := e.fetch("PUT", put, "image/png", []byte("12345")); r.StatusCode != 201 {
		t.Errorf("PUT: %d: %s", r.StatusCode, text)
	}
	r, text := e.fetch("GET", get, "", nil)
	e.mayBeReadByAll(r)
	if text != "12345" || r.Header.Get("Content-Type") != "image/png" {
		t.Errorf("GET: %q, %v", text, r.Header)
	}
}

// room makes a room, once, and returns its address.
func (e *examiner) room() string {
	e.t.Helper()
	room := "orchard@" + e.service("conference", "text")
	e.client.send("<presence to='" + room + "/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	e.ask("set", room, "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>")
	return room
}
