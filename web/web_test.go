package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"go.uber.org/goleak"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// who is a page that says who asks.
var who = router.HTTP{Pattern: "GET /who", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	v := router.VisitorOf(r)
	fmt.Fprintf(w, "%s secure=%v proxy=%v", v.Addr, v.Secure, v.Proxy)
})}

// start opens a listener in clear.
func start(t *testing.T, set Settings, pages ...router.HTTP) (*Server, string) {
	t.Helper()
	s := NewServer(Config{Settings: set, Pages: append(pages, who)})
	return s, serve(t, s)
}

// serve opens a listener in clear for a server.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, false) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// knock says text on a connection of its own and returns the answer.
func knock(t *testing.T, addr, text string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, text)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	return resp
}

func get(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

func content(r *http.Response) string {
	if r == nil {
		return "closed"
	}
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

var here = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}

// TestVisitors: what headers say is believed of trusted proxies alone, and only as far back as
// they are trusted (RFC 7239 §8.1).
func TestVisitors(t *testing.T) {
	_, trusting := start(t, Settings{Trusted: here})
	_, wary := start(t, Settings{})
	for _, test := range []struct {
		headers, want string
	}{
		{"", "127.0.0.1 secure=false proxy=false"},
		{"X-Forwarded-For: 192.0.2.1", "192.0.2.1 secure=false proxy=true"},
		{"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https", "192.0.2.1 secure=true proxy=true"},
		{"X-Forwarded-Proto: HTTPS", "127.0.0.1 secure=true proxy=true"},
		{"X-Forwarded-Proto: wss", "127.0.0.1 secure=true proxy=true"},
		{"X-Forwarded-For: 198.51.100.7, 192.0.2.1, 10.1.2.3\r\nX-Forwarded-Proto: https", "192.0.2.1 secure=true proxy=true"},
		{"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https", "192.0.2.1 secure=true proxy=true"},
		{"X-Forwarded-For: nonsense\r\nX-Forwarded-Proto: https", "127.0.0.1 secure=true proxy=true"},
		{"X-Forwarded-For: 192.0.2.1:4444", "192.0.2.1 secure=false proxy=true"},
		{"X-Forwarded-For: [2001:db8::1]:4444", "2001:db8::1 secure=false proxy=true"},
		{"X-Forwarded-For: 2001:db8::1", "2001:db8::1 secure=false proxy=true"},
		{`Forwarded: for=192.0.2.1;proto=https;by=10.0.0.1`, "192.0.2.1 secure=true proxy=true"},
		{`Forwarded: For="[2001:db8::17]:4711"; Proto=https`, "2001:db8::17 secure=true proxy=true"},
		{`Forwarded: for=198.51.100.7;proto=https, for=192.0.2.1;proto=http`, "192.0.2.1 secure=false proxy=true"},
		{`Forwarded: for="a,b;c=\"d";proto=https, for=10.9.9.9`, "10.9.9.9 secure=true proxy=true"},
		{`Forwarded: for=_hidden;proto=https`, "127.0.0.1 secure=true proxy=true"},
		// One of these was written by the client, as most proxies know only one of the two.
		{"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https", "127.0.0.1 secure=false proxy=true"},
		{"Forwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-For: 198.51.100.7", "127.0.0.1 secure=false proxy=true"},
		{"Forwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http", "192.0.2.1 secure=false proxy=true"},
		{"Forwarded: for=192.0.2.1;proto=http\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https", "192.0.2.1 secure=false proxy=true"},
		{"Forwarded: for=_a;proto=https\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http", "192.0.2.1 secure=false proxy=true"},
		{"Forwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-For: 192.0.2.1", "192.0.2.1 secure=true proxy=true"},
		{"Forwarded: for=192.0.2.1\r\nX-Forwarded-Proto: https", "192.0.2.1 secure=true proxy=true"},
	} {
		if got := content(knock(t, trusting, get("/who", test.headers))); got != test.want {
			t.Errorf("%q: %s, not %s", test.headers, got, test.want)
		}
		if got := content(knock(t, wary, get("/who", test.headers))); got != "127.0.0.1 secure=false proxy=false" {
			t.Errorf("%q of a stranger: %s", test.headers, got)
		}
	}
}

// TestProxyProtocol: who asks and whether by TLS, before anything of HTTP.
func TestProxyProtocol(t *testing.T) {
	s, addr := start(t, Settings{Trusted: here, Proxied: true})
	src, dst := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 443}
	header := func(version byte, change func(*proxyproto.Header)) string {
		h := proxyproto.HeaderProxyFromAddrs(version, src, dst)
		if change != nil {
			change(h)
		}
		b, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ssl := func(h *proxyproto.Header) {
		tlv, err := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, TLV: []proxyproto.TLV{{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.3")}}}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h.SetTLVs([]proxyproto.TLV{tlv})
	}
	for _, test := range []struct{ raw, want string }{
		{header(1, nil) + get("/who"), "192.0.2.1 secure=false proxy=false"},
		{header(2, nil) + get("/who"), "192.0.2.1 secure=false proxy=false"},
		{header(2, ssl) + get("/who"), "192.0.2.1 secure=true proxy=true"},
		{header(2, nil) + get("/who", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7"), "192.0.2.1 secure=false proxy=false"},
		{"PROXY UNKNOWN\r\n" + get("/who"), "127.0.0.1 secure=false proxy=false"},
		{header(2, func(h *proxyproto.Header) { h.Command = proxyproto.LOCAL }) + get("/who"), "127.0.0.1 secure=false proxy=false"},
		{"PROXY UNKNOWN\r\n" + get("/who", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7"), "127.0.0.1 secure=false proxy=false"},
		{"PROXY UNKNOWN\r\n" + get("/who", "Forwarded: for=198.51.100.7;proto=https"), "127.0.0.1 secure=false proxy=false"},
		{header(2, func(h *proxyproto.Header) { h.Command = proxyproto.LOCAL }) + get("/who", "X-Forwarded-Proto: https"), "127.0.0.1 secure=false proxy=false"},
		{header(2, func(h *proxyproto.Header) { ssl(h); h.Command = proxyproto.LOCAL }) + get("/who"), "127.0.0.1 secure=false proxy=false"},
		{strings.Replace(header(1, nil), "192.0.2.1", "10.0.0.7", 1) + get("/who", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7"), "198.51.100.7 secure=true proxy=true"},
		{get("/who"), "400 Bad Request"},
		{"PROXY TCP4 nonsense\r\n" + get("/who"), "400 Bad Request"},
	} {
		if got := content(knock(t, addr, test.raw)); got != test.want {
			t.Errorf("%.40q: %s, not %s", test.raw, got, test.want)
		}
	}
	if s.Stats().Refused.Load() != 2 {
		t.Errorf("%d refused", s.Stats().Refused.Load())
	}
}

// TestCross: pages of other origins may do what is declared, and nothing else.
func TestCross(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) })
	_, addr := start(t, Settings{},
		router.HTTP{Pattern: "PUT /up/{slot}", Handler: echo, Cross: []string{"PUT"}, Send: []string{"Authorization"}},
		router.HTTP{Pattern: "GET /up/{slot}", Handler: echo, Cross: []string{"GET", "HEAD"}})
	for _, test := range []struct {
		method, path, origin string
		status               int
		allow                string
	}{
		{"OPTIONS", "/up/x", "*", 204, "OPTIONS, PUT, GET, HEAD"},
		{"GET", "/up/x", "*", 200, ""}, {"PUT", "/up/x", "*", 200, ""}, {"DELETE", "/up/x", "", 405, ""},
		{"GET", "/who", "", 200, ""}, {"OPTIONS", "/who", "", 405, ""}, {"GET", "/nothing", "", 404, ""},
	} {
		r := knock(t, addr, test.method+" "+test.path+" HTTP/1.1\r\nHost: example.com\r\nOrigin: https://elsewhere.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if r.StatusCode != test.status || r.Header.Get("Access-Control-Allow-Origin") != test.origin || r.Header.Get("Access-Control-Allow-Methods") != test.allow {
			t.Errorf("%s %s: %d %v", test.method, test.path, r.StatusCode, r.Header)
		}
		if r.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: credentials", test.method, test.path)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s %s: %v", test.method, test.path, r.Header)
		}
	}
}

// TestConnections: an address has so many, a proxy as many as it needs; what is taken over is
// not counted here any more.
func TestConnections(t *testing.T) {
	taken := make(chan net.Conn, 1)
	hijack := router.HTTP{Pattern: "GET /take", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		tr, err := xmpp.Regain(nc)
		if err != nil {
			t.Error(err)
			return
		}
		tr.Write([]byte("HTTP/1.1 101 Yours\r\n\r\n"))
		taken <- nc
		tr.Close(0)
	})}
	s, addr := start(t, Settings{PerAddress: 2}, hijack)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	a, b := dial(), dial()
	for s.Stats().Open.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if got := content(knock(t, addr, get("/who"))); got != "closed" {
		t.Errorf("the third: %s", got)
	}
	io.WriteString(a, get("/take"))
	<-taken
	if got := content(knock(t, addr, get("/who"))); !strings.HasPrefix(got, "127.0.0.1") {
		t.Errorf("after one was taken over: %s", got)
	}
	b.Close()
	s.SetSettings(Settings{PerAddress: 1, Trusted: here})
	dial()
	dial()
	if got := content(knock(t, addr, get("/who"))); !strings.HasPrefix(got, "127.0.0.1") {
		t.Errorf("of a proxy: %s", got)
	}
}

// TestPanic: a panic ends one request.
func TestPanic(t *testing.T) {
	s, addr := start(t, Settings{}, router.HTTP{Pattern: "GET /panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") })})
	if r := knock(t, addr, get("/panic")); r == nil || r.StatusCode != 500 {
		t.Errorf("%v", r)
	}
	if r := knock(t, addr, get("/who")); r == nil || r.StatusCode != 200 {
		t.Errorf("afterwards: %v", r)
	}
	if s.Stats().Requests[5].Load() != 1 {
		t.Error("it is not counted")
	}
}

// TestSmuggling: requests whose end two servers could see in different places are refused.
func TestSmuggling(t *testing.T) {
	_, addr := start(t, Settings{})
	for _, headers := range []string{
		"Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n", " Content-Length: 5\r\n",
	} {
		r := knock(t, addr, "POST /who HTTP/1.1\r\nHost: example.com\r\n"+headers+"\r\nhello")
		if r == nil || r.StatusCode != 400 && r.StatusCode != 501 {
			t.Errorf("%q: %v", headers, r)
		}
	}
	if r := knock(t, addr, "GET /who HTTP/1.1\r\nHost: example.com\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n"); r == nil || r.StatusCode != 431 {
		t.Errorf("a header of 64 KiB: %v", r)
	}
}

// TestHTTP2: over TLS it is spoken.
func TestHTTP2(t *testing.T) {
	certs, err := auth.OpenCerts(auth.CertConfig{Dir: t.TempDir(), Hosts: []auth.HostCert{{Host: "example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Config{Pages: []router.HTTP{who}, TLS: certs.Server(auth.TLSOptions{}).Config()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l, true)
	defer s.Shutdown(context.Background())
	for _, two := range []bool{true, false} {
		tr := &http.Transport{TLSClientConfig: testTLS(certs), ForceAttemptHTTP2: two}
		r, err := (&http.Client{Transport: tr}).Get("https://" + l.Addr().String() + "/who")
		if err != nil {
			t.Fatal(err)
		}
		if got := content(r); got != "127.0.0.1 secure=true proxy=false" || r.ProtoMajor == 2 != two {
			t.Errorf("%s %s", r.Proto, got)
		}
		tr.CloseIdleConnections()
	}
}

// TestHTTP2Ping: who does not answer, as a phone that has lost its network, is given up.
func TestHTTP2Ping(t *testing.T) {
	certs, err := auth.OpenCerts(auth.CertConfig{Dir: t.TempDir(), Hosts: []auth.HostCert{{Host: "example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Config{Pages: []router.HTTP{who}, TLS: certs.Server(auth.TLSOptions{}).Config()})
	s.secure.HTTP2.SendPingTimeout /= 100
	s.secure.HTTP2.PingTimeout /= 100
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l, true)
	defer s.Shutdown(context.Background())
	set := testTLS(certs)
	set.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", l.Addr().String(), set)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // and its settings, of which there are none
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who answers nothing stays")
	}
}

// FuzzForwarded: whatever a header says, an address comes of it or none.
func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::17]:4711";proto=https, for=192.0.2.1`, "https, http", "192.0.2.1, ::1")
	f.Fuzz(func(t *testing.T, forwarded, proto, xff string) {
		forwardedHops(http.Header{"Forwarded": {forwarded}})
		for _, h := range olderHops(http.Header{"X-Forwarded-Proto": {proto}, "X-Forwarded-For": {xff}}) {
			if h.addr.IsValid() && h.addr.Is4In6() {
				t.Errorf("%s", h.addr)
			}
		}
	})
}
