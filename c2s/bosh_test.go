package c2s_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/c2s"
	"parley/xmpp/xmpptest"
)

// A browser makes requests of BOSH, each as it is told.
type browser struct {
	t    *testing.T
	http *http.Client
	url  string
	h    http.Header
	sid  string
	rid  int

	begun *atomic.Int64 // with how many requests the server has begun
}

// A body is an answer.
type body struct {
	Status     int         `xml:"-"`
	Header     http.Header `xml:"-"`
	Raw        string      `xml:"-"`
	Type       string      `xml:"type,attr"`
	Condition  string      `xml:"condition,attr"`
	SID        string      `xml:"sid,attr"`
	Wait       string      `xml:"wait,attr"`
	Hold       string      `xml:"hold,attr"`
	Requests   string      `xml:"requests,attr"`
	Ver        string      `xml:"ver,attr"`
	Inactivity string      `xml:"inactivity,attr"`
	Maxpause   string      `xml:"maxpause,attr"`
	Ack        string      `xml:"ack,attr"`
	Restart    string      `xml:"urn:xmpp:xbosh restartlogic,attr"`
	Version    string      `xml:"urn:xmpp:xbosh version,attr"`
	Inner      string      `xml:",innerxml"`
}

func (h *house) browser() *browser {
	tr := &http.Transport{TLSClientConfig: h.trust(host)}
	tr.TLSClientConfig.ServerName = host
	b := &browser{t: h.t.(*testing.T), http: &http.Client{Transport: tr}, url: "https://" + h.web + c2s.BOSHPath, rid: 1000, begun: h.begun}
	h.t.Cleanup(tr.CloseIdleConnections)
	return b
}

// post sends a body as it is.
func (b *browser) post(text string) body {
	b.t.Helper()
	a, err := b.try(context.Background(), text)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *browser) try(ctx context.Context, text string) (a body, err error) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.url, strings.NewReader(text))
	for k, v := range b.h {
		req.Header[k] = v
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.Status, a.Header, a.Raw = resp.StatusCode, resp.Header, string(raw)
	return a, xml.Unmarshal(raw, &a)
}

// request is the text of a request with the next id.
func (b *browser) request(attrs, payload string) string {
	b.rid++
	return b.numbered(b.rid, attrs, payload)
}

func (b *browser) numbered(rid int, attrs, payload string) string {
	return fmt.Sprintf("<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='%d' sid='%s' %s>%s</body>", rid, b.sid, attrs, payload)
}

func (b *browser) create(attrs string) body {
	b.t.Helper()
	a := b.post(fmt.Sprintf("<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='%d' to='example.com' xml:lang='en' xmpp:version='1.0' %s/>", b.rid, attrs))
	b.sid = a.SID
	return a
}

// later sends a request, and returns a moment after the server has begun with it, when it is held. It
// gives the answer when it comes.
func (b *browser) later(text string) chan body {
	c, before := make(chan body, 1), b.begun.Load()
	go func() {
		a, err := b.try(context.Background(), text)
		if err != nil {
			a.Raw = err.Error()
		}
		c <- a
	}()
	eventually(b.t, "the server has the request", func() bool { return b.begun.Load() > before })
	time.Sleep(100 * time.Millisecond)
	return c
}

func (b *browser) ends(a body, condition string) {
	b.t.Helper()
	if a.Status != 200 || a.Type != "terminate" || a.Condition != condition {
		b.t.Errorf("%d %s, not %s", a.Status, a.Raw, condition)
	}
}

const usual = "ver='1.6' wait='20' hold='1'"

// TestBOSHCreation: XEP-0124 §7, XEP-0206 §4.
func TestBOSHCreation(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	a := b.create(usual)
	if len(a.SID) < 26 || a.Wait != "20" || a.Hold != "1" || a.Requests != "2" || a.Ver == "" || a.Inactivity == "" || a.Maxpause == "" || a.Restart != "true" || a.Version != "1.0" {
		t.Errorf("%s", a.Raw)
	}
	if !strings.Contains(a.Inner, "SCRAM-SHA-256") || strings.Contains(a.Inner, "PLUS") || strings.Contains(a.Inner, "starttls") || strings.Contains(a.Inner, "sasl-cb") ||
		!strings.Contains(a.Inner, "HT-SHA-256-NONE") || strings.Contains(a.Inner, "HT-SHA-256-E") {
		t.Errorf("features: %s", a.Inner)
	}
	for name, want := range map[string]string{"Content-Type": "text/xml; charset=utf-8", "Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if a := h.browser().create(usual + " content='text/html'"); a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%v", a.Header)
	}
	if a := h.browser().create("ver='1.6' wait='9999' hold='99'"); a.Wait != "60" || a.Hold != "4" || a.Requests != "5" {
		t.Errorf("%s", a.Raw)
	}
	for attrs, condition := range map[string]string{"": "improper-addressing", "to='example.org'": "host-unknown", "to='a@b@c'": "host-unknown", "to='juliet@example.com'": "host-unknown"} {
		b.ends(b.post("<body xmlns='http://jabber.org/protocol/httpbind' ver='1.6' rid='1' "+attrs+"/>"), condition)
	}
	for _, text := range []string{"", "x", "<body/>", "<body xmlns='http://jabber.org/protocol/httpbind'/>", "<body xmlns='http://jabber.org/protocol/httpbind' rid='-1'/>",
		"<body xmlns='http://jabber.org/protocol/httpbind' rid='9007199254740993'/>", "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' wait='x'/>",
		"<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>text</body>", "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/><x/>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><body xmlns='http://jabber.org/protocol/httpbind' rid='1'>&b;</body>",
		"<message xmlns='http://jabber.org/protocol/httpbind' rid='1'/>"} {
		b.ends(b.post(text), "bad-request")
	}
	b.sid = "nobody"
	b.ends(b.post(b.request("", "")), "item-not-found")
	for _, n := range []int{100 << 10, 8 << 20} { // more than anybody may say before login, and more than anybody may say
		if a := b.post(strings.Repeat(" ", n)); a.Condition != "policy-violation" {
			t.Errorf("%d bytes: %s", n, a.Raw)
		}
	}
}

// login logs juliet in.
func (b *browser) login(h *house) {
	b.t.Helper()
	c := xmpptest.Connect(b.t, xmpptest.Options{Addr: h.web, Host: host, TLS: h.trust(host), BOSH: "https://" + host + c2s.BOSHPath})
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	c.Login(xmpptest.Login{User: "juliet", Password: password, Resource: "balcony"})
	b.sid, b.rid = xmpptest.TakeSession(c)
}

// TestBOSHRequests: order, window, resends, hold (XEP-0124 §8, §11, §14).
func TestBOSHRequests(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	b := h.browser()
	b.login(h)
	ping := func(id string) string {
		return "<iq xmlns='jabber:client' type='get' id='" + id + "' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"
	}
	// Out of order: the answers come in order.
	first, second := b.request("", ping("one")), b.request("", ping("two"))
	late := b.later(second)
	a1, a2 := b.post(first), <-late
	if both := a1.Inner + a2.Inner; !strings.Contains(both, "id='two'") || strings.Index(both, "'one'") > strings.Index(both, "'two'") {
		t.Errorf("%s\n%s", a1.Raw, a2.Raw)
	}
	// The same once more: the same answer, and nothing happens twice.
	if again := b.post(first); again.Raw != a1.Raw {
		t.Errorf("%s, not %s", again.Raw, a1.Raw)
	}
	if again := b.post(second); again.Raw != a2.Raw {
		t.Errorf("%s, not %s", again.Raw, a2.Raw)
	}
	// One that is held, once more: the older is let go, the later gets the answer.
	text := b.request("", "")
	old := b.later(text)
	latest := b.later(text)
	if a := <-old; a.Type != "error" {
		t.Errorf("the older one: %s", a.Raw)
	}
	romeo := h.login("romeo", "orchard")
	romeo.Say("<message to='juliet@example.com/balcony' type='chat'><body>wherefore</body></message>")
	if a := <-latest; !strings.Contains(a.Inner, "wherefore") {
		t.Errorf("the later one: %s", a.Raw)
	}
	// A connection that breaks: what came meanwhile is there for the same request.
	text = b.request("", "")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	b.try(ctx, text)
	romeo.Say("<message to='juliet@example.com/balcony' type='chat'><body>art thou</body></message>")
	romeo.Ping(nil)
	if a := b.post(text); !strings.Contains(a.Inner, "art thou") {
		t.Errorf("after a break: %s", a.Raw)
	}
	// hold: a second request lets the first go.
	held := b.later(b.request("", ""))
	next := b.later(b.request("", "<presence xmlns='jabber:client'/>"))
	if a := <-held; a.Type != "" {
		t.Errorf("the first: %s", a.Raw)
	}
	if a := <-next; !strings.Contains(a.Inner, "<presence") {
		t.Errorf("the second: %s", a.Raw)
	}
	// Beyond the window.
	b.ends(b.post(b.numbered(b.rid+4, "", "")), "item-not-found")
	b.ends(b.post(b.request("", "")), "item-not-found")
	eventually(t, "the session is gone", func() bool { return h.router.Sessions() == 1 })
}

// TestBOSHOldRequest: an answer that is not kept any more (XEP-0124 §14.3).
func TestBOSHOldRequest(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	b.create(usual)
	rid := b.rid
	for range 3 {
		b.post(b.request("", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>"))
	}
	b.ends(b.post(b.numbered(rid, "", "")), "item-not-found")
}

// TestBOSHWait: a request is held for as long as the client wants, not longer.
func TestBOSHWait(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	if a := b.create("ver='1.6' wait='1' hold='1'"); a.Wait != "1" {
		t.Fatal(a.Raw)
	}
	start := time.Now()
	if a := b.post(b.request("", "")); a.Type != "" || a.Inner != "" || time.Since(start) < 900*time.Millisecond || time.Since(start) > 15*time.Second {
		t.Errorf("%s after %s", a.Raw, time.Since(start))
	}
}

// TestBOSHPolling: XEP-0124 §12.
func TestBOSHPolling(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	if a := b.create("ver='1.6' wait='0' hold='0'"); a.Hold != "0" || !strings.Contains(a.Inner, "mechanisms") {
		t.Fatal(a.Raw)
	}
	start := time.Now()
	if a := b.post(b.request("", "")); a.Type != "" || time.Since(start) > 15*time.Second {
		t.Errorf("%s after %s", a.Raw, time.Since(start))
	}
	b.ends(b.post(b.request("", "")), "policy-violation")
}

// TestBOSHOveractive: XEP-0124 §11.
func TestBOSHOveractive(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	b.create(usual)
	one := b.later(b.request("", ""))
	b.ends(b.post(b.request("", "")), "policy-violation")
	b.ends(<-one, "other-request")
}

// TestBOSHPause: XEP-0124 §10.
func TestBOSHPause(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	b.create(usual)
	held := b.later(b.request("", ""))
	if a := b.post(b.request("pause='60'", "")); a.Type != "" || a.Inner != "" {
		t.Errorf("%s", a.Raw)
	}
	if a := <-held; a.Type != "" || a.Inner != "" {
		t.Errorf("held: %s", a.Raw)
	}
	if a := b.post(b.request("", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>")); !strings.Contains(a.Inner, "invalid-mechanism") {
		t.Errorf("%s", a.Raw)
	}
	b.ends(b.post(b.request("pause='3600'", "")), "policy-violation")
}

// TestBOSHTerminate: XEP-0124 §13.
func TestBOSHTerminate(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	b := h.browser()
	b.login(h)
	held := b.later(b.request("", ""))
	a := b.post(b.request("type='terminate'", "<presence type='unavailable' xmlns='jabber:client'/>"))
	if first := <-held; first.Type != "terminate" || first.Condition != "" || a.Type != "" {
		t.Errorf("%s\n%s", first.Raw, a.Raw)
	}
	eventually(t, "the session is gone", func() bool { return h.router.Sessions() == 0 })
	b.ends(b.post(b.request("", "")), "item-not-found")
}

// TestBOSHStreamError: XEP-0206 §6.
func TestBOSHStreamError(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	b.create(usual)
	a := b.post(b.request("", "<nonsense xmlns='a:b'/>"))
	b.ends(a, "remote-stream-error")
	if !strings.Contains(a.Inner, "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><unsupported-stanza-type") {
		t.Errorf("%s", a.Raw)
	}
	b = h.browser()
	b.create(usual)
	held := b.later(b.request("", ""))
	go h.Shutdown(context.Background())
	b.ends(<-held, "system-shutdown")
	b.ends(h.browser().create(usual), "system-shutdown")
}

// TestBOSHKeys: XEP-0124 §15.
func TestBOSHKeys(t *testing.T) {
	h := open(t, nil)
	chain := func(seed string, n int) []string {
		list := []string{seed}
		for range n {
			sum := sha1.Sum([]byte(list[len(list)-1]))
			list = append(list, hex.EncodeToString(sum[:]))
		}
		return list
	}
	k, k2 := chain("seed", 3), chain("another", 2)
	b := h.browser()
	b.create("ver='1.6' wait='1' hold='1' newkey='" + strings.ToUpper(k[3]) + "'")
	for _, attrs := range []string{"key='" + k[2] + "'", "key='" + k[1] + "' newkey='" + k2[2] + "'", "key='" + k2[1] + "'"} {
		if a := b.post(b.request(attrs, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>")); a.Type != "" && a.Condition != "remote-stream-error" {
			t.Errorf("%s: %s", attrs, a.Raw)
		}
	}
	b = h.browser()
	b.create(usual + " newkey='" + k[3] + "'")
	b.ends(b.post(b.request("key='"+k[1]+"'", "")), "item-not-found")
	b = h.browser()
	b.create(usual + " newkey='" + k[3] + "'")
	b.ends(b.post(b.request("", "")), "item-not-found")

	for _, c := range []struct {
		key, again string
		held, ends bool
	}{
		{k[2], k[2], false, false}, {k[2], strings.ToUpper(k[2]), false, false}, {k[2], k[1], false, true}, {k[2], "", false, true}, {k[2], k[3], false, true},
		{k[2], k[2], true, false}, {k[2], k[1], true, true}, {k[2], "", true, true},
	} {
		b = h.browser()
		b.create(usual + " newkey='" + k[3] + "'")
		payload := "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>"
		if c.held {
			payload = ""
		}
		first := b.later(b.request("key='"+c.key+"'", payload))
		if !c.held {
			<-first
		}
		again := b.later(b.numbered(b.rid, "key='"+c.again+"'", payload))
		if c.ends {
			b.ends(<-again, "item-not-found")
			continue
		}
		if c.held {
			if a := <-first; a.Type != "error" { // it has come once more
				t.Errorf("%+v: %s", c, a.Raw)
			}
			continue
		}
		if a := <-again; !strings.Contains(a.Raw, "invalid-mechanism") {
			t.Errorf("%+v: %s", c, a.Raw)
		}
	}
}

// TestBOSHAcknowledged: XEP-0124 §9.
func TestBOSHAcknowledged(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	if a := b.create(usual + " ack='1'"); a.Ack != "1000" {
		t.Errorf("%s", a.Raw)
	}
	held := b.later(b.request("", ""))
	next := b.later(b.request("", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>"))
	if a := <-held; a.Ack != "1002" {
		t.Errorf("%s", a.Raw)
	}
	<-next
}

// TestBOSHLegacy: a client that knows no conditions gets the statuses of old (XEP-0124 §17.1).
func TestBOSHLegacy(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	if a := b.create("wait='20' hold='1'"); a.Ver != "" {
		t.Errorf("%s", a.Raw)
	}
	if a := b.post(b.numbered(b.rid+9, "", "")); a.Status != http.StatusNotFound {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

// TestBOSHInClear: without https nobody is let in, and nobody comes from there to a session
// that was begun with it.
func TestBOSHInClear(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	secret := h.browser()
	secret.login(h)
	b := h.browser()
	b.url = "http://" + h.plainly(true) + c2s.BOSHPath
	if a := b.create(usual); strings.Contains(a.Inner, "SCRAM") || strings.Contains(a.Inner, "starttls") {
		t.Errorf("%s", a.Raw)
	}
	a := b.post(b.request("", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biws</auth>"))
	if !strings.Contains(a.Inner, "encryption-required") {
		t.Errorf("%s", a.Raw)
	}
	b.sid, b.rid = secret.sid, secret.rid
	b.ends(b.post(b.request("", "")), "item-not-found")
	b.h = http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"192.0.2.1"}}
	if a := b.create(usual); !strings.Contains(a.Inner, "SCRAM-SHA-256") {
		t.Errorf("behind a proxy with https: %s", a.Raw)
	}
}

// TestBOSHManyStanzas: what waits for the next request comes whole and in order, in answers of
// bounded size.
func TestBOSHManyStanzas(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	b := h.browser()
	b.login(h)
	romeo := h.login("romeo", "orchard")
	const n = 40
	text := strings.Repeat("x", 60000)
	for i := range n {
		romeo.Say("<message to='juliet@example.com/balcony' type='chat' id='m%d'><body>%s</body></message>", i, text)
	}
	romeo.Ping(nil)
	got, say := 0, ""
	for got < n {
		a := b.post(b.request("", say))
		say = ""
		if a.Type != "" || len(a.Raw) > 2<<20 {
			t.Fatalf("%d bytes: %.300s", len(a.Raw), a.Raw)
		}
		for strings.Contains(a.Inner, fmt.Sprintf("id='m%d'", got)) {
			got++
		}
		if q := strings.Index(a.Inner, "id='read-"); q >= 0 { // the server wants to know what has come
			id, _, _ := strings.Cut(a.Inner[q+4:], "'")
			say = "<iq xmlns='jabber:client' type='result' id='" + id + "' to='example.com'/>"
		}
	}
}

// TestBOSHBatch: many stanzas of one request are handled in order, whatever namespaces they
// leave to the body.
func TestBOSHBatch(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	b := h.browser()
	b.login(h)
	romeo := h.login("romeo", "orchard")
	var all strings.Builder
	for i := range 50 {
		ns := []string{" xmlns='jabber:client'", ""}[i%2]
		fmt.Fprintf(&all, "<message%s to='romeo@example.com/orchard' type='chat'><body>%d</body></message>", ns, i)
	}
	fmt.Fprintf(&all, "<message to='romeo@example.com/orchard' type='chat'><body>%s</body></message>", strings.Repeat("x", 200000))
	b.later(b.request("", all.String()))
	for i := range 50 {
		romeo.Expect(fmt.Sprintf("<body>%d</body>", i))
	}
	romeo.Expect("xxxxx</body>")
}

// TestBOSHEncoding: encoded requests are not decoded (security.md, XEP-0138 cases).
func TestBOSHEncoding(t *testing.T) {
	h := open(t, nil)
	b := h.browser()
	b.h = http.Header{"Content-Encoding": {"gzip"}}
	b.ends(b.post(string(bytes.Repeat([]byte{0x1F, 0x8B}, 100))), "bad-request")
}
