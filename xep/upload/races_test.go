package upload_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/upload"
)

// lazy is a shelf on which something happens before the first file is removed.
type lazy struct {
	upload.Shelf
	once   sync.Once
	before func()
}

func (l *lazy) Remove(ctx context.Context, id string) error {
	l.once.Do(l.before)
	return l.Shelf.Remove(ctx, id)
}

// An upload that takes longer than its slot, and comes to its end while tidying up has found that
// the slot is over, is not removed: its sender has heard that it is there.
func TestTidyMeetsUpload(t *testing.T) {
	dir := t.TempDir()
	shelf := &lazy{Shelf: upload.NewDisk(dir)}
	h := openOn(t, t.TempDir(), shelf, nil)
	a := h.Connected(romeo)
	for i := range 20 { // for nobody
		gives(a, fmt.Sprint(i), 10, "", "")
	}
	s := gives(a, "late", 10, "", "")
	nc, r := h.raw(putLine(s.put, "Content-Length: 10\r\n") + "0123")
	routertest.Eventually(t, "it is under way", func() bool { return h.Stats().Uploading.Load() == 1 })
	shelf.before = func() {
		nc.Write([]byte("456789"))
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 201 {
			t.Errorf("%v %v", resp, err)
		}
		routertest.Eventually(t, "it is there", func() bool { return h.Stats().Uploading.Load() == 0 })
	}
	h.later(time.Hour)
	h.tidies()
	if body, _ := h.gets(s.get, 200); body != "0123456789" {
		t.Errorf("%q", body)
	}
}

// TestManyRanges: nobody has a store asked for one byte after the other.
func TestManyRanges(t *testing.T) {
	h, b := openS3(t, nil)
	s := gives(h.Connected(romeo), "a.txt", 10, "text/plain", "")
	h.puts(s.put, "0123456789", 201, "Content-Type", "text/plain")
	b.mu.Lock()
	b.asked = nil
	b.mu.Unlock()
	if body, _ := h.gets(s.get, 200, "Range", "bytes=0-0"+strings.Repeat(",2-2,4-4", 50)); body != "0123456789" {
		t.Errorf("%q", body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) > 2 {
		t.Errorf("the store was asked %d times", len(b.asked))
	}
}

// TestPlacesOfOne: one address does not take all places from which files are fetched.
func TestPlacesOfOne(t *testing.T) {
	h := open(t, func(s *upload.Settings) { s.PerPlace, s.Size = 2, 100<<20 })
	const size = 32 << 20
	s := gives(h.Connected(romeo), "big", size, "", "")
	h.puts(s.put, strings.Repeat("x", size), 201)
	for i := range 2 {
		nc, _ := h.raw("GET " + strings.TrimPrefix(s.get, h.base) + " HTTP/1.1\r\nHost: a\r\n\r\n")
		t.Cleanup(func() { nc.Close() })
		routertest.Eventually(t, "it is fetched", func() bool { return h.Stats().ServingNow.Load() == int64(i+1) })
	}
	if _, head := h.gets(s.get, 429); head.Get("Retry-After") == "" {
		t.Error("nobody says when")
	}
}
