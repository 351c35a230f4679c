package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func packed(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(name))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	gz.Close()
	return b.Bytes()
}

// What may not be passed on, and what nobody needs, stays out.
func TestPick(t *testing.T) {
	files, err := pick(packed(t, "package/LICENSE", "package/dist/converse.min.js", "package/dist/converse.min.js.map", "package/dist/converse.js",
		"package/dist/converse.min.css", "package/dist/libomemo.esm.min.js", "package/dist/curve25519_compiled.wasm", "package/dist/sounds/msg_received.ogg",
		"package/dist/website.css", "package/dist/images/favicon.ico", "package/dist/images/../../../evil", "package/dist/chunkjs/locales/de-LC_MESSAGES-converse-po.js",
		"package/src/index.js", "package/dist/webfonts/muli.ttf"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"LICENSE", "chunkjs/locales/de-LC_MESSAGES-converse-po.js", "converse.min.css", "converse.min.js", "images/favicon.ico", "webfonts/muli.ttf"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("picked %q, want %q", got, want)
	}
	if _, err := pick(packed(t, "package/dist/converse.min.js", "package/dist/converse.min.css")); err == nil {
		t.Error("a package without its licence is taken")
	}
}

// The same files make the same bytes, whose comment says which version they are.
func TestWrite(t *testing.T) {
	files := map[string][]byte{"b": []byte("two"), "a": bytes.Repeat([]byte("one"), 1000), "c/d": nil}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := write(b, files); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the bytes differ")
	}
	out := filepath.Join(t.TempDir(), "x.zip")
	if there(out) {
		t.Error("it is there before it is")
	}
	if err := os.WriteFile(out, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if !there(out) {
		t.Error("it would be made again")
	}
}

// Another package than the one that was read is refused, and nothing is written.
func TestIntegrity(t *testing.T) {
	dir := t.TempDir()
	from, out := filepath.Join(dir, tarball), filepath.Join(dir, "out.zip")
	if err := os.WriteFile(from, packed(t, "package/LICENSE", "package/dist/converse.min.js", "package/dist/converse.min.css"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bundle(out, from); err == nil || !strings.Contains(err.Error(), "not what it should be") {
		t.Errorf("taken: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a file")
	}
}

// A machine without npm builds all the same.
func TestWithoutNPM(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	out := filepath.Join(t.TempDir(), "out.zip")
	if err := bundle(out, ""); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a file")
	}
}
