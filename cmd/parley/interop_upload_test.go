//go:build interop

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/xep/upload"
)

// slixmpp finds the service by its identity, uploads with a content type of its own, and fetches.
func TestInteropSlixmppUpload(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", []string{"SSL_CERT_FILE=" + p.cert()}, "/usr/bin/python3", "-B", script(t, "slixmpp_upload.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	if out := p.parley("", "upload", "usage"); !strings.Contains(out, "juliet@localhost  3") {
		t.Error(out)
	}
}

// go-sendxmpp, which knows PLAIN alone, uploads a file and sends its address.
func TestInteropGoSendxmppUpload(t *testing.T) {
	p := startProcess(t, "[auth]\nplain = true\nchannel_binding = false\n")
	conf, picture := filepath.Join(p.dir, "sendxmpp"), filepath.Join(t.TempDir(), "a picture.png")
	if err := os.WriteFile(conf, []byte("username: juliet@localhost\npassword: pw-juliet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("x"), 100_000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign(t, "", []string{"SSL_CERT_FILE=" + p.cert()}, "go-sendxmpp", "-f", conf, "-j", "localhost:"+p.port, "-h", picture, "romeo@localhost")
	out := p.parley("", "upload", "list", "juliet")
	if !strings.Contains(out, "image/png") || !strings.Contains(out, upload.Size(100_008)) {
		t.Error(out)
	}
}

// Two slixmpp clients send each other a file through the proxy.
func TestInteropSlixmppFileProxy(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", "-B", script(t, "slixmpp_bytestreams.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}
