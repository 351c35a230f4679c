package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/xep/upload"
)

// A fetcher speaks HTTP to a child, which may listen elsewhere after each start.
type fetcher struct {
	t *testing.T
	c *child
	*http.Client
}

func newFetcher(c *child) *fetcher {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	c.t.Cleanup(tr.CloseIdleConnections)
	return &fetcher{c.t, c, &http.Client{Transport: tr, Timeout: 30 * time.Second}}
}

var webListener = regexp.MustCompile(`web on https://127\.0\.0\.1:(\d+)`)

// here is an address at the listener of today.
func (f *fetcher) here(at string) string {
	f.t.Helper()
	u, err := url.Parse(at)
	m := webListener.FindStringSubmatch(f.c.hello)
	if err != nil || m == nil {
		f.t.Fatalf("%s: %v %s", at, err, f.c.hello)
	}
	u.Host = "127.0.0.1:" + m[1]
	return u.String()
}

func (f *fetcher) does(method, at string, body io.Reader, size int64) (int, string) {
	f.t.Helper()
	r, err := http.NewRequest(method, f.here(at), body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.ContentLength = size
	resp, err := f.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

var slotForm = regexp.MustCompile(`(?s)<put url='([^']*)'/><get url='([^']*)'/>`)

// slot asks for a slot.
func (c *client) slot(name string, size int) (put, get string) {
	c.t.Helper()
	c.send(fmt.Sprintf("<iq type='get' id='slot' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='%s' size='%d'/></iq>", name, size))
	c.expect("id='slot'")
	m := slotForm.FindStringSubmatch(strings.ReplaceAll(c.expect("</iq>"), `"`, "'"))
	if m == nil {
		c.t.Fatal("no slot")
	}
	return m[1], m[2]
}

// filesBelow lists the files of a directory.
func filesBelow(dir string) (list []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// TestUploadOutlivesCrash: a server that is killed in the middle of an upload has nothing of it
// when it is there again, and all that was answered with 201.
func TestUploadOutlivesCrash(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	juliet, web := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one"), newFetcher(c)
	dir := filepath.Join(c.dir, "data/upload")
	type file struct{ get, text string }
	var stored []file
	for round := range 3 {
		for i := range 4 {
			text := fmt.Sprint("file ", round, i, strings.Repeat("x", i*1000))
			put, get := juliet.slot(fmt.Sprintf("%d-%d.txt", round, i), len(text))
			if status, why := web.does("PUT", put, strings.NewReader(text), int64(len(text))); status != 201 {
				t.Fatalf("PUT: %d %s", status, why)
			}
			stored = append(stored, file{get, text})
		}
		put, get := juliet.slot("half.bin", 10<<20)
		in, out := io.Pipe()
		ended := make(chan int, 1)
		go func() {
			status, _ := web.does("PUT", put, in, 10<<20)
			ended <- status
		}()
		out.Write(make([]byte, 1<<20))
		eventually(t, func() bool {
			st, err := os.Stat(filepath.Join(dir, "partial", strings.Split(get, "/")[4]))
			return err == nil && st.Size() > 0
		}, func() string { return "nothing comes in" })
		c.kill()
		out.CloseWithError(io.ErrClosedPipe)
		if status := <-ended; status == 201 {
			t.Fatal("half a file was taken for a whole one")
		}
		c.start()
		if list := filesBelow(dir); len(list) != len(stored) {
			t.Errorf("files: %q, and %d were taken", list, len(stored))
		}
		for _, f := range stored {
			if status, text := web.does("GET", f.get, nil, 0); status != 200 || text != f.text {
				t.Errorf("GET %s: %d, %d bytes", f.get, status, len(text))
			}
		}
		if status, _ := web.does("GET", get, nil, 0); status != 404 {
			t.Errorf("half a file: %d", status)
		}
		juliet = dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	}
}

// TestUploadCommands looks at files and removes them, as operators do.
func TestUploadCommands(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	c.must("pw\n", "user", "add", "romeo")
	web := newFetcher(c)
	var gets []string
	for _, user := range []string{"juliet", "juliet", "juliet", "romeo"} {
		put, get := dialTLS(t, c.direct, "localhost").login(user, "pw", "one").slot("très cool.txt", 1024)
		if status, why := web.does("PUT", put, bytes.NewReader(make([]byte, 1024)), 1024); status != 201 {
			t.Fatalf("PUT: %d %s", status, why)
		}
		gets = append(gets, get)
	}
	var use []upload.Usage
	c.mustJSON(&use, "upload", "usage")
	if len(use) != 2 || use[0] != (upload.Usage{Owner: "juliet@localhost", Files: 3, Bytes: 3072}) {
		t.Errorf("%+v", use)
	}
	contains(t, c.must("", "upload", "usage"), "juliet@localhost  3", "3 KiB", "all")
	var list []upload.Info
	c.mustJSON(&list, "upload", "list", "juliet")
	if len(list) != 3 || list[0].Bytes != 1024 || list[0].Name != "très cool.txt" || list[0].Expires == nil {
		t.Errorf("%+v", list)
	}
	contains(t, c.must("", "upload", "delete", gets[0]), "deleted: 1") // by its address
	if status, _ := web.does("GET", gets[0], nil, 0); status != 404 {
		t.Errorf("a deleted file: %d", status)
	}
	c.fails(4, "", "upload", "delete", strings.Split(gets[0], "/")[4])
	c.fails(2, "", "upload", "delete")
	c.fails(2, "", "upload", "list", "@")
	contains(t, c.must("", "upload", "delete", "--all-of", "juliet"), "deleted: 2")
	c.must("", "user", "del", "romeo")
	if status, _ := web.does("GET", gets[3], nil, 0); status != 404 {
		t.Errorf("a file of a removed account: %d", status)
	}
	code, _ := c.stop()
	c.mustJSON(&list, "upload", "list") // while the server is stopped
	if code != 0 || len(list) != 0 {
		t.Errorf("%d %+v", code, list)
	}
	contains(t, c.must("", "upload", "list"), "ID", "OWNER")
	out := c.must("", "config", "show")
	contains(t, out, `prefix = "upload"`)
}
