package upload_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parley/xep/upload"
)

// FuzzHTTP: whatever is asked for, the server does not fail, and a file is there only where all of a
// slot's own were put with its own token: then it is what was put, once.
func FuzzHTTP(f *testing.F) {
	const size = 10
	f.Add("PUT", "", "", "Content-Type", "text/plain", "0123456789")
	f.Add("PUT", "/x", "A", "Content-Range", "bytes 0-1/2", "0123456789")
	f.Add("PUT", "%2f..", "&token=x", "Content-Encoding", "gzip", "01234")
	f.Add("GET", "", "", "Range", "bytes=1-2,5-,-3", "")
	f.Add("HEAD", "?", "", "If-Range", "\"x\"", "0123456789a")
	f.Add("DELETE", "/../../etc", "", "Expect", "100-continue", "")
	f.Fuzz(func(t *testing.T, method, path, query, name, value, body string) {
		h := open(t, nil)
		m := http.NewServeMux()
		for _, p := range upload.Feature(h.Service).HTTP {
			m.Handle(p.Pattern, p.Handler)
		}
		right, err := url.Parse(gives(h.Connected(romeo), "a.txt", size, "text/plain", "").put)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.ParseRequestURI(right.EscapedPath() + path + "?" + right.RawQuery + query)
		if err != nil {
			return
		}
		r, err := http.NewRequest(method, u.String(), strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = ""
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, u, w.Code, w.Body)
		}
		if w.Code != http.StatusCreated {
			if n := h.lies(); n != 0 {
				t.Fatalf("%s %s: %d, and %d files are there", method, u, w.Code, n)
			}
			return
		}
		if method != "PUT" || u.Path != right.Path || u.Query().Get("token") != right.Query().Get("token") || len(body) != size || h.lies() != 1 {
			t.Fatalf("%s %s with %d bytes was taken; %d files are there", method, u, len(body), h.lies())
		}
		got := httptest.NewRecorder()
		m.ServeHTTP(got, httptest.NewRequest("GET", right.Path, nil))
		if got.Body.String() != body || got.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Fatalf("%d %q %v", got.Code, got.Body, got.Header())
		}
	})
}
