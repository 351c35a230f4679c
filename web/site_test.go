package web

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// packed is a small bundle.
func packed(t *testing.T, comment string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.SetComment(comment)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var script = strings.Repeat("export default 1 // and so on\n", 100)

func testSite() Site {
	return Site{
		Version: "1.2.3", Domains: []string{"example.org", "bücher.example"},
		Base: func(domain string) string { return "https://" + domain + ":5443" },
		Contacts: func(string) map[string][]string {
			return map[string][]string{
				"admin": {"xmpp:admin@example.org", "mailto:admin@example.org"},
				"abuse": {`javascript:alert(1)`, `https://example.org/"><script>alert(1)</script>`},
			}
		},
		Rooms: func(domain string) string { return "conference." + domain },
		Chat:  true, WebSocket: "/ws", BOSH: "/bosh", Ports: Ports{STARTTLS: 5222, DirectTLS: 5223, ServersTLS: 5270},
	}
}

// serveSite serves a site with a small bundle.
func serveSite(t *testing.T, site Site) http.Handler {
	t.Helper()
	raw := packed(t, "9.9", map[string]string{"converse.min.js": script, "LICENSE": "MPL", "images/a.svg": "<svg/>"})
	list := append(Landing(site), WellKnown(site)...)
	return NewServer(Config{Pages: append(list, chatPages(site, raw)...)}).secure.Handler
}

func ask(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHostMeta(t *testing.T) {
	h := serveSite(t, testSite())
	r := ask(t, h, "GET", "https://example.org/.well-known/host-meta")
	if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/xrd+xml") {
		t.Errorf("type %q", got)
	}
	if r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("pages of other origins cannot read it")
	}
	var doc xrd
	if err := xml.Unmarshal([]byte(text(t, r)), &doc); err != nil {
		t.Fatal(err)
	}
	want := []xrdLink{{relWebSocket, "wss://example.org:5443/ws"}, {relBOSH, "https://example.org:5443/bosh"}}
	if len(doc.Links) != 2 || doc.Links[0] != want[0] || doc.Links[1] != want[1] {
		t.Errorf("links: %v", doc.Links)
	}
	// A domain in the script of its people, asked for in that of DNS.
	if got := text(t, ask(t, h, "GET", "https://xn--bcher-kva.example/.well-known/host-meta")); !strings.Contains(got, "wss://xn--bcher-kva.example:5443/ws") {
		t.Errorf("bücher.example: %s", got)
	}
	if r := ask(t, h, "GET", "https://192.0.2.1/.well-known/host-meta"); r.StatusCode != 404 {
		t.Errorf("for nobody: %d", r.StatusCode)
	}
}

// Without addresses the document is one of XEP-0156: another would keep programs from DNS.
func TestHostMetaJSON(t *testing.T) {
	site := testSite()
	get := func() (doc map[string]any) {
		t.Helper()
		r := ask(t, serveSite(t, site), "GET", "https://example.org/.well-known/host-meta.json")
		if r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		if err := json.Unmarshal([]byte(text(t, r)), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	if doc := get(); doc["xmpp"] != nil || len(doc["links"].([]any)) != 2 {
		t.Errorf("without addresses: %v", doc)
	}
	site.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	doc := get()
	if doc["xmpp"].(map[string]any)["ttl"] != float64(hostMetaTTL) {
		t.Errorf("with addresses: %v", doc)
	}
	ports := map[string]float64{}
	for _, l := range doc["links"].([]any) {
		l := l.(map[string]any)
		if len(l["ips"].([]any)) != 2 || l["sni"] != "example.org" || l["priority"] == nil || l["weight"] == nil {
			t.Errorf("link %v", l)
		}
		ports[l["rel"].(string)], _ = l["port"].(float64)
	}
	if len(ports) != 4 || ports[relTLS] != 5223 || ports[relServersTLS] != 5270 || ports[relBOSH] != 0 {
		t.Errorf("ports %v", ports)
	}
}

// What is not encrypted, or not there, is not told of.
func TestHostMetaOnlyWhatIsThere(t *testing.T) {
	site := testSite()
	site.BOSH = ""
	site.Base = func(string) string { return "https://chat.example.org/xmpp/" }
	if got := text(t, ask(t, serveSite(t, site), "GET", "https://chat.example.org/.well-known/host-meta.json")); strings.Contains(got, relBOSH) || !strings.Contains(got, `"wss://chat.example.org/xmpp/ws"`) {
		t.Error(got)
	}
	for _, base := range []string{"http://example.org:5280", ""} {
		site.Base = func(string) string { return base }
		if got := text(t, ask(t, serveSite(t, site), "GET", "https://example.org/.well-known/host-meta.json")); strings.Contains(got, "href") {
			t.Errorf("%q: %s", base, got)
		}
	}
}

func TestLanding(t *testing.T) {
	h := serveSite(t, testSite())
	r := ask(t, h, "GET", "https://example.org/")
	page := text(t, r)
	for _, want := range []string{"name@example.org", `href="chat/"`, "port 5222", `href="xmpp:admin@example.org"`, `href="mailto:admin@example.org"`, "given out by", "1.2.3"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if de := text(t, ask(t, h, "GET", "https://example.org/", "Accept-Language", "de-AT,de;q=0.9,en;q=0.8")); !strings.Contains(de, `lang="de"`) || !strings.Contains(de, "Im Browser") {
		t.Errorf("not in German:\n%s", de)
	}
	if en := text(t, ask(t, h, "GET", "https://example.org/", "Accept-Language", "en,de;q=0.8")); !strings.Contains(en, `lang="en"`) {
		t.Errorf("not in English:\n%s", en)
	}
	site := testSite()
	site.Chat, site.Register = false, func() bool { return true }
	if page := text(t, ask(t, serveSite(t, site), "GET", "https://example.org/")); strings.Contains(page, "chat/") || !strings.Contains(page, "Anybody may") {
		t.Errorf("without a client, and open:\n%s", page)
	}
}

// Security: what operators and strangers write becomes text, never markup or script; and no page
// may be put into a frame, load from elsewhere or run what it was not meant to.
func TestPagesAreInert(t *testing.T) {
	h := serveSite(t, testSite())
	for _, path := range []string{"/", "/chat/", "/chat/about"} {
		r := ask(t, h, "GET", "https://example.org"+path, "Host", `"><script>alert(1)</script>.example`)
		page := text(t, r)
		if strings.Contains(page, "alert(1)</script>") || strings.Contains(page, `href="javascript:`) {
			t.Errorf("%s: %s", path, page)
		}
		if regexp.MustCompile(`(?i)<script>|<style|\son\w+=|\sstyle=`).MatchString(page) {
			t.Errorf("%s has script or style inside, which its policy forbids", path)
		}
		policy := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: %s is missing in %q", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "script-src 'self' 'unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: %q", path, policy)
		}
		if r.Header.Get("X-Frame-Options") != "DENY" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
}

func TestPagesAreReadOnly(t *testing.T) {
	h := serveSite(t, testSite())
	for _, path := range []string{"/", "/chat", "/chat/", "/chat/about", "/chat/9.9/converse.min.js", "/.well-known/host-meta"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "TRACE"} {
			if r := ask(t, h, method, "https://example.org"+path); r.StatusCode != 405 {
				t.Errorf("%s %s: %d", method, path, r.StatusCode)
			}
		}
		if r := ask(t, h, "HEAD", "https://example.org"+path); r.StatusCode >= 400 {
			t.Errorf("HEAD %s: %d", path, r.StatusCode)
		}
	}
}

// Security: there is no way out of the bundle.
func TestBundleHasNoWayOut(t *testing.T) {
	h := serveSite(t, testSite())
	for _, path := range []string{
		"/chat/9.9/..%2f..%2fetc%2fpasswd", "/chat/9.9/%2e%2e/%2e%2e/etc/passwd", "/chat/9.9//etc/passwd", "/chat/9.9/images/", "/chat/9.9/images",
		"/chat/9.8/converse.min.js", "/chat/..%2f9.9/converse.min.js", "/chat/9.9/", "/chat/9.9/converse.min.js%00", "/chat/pages/chat.html", "/chat/chat.html",
	} {
		if r := ask(t, h, "GET", "https://example.org"+path); r.StatusCode == 200 {
			t.Errorf("%s: %s", path, text(t, r))
		}
	}
}
