package upload

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"parley/router"
	"parley/storage"
)

// http is what the service serves.
func (s *Service) http() []router.HTTP {
	return []router.HTTP{
		{Pattern: "PUT /upload/{id}/{name}", Handler: http.HandlerFunc(s.put), Cross: []string{"PUT"}, Send: []string{"Authorization"}},
		{Pattern: "GET /upload/{id}/{name}", Handler: http.HandlerFunc(s.get), Cross: []string{"GET", "HEAD"}, Send: []string{"Range"}},
	}
}

// put takes the file of a slot (XEP-0363 §7). A slot is used up by the first request whose body
// was begun to be read; one that is refused by its header leaves it as it is.
func (s *Service) put(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	switch {
	case !s.allows(id, r.URL.Query().Get("token")):
		http.NotFound(w, r) // as where there is nothing
		return
	case s.ready != nil:
		refuse(w, http.StatusServiceUnavailable, "files cannot be taken now")
		return
	case !s.claim(id):
		refuse(w, http.StatusConflict, "somebody is uploading this file")
		return
	}
	defer s.release(id)
	f, status, why := s.slot(r, id)
	if status == 0 {
		status, why = fits(&f, r)
	}
	if status != 0 {
		refuse(w, status, why)
		return
	}
	set := s.settings(f.host)
	if status, why := s.seat(f.owner, set); status != 0 {
		w.Header().Set("Retry-After", "10")
		refuse(w, status, why)
		return
	}
	defer s.unseat(f.owner)
	s.take(w, r, f, set)
}

// refuse answers with an error. What was not read of the body is none of ours.
func refuse(w http.ResponseWriter, status int, why string) {
	http.Error(w, why, status)
}

// slot finds the slot of a request that has shown its token.
func (s *Service) slot(r *http.Request, id string) (f file, status int, why string) {
	var found bool
	err := s.store.Read(r.Context(), func(tx *storage.Tx) (err error) {
		f, found, err = fileOf(tx, id)
		return err
	})
	switch {
	case err != nil:
		s.log.Warn("the slot of an upload could not be read", "error", err)
		return f, http.StatusInternalServerError, "the server failed"
	case !found || f.state != slot && f.state != stored:
		return f, http.StatusGone, "this slot is over; ask for another"
	case f.name != r.PathValue("name"):
		return f, http.StatusNotFound, "404 page not found"
	case f.state == stored:
		return f, http.StatusConflict, "this file is there already"
	case f.expires <= s.cfg.Now().Unix():
		return f, http.StatusGone, "this slot is over; ask for another"
	}
	return f, 0, ""
}

// fits compares what comes with what was announced (XEP-0363 §7), and gives a file its type that
// had none.
func fits(f *file, r *http.Request) (status int, why string) {
	typ, ok := cleanType(r.Header.Get("Content-Type"))
	switch n := r.ContentLength; {
	case n < 0:
		return http.StatusLengthRequired, "Content-Length is wanted"
	case n > f.size:
		return http.StatusRequestEntityTooLarge, "this is longer than was announced"
	case n < f.size:
		return http.StatusBadRequest, "this is shorter than was announced"
	case r.Header.Get("Content-Encoding") != "":
		return http.StatusUnsupportedMediaType, "files are taken as they are, without a Content-Encoding"
	case r.Header.Get("Content-Range") != "":
		return http.StatusBadRequest, "a file is taken as a whole" // RFC 9110: a partial PUT must not be taken for a whole one
	case !ok, typ != "" && f.typ != "" && !sameType(typ, f.typ):
		return http.StatusUnsupportedMediaType, "this is of another type than was announced"
	}
	if f.typ == "" {
		f.typ = typ
	}
	if f.typ == "" {
		f.typ = anyBytes
	}
	return 0, ""
}

// claim has nobody else put a file meanwhile.
func (s *Service) claim(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Service) release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// seat counts an upload among those that are on their way.
func (s *Service) seat(owner string, set Settings) (status int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mine[owner] >= set.PerUser:
		return http.StatusTooManyRequests, "you are uploading too many files at a time"
	case s.stats.Uploading.Load() >= int64(set.Uploads):
		return http.StatusServiceUnavailable, "too many files are being uploaded"
	}
	s.mine[owner]++
	s.stats.Uploading.Add(1)
	return 0, ""
}

func (s *Service) unseat(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Uploading.Add(-1)
	if s.mine[owner]--; s.mine[owner] <= 0 {
		delete(s.mine, owner)
	}
}

// take reads the body onto the shelf, and says in the database that it is there. The client
// hears 201 behind that (XEP-0363 §7).
func (s *Service) take(w http.ResponseWriter, r *http.Request, f file, set Settings) {
	from := &sender{r: r.Body, left: f.size, w: http.NewResponseController(w), pause: s.pause, until: time.Now().Add(s.grace + time.Duration(f.size/int64(set.Rate))*time.Second)}
	err := s.cfg.Shelf.Put(r.Context(), f.id, f.size, from)
	ctx := context.WithoutCancel(r.Context()) // whoever has gone, the slot is used up
	if err != nil {
		if r.ProtoMajor == 1 { // what is still on its way is not waited for
			w.Header().Set("Connection", "close")
		}
		s.fail(ctx, w, f, from, r.Context().Err() != nil, err)
		return
	}
	now := s.cfg.Now()
	f.created, f.expires = now.Unix(), lasts(set, f, now)
	var there bool
	err = s.store.Write(ctx, func(tx *storage.Tx) (err error) {
		there, err = keepFile(tx, f)
		return err
	})
	switch {
	case err != nil: // what it left is found by Tidy: the slot is still there
		s.stats.Failed.Add(1)
		s.log.Error("an uploaded file could not be written down", "error", err)
		refuse(w, http.StatusInternalServerError, "the server failed")
	case !there: // its owner is gone
		s.stats.Failed.Add(1)
		if err := s.cfg.Shelf.Remove(ctx, f.id); err != nil {
			s.log.Warn("an uploaded file of nobody could not be removed", "error", err)
		}
		refuse(w, http.StatusGone, "this slot is over")
	default:
		s.stats.Stored.Add(1)
		s.stats.Received.Add(f.size)
		s.log.Debug("a file was uploaded", "owner", f.owner, "bytes", f.size, "type", f.typ)
		w.Header().Set("Location", s.base(f.host)+place(f.id, f.name))
		w.WriteHeader(http.StatusCreated)
	}
}

// lasts returns until when a file that has just come is kept.
func lasts(set Settings, f file, now time.Time) int64 {
	until := int64(never)
	if keep := set.of(f.purpose).time; keep >= 0 {
		until = now.Add(keep).Unix()
	}
	if f.before != 0 {
		until = min(until, f.before)
	}
	return until
}

// drop has nothing be left of an upload that has failed: no slot, and nothing on the shelf. Where
// the shelf does not answer, Tidy asks it again. What came counts as sent unless the server failed.
func (s *Service) drop(ctx context.Context, f file, ours bool) {
	end := func(tx *storage.Tx) error { return spendSlot(tx, f.id, s.cfg.Now().Unix()) }
	if ours {
		end = func(tx *storage.Tx) error { return dropSlot(tx, f.id) }
	}
	if err := s.cfg.Shelf.Remove(ctx, f.id); err != nil {
		s.log.Warn("what may be left of an upload that has failed is removed later", "error", err)
		end = func(tx *storage.Tx) error { return leaveSlot(tx, f.id) }
	}
	if err := s.store.Write(ctx, end); err != nil {
		s.log.Warn("the slot of an upload that failed is over only when its time is", "error", err)
	}
}

// fail says whose fault it is that a file did not come to its end. left: its sender has gone.
func (s *Service) fail(ctx context.Context, w http.ResponseWriter, f file, from *sender, left bool, err error) {
	s.stats.Failed.Add(1)
	s.drop(ctx, f, from.err == nil && !left && !errors.Is(err, io.ErrUnexpectedEOF))
	switch {
	case from.err != nil && errors.Is(from.err, os.ErrDeadlineExceeded):
		refuse(w, http.StatusRequestTimeout, "the file came too slowly")
	case from.err != nil, errors.Is(err, io.ErrUnexpectedEOF):
		refuse(w, http.StatusBadRequest, "the file did not come to its end")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.log.Error("the disk is full: uploads are refused", "error", err)
		refuse(w, http.StatusInsufficientStorage, "the server's disk is full")
	default:
		s.log.Error("an upload could not be stored", "error", err)
		refuse(w, http.StatusInternalServerError, "the server failed")
	}
}

// A sender is a body that is not waited for any longer than its sender is allowed to take.
type sender struct {
	r     io.Reader
	w     *http.ResponseController
	left  int64 // bytes
	pause time.Duration
	until time.Time // for all of it
	err   error     // the sender's fault
}

// Read implements io.Reader.
func (b *sender) Read(p []byte) (int, error) {
	next := time.Now().Add(b.pause)
	if b.until.Before(next) {
		next = b.until
	}
	b.w.SetReadDeadline(next) // a listener that has none waits for ever; those of the house have
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left <= 0 { // the connection is as it was: what it is read for now may take its time
		b.w.SetReadDeadline(time.Time{})
	} else if err != nil {
		b.err = err
	}
	return n, err
}
