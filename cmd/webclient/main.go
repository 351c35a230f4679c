// Command webclient puts the web client into the tree, for the next build to take along:
// Converse.js as its makers publish it, without the files that are not needed or may not be
// passed on under our licence. It is run by `make build`.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// What is taken: this version, as it was when somebody read it.
const (
	version   = "14.0.0"
	tarball   = "converse.js-" + version + ".tgz"
	integrity = "sha512-LFUg030jDalV47vI/vyVPqYPZfJYXFbubq8v0cFDe2zXNeeGEk3Up0Fj/WTzT6t+6do+cAIToy73eAj7RNDj2Q=="
	maxUnpack = 64 << 20 // bytes of the package, unpacked; it has 41 MB
)

func main() {
	out := flag.String("o", "web/client/converse.zip", "the file to write")
	from := flag.String("from", "", "a copy of "+tarball+"; without it npm fetches one")
	flag.Parse()
	if err := bundle(*out, *from); err != nil {
		fmt.Fprintln(os.Stderr, "webclient:", err)
		os.Exit(1)
	}
}

// bundle writes the file out, unless it is there already.
func bundle(out, from string) error {
	if there(out) {
		return nil
	}
	if from == "" {
		dir, err := os.MkdirTemp("", "webclient")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if from, err = download(dir); err != nil { // a server without it is a server all the same
			fmt.Fprintf(os.Stderr, `The web client is left out of this build, and /chat will say so: %v.
It is fetched by npm (package npm). Build again where that works, or take a copy of the package from elsewhere:
  make build WEBCLIENT=path/to/%s
`, err, tarball)
			return nil
		}
	}
	pack, err := read(from)
	if err != nil {
		return err
	}
	files, err := pick(pack)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(&b, files); err != nil {
		return err
	}
	// A reader of a half-written file would be a build of half a client.
	if err := os.WriteFile(out+".new", b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}

// there says whether the file is of this version; its comment tells.
func there(out string) bool {
	z, err := zip.OpenReader(out)
	if err != nil {
		return false
	}
	defer z.Close()
	return z.Comment == version
}

// download has npm fetch the package into a directory.
func download(dir string) (path string, err error) {
	c := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, "converse.js@"+version)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("npm pack: %w", err)
	}
	return filepath.Join(dir, tarball), nil
}

// read returns the package, which is the one that was read by people.
func read(from string) ([]byte, error) {
	pack, err := os.ReadFile(from)
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(pack)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return nil, fmt.Errorf("%s is not what it should be: it has %s, expected is %s", from, got, integrity)
	}
	return pack, nil
}

// wanted says under which name a file of the package is served, if it is.
func wanted(name string) (string, bool) {
	if name == "package/LICENSE" {
		return "LICENSE", true
	}
	name, ok := strings.CutPrefix(name, "package/dist/")
	if !ok || !fs.ValidPath(name) || strings.HasSuffix(name, ".map") {
		return "", false
	}
	switch dir, _, _ := strings.Cut(name, "/"); dir {
	case "converse.min.js", "converse.min.css", "emoji.json", "shared-connection-worker.js", "images", "webfonts", "chunkjs":
		return name, true
	}
	// The rest is for developers and for the makers' own site; or is libomemo.js, which is under
	// the GPL; or is a sound whose licence the package does not tell.
	return "", false
}

// pick unpacks what is wanted.
func pick(pack []byte) (map[string][]byte, error) {
	gz, err := gzip.NewReader(bytes.NewReader(pack))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for t := tar.NewReader(io.LimitReader(gz, maxUnpack)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name, ok := wanted(h.Name)
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if files[name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
	for _, need := range []string{"LICENSE", "converse.min.js", "converse.min.css"} {
		if files[need] == nil {
			return nil, fmt.Errorf("the package has no %s", need)
		}
	}
	return files, nil
}

// write packs files; the same files give the same bytes.
func write(w io.Writer, files map[string][]byte) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	if err := z.SetComment(version); err != nil {
		return err
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := f.Write(files[name]); err != nil {
			return err
		}
	}
	return z.Close()
}
