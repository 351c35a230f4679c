package web

import (
	"compress/gzip"
	"encoding/json"
	"html"
	"io"
	"regexp"
	"strings"
	"testing"
)

// settingsOf reads the settings out of a page.
func settingsOf(t *testing.T, page string) (set map[string]any) {
	t.Helper()
	m := regexp.MustCompile(`data-settings="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no settings in\n%s", page)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestChatSettings(t *testing.T) {
	site := testSite()
	set := settingsOf(t, text(t, ask(t, serveSite(t, site), "GET", "https://bücher.example/chat/")))
	for key, want := range map[string]any{
		"default_domain": "bücher.example", "muc_domain": "conference.bücher.example", "websocket": "/ws", "bosh": "/bosh",
		"discover_connection_methods": false, "allow_registration": false, "view_mode": "fullscreen",
		"xmpp_providers_url": "", "autocomplete_providers_url": "", "muc_search_service": "conference.bücher.example", "embed_3rd_party_media_players": false,
	} {
		if set[key] != want {
			t.Errorf("%s is %v, want %v", key, set[key], want)
		}
	}
	if set["locked_domain"] != nil {
		t.Error("users of the other domain are locked out")
	}
	site.Domains, site.Register = site.Domains[:1], func() bool { return true }
	set = settingsOf(t, text(t, ask(t, serveSite(t, site), "GET", "https://192.0.2.1/chat/")))
	if set["locked_domain"] != "example.org" || set["allow_registration"] != true || set["registration_domain"] != "example.org" {
		t.Errorf("one domain, open: %v", set)
	}
}

// A proxy may have the pages under any path: no address in them begins with a slash.
func TestChatBehindAPath(t *testing.T) {
	h := serveSite(t, testSite())
	if got := ask(t, h, "GET", "https://example.org/chat").Header.Get("Location"); got != "chat/" {
		t.Errorf("/chat leads to %q", got)
	}
	for _, path := range []string{"/", "/chat/", "/chat/about"} {
		if m := regexp.MustCompile(`(src|href)="/[^"]*"`).FindString(text(t, ask(t, h, "GET", "https://example.org"+path))); m != "" {
			t.Errorf("%s has %s", path, m)
		}
	}
}

func TestChatOff(t *testing.T) {
	for name, change := range map[string]func(*Site){
		"switched off":   func(s *Site) { s.Chat = false },
		"no way to come": func(s *Site) { s.WebSocket, s.BOSH = "", "" },
	} {
		site := testSite()
		change(&site)
		for _, path := range []string{"/chat", "/chat/", "/chat/start.js", "/chat/9.9/LICENSE"} {
			if r := ask(t, serveSite(t, site), "GET", "https://example.org"+path); r.StatusCode != 404 {
				t.Errorf("%s: %s: %d", name, path, r.StatusCode)
			}
		}
	}
}

// A build without the client says how to have it.
func TestChatMissing(t *testing.T) {
	for _, raw := range [][]byte{nil, []byte("not a zip"), packed(t, "", map[string]string{"a": "b"})} {
		h := NewServer(Config{Pages: chatPages(testSite(), raw)}).secure.Handler
		r := ask(t, h, "GET", "https://example.org/chat/")
		if page := text(t, r); r.StatusCode != 503 || !strings.Contains(page, "make build") {
			t.Errorf("%d: %s", r.StatusCode, page)
		}
	}
}

// Files go out as they lie in the bundle, and a browser that has one is not sent it again.
func TestBundle(t *testing.T) {
	h := serveSite(t, testSite())
	const url = "https://example.org/chat/9.9/converse.min.js"
	plain := ask(t, h, "GET", url)
	if got := text(t, plain); got != script || plain.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("plain: %d bytes, %v", len(got), plain.Header)
	}
	packed := ask(t, h, "GET", url, "Accept-Encoding", "br, gzip;q=0.8")
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.ContentLength >= int64(len(script)) {
		t.Fatalf("packed: %v", packed.Header)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != script { // the trailer's sum is right
		t.Errorf("unpacked: %d bytes, %v", len(got), err)
	}
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
		t.Error("both forms have one tag")
	}
	if !strings.Contains(packed.Header.Get("Cache-Control"), "immutable") || packed.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", packed.Header)
	}
	again := ask(t, h, "GET", url, "Accept-Encoding", "gzip", "If-None-Match", packed.Header.Get("ETag"))
	if again.StatusCode != 304 || text(t, again) != "" {
		t.Errorf("again: %d", again.StatusCode)
	}
	if refused := ask(t, h, "GET", url, "Accept-Encoding", "gzip;q=0, identity"); refused.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was refused and came")
	}
	head := ask(t, h, "HEAD", url)
	if text(t, head) != "" || head.Header.Get("Content-Length") != plain.Header.Get("Content-Length") {
		t.Errorf("HEAD: %v", head.Header)
	}
}
