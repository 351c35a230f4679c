package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asParley makes the test binary run as the program itself.
const asParley = "RUN_AS_PARLEY"

func TestMain(m *testing.M) {
	if os.Getenv(asParley) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// anyPorts are the settings that let several servers run at a time.
var anyPorts = []string{"PARLEY_C2S_LISTEN=127.0.0.1:0", "PARLEY_C2S_LISTEN_TLS=127.0.0.1:0", "PARLEY_S2S_LISTEN=127.0.0.1:0", "PARLEY_S2S_LISTEN_TLS=127.0.0.1:0", "PARLEY_HTTP_LISTEN_TLS=127.0.0.1:0", "PARLEY_FILE_PROXY_LISTEN=127.0.0.1:0", "PARLEY_METRICS_LISTEN=127.0.0.1:0"}

// A child is the program in a process of its own, in a directory of its own.
type child struct {
	t    *testing.T
	dir  string   // working directory
	env  []string // settings
	data string   // from dir

	cmd                       *exec.Cmd
	hello                     string
	starttls, direct, metrics string // addresses
	web                       string // address of the web's listener with TLS
	log                       *syncBuffer
	ended                     chan error
}

// newChild makes one that does not run yet.
func newChild(t *testing.T, env ...string) *child {
	return &child{t: t, dir: t.TempDir(), env: append(append([]string{}, anyPorts...), env...), data: "data"}
}

func startChild(t *testing.T, env ...string) *child {
	t.Helper()
	c := newChild(t, env...)
	c.start()
	return c
}

func (c *child) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = c.dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PARLEY_") && !strings.HasPrefix(kv, "NOTIFY_SOCKET=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	// Under the race detector a program sleeps for a second before it ends, unless it is told not to.
	cmd.Env = append(append(cmd.Env, asParley+"=1", "GORACE=atexit_sleep_ms=0"), c.env...)
	return cmd
}

var listening = regexp.MustCompile(`(?m)^  (clients|metrics|web) on (?:https?://)?([0-9.:]+?)(?:/metrics)?(?: \((STARTTLS|direct TLS)\))?$`)

// start starts the server and waits until it says what to type next.
func (c *child) start(args ...string) {
	c.t.Helper()
	c.log = &syncBuffer{}
	c.cmd = c.command(append([]string{"serve"}, args...)...)
	c.cmd.Stderr = c.log
	out, w := io.Pipe()
	c.cmd.Stdout = w
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait(); w.Close() }(c.cmd, c.ended)
	c.t.Cleanup(c.kill)
	said := make(chan string, 1)
	go func() {
		var b strings.Builder
		for s := bufio.NewScanner(out); s.Scan(); {
			b.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), " user add ") {
				said <- b.String()
			}
		}
		close(said)
	}()
	select {
	case c.hello = <-said:
	case <-time.After(time.Minute):
	}
	if c.hello == "" {
		c.t.Fatalf("the server did not start:\n%s", c.log)
	}
	for _, m := range listening.FindAllStringSubmatch(c.hello, -1) {
		switch {
		case m[1] == "metrics":
			c.metrics = m[2]
		case m[1] == "web":
			c.web = m[2]
		case m[3] == "STARTTLS":
			c.starttls = m[2]
		default:
			c.direct = m[2]
		}
	}
}

// kill ends the server as a crash would.
func (c *child) kill() {
	c.cmd.Process.Signal(syscall.SIGKILL)
	c.wait(30 * time.Second)
}

// stop asks it to end, and returns its exit code and how long it took.
func (c *child) stop() (int, time.Duration) {
	c.t.Helper()
	begin := time.Now()
	c.cmd.Process.Signal(syscall.SIGTERM)
	return c.wait(20 * time.Second), time.Since(begin)
}

func (c *child) wait(most time.Duration) int {
	select {
	case err := <-c.ended:
		c.ended <- err
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(most):
		c.t.Errorf("the server had not ended after %s", most)
		return -1
	}
}

// run runs a command and returns what it wrote and its exit code.
func (c *child) run(stdin string, args ...string) (out, stderr string, code int) {
	c.t.Helper()
	cmd := c.command(args...)
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &o, &e
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		<-done
		c.t.Fatalf("parley %s did not end\n%s", strings.Join(args, " "), &e)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (c *child) must(stdin string, args ...string) string {
	c.t.Helper()
	out, stderr, code := c.run(stdin, args...)
	if code != 0 {
		c.t.Fatalf("parley %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return out
}

// mustJSON runs a command with --json and reads its answer.
func (c *child) mustJSON(into any, args ...string) {
	c.t.Helper()
	out := c.must("", append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		c.t.Fatalf("parley %s --json: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// fails runs a command that has to fail with a code and one sentence, which is returned.
func (c *child) fails(want int, stdin string, args ...string) string {
	c.t.Helper()
	out, stderr, code := c.run(stdin, args...)
	if code != want || out != "" {
		c.t.Errorf("parley %s: exit code %d, want %d; it printed %q", strings.Join(args, " "), code, want, out)
	}
	var said []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "time=") { // the log
			said = append(said, strings.TrimSpace(line))
		}
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "parley: ") {
		c.t.Errorf("parley %s: this is not one sentence: %q", strings.Join(args, " "), said)
	}
	return strings.Join(said, "\n")
}

// write puts a file into the child's directory.
func (c *child) write(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// waitLog waits until the log has a text.
func (c *child) waitLog(text string) {
	c.t.Helper()
	eventually(c.t, func() bool { return strings.Contains(c.log.String(), text) },
		func() string { return "the log has no " + text + ":\n" + c.log.String() })
}

func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(why())
		}
	}
}

// contains fails the test where a text lacks one of several.
func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// A syncBuffer is a buffer for two goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// freePorts returns addresses that nobody listens at.
func freePorts(t testing.TB, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all are held until the last is found, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}
