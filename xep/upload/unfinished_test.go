package upload_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/upload"
)

// TestUnfinishedCounts begins files and never ends them: what was announced counts for the day, also
// where the clock comes to the end of the slot and Tidy by; what the server cannot keep does not.
func TestUnfinishedCounts(t *testing.T) {
	h := open(t, func(s *upload.Settings) { s.Daily = 100 })
	a := h.Connected(romeo)
	h.breaksOff(gives(a, "a", 60, "", "").put, 60)
	refused(a, ask("b", 41, "", ""), "wait", "resource-constraint")
	h.later(time.Hour)
	h.tidies()
	refused(a, ask("b", 41, "", ""), "wait", "resource-constraint")
	h.puts(gives(a, "b", 40, "", "").put, strings.Repeat("x", 40), 201)
	h.later(23*time.Hour + time.Minute)
	h.tidies()
	if n := h.lies(); n != 1 {
		t.Errorf("%d files are left", n)
	}
	h.puts(gives(a, "c", 60, "", "").put, strings.Repeat("x", 60), 201) // the day is over for what was broken off

	shelf := &brokenShelf{}
	h = openOn(t, t.TempDir(), shelf, func(s *upload.Settings) { s.Daily = 100 })
	a = h.Connected(romeo)
	h.puts(gives(a, "a", 60, "", "").put, strings.Repeat("x", 60), 507)
	gives(a, "b", 100, "", "")
}

// breaksOff begins to put a file of so many bytes, and waits until the server has noticed its end.
func (h *house) breaksOff(at string, size int) {
	h.t.Helper()
	before := h.Stats().Failed.Load()
	u, err := url.Parse(at)
	if err != nil {
		h.t.Fatal(err)
	}
	nc, err := net.Dial("tcp", u.Host)
	if err != nil {
		h.t.Fatal(err)
	}
	fmt.Fprintf(nc, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\nx", u.RequestURI(), u.Host, size)
	nc.Close()
	routertest.Eventually(h.t, "the end of an upload", func() bool { return h.Stats().Failed.Load() > before && h.Stats().Uploading.Load() == 0 })
}

// A brokenShelf has no room for anything.
type brokenShelf struct{ upload.Shelf }

func (*brokenShelf) Begin() error                                        { return nil }
func (*brokenShelf) Put(context.Context, string, int64, io.Reader) error { return syscall.ENOSPC }
func (*brokenShelf) Remove(context.Context, string) error                { return nil }
func (*brokenShelf) Strays(context.Context, func([]string) (map[string]bool, error)) (int, error) {
	return 0, nil
}
