package upload_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/upload"
)

// A bucket is a small store that speaks S3. What proves a request is checked by code of its own,
// on what has come over the wire; that it reads the standard as real stores do is known from the
// published examples (TestSignature) alone.
type bucket struct {
	t       testing.TB
	mu      sync.Mutex
	objects map[string][]byte
	broken  int // the status of every answer, if it is set
	asked   []string
	sink    bool // nothing is kept but sizes
	sizes   map[string]int64
}

const (
	accessKey = "GK31c2f218a2e44f485b94239e"
	secretKey = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835"
)

var proof = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})$`)

// proved checks a request.
func (b *bucket) proved(r *http.Request) bool {
	m := proof.FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if m == nil || err != nil || m[1] != accessKey || m[3] != "garage" || m[2] != at.Format("20060102") || time.Since(at).Abs() > 15*time.Minute {
		return false
	}
	signed := strings.Split(m[4], ";")
	if !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-content-sha256") || !slices.IsSorted(signed) {
		return false
	}
	text := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range signed {
		v := r.Header.Get(name)
		if name == "host" {
			v = r.Host
		}
		text += name + ":" + v + "\n"
	}
	text += "\n" + m[4] + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	sha := sha256.Sum256([]byte(text))
	key := []byte("AWS4" + secretKey)
	for _, part := range []string{m[2], m[3], "s3", "aws4_request", fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%x", at.Format("20060102T150405Z"), m[2], m[3], sha)} {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, part)
		key = h.Sum(nil)
	}
	return hex.EncodeToString(key) == m[5]
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	broken := b.broken
	b.asked = append(b.asked, r.Method)
	data, found := b.objects[r.URL.Path]
	b.mu.Unlock()
	switch {
	case !b.proved(r):
		b.t.Errorf("%s %s is not proved: %v", r.Method, r.URL, r.Header)
		http.Error(w, "SignatureDoesNotMatch", http.StatusForbidden)
	case broken != 0:
		http.Error(w, "SlowDown", broken)
	case r.Method == "PUT":
		if r.ContentLength < 0 {
			http.Error(w, "MissingContentLength", http.StatusLengthRequired)
			return
		}
		var all bytes.Buffer
		var to io.Writer = &all
		if b.sink {
			to = io.Discard
		}
		n, err := io.Copy(to, r.Body)
		if err != nil || n != r.ContentLength {
			return // what is not complete is not there
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.objects[r.URL.Path] = all.Bytes()
		b.sizes[r.URL.Path] = n
	case !found:
		http.NotFound(w, r)
	case r.Method == "DELETE":
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func (b *bucket) has() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.objects)
}

func (b *bucket) breaks(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = status
}

// openS3 makes a house whose files are in a bucket.
func openS3(t *testing.T, change func(*upload.Settings)) (*house, *bucket) {
	b := &bucket{t: t, objects: map[string][]byte{}, sizes: map[string]int64{}}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	shelf := upload.NewS3(upload.S3Config{Endpoint: srv.URL, Region: "garage", Bucket: "parley", Prefix: "up/", AccessKey: accessKey, Secret: secretKey})
	return openOn(t, t.TempDir(), shelf, change), b
}

// TestS3 keeps every promise about slots and files with the bytes in a bucket.
func TestS3(t *testing.T) {
	h, b := openS3(t, nil)
	a := h.Connected(romeo)
	s := gives(a, "a.txt", 10, "text/plain", "")
	h.puts(s.put, "0123456789", 201, "Content-Type", "text/plain")
	h.puts(s.put, "9876543210", 409)
	id := strings.Split(s.get, "/")[4]
	if string(b.objects["/parley/up/"+id[:2]+"/"+id]) != "0123456789" || b.has() != 1 {
		t.Errorf("%q", b.objects)
	}
	body, head := h.gets(s.get, 200)
	if body != "0123456789" || head.Get("Content-Security-Policy") == "" || head.Get("Content-Disposition") == "" || head.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q %v", body, head)
	}
	for header, want := range map[string]string{"bytes=2-4": "234", "bytes=-1": "9", "bytes=0-": "0123456789"} {
		if body, _ := h.gets(s.get, 206, "Range", header); body != want {
			t.Errorf("%s: %q", header, body)
		}
	}
	if body, _ := h.gets(s.get, 206, "Range", "bytes=0-1,8-9"); !strings.Contains(body, "\r\n01\r\n") || !strings.Contains(body, "\r\n89\r\n") {
		t.Errorf("%q", body)
	}
	if resp := h.does("HEAD", s.get, nil); resp.StatusCode != 200 || resp.ContentLength != 10 {
		t.Errorf("HEAD: %s", resp.Status)
	}
	// An upload that breaks off leaves nothing.
	s2 := gives(a, "b", 100, "", "")
	nc, _ := h.raw(putLine(s2.put, "Content-Length: 100\r\n") + "half")
	nc.Close()
	routertest.Eventually(t, "the slot is over", func() bool { return h.does("PUT", s2.put, strings.NewReader("x")).StatusCode == 410 })
	if n, err := h.DeleteAll(t.Context(), "romeo@example.com"); n != 1 || err != nil || b.has() != 0 {
		t.Errorf("%d deleted, %d there: %v", n, b.has(), err)
	}
	h.gets(s.get, 404)
}

// TestS3Fails: a store that refuses, one that is not there, one that has lost what it had.
func TestS3Fails(t *testing.T) {
	h, b := openS3(t, nil)
	a := h.Connected(romeo)
	kept := gives(a, "kept", 1, "", "")
	h.puts(kept.put, "x", 201)
	b.breaks(503)
	s := gives(a, "a", 1, "", "")
	h.puts(s.put, "x", 500)
	h.puts(s.put, "x", 410)
	h.gets(kept.get, 500)
	if n, err := h.DeleteAll(t.Context(), "romeo@example.com"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	b.breaks(0)
	h.tidies()
	if b.has() != 0 {
		t.Errorf("%d objects are left", b.has())
	}
	s = gives(a, "a", 1, "", "")
	h.puts(s.put, "x", 201)
	b.mu.Lock()
	clear(b.objects)
	b.mu.Unlock()
	h.gets(s.get, 404)
	for _, bad := range []upload.S3Config{{}, {Endpoint: "https://x", Bucket: "b"}, {Endpoint: ":", Bucket: "b", AccessKey: "a", Secret: "s"}} {
		if err := upload.NewS3(bad).Begin(); err == nil {
			t.Errorf("%+v is good enough", bad)
		}
	}
}

// TestS3RedirectsAreNotFollowed: what proves a request is for one host.
func TestS3RedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody else was asked") }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	shelf := upload.NewS3(upload.S3Config{Endpoint: srv.URL, Bucket: "b", AccessKey: "a", Secret: "s"})
	if err := shelf.Put(t.Context(), strings.Repeat("A", 24), 1, strings.NewReader("x")); err == nil {
		t.Error("it was put somewhere")
	}
}

// TestS3ConstantMemory passes 64 MiB on to a bucket without keeping them.
func TestS3ConstantMemory(t *testing.T) {
	const size, most = 64 << 20, 4 << 20
	h, b := openS3(t, nil)
	b.sink = true
	s := gives(h.Connected(romeo), "large.bin", size, "", "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, _ := http.NewRequest("PUT", s.put, &zeros{size})
	r.ContentLength = size
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil || resp.StatusCode != 201 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > most {
		t.Errorf("%d KiB are allocated", used>>10)
	}
	if len(b.sizes) != 1 {
		t.Errorf("%v", b.sizes)
	}
}
