package upload_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/upload"
	"parley/xmpp"
)

// TestUpload goes the whole way: a slot, a file, and everybody who has its address.
func TestUpload(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	s := gives(a, "très cool.jpg", 11, "image/jpeg", "")
	if want := "/tr%C3%A8s%20cool.jpg"; !strings.HasSuffix(s.get, want) || !strings.HasPrefix(s.get, h.base+"/upload/") || !strings.HasPrefix(s.put, s.get+"?token=") {
		t.Errorf("the slot: %+v", s)
	}
	h.gets(s.get, 404)
	resp := h.puts(s.put, "hello world", 201, "Content-Type", "image/jpeg")
	if at := resp.Header.Get("Location"); at != s.get {
		t.Errorf("Location: %s", at)
	}
	body, head := h.gets(s.get, 200)
	if body != "hello world" || head.Get("Content-Type") != "image/jpeg" || head.Get("Content-Length") != "11" {
		t.Errorf("%q %v", body, head)
	}
	if at := head.Get("Content-Disposition"); at != `inline; filename="tr_s cool.jpg"; filename*=UTF-8''tr%C3%A8s%20cool.jpg` {
		t.Errorf("Content-Disposition: %s", at)
	}
	h.puts(s.put, "hello again", 409)
	body, _ = h.gets(s.get, 200)
	if body != "hello world" || h.lies() != 1 {
		t.Errorf("%q, %d files", body, h.lies())
	}
	stats := h.Stats()
	routertest.Eventually(t, "nothing is under way", func() bool { return stats.ServingNow.Load() == 0 && stats.Uploading.Load() == 0 })
	if stats.Slots.Load() != 1 || stats.Stored.Load() != 1 || stats.Received.Load() != 11 || stats.Failed.Load() != 0 || stats.Sent.Load() != 22 {
		t.Errorf("counters: %+v", stats)
	}
}

// TestParts: Range, HEAD, and what somebody has already (RFC 9110).
func TestParts(t *testing.T) {
	h := open(t, nil)
	s := gives(h.Connected(romeo), "a.txt", 10, "text/plain", "")
	h.puts(s.put, "0123456789", 201, "Content-Type", "text/plain; charset=utf-8")
	body, head := h.gets(s.get, 206, "Range", "bytes=2-4")
	if body != "234" || head.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("%q %v", body, head)
	}
	if body, _ = h.gets(s.get, 206, "Range", "bytes=-3"); body != "789" {
		t.Errorf("%q", body)
	}
	if body, head = h.gets(s.get, 206, "Range", "bytes=0-1,8-9"); !strings.HasPrefix(head.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(body, "\r\n01\r\n") {
		t.Errorf("%q %v", body, head)
	}
	_, head = h.gets(s.get, 416, "Range", "bytes=10-")
	if head.Get("Content-Range") != "bytes */10" {
		t.Errorf("%v", head)
	}
	_, head = h.gets(s.get, 200)
	tag, at := head.Get("ETag"), head.Get("Last-Modified")
	if _, head := h.gets(s.get, 304, "If-None-Match", tag); head.Get("ETag") != tag {
		t.Errorf("%v", head)
	}
	h.gets(s.get, 304, "If-Modified-Since", at)
	h.gets(s.get, 412, "If-Match", `"other"`)
	if body, _ = h.gets(s.get, 200, "Range", "bytes=2-4", "If-Range", `"other"`); body != "0123456789" {
		t.Errorf("%q", body)
	}
	resp := h.does("HEAD", s.get, nil)
	if resp.StatusCode != 200 || resp.ContentLength != 10 || resp.Header.Get("Content-Type") != "text/plain" || resp.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %s %v", resp.Status, resp.Header)
	}
	for _, method := range []string{"POST", "DELETE", "PATCH"} {
		if resp := h.does(method, s.get, nil); resp.StatusCode != 405 {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
}

// TestUploadsAreInert: whatever is uploaded, a browser does nothing with it but show pictures,
// sound and video (security requirement 53).
func TestUploadsAreInert(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	for _, c := range []struct{ name, typ, how string }{
		{"a.png", "image/png", "inline"}, {"a.ogg", "audio/ogg", "inline"}, {"a.mp4", "video/mp4", "inline"},
		{"a.svg", "image/svg+xml", "attachment"}, {"a.html", "text/html", "attachment"}, {"a.xml", "text/xml", "attachment"},
		{"a.js", "text/javascript", "attachment"}, {"a.pdf", "application/pdf", "attachment"}, {"a", "", "attachment"},
		{"a.png", "text/html", "attachment"}, {"a.swf", "application/x-shockwave-flash", "attachment"}, {"a.xhtml", "application/xhtml+xml", "attachment"},
	} {
		s := gives(a, c.name, 8, c.typ, "")
		h.puts(s.put, "<script>", 201)
		for _, method := range []string{"GET", "HEAD"} {
			head := h.does(method, s.get, nil, "Origin", "https://chat.example").Header
			csp := head.Get("Content-Security-Policy")
			if !strings.HasPrefix(head.Get("Content-Disposition"), c.how+";") || head.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(csp, "default-src 'none'") || !strings.HasSuffix(csp, "; sandbox") || strings.Contains(csp, "script") {
				t.Errorf("%s as %s: %v", c.name, c.typ, head)
			}
			if head.Get("Cross-Origin-Resource-Policy") != "cross-origin" || head.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(head.Get("Cache-Control"), "immutable") {
				t.Errorf("%s as %s, for another origin: %v", c.name, c.typ, head)
			}
			if want := c.typ; want != "" && head.Get("Content-Type") != want || want == "" && head.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("%s as %s comes as %s", c.name, c.typ, head.Get("Content-Type"))
			}
		}
	}
}

// TestPreflight: a page of another origin may put and get files (XEP-0363 §8).
func TestPreflight(t *testing.T) {
	h := open(t, nil)
	s := gives(h.Connected(romeo), "a.png", 3, "image/png", "")
	resp := h.does("OPTIONS", s.put, nil, "Origin", "https://chat.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,content-type")
	allow := resp.Header.Get("Access-Control-Allow-Methods")
	for _, m := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
		if !strings.Contains(allow, m) {
			t.Errorf("%s is not allowed: %s", m, allow)
		}
	}
	send := resp.Header.Get("Access-Control-Allow-Headers")
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(send, "Authorization") || !strings.Contains(send, "Content-Type") {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	if resp := h.puts(s.put, "abc", 201, "Origin", "https://chat.example"); resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", resp.Header)
	}
}

// TestPurposes: how long files are kept, and how large they may be (XEP-0363 §5).
func TestPurposes(t *testing.T) {
	h := open(t, func(s *upload.Settings) {
		s.Retention, s.ProfileRetention, s.ProfileSize, s.PermanentKept = 10*24*time.Hour, 20*24*time.Hour, 100, 1000
	})
	a := h.Connected(romeo)
	purpose := func(name string) string { return `<` + name + ` xmlns='urn:xmpp:http:upload:purpose:0'/>` }
	until := func(d time.Duration) string {
		return `<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='` + time.Now().Add(d+time.Duration(h.now.Load())*time.Second).UTC().Format(time.RFC3339) + `'/>`
	}
	type kept struct {
		slot
		days int
	}
	var all []kept
	for _, c := range []struct {
		inner string
		days  int
	}{{"", 10}, {purpose("message"), 10}, {purpose("profile"), 20}, {purpose("permanent"), 10_000}, {until(48 * time.Hour), 2}, {until(500 * 24 * time.Hour), 10}} {
		s := gives(a, "a.bin", 5, "", c.inner)
		h.puts(s.put, "01234", 201)
		all = append(all, kept{s, c.days})
	}
	for day := range 22 {
		for _, k := range all {
			if want := map[bool]int{true: 200, false: 404}[day < k.days]; h.does("GET", k.get, nil).StatusCode != want {
				t.Errorf("day %d, kept %d: not %d", day, k.days, want)
			}
		}
		h.tidies()
		h.later(24 * time.Hour)
	}
	if n := h.lies(); n != 1 {
		t.Errorf("%d files are left", n)
	}
	s := gives(a, "a.bin", 5, "", until(time.Minute))
	h.puts(s.put, "01234", 201)
	if _, head := h.gets(s.get, 200); !strings.HasPrefix(head.Get("Cache-Control"), "private, max-age=") || len(head.Get("Cache-Control")) > len("private, max-age=60, immutable") {
		t.Errorf("a copy is kept longer than the file: %v", head)
	}
	e := refused(a, ask("a", 101, "", purpose("profile")), "modify", "not-acceptable")
	if !strings.Contains(string(e.App), "<max-file-size>100</max-file-size>") {
		t.Errorf("%s", e.App)
	}
	for _, inner := range []string{purpose("profile") + purpose("message"), until(-time.Hour), purpose("ephemeral"), `<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='tomorrow'/>`} {
		refused(a, ask("a", 5, "", inner), "modify", "bad-request")
	}
	refused(a, ask("a", 5, "", purpose("blog")), "cancel", "feature-not-implemented")
	h.set.Store(&upload.Settings{})
	refused(a, ask("a", 5, "", purpose("permanent")), "cancel", "feature-not-implemented")
}

// TestQuotas: bytes a day and bytes kept, and when there is room again (XEP-0363 §6).
func TestQuotas(t *testing.T) {
	h := open(t, func(s *upload.Settings) { s.Daily, s.Kept, s.ProfileKept = 100, 150, 20 })
	a := h.Connected(romeo)
	first := gives(a, "a", 60, "", "")
	h.puts(first.put, strings.Repeat("x", 60), 201)
	h.later(time.Hour)
	second := gives(a, "b", 40, "", "") // a slot counts as if it were used
	e := refused(a, ask("c", 1, "", ""), "wait", "resource-constraint")
	st, err := xmpp.ParseStanza("<iq>" + string(e.App) + "</iq>")
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, st.Payload().Attr("stamp"))
	if wait := time.Until(at); err != nil || !st.Payload().Is("urn:xmpp:http:upload:0", "retry") || wait < 23*time.Hour || wait > 25*time.Hour {
		t.Errorf("%s: %v %v", e.App, wait, err)
	}
	gives(h.Connected("tybalt@example.com/a"), "c", 100, "", "")
	h.later(6 * time.Minute) // the slot is over
	h.tidies()
	h.puts(second.put, strings.Repeat("x", 40), 410)
	gives(a, "c", 40, "", "")
	if n, err := h.DeleteAll(t.Context(), "romeo@example.com"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	h.later(6 * time.Minute)
	h.tidies()
	refused(a, ask("d", 41, "", ""), "wait", "resource-constraint") // what was removed was sent all the same
	h.later(24 * time.Hour)
	h.tidies()
	for range 2 {
		s := gives(a, "d", 75, "", "")
		h.puts(s.put, strings.Repeat("x", 75), 201)
		h.later(25 * time.Hour)
	}
	if e := refused(a, ask("d", 1, "", ""), "wait", "resource-constraint"); len(e.App) > 0 {
		t.Errorf("nobody knows when there will be room: %s", e.App)
	}
	gives(a, "d", 20, "", `<profile xmlns='urn:xmpp:http:upload:purpose:0'/>`) // which counts by itself
	refused(a, ask("d", 1, "", `<profile xmlns='urn:xmpp:http:upload:purpose:0'/>`), "wait", "resource-constraint")
	refused(a, ask("d", 101, "", ""), "wait", "resource-constraint")
}

// TestManySlots asks for slots and never uses them.
func TestManySlots(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	for range 100 {
		gives(a, "a", 1, "", "")
	}
	if e := refused(a, ask("a", 1, "", ""), "wait", "resource-constraint"); !strings.Contains(string(e.App), "<retry") {
		t.Errorf("%s", e.App)
	}
	h.later(6 * time.Minute)
	h.tidies()
	gives(a, "a", 1, "", "")
	h.set.Store(&upload.Settings{Files: 1})
	refused(a, ask("a", 1, "", ""), "wait", "resource-constraint")
}

// TestNames: whatever a file is called, its address is one that stays below the service's, and
// comes back as it was given out.
func TestNames(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	for name, want := range map[string]string{
		"../../../etc/passwd": ".._.._.._etc_passwd", "..": "file", ".": "file", "/": "_", `C:\a.txt`: "C:_a.txt", "a/b.png": "a_b.png",
		" ": "file", "a\u202egpj.exe": "agpj.exe", "a\tb\nc": "abc", `"quoted";x=y.txt`: `"quoted";x=y.txt`, "%2e%2e%2f": "%2e%2e%2f",
		"日本語.txt": "日本語.txt", "🎉.gif": "🎉.gif", "?token=x#y": "?token=x#y", "a b+c&d=e.txt": "a b+c&d=e.txt", "😀" + strings.Repeat("é", 300) + ".jpeg": "😀" + strings.Repeat("é", 85) + ".jpeg",
		strings.Repeat("a", 1000): strings.Repeat("a", 180), "file." + strings.Repeat("x", 300): "file." + strings.Repeat("x", 175), "...": "file",
	} {
		s := gives(a, name, 1, "text/plain", "")
		u, err := url.Parse(s.get)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		parts := strings.Split(u.EscapedPath(), "/")
		if last, _ := url.PathUnescape(parts[len(parts)-1]); len(parts) != 4 || last != want || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q becomes %q (%s)", name, last, s.get)
		}
		for _, c := range u.EscapedPath() {
			if c > '~' || c <= ' ' {
				t.Errorf("%q: %q is no address (RFC 3986)", name, s.get)
			}
		}
		h.puts(s.put, "x", 201)
		if body, head := h.gets(s.get, 200); body != "x" || strings.ContainsAny(head.Get("Content-Disposition"), "\r\n") {
			t.Errorf("%q: %q %v", name, body, head)
		}
	}
	for _, c := range []string{ask("", 1, "", ""), ask("a", 0, "", ""), ask("a", -1, "", ""), ask("a", 1, "no type", ""), ask("a", 1, "a/"+strings.Repeat("b", 200), ""),
		strings.Replace(ask("a", 1, "", ""), "size=\"1\"", "size=\"1e9\"", 1), strings.Replace(ask("a", 1, "", ""), "size='1'", "size='99999999999999999999'", 1)} {
		if c != ask("a", 1, "", "") {
			refused(a, c, "modify", "bad-request")
		}
	}
	h.does("GET", h.base+"/upload/../../etc/passwd", nil)
	for _, path := range []string{"/upload/x/y", "/upload/AAAAAAAAAAAAAAAAAAAAAAAA/y", "/upload/..%2f..%2f/parley.db", "/upload/%00/a", "/upload/" + strings.Repeat("A", 24) + "/%2e%2e%2fa"} {
		resp, err := http.Get(h.base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}

// TestWhoMay: users of this server, and those of domains that the operator names.
func TestWhoMay(t *testing.T) {
	h := open(t, func(s *upload.Settings) { s.Allow = []string{"irc.example.org"} })
	gives(h.Connected("juliet@example.net/x"), "a", 1, "", "")
	gateway, other := h.House.Service("irc.example.org"), h.House.Service("other.example.org")
	gateway.Sends(`<iq from='nick@irc.example.org/x' type='get' id='s' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/></iq>`)
	gateway.Gets(`<iq type='result' id='s'>…</iq>`)
	other.Sends(`<iq from='nick@other.example.org/x' type='get' id='s' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/></iq>`)
	other.Gets(`<iq type='error' id='s'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	if h.Stats().Slots.Load() != 2 {
		t.Error("somebody was given a slot")
	}
}
