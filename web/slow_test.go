package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/router"
)

// dial connects and says text.
func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	io.WriteString(c, text)
	return c
}

// A PROXY header does not undo the deadline of what follows it: who says nothing behind it is cut
// off as anybody else is.
func TestSilentBehindProxy(t *testing.T) {
	t.Parallel()
	s, addr := start(t, Settings{Trusted: here, Proxied: true})
	begun := time.Now()
	c := dial(t, addr, "PROXY TCP4 192.0.2.1 192.0.2.9 4 443\r\nGET /who")
	b, err := io.ReadAll(c)
	if took := time.Since(begun); err != nil || took < headerWithin-time.Second || took > headerWithin+20*time.Second {
		t.Errorf("%q, %v after %s", b, err, took)
	}
	if s.Stats().Open.Load() != 0 {
		t.Errorf("%d are open", s.Stats().Open.Load())
	}
}

// Connections behind the PROXY protocol count for whom the proxy speaks for.
func TestAddressesBehindProxy(t *testing.T) {
	s, addr := start(t, Settings{Trusted: here, Proxied: true, PerAddress: 2})
	ask := func(from string) (net.Conn, string) {
		c := dial(t, addr, "PROXY TCP4 "+from+" 192.0.2.9 4 443\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return c, err.Error()
		}
		return c, resp.Status
	}
	a, status := ask("192.0.2.1")
	_, second := ask("192.0.2.1")
	if status+second != "200 OK200 OK" {
		t.Fatal(status, second)
	}
	if _, status := ask("192.0.2.1"); status == "200 OK" {
		t.Error("a third one of the same address")
	}
	if _, status := ask("192.0.2.2"); status != "200 OK" {
		t.Errorf("of another address: %s", status)
	}
	a.Close()
	for s.Stats().Open.Load() > 2 {
		time.Sleep(time.Millisecond)
	}
	if _, status := ask("192.0.2.1"); status != "200 OK" {
		t.Errorf("after one was closed: %s", status)
	}
}

// A body that never comes and an answer that is never read hold no connection for ever.
func TestSlowClients(t *testing.T) {
	big := router.HTTP{Pattern: "GET /big", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 64<<20))
	})}
	s := NewServer(Config{Pages: []router.HTTP{big, who}})
	s.body, s.write = 300*time.Millisecond, 300*time.Millisecond
	addr := serve(t, s)
	c := dial(t, addr, "GET /who HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	begun := time.Now()
	if b, _ := io.ReadAll(c); time.Since(begun) > 10*time.Second {
		t.Errorf("%q after %s", b, time.Since(begun))
	}
	dial(t, addr, strings.Repeat("GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 3))
	for begun := time.Now(); s.Stats().Open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("nobody reads the answer, and it is waited for")
		}
	}
	// Who reads, and takes a while between two requests, is served.
	s = NewServer(Config{Pages: []router.HTTP{who}})
	s.body, s.write = time.Second, time.Second
	c = dial(t, serve(t, s), "")
	r := bufio.NewReader(c)
	for range 3 {
		fmt.Fprint(c, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		time.Sleep(2 * s.write)
	}
}
