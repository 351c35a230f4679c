package web

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// A bundle is a zip file whose content is served. Most browsers get the bytes as they lie there:
// deflate is what gzip has inside.
type bundle struct {
	version string // the file's comment
	entries map[string]entry
}

type entry struct {
	deflated []byte // as in the file
	crc      uint32
	size     int64 // unpacked
	kind     string
}

// maxEntry is the largest file that is served, unpacked. Its makers are ourselves; a broken
// file should not fill the memory.
const maxEntry = 16 << 20

// openBundle reads a zip file; it is kept in memory and not copied.
func openBundle(raw []byte) (*bundle, error) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	b := &bundle{version: z.Comment, entries: map[string]entry{}}
	if b.version == "" {
		return nil, errors.New("the bundle does not say of which version it is")
	}
	for _, f := range z.File {
		from, err := f.DataOffset()
		to := from + int64(f.CompressedSize64)
		if err != nil || f.Method != zip.Deflate || to > int64(len(raw)) || f.UncompressedSize64 > maxEntry {
			return nil, fmt.Errorf("%s cannot be served from the bundle", f.Name)
		}
		b.entries[f.Name] = entry{deflated: raw[from:to], crc: f.CRC32, size: int64(f.UncompressedSize64), kind: kindOf(f.Name)}
	}
	return b, nil
}

// kindOf is the media type of a file. The system's own table is not asked: it differs from one
// machine to the next, and browsers run no script of a wrong type.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	case ".ttf":
		return "font/ttf"
	case "":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// serve answers with a file of the bundle. Its URL has the version in it, so that what a browser
// has it may keep.
func (b *bundle) serve(w http.ResponseWriter, r *http.Request, name string) {
	e, ok := b.entries[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	packed := acceptsGzip(r.Header.Values("Accept-Encoding"))
	tag := fmt.Sprintf(`"%08x-%x"`, e.crc, e.size)
	if packed {
		tag = fmt.Sprintf(`"%08x-%x-gz"`, e.crc, e.size)
	}
	h := w.Header()
	guard(h, "default-src 'none'")
	h.Set("ETag", tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", e.kind)
	if packed {
		e.gzip(w, r.Method == http.MethodHead)
	} else {
		e.plain(w, r.Method == http.MethodHead)
	}
}

// gzip puts gzip's header and trailer around what is there (RFC 1952).
func (e entry) gzip(w http.ResponseWriter, head bool) {
	start := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255} // deflate, no name, no time, packed best, system unknown
	end := binary.LittleEndian.AppendUint32(nil, e.crc)
	end = binary.LittleEndian.AppendUint32(end, uint32(e.size))
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(start)+len(e.deflated)+len(end)))
	if head {
		return
	}
	for _, part := range [][]byte{start, e.deflated, end} {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

func (e entry) plain(w http.ResponseWriter, head bool) {
	w.Header().Set("Content-Length", strconv.FormatInt(e.size, 10))
	if head {
		return
	}
	f := flate.NewReader(bytes.NewReader(e.deflated))
	defer f.Close()
	io.Copy(w, io.LimitReader(f, e.size)) // who has gone reads no error
}

// acceptsGzip reads Accept-Encoding (RFC 9110): gzip, unless its weight is zero.
func acceptsGzip(values []string) bool {
	for _, one := range strings.Split(strings.Join(values, ","), ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(one))
		if err != nil || name != "gzip" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return params["q"] == "" || err == nil && q > 0
	}
	return false
}
