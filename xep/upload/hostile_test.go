package upload_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/storage"
	"parley/xep/upload"
	"parley/xmpp"
)

// TestSlotsAreKept: a slot is for one file of one size, once, and nobody makes one for
// themselves (security requirement 52).
func TestSlotsAreKept(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	s, other := gives(a, "a.txt", 5, "text/plain", ""), gives(a, "b.txt", 5, "text/plain", "")
	_, token, _ := strings.Cut(s.put, "?token=")
	_, others, _ := strings.Cut(other.put, "?token=")
	for _, forged := range []string{s.get, s.get + "?token=", s.get + "?token=" + others, s.get + "?token=" + token[1:], s.get + "?token=" + token + "A", s.get + "?Token=" + token,
		strings.Replace(s.put, "/upload/", "/upload/A", 1), other.get + "?token=" + token, h.base + "/upload/" + strings.Repeat("A", 24) + "/a.txt?token=" + token, strings.Replace(s.put, "a.txt", "b.txt", 1)} {
		h.puts(forged, "hello", 404)
	}
	for _, c := range []struct {
		text   string
		header []string
		status int
	}{
		{"hell", nil, 400}, {"hello!", nil, 413}, {"", nil, 400}, {"hello", []string{"Content-Type", "text/html"}, 415}, {"hello", []string{"Content-Type", ";"}, 415},
		{"hello", []string{"Content-Encoding", "gzip"}, 415}, {"hello", []string{"Content-Range", "bytes 0-4/10"}, 400},
	} {
		h.puts(s.put, c.text, c.status, c.header...)
	}
	if resp := h.does("PUT", s.put, io.MultiReader(strings.NewReader("hello"))); resp.StatusCode != 411 { // chunked
		t.Errorf("without a length: %s", resp.Status)
	}
	h.gets(s.get, 404)
	if h.lies() != 0 {
		t.Error("something was left behind")
	}
	h.puts(s.put, "hello", 201, "Content-Type", "Text/Plain;charset=utf-8") // what was refused by its header has not used it up
	h.puts(s.put, "hallo", 409, "Content-Type", "text/plain")
	h.later(6 * time.Minute)
	h.puts(other.put, "hello", 410)
	h.tidies()
	h.puts(other.put, "hello", 410)
	h.puts(s.put, "hallo", 409)
	if body, _ := h.gets(s.get, 200); body != "hello" {
		t.Errorf("%q", body)
	}
}

// raw sends a request by hand, and returns what comes back.
func (h *house) raw(request string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(h.base, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, request); err != nil {
		h.t.Fatal(err)
	}
	return nc, bufio.NewReader(nc)
}

func putLine(at string, header string) string {
	u, _ := url.Parse(at)
	return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\n%s\r\n", u.RequestURI(), header)
}

// TestInterrupted: an upload that does not come to its end leaves nothing, and has used up its
// slot.
func TestInterrupted(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	s := gives(a, "a.txt", 1<<20, "", "")
	nc, _ := h.raw(putLine(s.put, "Content-Length: 1048576\r\n") + strings.Repeat("x", 1000))
	h.lieEventually(1)
	h.puts(s.put, strings.Repeat("x", 1<<20), 409) // somebody is at it
	nc.Close()
	h.lieEventually(0)
	routertest.Eventually(t, "the slot is over", func() bool { return h.does("PUT", s.put, strings.NewReader("x")).StatusCode == 410 })
	s = gives(a, "a.txt", 100, "", "")
	nc, in := h.raw(putLine(s.put, "Content-Length: 100\r\n") + "half")
	nc.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 400 {
		t.Errorf("a body that ends early: %v %v", resp, err)
	}
	h.lieEventually(0)
	if n := h.Stats().Failed.Load(); n != 2 {
		t.Errorf("%d have failed", n)
	}
	// Two lengths, and one that is none, are no requests at all (RFC 9112).
	for _, header := range []string{"Content-Length: 4\r\nContent-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: 0x4\r\n", "Transfer-Encoding: identity\r\nContent-Length: 4\r\n"} {
		s := gives(a, "a.txt", 4, "", "")
		_, in := h.raw(putLine(s.put, header) + "half")
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 400 && resp.StatusCode != 501 {
			t.Errorf("%q: %v %v", header, resp, err)
		}
	}
	// What has both is chunked for Go, as RFC 9112 has it, and so has no length.
	s = gives(a, "a.txt", 4, "", "")
	_, in = h.raw(putLine(s.put, "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") + "4\r\nhalf\r\n0\r\n\r\n")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 411 && resp.StatusCode != 400 {
		t.Errorf("%v %v", resp, err)
	}
	h.lieEventually(0)
}

// TestExpect100: who waits for leave to send a body hears of a refusal before it.
func TestExpect100(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	s := gives(a, "a.txt", 5, "", "")
	_, in := h.raw(putLine(s.put, "Content-Length: 6\r\nExpect: 100-continue\r\n"))
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 413") {
		t.Errorf("%q %v", line, err)
	}
	nc, in := h.raw(putLine(s.put, "Content-Length: 5\r\nExpect: 100-continue\r\n"))
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Errorf("%q %v", line, err)
	}
	in.ReadString('\n')
	io.WriteString(nc, "hello")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 201 {
		t.Errorf("%v %v", resp, err)
	}
}

// TestSlowSender: who sends too slowly is cut off, and has nothing left behind.
func TestSlowSender(t *testing.T) {
	h := openOn(t, t.TempDir(), nil, nil)
	upload.SetPauses(h.Service, 200*time.Millisecond, 400*time.Millisecond)
	a := h.Connected(romeo)
	for _, pause := range []time.Duration{time.Hour, 50 * time.Millisecond} { // nothing more, and too little for too long
		s := gives(a, "a.txt", 100, "", "")
		nc, in := h.raw(putLine(s.put, "Content-Length: 100\r\n") + "x")
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					io.WriteString(nc, "x")
				}
			}
		}()
		resp, err := http.ReadResponse(in, nil)
		close(stop)
		if err != nil || resp.StatusCode != 408 {
			t.Errorf("%v %v", resp, err)
		}
		h.lieEventually(0)
	}
}

// TestManyAtOnce: one user, and all together, have so many files on their way.
func TestManyAtOnce(t *testing.T) {
	h := open(t, func(s *upload.Settings) { s.PerUser, s.Uploads = 2, 3 })
	romeo, juliet := h.Connected(romeo), h.Connected("juliet@example.com/x")
	begin := func(s slot) net.Conn {
		nc, _ := h.raw(putLine(s.put, "Content-Length: 10\r\n") + "x")
		return nc
	}
	var open []net.Conn
	for i := range 2 {
		open = append(open, begin(gives(romeo, "a", 10, "", "")))
		h.lieEventually(i + 1)
	}
	s := gives(romeo, "a", 10, "", "")
	if resp := h.puts(s.put, "0123456789", 429); resp.Header.Get("Retry-After") == "" {
		t.Error("nobody says when")
	}
	open = append(open, begin(gives(juliet, "a", 10, "", "")))
	h.lieEventually(3)
	h.puts(gives(juliet, "a", 10, "", "").put, "0123456789", 503)
	for _, nc := range open {
		nc.Close()
	}
	h.lieEventually(0)
	routertest.Eventually(t, "nothing is under way", func() bool { return h.Stats().Uploading.Load() == 0 })
	h.puts(s.put, "0123456789", 201)
	h.set.Store(&upload.Settings{Downloads: -1})
	h.gets(s.get, 503)
}

// TestTwoAtOnce: of two who use the same slot at the same time one gets it.
func TestTwoAtOnce(t *testing.T) {
	h := open(t, nil)
	a := h.Connected(romeo)
	for range 20 {
		s := gives(a, "a", 1000, "", "")
		var won atomic.Int64
		done := make(chan struct{}, 8)
		for i := range cap(done) {
			go func() {
				defer func() { done <- struct{}{} }()
				r, _ := http.NewRequest("PUT", s.put, strings.NewReader(strings.Repeat(string(rune('a'+i)), 1000)))
				if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
					resp.Body.Close()
					if resp.StatusCode == 201 {
						won.Add(1)
					} else if resp.StatusCode != 409 {
						t.Errorf("%s", resp.Status)
					}
				}
			}()
		}
		for range cap(done) {
			<-done
		}
		body, _ := h.gets(s.get, 200)
		if won.Load() != 1 || strings.Count(body, body[:1]) != 1000 {
			t.Fatalf("%d have put it: %q", won.Load(), body)
		}
	}
}

// TestWhoseFilesGo: owners remove their own files and nobody else's, and those of a removed
// account go.
func TestWhoseFilesGo(t *testing.T) {
	h := open(t, nil)
	romeo, juliet := h.Connected(romeo), h.Connected("juliet@example.com/x")
	hers, his, left := gives(juliet, "hers.txt", 1, "", ""), gives(romeo, "his.txt", 1, "", ""), gives(romeo, "left.txt", 1, "", "")
	for _, s := range []slot{hers, his, left} {
		h.puts(s.put, "x", 201)
	}
	id := func(s slot) string { return strings.Split(s.get, "/")[4] }
	if n, err := h.Delete(t.Context(), "romeo@example.com", id(hers)); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	romeo.Sends(`<iq type='set' id='c' to='example.com'><command xmlns='http://jabber.org/protocol/commands' node='urn:x-parley:upload#files'/></iq>`)
	st := romeo.Gets(`<iq type='result' id='c'>…</iq>`)
	form, _ := xmpp.ParseForm(st.Payload().Child(xmpp.NSForm, "x"))
	if len(form.Fields) != 1 || len(form.Fields[0].Options) != 2 || !strings.Contains(form.Fields[0].Options[0].Label, ".txt (1 B, of ") {
		t.Fatalf("%+v", form)
	}
	submit := func(id string) string {
		return `<iq type='set' id='c' to='example.com'><command xmlns='http://jabber.org/protocol/commands' node='urn:x-parley:upload#files' sessionid='` + st.Payload().Attr("sessionid") + `'>
			<x xmlns='jabber:x:data' type='submit'><field var='files'><value>` + id + `</value></field></x></command></iq>`
	}
	romeo.Sends(submit(id(hers))) // it is not among those that were offered
	romeo.Gets(`<iq type='error' id='c'>…</iq>`)
	romeo.Sends(submit(id(his)))
	romeo.Gets(`<iq type='result' id='c'>…</iq>`)
	h.gets(his.get, 404)
	h.gets(hers.get, 200)
	h.gets(left.get, 200)
	if h.lies() != 2 {
		t.Errorf("%d files lie there", h.lies())
	}
	h.puts(his.put, "x", 410)
	pending := gives(romeo, "late.txt", 4, "", "")
	nc, in := h.raw(putLine(pending.put, "Content-Length: 4\r\n") + "ha")
	h.lieEventually(3)
	err := h.Store.Write(t.Context(), func(tx *storage.Tx) error {
		return upload.Feature(h.Service).Forget(tx, 0, xmpp.MustJID("romeo@example.com"))
	})
	if err != nil {
		t.Fatal(err)
	}
	h.gets(left.get, 404)
	h.tidies()
	io.WriteString(nc, "lf")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 410 {
		t.Errorf("what came for a removed account: %v %v", resp, err)
	}
	h.lieEventually(1)
	h.tidies()
	all, err := h.List(t.Context(), "", 10)
	if err != nil || len(all) != 1 || all[0].Owner != "juliet@example.com" || all[0].URL != hers.get {
		t.Errorf("%+v %v", all, err)
	}
	if use, err := h.Usage(t.Context(), 10); err != nil || len(use) != 1 || use[0] != (upload.Usage{Owner: "juliet@example.com", Files: 1, Bytes: 1}) {
		t.Errorf("%+v %v", use, err)
	}
}

// broken is a shelf whose disk does what the test says.
type broken struct {
	upload.Shelf
	put, remove error
}

func (b *broken) Put(ctx context.Context, id string, size int64, from io.Reader) error {
	if b.put != nil {
		return b.put
	}
	return b.Shelf.Put(ctx, id, size, from)
}

func (b *broken) Remove(ctx context.Context, id string) error {
	if b.remove != nil {
		return b.remove
	}
	return b.Shelf.Remove(ctx, id)
}

// TestBrokenDisk: a full disk, one that fails, one from which nothing can be removed.
func TestBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	b := &broken{Shelf: upload.NewDisk(filepath.Join(dir, "upload"))}
	h := openOn(t, dir, b, nil)
	a := h.Connected(romeo)
	b.put = &os.PathError{Op: "write", Err: syscall.ENOSPC}
	h.puts(gives(a, "a", 1, "", "").put, "x", 507)
	b.put = errors.New("the disk is on fire")
	if resp := h.puts(gives(a, "a", 1, "", "").put, "x", 500); resp.StatusCode == 500 {
		if body, _ := io.ReadAll(resp.Body); strings.Contains(string(body), "fire") {
			t.Errorf("strangers are told: %s", body)
		}
	}
	b.put = nil
	s := gives(a, "a", 1, "", "")
	h.puts(s.put, "x", 201)
	b.remove = errors.New("the disk is on fire")
	if n, err := h.DeleteAll(t.Context(), "romeo@example.com"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	h.gets(s.get, 404)
	b.remove = nil
	h.tidies()
	if h.lies() != 0 {
		t.Error("it is still there")
	}
	s = gives(a, "a", 1, "", "")
	h.puts(s.put, "x", 201)
	filepath.WalkDir(h.files(), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			os.Truncate(path, 0)
		}
		return err
	})
	h.gets(s.get, 500) // somebody was at the directory
}

// TestBegin: what a crash has left goes at the next start, and what nobody knows of with time.
func TestBegin(t *testing.T) {
	dir := t.TempDir()
	half, stray, young := filepath.Join(dir, "upload/partial/"+strings.Repeat("A", 24)), filepath.Join(dir, "upload/BB/"+strings.Repeat("B", 24)), filepath.Join(dir, "upload/BB/"+strings.Repeat("C", 24))
	foreign := filepath.Join(dir, "upload/BB/README")
	for _, path := range []string{half, stray, young, foreign} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-25 * time.Hour)
	os.Chtimes(stray, old, old)
	os.Chtimes(foreign, old, old)
	h := openOn(t, dir, nil, nil)
	if _, err := os.Stat(half); err == nil {
		t.Error("half a file is still there")
	}
	h.tidies()
	for path, stays := range map[string]bool{stray: false, young: true, foreign: true} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestNoDirectory: where files cannot be kept nobody is given a slot.
func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "upload"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := openOn(t, dir, nil, nil)
	refused(h.Connected(romeo), ask("a", 1, "", ""), "wait", "resource-constraint")
	h.gets(h.base+"/upload/"+strings.Repeat("A", 24)+"/a", 404)
}
