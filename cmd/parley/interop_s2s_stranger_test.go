//go:build interop

package main

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stranger is another server, started by a test, with data and ports of its own on
// 127.0.0.1.
type stranger struct {
	t    testing.TB
	name string // of the program
	dir  string // its data, owned by the user it runs as
	run  *syscall.Credential

	c2s, s2s, s2sTLS string // addresses; s2sTLS is the one where TLS comes first

	cmd   *exec.Cmd
	log   *syncBuffer
	ended chan struct{}

	register func(name, domain, password string) error
	accounts map[string]bool
}

// A vhost is one of the domains of a stranger.
type vhost struct {
	domain     string
	cred       credential
	noDialback bool
	bidi       bool // bidirectional streams (XEP-0288), where the program has them
	sm         bool // stream management between servers, where the program has it
	rooms      bool // rooms with archives at "conference." and the domain
}

// newStranger gives a program a directory and ports. Where the test runs as root the program
// runs as the user that its package has made, since neither wants to be root.
func newStranger(t testing.TB, program, pkg, account string) *stranger {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%v: the Debian package %s is missing; run `make peers`", err, pkg)
	}
	s := &stranger{t: t, name: pkg, dir: filepath.Join(openDir(t), pkg), log: &syncBuffer{}, accounts: map[string]bool{}}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup(account)
		if err != nil {
			t.Fatalf("%v: it comes with the Debian package %s; run `make peers`", err, pkg)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		s.run = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 3)
	s.c2s, s.s2s, s.s2sTLS = ports[0], ports[1], ports[2]
	return s
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func (s *stranger) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// command makes a command that runs as the stranger's user, in its directory.
func (s *stranger) command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "HOME="+s.dir), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.run}
	return cmd
}

// start starts the program and waits until it listens. It ends with the test, with all that it
// has started; what it logged is shown if the test has failed.
func (s *stranger) start(within time.Duration, env []string, name string, args ...string) {
	s.t.Helper()
	s.cmd = s.command(env, name, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { cmd.Wait(); close(ended) }(s.cmd, s.ended)
	s.t.Cleanup(func() {
		s.kill()
		if s.t.Failed() {
			s.t.Logf("the end of %s's log:\n%s", s.name, s.tail(150))
		}
	})
	late := time.After(within)
	for _, addr := range []string{s.c2s, s.s2s, s.s2sTLS} {
		for {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-s.ended:
				s.t.Fatalf("%s ended:\n%s", s.name, s.tail(150))
			case <-late:
				s.t.Fatalf("%s does not listen at %s after %s:\n%s", s.name, addr, within, s.log)
			}
		}
	}
}

// kill ends it as a crash would: nothing of it is of use to anybody afterwards.
func (s *stranger) kill() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
}

func (s *stranger) tail(n int) string {
	lines := strings.Split(s.log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// mark returns where the log ends now, for logged.
func (s *stranger) mark() int { return len(s.log.String()) }

// logged wants a line behind a mark of the log.
func (s *stranger) logged(t testing.TB, mark int, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(federationPatience); ; time.Sleep(20 * time.Millisecond) {
		if re.MatchString(s.log.String()[mark:]) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has not logged %q; the end of its log:\n%s", s.name, pattern, s.tail(80))
		}
	}
}

// notLogged wants no such line behind a mark.
func (s *stranger) notLogged(t testing.TB, mark int, pattern string) {
	t.Helper()
	if line := regexp.MustCompile(".*" + pattern + ".*").FindString(s.log.String()[mark:]); line != "" {
		t.Errorf("%s has logged %q", s.name, line)
	}
}

// account makes an account with the server's own tools, once.
func (s *stranger) account(t testing.TB, name, domain string) {
	t.Helper()
	if jid := name + "@" + domain; !s.accounts[jid] {
		if err := s.register(name, domain, "pw-"+name); err != nil {
			t.Fatal(err)
		}
		s.accounts[jid] = true
	}
}
