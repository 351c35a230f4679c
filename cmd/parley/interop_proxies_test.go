//go:build interop

package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/c2s"
	"parley/xmpp/xmpptest"
)

// snippet returns the code of one kind under a heading of docs/reverse-proxy.md.
func snippet(t *testing.T, heading, kind string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs/reverse-proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(b), "\n## "+heading+"\n")
	part, _, _ = strings.Cut(part, "\n## ")
	_, code, there := strings.Cut(part, "```"+kind+"\n")
	code, _, closed := strings.Cut(code, "```")
	if !found || !there || !closed {
		t.Fatalf("docs/reverse-proxy.md has no %s under %q", kind, heading)
	}
	return code
}

func nginx(dir string) []string {
	return []string{"nginx", "-e", dir + "/error.log", "-p", dir, "-c", dir + "/proxy.conf", "-g", "daemon off;"}
}

// wrapNginx makes a whole configuration of a part of one.
func wrapNginx(dir, code string) string {
	temp := ""
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s/%[1]s;\n", what, dir)
	}
	return fmt.Sprintf("pid %s/pid;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n", dir, temp, code)
}

// TestInteropProxies: the documented configurations of reverse proxies, as they stand there but
// for ports and files: clients log in by WebSocket and by BOSH, and Parley knows who they are.
func TestInteropProxies(t *testing.T) {
	for _, test := range []struct {
		name, heading, kind string
		raw                 bool // the proxy passes bytes on
		command             func(dir string) []string
		wrap                func(dir, code string) string
	}{
		{"nginx", "nginx", "nginx", false, nginx, wrapNginx},
		{"nginx beside a website", "Beside a website", "nginx", false, nginx, wrapNginx},
		{"caddy", "Caddy", "caddy", false, func(dir string) []string {
			return []string{"caddy", "run", "--config", dir + "/proxy.conf", "--adapter", "caddyfile"}
		}, func(dir, code string) string {
			code = strings.Replace(code, "example.org {", "https://localhost:443 {\n    tls /etc/ssl/example.org.pem /etc/ssl/example.org.key", 1)
			return "{\n    admin off\n    auto_https disable_redirects\n    storage file_system " + dir + "\n}\n" + code
		}},
		{"haproxy", "HAProxy", "haproxy", false, func(dir string) []string { return []string{"haproxy", "-f", dir + "/proxy.conf"} }, nil},
		{"haproxy in TCP mode", "With the PROXY protocol", "haproxy", true, func(dir string) []string { return []string{"haproxy", "-f", dir + "/proxy.conf"} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			ports := freePorts(t, 2)
			addr, inside := ports[0], ports[1]
			_, outside, _ := net.SplitHostPort(addr)
			dir := t.TempDir()
			config := snippet(t, "What Parley must know", "toml")
			if test.raw {
				config = snippet(t, test.heading, "toml")
			}
			config = strings.NewReplacer("127.0.0.1:5281", inside, "127.0.0.1:5443", inside, "https://example.org", "https://localhost:"+outside).Replace(config)
			config += "trusted_proxies = [\"127.0.0.1\"]\n"
			if !test.raw {
				config += "listen_tls = []\n"
			}
			p := newProcess(t, "[c2s]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = []\n[s2s]\nlisten = []\nlisten_tls = []\n[metrics]\nlisten = \"\"\n"+config)
			p.start()
			p.parley("pw-juliet\n", "user", "add", "juliet@localhost")
			code := snippet(t, test.heading, test.kind)
			if test.wrap != nil {
				code = test.wrap(dir, code)
			}
			cert := p.cert() // with its key
			code = strings.NewReplacer("listen 443", "listen 127.0.0.1:"+outside, "bind :443", "bind 127.0.0.1:"+outside, "https://localhost:443", "https://localhost:"+outside,
				"127.0.0.1:5281", inside, "127.0.0.1:5443", inside,
				"/etc/ssl/example.org.both.pem", cert, "/etc/ssl/example.org.pem", cert, "/etc/ssl/example.org.key", cert, "server_name example.org", "server_name localhost").Replace(code)
			if err := os.WriteFile(dir+"/proxy.conf", []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			var out syncBuffer
			args := test.command(dir)
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
			if err := cmd.Start(); err != nil {
				t.Fatalf("%v: run `make peers`", err)
			}
			defer func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() }()
			for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				if c, err := net.Dial("tcp", addr); err == nil {
					c.Close()
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s did not start:\n%s", test.name, out.String())
				}
			}
			browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			for _, path := range []string{"/chat/", "/.well-known/host-meta", "/.well-known/host-meta.json"} {
				r, err := browser.Get("https://localhost:" + outside + path)
				if err != nil {
					t.Fatal(err)
				}
				if r.Body.Close(); r.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", path, r.Status)
				}
			}
			browser.CloseIdleConnections()
			// A client of another address than the proxy's, which lies about it.
			there, forged := net.IPv4(127, 0, 0, 2), http.Header{"X-Forwarded-For": {"192.0.2.77"}}
			trust := &tls.Config{InsecureSkipVerify: true}
			for how, o := range map[string]xmpptest.Options{
				"WebSocket": {Addr: addr, Host: "localhost", TLS: trust, Local: there, HTTP: forged, WebSocket: "wss://localhost:" + outside + c2s.WebSocketPath},
				"BOSH":      {Addr: addr, Host: "localhost", TLS: trust, Local: there, HTTP: forged, BOSH: "https://localhost:" + outside + c2s.BOSHPath},
			} {
				c := xmpptest.Dial(t, o)
				if got := strings.Contains(c.Features.String(), "-PLUS"); got != (test.raw && how == "WebSocket") {
					t.Errorf("%s: channel binding is %v: %s", how, got, c.Features)
				}
				c.Login(xmpptest.Login{User: "juliet", Password: "pw-juliet", Resource: how})
				c.Ping(nil)
				if list := p.parley("", "session", "list"); !regexp.MustCompile("juliet@localhost/" + how + ".*127\\.0\\.0\\.2").MatchString(list) {
					t.Errorf("%s: %s", how, list)
				}
				c.Bye()
			}
			if t.Failed() {
				t.Logf("%s said:\n%s", test.name, out.String())
			}
		})
	}
}
