//go:build interop

package main

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A person with a browser, and Romeo with slixmpp. Pictures of what she sees stand in
// tmp/screenshots afterwards.
func TestInteropConverseWebSocket(t *testing.T) {
	p := startProcess(t, "")
	converse(t, p, "https://localhost:"+p.web, "websocket")
}

func TestInteropConverseBOSH(t *testing.T) {
	p := startProcess(t, "")
	converse(t, p, "https://localhost:"+p.web, "bosh")
}

// Behind a proxy that ends TLS and has the pages under a path of its own.
func TestInteropConverseBehindProxy(t *testing.T) {
	proxy := httptest.NewUnstartedServer(nil)
	_, port, _ := net.SplitHostPort(proxy.Listener.Addr().String())
	base := "https://localhost:" + port + "/im"
	p := newProcess(t, "[c2s]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = []\n[s2s]\nlisten = []\nlisten_tls = []\n[metrics]\nlisten = \"127.0.0.1:0\"\n"+
		"[http]\nlisten_tls = []\nlisten = [\"127.0.0.1:0\"]\nurl = \""+base+"\"\n")
	p.start()
	p.parley("pw-juliet\n", "user", "add", "juliet@localhost")
	p.parley("pw-romeo\n", "user", "add", "romeo@localhost")
	to := &url.URL{Scheme: "http", Host: "127.0.0.1:" + p.web}
	proxy.Config.Handler = http.StripPrefix("/im", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}})
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0) // Chromium tries before it gives in to the certificate
	proxy.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	proxy.StartTLS()
	defer proxy.Close()
	converse(t, p, base, "websocket")
}

// Where registration is open, the client makes the account.
func TestInteropConverseRegisters(t *testing.T) {
	p := startProcess(t, "[registration]\nopen = true\n")
	shots, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	out := foreign(t, "", nil, "node", script(t, "converse_register.mjs"), "https://localhost:"+p.web, shots)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	if list := p.parley("", "user", "list"); !strings.Contains(list, "mercutio@localhost") {
		t.Errorf("the accounts are\n%s", list)
	}
}

// On a small screen, in another language, by keys alone.
func TestInteropConversePhone(t *testing.T) {
	p := startProcess(t, "")
	shots, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	out := foreign(t, "", nil, "node", script(t, "converse_phone.mjs"), "https://localhost:"+p.web, shots)
	if out != "landing de 360\nlogin true 360\nonline 360\nok\n" {
		t.Error(out)
	}
}

// converse plays testdata/interop/converse.mjs.
func converse(t *testing.T, p *process, base, transport string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "web/client/converse.zip")); err != nil {
		t.Fatalf("%v: run `make build` where npm is", err)
	}
	taken, done := shooting(t), filepath.Join(t.TempDir(), "done")
	romeo := begin(t, "", nil, "/usr/bin/python3", "-B", script(t, "converse_romeo.py"), p.port, p.cert(), done)
	shots, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(t.TempDir(), "balcony.png")
	foreign(t, "", nil, "convert", "-size", "320x200", "plasma:red-blue", picture)
	out := foreign(t, "", nil, "node", script(t, "converse.mjs"), base, transport, shots, picture)
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	heard := romeo()
	for _, want := range []string{"Wherefore art thou <Romeo>?", "come to hall@conference.localhost", "Good evening, everybody", "a picture"} {
		if !strings.Contains(heard, want) {
			t.Errorf("Romeo has not heard %q:\n%s", want, heard)
		}
	}
	for _, name := range []string{"landing", "login", "chat", "room", "picture", "again", "elsewhere"} {
		taken("converse-"+transport+"-"+name, 3000)
	}
}
