package main

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestNotify listens as a service manager does.
func TestNotify(t *testing.T) {
	c := newChild(t)
	path := filepath.Join(c.dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.env = append(c.env, "NOTIFY_SOCKET="+path)
	says := func(want string) {
		t.Helper()
		buf := make([]byte, 200)
		l.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := l.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%q %v, want %s", buf[:n], err, want)
		}
	}
	c.start()
	says("READY=1")
	c.cmd.Process.Signal(syscall.SIGHUP)
	says("RELOADING=1")
	says("READY=1")
	c.cmd.Process.Signal(syscall.SIGTERM)
	says("STOPPING=1")
	if code := c.wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
