package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

const (
	// inNamespace tells the test that it runs in namespaces of its own, where it may mount.
	inNamespace = "RUN_IN_NAMESPACE"
	// smallDisk is the size of the file system, in MiB: a new database, its log, and some more.
	smallDisk = 12
	// filler is how long the body of a message is that fills it.
	filler = 20 << 10
)

// mounts reports whether the test may mount; if it may not, it has run in a child that may,
// and is over. Without either it fails.
func mounts(t *testing.T) bool {
	t.Helper()
	err := mountSmall(t.TempDir(), t)
	if err == nil {
		return true
	}
	if os.Getenv(inNamespace) != "" {
		t.Fatalf("a file system cannot be mounted in a namespace either (%v): run the tests as root, or allow user namespaces", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in namespaces of its own:\n%s", out)
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		t.Fatal("it failed there")
	case err != nil:
		t.Fatalf("%v: this test mounts a small file system; run it as root, or allow user namespaces", err)
	}
	return false
}

// mountSmall mounts a small file system on a directory, for as long as the test runs.
func mountSmall(dir string, t *testing.T) error {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", smallDisk))
	if err == nil {
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	return err
}

// onSmallDisk makes a server whose data is on a small disk of its own. It does not run yet.
func onSmallDisk(t *testing.T) *child {
	t.Helper()
	c := newChild(t, "PARLEY_LIMITS_STRANGER_MESSAGES=0", "PARLEY_AUTH_ITERATIONS=4096")
	data := filepath.Join(c.dir, c.data)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mountSmall(data, t); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill writes a file until nothing is left of the disk but so many bytes, and returns its
// path.
func (c *child) fill(leave int64) string {
	c.t.Helper()
	path := filepath.Join(c.dir, c.data, "filler")
	f, err := os.Create(path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &fs); err != nil {
		c.t.Fatal(err)
	}
	for left := int64(fs.Bavail)*fs.Bsize - leave; left > 0; {
		n, err := f.Write(make([]byte, min(left, 1<<16)))
		if left -= int64(n); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			c.t.Fatal(err)
		}
	}
	return path
}

// A writer is somebody with stream management who writes to juliet.
type writer struct {
	xmpptest.Device
	t       *testing.T
	n       int
	refused map[string]bool // with what is said of a disk that has no room
	kept    []string        // acknowledged and not refused
	last    []string        // acknowledged; an error may have come before that
}

func (c *child) writer() *writer {
	c.t.Helper()
	w := &writer{t: c.t, refused: map[string]bool{}}
	w.Device = xmpptest.Device{Options: address(c), Login: xmpptest.Login{User: "romeo", Password: "pw", Resource: "x"}, SM: true,
		Handled: func(id string) { w.last = append(w.last, id) }, Hear: w.hears}
	if _, err := w.Connect(true); err != nil {
		c.t.Fatal(err)
	}
	return w
}

func (w *writer) hears(h *xmpptest.Heard) {
	if h.Type != "error" {
		return
	}
	if !strings.Contains(h.XML, "type='wait'") || !strings.Contains(h.XML, "<resource-constraint ") {
		w.t.Errorf("refused with %.1000s", h.XML)
	}
	w.refused[h.ID] = true
}

// says writes n messages and returns how many of them were refused.
func (w *writer) says(n int, body string) (refused int) {
	w.t.Helper()
	before := len(w.refused)
	for range n {
		w.n++
		id := fmt.Sprintf("m%d", w.n)
		if err := w.Message(id, "<message type='chat' to='juliet@localhost' id='"+id+"'><body>"+body+"</body></message>"); err != nil {
			w.t.Fatal(err)
		}
	}
	w.sync()
	return len(w.refused) - before
}

func (w *writer) sync() {
	w.t.Helper()
	if err := w.Sync(); err != nil {
		w.t.Fatalf("a disk without room ends a stream: %v", err)
	}
	for _, id := range w.last {
		if !w.refused[id] {
			w.kept = append(w.kept, id)
		}
	}
	w.last = nil
}

// TestFullDisk: where there is no room on the disk, senders are told so, and everything else
// goes on; with room again so do messages, without a restart. Nothing that was acknowledged
// is lost by it, nor by a crash after that.
func TestFullDisk(t *testing.T) {
	if !mounts(t) {
		return
	}
	c := onSmallDisk(t)
	c.start()
	c.must("pw\n", "user", "add", "romeo@localhost")
	c.must("pw\n", "user", "add", "juliet@localhost")
	w := c.writer()
	there := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "there")
	if n := w.says(3, "with room"); n > 0 {
		t.Fatalf("%d messages are refused where there is room", n)
	}
	path := c.fill(1 << 20)
	body := strings.Repeat("x", filler)
	for range 200 { // the rest is filled by messages
		if w.says(4, body) == 4 {
			break
		}
	}
	c.fillUp()
	for rounds := 0; len(w.refused) < 20; rounds++ { // the log has room of its own, once it was moved into the database
		if w.says(2, body); rounds == 500 {
			t.Fatal("messages are kept where there is no room")
		}
	}
	c.goesOnWithoutRoom(there)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	os.Remove(path + "2") // fillUp's
	begin := time.Now()
	for w.says(1, "room again") > 0 {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("messages are refused where there is room again")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := w.says(20, body); n > 0 {
		t.Errorf("%d messages are refused where there is room again", n)
	}
	there.ping()
	t.Logf("%d kept, %d refused, room again after %s", len(w.kept), len(w.refused), time.Since(begin).Round(time.Millisecond))
	c.fill(0)
	c.fillUp()
	w.says(20, body)
	c.kill()
	checkCopy(t, filepath.Join(c.dir, c.data))
	c.startWithoutRoom()
	c.start()
	c.hasKept(w)
	if len(w.kept) < 40 || len(w.refused) < 20 {
		t.Error("too little happened to prove anything")
	}
}

// fillUp takes what a file of the test has left.
func (c *child) fillUp() {
	f, err := os.Create(filepath.Join(c.dir, c.data, "filler2"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return
		}
	}
}

// goesOnWithoutRoom looks at what needs no room: who is there stays and is served, who comes
// is let in, messages that nobody keeps are delivered.
func (c *child) goesOnWithoutRoom(there *client) {
	c.t.Helper()
	there.ping()
	fresh := dialTLS(c.t, c.direct, "localhost").login("romeo", "pw", "fresh")
	fresh.ping()
	fresh.send("<message to='juliet@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	there.expect("<composing ")
	fresh.send("</stream:stream>")
	fresh.expect("</stream:stream>")
	sasl2 := xmpptest.Device{Options: address(c), Login: xmpptest.Login{User: "romeo", Password: "pw", Resource: "phone", SASL2: true},
		Agent: "d4565fa7-4d72-4749-b3d3-740edbf87770", SM: true, Carbons: true}
	if _, err := sasl2.Connect(true); err != nil {
		c.t.Fatalf("nobody can log in while the disk is full: %v\n%s", err, c.log)
	}
	if err := errors.Join(sasl2.Presence(0), sasl2.Leave()); err != nil {
		c.t.Errorf("without room: %v", err)
	}
}

// startWithoutRoom starts a server whose disk is full, which says so, and makes room again.
func (c *child) startWithoutRoom() {
	c.t.Helper()
	if out, stderr, code := c.run("", "serve"); code == 0 || !strings.Contains(stderr, "parley: ") || !strings.Contains(stderr, "disk is full") {
		c.t.Errorf("exit code %d, %q\n%s", code, out, stderr)
	}
	os.Remove(filepath.Join(c.dir, c.data, "filler"))
	os.Remove(filepath.Join(c.dir, c.data, "filler2"))
}

// hasKept looks for what was acknowledged in both archives.
func (c *child) hasKept(w *writer) {
	c.t.Helper()
	for _, user := range []string{"romeo", "juliet"} {
		var found []string
		d := xmpptest.Device{Options: address(c), Login: xmpptest.Login{User: user, Password: "pw"},
			Hear: func(h *xmpptest.Heard) { found = append(found, h.ID) }}
		_, err := d.Connect(true)
		if err == nil {
			_, err = d.CatchUp("", 100)
		}
		if err = errors.Join(err, d.Leave()); err != nil {
			c.t.Fatal(err)
		}
		if strings.Join(found, " ") != strings.Join(w.kept, " ") {
			c.t.Errorf("%s's archive has\n%v, acknowledged were\n%v", user, found, w.kept)
		}
	}
}

// TestStartOnFullDisk: a server that has no room to begin with says so, and starts when there
// is some.
func TestStartOnFullDisk(t *testing.T) {
	if !mounts(t) {
		return
	}
	for _, leave := range []int64{0, 64 << 10, 128 << 10} {
		c := onSmallDisk(t)
		path := c.fill(leave)
		out, stderr, code := c.run("", "serve")
		said := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
		if code == 0 || !strings.HasPrefix(said, "parley: ") || !strings.Contains(said, "no space left on device") && !strings.Contains(said, "is full") {
			t.Errorf("with %d bytes of room: exit code %d, %q\n%s", leave, code, out, stderr)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		c.start()
		if code, _ := c.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}
