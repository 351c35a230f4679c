package upload_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/web"
	"parley/xep/command"
	"parley/xep/upload"
	"parley/xmpp"
)

const romeo = "romeo@example.com/desk"

// A house is a router with people and a listener for HTTP in clear.
type house struct {
	*routertest.House
	*upload.Service
	t    testing.TB
	dir  string // of the store
	base string
	set  atomic.Pointer[upload.Settings]
	now  atomic.Int64 // seconds that the clock is ahead
	web  *web.Server
}

// open makes a house; the settings may be changed.
func open(t testing.TB, change func(*upload.Settings)) *house {
	return openOn(t, t.TempDir(), nil, change)
}

func openOn(t testing.TB, dir string, shelf upload.Shelf, change func(*upload.Settings)) *house {
	t.Helper()
	h := &house{t: t, dir: dir}
	set := upload.DefaultSettings()
	if change != nil {
		change(&set)
	}
	h.set.Store(&set)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.base = "http://" + l.Addr().String()
	if shelf == nil {
		shelf = upload.NewDisk(h.files())
	}
	h.Service = upload.New(upload.Config{
		Prefix: "upload", Shelf: shelf,
		Settings: func(string) upload.Settings { return *h.set.Load() },
		URL:      func(string) string { return h.base },
		Now:      func() time.Time { return time.Now().Add(time.Duration(h.now.Load()) * time.Second) },
	})
	f := upload.Feature(h.Service)
	h.House = routertest.NewWith(t, routertest.Config{Storage: storage.Config{Dir: dir}, Features: []router.Feature{f, command.New(time.Now)}})
	h.web = web.NewServer(web.Config{Pages: f.HTTP})
	ended := make(chan error, 1)
	go func() { ended <- h.web.Serve(l, false) }()
	t.Cleanup(func() {
		h.web.Shutdown(t.Context())
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) files() string { return filepath.Join(h.dir, "upload") }

// later moves the clock.
func (h *house) later(d time.Duration) { h.now.Add(int64(d / time.Second)) }

// tidies has the feature look for what is too old.
func (h *house) tidies() {
	h.t.Helper()
	if err := upload.Feature(h.Service).Tidy(h.t.Context()); err != nil {
		h.t.Error(err)
	}
}

// lies returns how many files are in the directory, complete or not.
func (h *house) lies() (n int) {
	filepath.WalkDir(h.files(), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// lieEventually waits until so many files are in the directory.
func (h *house) lieEventually(n int) {
	h.t.Helper()
	routertest.Eventually(h.t, strconv.Itoa(n)+" files in the directory", func() bool { return h.lies() == n })
}

// A slot is what a client was given.
type slot struct{ put, get string }

func ask(name string, size int, typ, inner string) string {
	var b xmpp.Builder
	b.Open("urn:xmpp:http:upload:0", "request", "filename", name, "size", strconv.Itoa(size), "content-type", typ).Raw(xmpp.Payload(inner))
	return `<iq type='get' id='s' to='upload.example.com'>` + string(b.Payload()) + `</iq>`
}

// gives has somebody ask for a slot.
func gives(a *routertest.Actor, name string, size int, typ, inner string) slot {
	a.Sends(ask(name, size, typ, inner))
	st := a.Gets(`<iq type='result' id='s' from='upload.example.com'><slot xmlns='urn:xmpp:http:upload:0'><put url='*'/><get url='*'/></slot></iq>`)
	p := st.Payload()
	return slot{p.Child("urn:xmpp:http:upload:0", "put").Attr("url"), p.Child("urn:xmpp:http:upload:0", "get").Attr("url")}
}

// refused has somebody ask in vain.
func refused(a *routertest.Actor, request, typ, condition string) *xmpp.Error {
	a.Sends(request)
	return xmpp.ErrorOf(a.Gets(`<iq type='error' id='s'><error type='` + typ + `'><` + condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`))
}

// does makes a request.
func (h *house) does(method, url string, body io.Reader, header ...string) *http.Response {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, url, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

// puts puts a file and wants a status.
func (h *house) puts(url, text string, status int, header ...string) *http.Response {
	h.t.Helper()
	resp := h.does("PUT", url, strings.NewReader(text), header...)
	if resp.StatusCode != status {
		h.t.Errorf("PUT %s: %s, want %d", url, resp.Status, status)
	}
	return resp
}

// gets gets a file and wants a status.
func (h *house) gets(url string, status int, header ...string) (string, http.Header) {
	h.t.Helper()
	resp := h.does("GET", url, nil, header...)
	if resp.StatusCode != status {
		h.t.Errorf("GET %s: %s, want %d", url, resp.Status, status)
	}
	b, _ := io.ReadAll(resp.Body)
	return string(b), resp.Header
}
