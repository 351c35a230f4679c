package upload_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/upload"
)

// TestHTTP2: many files on one connection; one whose sender is too slow does no harm to the others,
// nor to what comes later.
func TestHTTP2(t *testing.T) {
	h := open(t, nil)
	upload.SetPauses(h.Service, time.Second, 2*time.Second)
	mux := http.NewServeMux()
	for _, p := range upload.Feature(h.Service).HTTP {
		mux.Handle(p.Pattern, p.Handler)
	}
	srv := httptest.NewUnstartedServer(mux)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	h.base = srv.URL
	a := h.Connected(romeo)
	does := func(method, at string, body io.Reader, size int64) (int, string) {
		r, err := http.NewRequest(method, at, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = size
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("this is %s", resp.Proto)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, string(text)
	}
	slow := gives(a, "slow.bin", 100, "", "")
	in, out := io.Pipe()
	defer out.Close()
	ended := make(chan int, 1)
	go func() {
		status, _ := does("PUT", slow.put, in, 100)
		ended <- status
	}()
	out.Write([]byte("x"))
	for range 8 {
		s := gives(a, "fast.txt", 200_000, "", "")
		if status, why := does("PUT", s.put, strings.NewReader(strings.Repeat("x", 200_000)), 200_000); status != 201 {
			t.Errorf("PUT: %d %s", status, why)
		}
		if status, text := does("GET", s.get, nil, 0); status != 200 || len(text) != 200_000 {
			t.Errorf("GET: %d, %d bytes", status, len(text))
		}
		time.Sleep(100 * time.Millisecond)
	}
	if status := <-ended; status != 408 {
		t.Errorf("a slow sender is answered with %d", status)
	}
	// Who says no length, as HTTP/2 allows, is asked for it.
	s := gives(a, "a", 4, "", "")
	if status, _ := does("PUT", s.put, io.MultiReader(strings.NewReader("half")), -1); status != http.StatusLengthRequired {
		t.Errorf("without a length: %d", status)
	}
	h.lieEventually(8)
	routertest.Eventually(t, "nothing is under way", func() bool { return h.Stats().Uploading.Load() == 0 && h.Stats().ServingNow.Load() == 0 })
}
