package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/auth"
	"parley/storage"
)

func TestDefaultsAreTheUsualPorts(t *testing.T) {
	cfg := defaults()
	if !reflect.DeepEqual(cfg.Domains, []string{"localhost"}) || !reflect.DeepEqual(cfg.C2S.Listen, []string{":5222"}) ||
		!reflect.DeepEqual(cfg.C2S.ListenTLS, []string{":5223"}) || cfg.Data != "data" || !strings.HasPrefix(cfg.Metrics.Listen, "127.0.0.1:") {
		t.Errorf("%+v", cfg)
	}
}

// TestStartsWithNothing starts a server in an empty directory and goes through what a
// newcomer does.
func TestStartsWithNothing(t *testing.T) {
	c := startChild(t)
	contains(t, c.hello, "serves localhost.", "(STARTTLS)", "(direct TLS)", "metrics on http://127.0.0.1:", "data in "+filepath.Join(c.dir, "data"), " user add juliet@localhost\n")
	if n := strings.Count(c.hello, "\n"); n > 13 {
		t.Errorf("%d lines are more than a few:\n%s", n, c.hello)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "parley.db": 0o600, "certs": 0o700, "certs/localhost.pem": 0o600, "parley.sock": 0o600} {
		st, err := os.Stat(filepath.Join(c.dir, "data", name))
		if err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != mode {
			t.Errorf("data/%s has mode %o, want %o", name, st.Mode().Perm(), mode)
		}
	}
	contains(t, c.must("secret-1\n", "user", "add", "juliet@localhost"), "juliet@localhost added")

	direct := dialTLS(t, c.direct, "localhost")
	if p := direct.tls().NegotiatedProtocol; p != "xmpp-client" {
		t.Errorf("ALPN on the port for direct TLS: %q", p)
	}
	key, ok := direct.certificate().PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is a %T", direct.certificate().PublicKey)
	}
	if err := direct.certificate().VerifyHostname("localhost"); err != nil {
		t.Error(err)
	}
	direct.login("juliet", "secret-1", "one")
	dialSTARTTLS(t, c.starttls, "localhost").login("juliet", "secret-1", "two")
}

func TestStartFailuresAreOneSentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	tests := []struct {
		name    string
		prepare func(t *testing.T, c *child)
		code    int
		says    []string
	}{
		{"port for clients in use", func(t *testing.T, c *child) { c.env = append(c.env, "PARLEY_C2S_LISTEN="+port) }, exitFailed, []string{port + " is in use", "(c2s.listen sets the address)"}},
		{"port for browsers in use", func(t *testing.T, c *child) { c.env = append(c.env, "PARLEY_HTTP_LISTEN_TLS="+port) }, exitFailed, []string{port + " is in use", "(http.listen_tls sets the address)"}},
		{"port for metrics in use", func(t *testing.T, c *child) { c.env = append(c.env, "PARLEY_METRICS_LISTEN="+port) }, exitFailed, []string{port + " is in use", "(metrics.listen sets the address)"}},
		{"a file where the directory should be", func(t *testing.T, c *child) { c.write("data", "") }, exitFailed, []string{"the data directory data cannot be opened"}},
		{"a place where nothing can be written", func(t *testing.T, c *child) { c.env = append(c.env, "PARLEY_DATA=/proc/parley") }, exitFailed, []string{"the data directory /proc/parley cannot be opened"}},
		{"damaged database", func(t *testing.T, c *child) {
			os.Mkdir(filepath.Join(c.dir, "data"), 0o700)
			c.write("data/parley.db", strings.Repeat("no database ", 1000))
		}, exitFailed, []string{"the database in data cannot be used, restore a backup"}},
		{"newer database", func(t *testing.T, c *child) {
			newer := auth.Schema()
			newer.Steps = append(newer.Steps, "create table from_the_future (a integer)")
			s, err := storage.Open(context.Background(), storage.Config{Dir: filepath.Join(c.dir, "data")}, newer)
			if err != nil {
				t.Fatal(err)
			}
			s.Close(context.Background())
		}, exitFailed, []string{"written by a newer version"}},
		{"certificate missing", func(t *testing.T, c *child) {
			c.env = append(c.env, "PARLEY_CERTIFICATES=localhost=/nowhere/c.pem:/nowhere/k.pem")
		}, exitFailed, []string{"certificate of localhost: the file /nowhere/c.pem does not exist"}},
		{"configuration missing", func(t *testing.T, c *child) { c.env = append(c.env, "PARLEY_CONFIG=nowhere.toml") }, exitConfig, []string{"the configuration cannot be read", "nowhere.toml"}},
		{"configuration wrong", func(t *testing.T, c *child) { c.write("parley.toml", "[c2s]\nlisen = [\":5222\"]\n") }, exitConfig, []string{`parley.toml:2: there is no key "c2s.lisen"; did you mean "c2s.listen"?`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newChild(t)
			test.prepare(t, c)
			contains(t, c.fails(test.code, "", "serve"), test.says...)
		})
	}
}

func TestOneServerADataDirectory(t *testing.T) {
	c := startChild(t)
	contains(t, c.fails(exitFailed, "", "serve"), "another server is using "+filepath.Join(c.dir, "data"))
	c.must("", "user", "list") // the first is none the worse for it
}

// TestKilled kills a server and starts it anew: what it acknowledged is there, and the
// socket that it left is no obstacle.
func TestKilled(t *testing.T) {
	c := startChild(t)
	c.must("pw-1\n", "user", "add", "juliet")
	c.must("pw-2\n", "user", "add", "romeo")
	romeo := dialTLS(t, c.direct, "localhost").login("romeo", "pw-2", "r")
	romeo.send("<message to='juliet@localhost' type='chat' id='m1'><body>But soft</body></message>")
	romeo.ping()
	c.kill()
	if _, err := os.Lstat(filepath.Join(c.dir, "data", "parley.sock")); err != nil {
		t.Fatalf("the crash left no socket: %v", err)
	}
	contains(t, c.must("", "user", "list"), "juliet@localhost", "romeo@localhost") // offline, beside the stale socket
	contains(t, c.fails(exitDown, "", "session", "list"), "no server is running", "parley serve")
	c.start()
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw-1", "j")
	contains(t, juliet.expect("</message>"), "id='m1'", "<body>But soft</body>", "urn:xmpp:delay")
	c.must("", "session", "list")
}

// TestStopping ends a server that has clients of all kinds.
func TestStopping(t *testing.T) {
	c := startChild(t, "PARLEY_C2S_QUEUE=100000000")
	c.must("pw\n", "user", "add", "juliet")
	c.must("pw\n", "user", "add", "romeo")
	reads := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "reads")
	deaf := dialTLS(t, c.direct, "localhost").login("romeo", "pw", "deaf")
	body := strings.Repeat("x", 200<<10)
	for range 80 { // 16 MB are more than the sockets take; nobody reads it
		reads.send("<message to='" + deaf.jid + "' type='chat'><body>" + body + "</body></message>")
	}
	reads.ping()
	stranger := dial(t, c.starttls, "localhost")
	stranger.open()
	stranger.expect("</stream:features>")
	dial(t, c.direct, "localhost") // never begins its handshake
	code, took := c.stop()
	if code != 0 || took > 10*time.Second {
		t.Errorf("exit code %d after %s\n%s", code, took, c.log)
	}
	for _, who := range []*client{reads, stranger} {
		end := who.toEnd()
		contains(t, end, "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
		if !strings.HasSuffix(end, "</stream:stream>") {
			t.Errorf("the stream ends with %q", end)
		}
	}
	if _, err := os.Lstat(filepath.Join(c.dir, "data", "parley.sock")); err == nil {
		t.Error("the socket is still there")
	}
	contains(t, c.log.String(), "msg=stopping signal=terminated", "msg=stopped")
}

// TestLongPath puts the data where the path of the control socket is longer than a socket
// address holds.
func TestLongPath(t *testing.T) {
	c := newChild(t)
	c.data = filepath.Join(strings.Repeat("long-directory-name/", 8), "data")
	if err := os.MkdirAll(filepath.Join(c.dir, c.data), 0o700); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "PARLEY_DATA="+c.data)
	c.start()
	c.must("pw\n", "user", "add", "juliet")
	dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
	contains(t, c.must("", "session", "list"), "juliet@localhost/j") // only over the socket
	if code, _ := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Lstat(filepath.Join(c.dir, socketPath(c.data))); err == nil {
		t.Error("the socket is still there")
	}
}

// TestLongTemporaryPath has no short path anywhere.
func TestLongTemporaryPath(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	if _, err := listenSocket(socketPath(long)); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(long); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestVirtualHosts(t *testing.T) {
	c := newChild(t)
	certificate(t, c, "b", "capulet.example")
	c.write("parley.toml", "domains = [\"montague.example\", \"capulet.example\"]\n[certificates.\"Capulet.Example\"]\ncert = \"b.pem\"\nkey = \"b.key\"\n")
	c.start()
	contains(t, c.hello, "serves montague.example, capulet.example.")
	c.must("pw-m\n", "user", "add", "romeo@montague.example")
	c.must("pw-c\n", "user", "add", "romeo@capulet.example") // another person
	for host, password := range map[string]string{"montague.example": "pw-m", "capulet.example": "pw-c"} {
		for _, cl := range []*client{dialTLS(t, c.direct, host), dialSTARTTLS(t, c.starttls, host)} {
			if err := cl.certificate().VerifyHostname(host); err != nil {
				t.Error(err)
			}
			cl.login("romeo", password, "")
		}
	}
	if got := c.must("", "user", "list", "capulet.example"); got != "romeo@capulet.example\n" {
		t.Errorf("%q", got)
	}
	contains(t, c.fails(exitUsage, "", "user", "list", "verona.example"), "none of this server's domains")
	contains(t, dialTLS(t, c.direct, "capulet.example").auth("romeo", "pw-m"), "not-authorized")
}
