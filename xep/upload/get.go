package upload

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
)

// inert has a browser that shows a file by itself do nothing with it: no scripts, no forms, no
// other addresses, no place in other pages (XEP-0363 §9.1).
const inert = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; sandbox"

// get serves a file to whoever has its address: a part of it, or what is known of it (RFC 9110).
func (s *Service) get(w http.ResponseWriter, r *http.Request) {
	f, err := s.there(r)
	switch {
	case err != nil:
		s.log.Warn("what is known of a file could not be read", "error", err)
		refuse(w, http.StatusInternalServerError, "the server failed")
		return
	case f.id == "":
		http.NotFound(w, r)
		return
	}
	from := network(router.VisitorOf(r).Addr)
	if status, why := s.begins(from, s.settings(f.host)); status != 0 {
		w.Header().Set("Retry-After", "10")
		refuse(w, status, why)
		return
	}
	defer s.ends(from)
	body, err := s.cfg.Shelf.Open(r.Context(), f.id, f.size)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			http.NotFound(w, r)
		} else {
			refuse(w, http.StatusInternalServerError, "the server failed")
		}
		s.log.Error("a file that was uploaded cannot be read", "id", f.id, "error", err)
		return
	}
	defer body.Close()
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges { // each may be a request to a store; RFC 9110 lets us ignore them
		r.Header.Del("Range")
	}
	s.describe(w.Header(), f)
	s.stats.Served.Add(1)
	out := &receiver{ResponseWriter: w, c: http.NewResponseController(w), sent: &s.stats.Sent}
	http.ServeContent(out, r, "", time.Unix(f.created, 0), body)
	out.done()
}

// maxRanges is how many parts of a file one request may ask for.
const maxRanges = 8

// network is what an address is counted by: itself, or for IPv6 the /64 around it.
func network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}

// begins counts a file on its way out, to an address. Over HTTP/2 one client might hold all places
// with a few connections.
func (s *Service) begins(from netip.Prefix, set Settings) (status int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gets[from] >= set.PerPlace:
		return http.StatusTooManyRequests, "you are fetching too many files at a time"
	case s.stats.ServingNow.Load() >= int64(set.Downloads):
		return http.StatusServiceUnavailable, "too many files are being fetched"
	}
	s.gets[from]++
	s.stats.ServingNow.Add(1)
	return 0, ""
}

func (s *Service) ends(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.ServingNow.Add(-1)
	if s.gets[from]--; s.gets[from] <= 0 {
		delete(s.gets, from)
	}
}

// there finds the file of a request; its id is "" where there is none, or it is over.
func (s *Service) there(r *http.Request) (f file, err error) {
	id := r.PathValue("id")
	if !isID(id) || s.ready != nil {
		return f, nil
	}
	var found bool
	err = s.store.Read(r.Context(), func(tx *storage.Tx) (err error) {
		f, found, err = fileOf(tx, id)
		return err
	})
	if !found || f.state != stored || f.name != r.PathValue("name") || f.expires <= s.cfg.Now().Unix() {
		return file{}, err
	}
	return f, err
}

// maxAge is how long others may keep a copy, in seconds; what expires earlier, until then.
const maxAge = 365 * 24 * 60 * 60

// describe sets the headers of a file. They keep a browser from doing with it what its sender
// may have in mind.
func (s *Service) describe(h http.Header, f file) {
	h.Set("Content-Type", f.typ)
	h.Set("Content-Disposition", disposition(f.typ, f.name))
	h.Set("Content-Security-Policy", inert)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("ETag", `"`+f.id+`"`)
	age := min(maxAge, f.expires-s.cfg.Now().Unix())
	h.Set("Cache-Control", fmt.Sprintf("private, max-age=%d, immutable", age))
}

// A receiver is an answer that is not waited for any longer than who gets it may take.
type receiver struct {
	http.ResponseWriter
	c      *http.ResponseController
	sent   *atomic.Int64
	failed bool
	wrote  bool
}

// Write implements io.Writer.
func (o *receiver) Write(p []byte) (n int, err error) {
	for err == nil && len(p) > 0 {
		part := p[:min(len(p), copyBytes)]
		o.c.SetWriteDeadline(time.Now().Add(writeStop))
		var m int
		m, err = o.ResponseWriter.Write(part)
		n += m
		o.sent.Add(int64(m))
		o.wrote = true
		p = p[m:]
	}
	o.failed = err != nil
	return n, err
}

// done sends what is left in buffers and gives the connection back as it was.
func (o *receiver) done() {
	if !o.wrote || o.failed {
		return
	}
	o.c.SetWriteDeadline(time.Now().Add(writeStop))
	if o.c.Flush() == nil {
		o.c.SetWriteDeadline(time.Time{})
	}
}

// Unwrap is for http.ResponseController.
func (o *receiver) Unwrap() http.ResponseWriter { return o.ResponseWriter }
