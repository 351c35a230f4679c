//go:build interop

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/storage"
)

// A process is a really started server, on ports of its own.
type process struct {
	t            *testing.T
	dir          string
	cmd          *exec.Cmd
	port, direct string
	components   string   // port for components, if there is one
	web          string   // port of the web's listener with TLS, if there is one
	config       string   // what it was started with
	through      []string // a program that starts it, and its arguments
	log          *syncBuffer
	stopped      bool
}

// startProcess starts bin/parley in an empty directory and makes two accounts.
func startProcess(t *testing.T, extra string) *process {
	t.Helper()
	p := newProcess(t, "[c2s]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n[s2s]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n[http]\nlisten_tls = [\"127.0.0.1:0\"]\n[file_proxy]\nlisten = [\"127.0.0.1:0\"]\n[metrics]\nlisten = \"127.0.0.1:0\"\n"+extra)
	p.start()
	p.parley("pw-juliet\n", "user", "add", "juliet@localhost")
	p.parley("pw-romeo\n", "user", "add", "romeo@localhost")
	return p
}

// newProcess writes the configuration of a server into an empty directory.
func newProcess(t *testing.T, config string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), config: config}
	if err := os.WriteFile(filepath.Join(p.dir, "parley.toml"), []byte(p.config), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// start starts bin/parley, which ends with the test.
func (p *process) start() {
	p.t.Helper()
	p.log, p.stopped = &syncBuffer{}, false
	line := append(slices.Clone(p.through), binary(p.t), "serve")
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Dir = p.dir
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.stop)
	p.readHello(out)
}

// readHello takes the ports from what the server prints when it has started.
func (p *process) readHello(out io.Reader) {
	p.t.Helper()
	where := regexp.MustCompile(`clients on 127\.0\.0\.1:(\d+) \((STARTTLS|direct TLS)\)`)
	components := regexp.MustCompile(`components on 127\.0\.0\.1:(\d+) `)
	web := regexp.MustCompile(`web on https?://127\.0\.0\.1:(\d+)`)
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	late := time.After(time.Minute)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				p.t.Fatalf("the server ended:\n%s", p.log)
			}
			if m := components.FindStringSubmatch(line); m != nil {
				p.components = m[1]
			}
			if m := web.FindStringSubmatch(line); m != nil {
				p.web = m[1]
			}
			if m := where.FindStringSubmatch(line); m != nil && m[2] == "STARTTLS" {
				p.port = m[1]
			} else if m != nil {
				p.direct = m[1]
			}
			if strings.Contains(line, "user add") {
				return
			}
		case <-late:
			p.t.Fatalf("the server did not start:\n%s", p.log)
		}
	}
}

// stop ends the server as a service manager would.
func (p *process) stop() {
	if p.stopped {
		return
	}
	p.stopped = true
	p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			p.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		p.t.Error("the server did not stop in 30 s")
		p.cmd.Process.Kill()
	}
	if p.t.Failed() {
		p.t.Logf("the server's log:\n%s", p.log)
	}
	if strings.Contains(p.log.String(), "panicked") {
		p.t.Errorf("a panic:\n%s", p.log)
	}
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "bin/parley"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

func (p *process) parley(stdin string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(binary(p.t), args...)
	cmd.Dir = p.dir
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("parley %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *process) cert() string { return filepath.Join(p.dir, "data/certs/localhost.pem") }

func script(t *testing.T, name string) string {
	path, err := filepath.Abs(filepath.Join(root, "testdata/interop", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// foreign runs a stranger's program and returns what it says; it must exit with 0 in time.
func foreign(t *testing.T, stdin string, env []string, name string, args ...string) string {
	t.Helper()
	return begin(t, stdin, env, name, args...)()
}

// begin starts a stranger's program; what it returns waits for the end and is to be called.
func begin(t *testing.T, stdin string, env []string, name string, args ...string) func() string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v: run `make peers`", err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // with all that it has started
	late := time.AfterFunc(5*time.Minute, end)
	ended := sync.OnceValue(func() error { defer late.Stop(); return cmd.Wait() })
	t.Cleanup(func() {
		if late.Stop() { // nobody has waited: the test failed elsewhere
			end()
			ended()
		}
	})
	return func() string {
		t.Helper()
		if err := ended(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &out)
		}
		return out.String()
	}
}

func TestInteropSlixmpp(t *testing.T) {
	p := startProcess(t, "")
	// The channel binding that slixmpp knows is a standard's up to TLS 1.2.
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_chat.py"), p.port, p.cert(), "1.2", "SCRAM-SHA-512-PLUS")
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// What slixmpp takes for a channel binding under TLS 1.3 is none of the standards', and is
// accepted.
func TestInteropSlixmppTLS13(t *testing.T) {
	for mechanism, config := range map[string]string{
		"SCRAM-SHA-512-PLUS": "", "SCRAM-SHA-512": "[auth]\nchannel_binding = false\n",
	} {
		p := startProcess(t, config)
		out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_chat.py"), p.port, p.cert(), "1.3", mechanism)
		if !strings.Contains(out, "ok") {
			t.Errorf("%s: %s", mechanism, out)
		}
	}
}

func TestInteropSlixmppContacts(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_contacts.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	p.stop()
	if got := capabilities(t, filepath.Join(p.dir, "data")); !strings.Contains(got, "bot") {
		t.Errorf("verified capabilities: %s", got)
	}
}

// One script a part of what contacts are: asking and removing, and what waits.
func TestInteropSlixmppSubscriptions(t *testing.T) { slixmppPlays(t, "slixmpp_subscriptions.py") }
func TestInteropSlixmppWaiting(t *testing.T)       { slixmppPlays(t, "slixmpp_waiting.py") }

func slixmppPlays(t *testing.T, name string) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", "-B", script(t, name), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// capabilities returns what clients a server has verified, which is stopped: the identities
// of each hash in a line.
func capabilities(t *testing.T, data string) (lines string) {
	cfg := defaults()
	cfg.Data = data
	h, err := openHouse(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(context.Background())
	err = h.store.Read(context.Background(), func(tx *storage.Tx) error {
		lines = ""
		return tx.Each("select identities from capabilities", nil, func(r *storage.Row) error {
			var identities string
			err := r.Scan(&identities)
			lines += identities + "\n"
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestInteropSlixmppAdHoc(t *testing.T) {
	p := startProcess(t, "")
	if err := os.WriteFile(filepath.Join(p.dir, "parley.toml"), []byte("admins = [\"juliet@localhost\"]\n"+p.config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.parley("", "reload")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_adhoc.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

func TestInteropSlixmppCSI(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_csi.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// The library under Gajim.
func TestInteropNbxmpp(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "nbxmpp_contacts.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

func TestInteropSlixmppShared(t *testing.T) {
	p := startProcess(t, "[shared_groups.Everybody]\nmembers = [\"@localhost\"]\n[search]\nenabled = true\n")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_shared.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

func TestInteropXMPPJS(t *testing.T) {
	p := startProcess(t, "")
	if out := foreign(t, "", nil, "node", script(t, "xmppjs_chat.mjs"), p.port); !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

func TestInteropXMPPJSContacts(t *testing.T) {
	p := startProcess(t, "")
	if out := foreign(t, "", nil, "node", script(t, "xmppjs_contacts.mjs"), p.port); !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// go-sendxmpp of Debian 12 knows PLAIN alone. What it sends waits until somebody is there.
func TestInteropGoSendxmpp(t *testing.T) {
	p := startProcess(t, "[auth]\nplain = true\nchannel_binding = false\n")
	conf := filepath.Join(p.dir, "sendxmpp")
	if err := os.WriteFile(conf, []byte("username: juliet@localhost\npassword: pw-juliet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign(t, "Parting is such sweet sorrow", []string{"SSL_CERT_FILE=" + p.cert()}, "go-sendxmpp", "-f", conf, "-j", "localhost:"+p.port, "romeo@localhost")
	screen := newProfanity(t, p, "romeo")
	screen.login("pw-romeo")
	screen.shows("Parting is such sweet sorrow", "/msg juliet@localhost")
}

// TestInteropOpenSSL asks a stranger what our TLS is.
func TestInteropOpenSSL(t *testing.T) {
	p := startProcess(t, "")
	direct := []string{"s_client", "-connect", "127.0.0.1:" + p.direct, "-servername", "localhost", "-CAfile", p.cert(), "-verify_hostname", "localhost", "-brief"}
	start := []string{"s_client", "-connect", "127.0.0.1:" + p.port, "-starttls", "xmpp", "-xmpphost", "localhost", "-servername", "localhost", "-CAfile", p.cert(), "-verify_hostname", "localhost", "-brief"}
	for name, args := range map[string][]string{"direct TLS": append(direct, "-alpn", "xmpp-client"), "STARTTLS": start} {
		out := foreign(t, "", nil, "openssl", append(args, "-verify_return_error")...)
		for _, want := range []string{"TLSv1.3", "Verification: OK", "Peer certificate: CN = localhost"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, out)
			}
		}
	}
	if out := foreign(t, "", nil, "openssl", append(direct, "-tls1_2")...); !strings.Contains(out, "ECDHE-ECDSA") {
		t.Errorf("TLS 1.2:\n%s", out)
	}
	// "R" on a line of its own asks for a renegotiation (CVE-2021-32920). Who gets it is well until the
	// end of the file, which comes late.
	asks := exec.Command("openssl", "s_client", "-connect", "127.0.0.1:"+p.direct, "-tls1_2")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	asks.Stdin = r
	io.WriteString(w, "R\n")
	defer time.AfterFunc(20*time.Second, func() { w.Close() }).Stop()
	defer r.Close()
	if out, err := asks.CombinedOutput(); err == nil || !strings.Contains(string(out), "RENEGOTIATING") {
		t.Errorf("a renegotiation: %v\n%s", err, out)
	}
	for _, args := range [][]string{
		{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"},
		{"-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256"},      // no forward secrecy
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"}, // no AEAD
		{"-alpn", "http/1.1"},
	} {
		if out, err := exec.Command("openssl", append(append([]string{}, direct...), args...)...).CombinedOutput(); err == nil {
			t.Errorf("%v is accepted:\n%s", args, out)
		}
	}
}
