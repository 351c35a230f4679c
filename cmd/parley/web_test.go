package main

import (
	"strings"
	"testing"
)

// What is copied to another web server is what this one serves.
func TestHostMetaCommand(t *testing.T) {
	e := newExaminer(t)
	port := e.web[strings.LastIndex(e.web, ":"):]
	e.env = append(e.env, "PARLEY_HTTP_LISTEN_TLS=127.0.0.1"+port)
	for path, args := range map[string][]string{"host-meta": {"web", "host-meta"}, "host-meta.json": {"web", "host-meta", "--host", "localhost", "--json"}} {
		_, served := e.fetch("GET", "https://localhost/.well-known/"+path, "", nil)
		if got := e.must("", args...); got != served || !strings.Contains(got, "wss://localhost"+port+webSocketPath) {
			t.Errorf("%v prints\n%s\nserved is\n%s", args, got, served)
		}
	}
	if said := e.fails(exitUsage, "", "web", "host-meta", "--host", "example.com"); !strings.Contains(said, "none of this server's domains") {
		t.Error(said)
	}
	e.env = append(e.env, "PARLEY_HTTP_LISTEN_TLS=")
	if said := e.fails(exitFailed, "", "web", "host-meta"); !strings.Contains(said, "http.listen_tls") {
		t.Error(said)
	}
}

// The client goes by configuration, the page that says what this server is stays; and so does
// what programs are told, of what is left.
func TestWebClientOff(t *testing.T) {
	e := newExaminer(t)
	if r, page := e.fetch("GET", "https://localhost/", "", nil); r.StatusCode != 200 || !strings.Contains(page, "chat/") {
		t.Errorf("%d: %s", r.StatusCode, page)
	}
	e.child.stop()
	e.env = append(e.env, "PARLEY_HTTP_CHAT=false", "PARLEY_HTTP_BOSH=false")
	e.child.start()
	e.http.CloseIdleConnections()
	if r, page := e.fetch("GET", "https://localhost/", "", nil); r.StatusCode != 200 || strings.Contains(page, "chat/") {
		t.Errorf("%d: %s", r.StatusCode, page)
	}
	if r, page := e.fetch("GET", "https://localhost/chat/", "", nil); r.StatusCode != 404 {
		t.Errorf("%d: %s", r.StatusCode, page)
	}
	if _, doc := e.fetch("GET", "https://localhost/.well-known/host-meta", "", nil); !strings.Contains(doc, "websocket") || strings.Contains(doc, "xbosh") {
		t.Error(doc)
	}
}

// What is for those who run the server is not where everybody comes in.
func TestFiguresAreNotPublic(t *testing.T) {
	e := newExaminer(t)
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/admin", "/api", "/chat/../metrics", "//metrics", "/%2e%2e/data/parley.db", "/upload/../../parley.db", "/upload/"} {
		if r, page := e.fetch("GET", "https://localhost"+path, "", nil); r.StatusCode != 404 {
			t.Errorf("%s: %d %.100s", path, r.StatusCode, page)
		}
	}
}

// Where others than this machine can come in.
func TestWorldPort(t *testing.T) {
	for _, test := range []struct {
		addresses []string
		want      uint16
	}{
		{nil, 0}, {[]string{":5222"}, 5222}, {[]string{"127.0.0.1:5222", "[::1]:5223"}, 0},
		{[]string{"127.0.0.1:5", "[2001:db8::1]:6"}, 6}, {[]string{":0"}, 0}, {[]string{"xmpp.example.org:7"}, 7},
	} {
		if got := worldPort(test.addresses); got != test.want {
			t.Errorf("%q: %d, want %d", test.addresses, got, test.want)
		}
	}
}
