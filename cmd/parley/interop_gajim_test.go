//go:build interop

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// screenshots is where what Gajim shows stands afterwards.
const screenshots = "../../tmp/screenshots"

// shooting returns what wants a picture there, of so many bytes at least, that was taken since.
func shooting(t *testing.T) (taken func(name string, least int64)) {
	began := time.Now().Add(-time.Second) // the file system's clock is not as fine
	return func(name string, least int64) {
		t.Helper()
		st, err := os.Stat(filepath.Join(screenshots, name+".png"))
		if err != nil {
			t.Errorf("the picture %s: %v", name, err)
		} else if st.Size() < least || st.ModTime().Before(began) {
			t.Errorf("the picture %s has %d bytes and is of %s; the test began at %s", name, st.Size(), st.ModTime(), began)
		}
	}
}

// Gajim in a window: what it shows stands in tmp/screenshots afterwards.
func TestInteropGajim(t *testing.T) {
	p, taken := startProcess(t, ""), shooting(t)
	out := foreign(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_chat.py"), p.port, p.cert(), screenshots)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	taken("gajim-roster", 5000)
	taken("gajim-chat", 5000)
}

// TestInteropGajimContacts has Gajim add, be asked, accept, deny, block and remove.
func TestInteropGajimContacts(t *testing.T) {
	p := startProcess(t, "")
	p.parley("pw-nurse\n", "user", "add", "nurse@localhost")
	p.parley("pw-paris\n", "user", "add", "paris@localhost")
	out := foreign(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_contacts.py"), p.port, p.cert(), screenshots)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	p.stop()
	if got := capabilities(t, filepath.Join(p.dir, "data")); !strings.Contains(got, "Gajim") {
		t.Errorf("verified capabilities: %s", got)
	}
}

// TestInteropGajimProfanity has the two clients meet: a window and a terminal.
func TestInteropGajimProfanity(t *testing.T) {
	p := startProcess(t, "")
	romeo := newProfanity(t, p, "romeo")
	romeo.login("pw-romeo")
	romeo.types("/roster hide")
	gajim := begin(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_profanity.py"), p.port, p.cert(), screenshots)
	romeo.shows("Received authorization request from juliet@localhost", "")
	romeo.types("/sub allow juliet@localhost")
	romeo.types("/sub request juliet@localhost")
	romeo.asks("/who any", "juliet@localhost is online")
	romeo.types(`/status set away "in the garden"`)
	romeo.shows("Ay me!", "/msg juliet@localhost")
	romeo.types("Speak again, bright angel")
	romeo.types("/disconnect")
	if out := gajim(); !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// TestInteropGajimPicture has Gajim send a picture that appears in the web client, and the reverse.
func TestInteropGajimPicture(t *testing.T) {
	p := startProcess(t, "")
	shots, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	hers, his := filepath.Join(t.TempDir(), "balcony.png"), filepath.Join(t.TempDir(), "rose.png")
	foreign(t, "", nil, "convert", "-size", "320x200", "plasma:red-blue", hers)
	foreign(t, "", nil, "convert", "-size", "240x200", "plasma:green-yellow", his)
	gajim := begin(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_picture.py"), p.port, p.cert(), shots, hers)
	browser := begin(t, "", nil, "node", script(t, "converse_picture.mjs"), "https://localhost:"+p.web, shots, his)
	if out := gajim(); !strings.Contains(out, "ok") {
		t.Error(out)
	}
	if out := browser(); !strings.Contains(out, "widths 320\nwidths 320 240\nok") {
		t.Error(out)
	}
}
