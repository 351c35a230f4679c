package bytestreams_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/router/routertest"
	"parley/xep/bytestreams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = "romeo@example.com/desk"
	juliet = "juliet@example.com/balcony"
)

// A house is a router with people and a proxy.
type house struct {
	*routertest.House
	*bytestreams.Proxy
	t    testing.TB
	addr string
	set  atomic.Pointer[bytestreams.Settings]
}

func open(t testing.TB, set bytestreams.Settings) *house {
	t.Helper()
	h := &house{t: t}
	h.set.Store(&set)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(h.addr)
	n, _ := strconv.Atoi(port)
	h.Proxy = bytestreams.New(bytestreams.Config{
		Prefix: "proxy", Settings: func() bytestreams.Settings { return *h.set.Load() },
		Address: func(domain string) (string, int) {
			if domain == "example.net" {
				return domain, 0
			}
			return domain, n
		},
	})
	h.House = routertest.New(t, bytestreams.Feature(h.Proxy))
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if s := h.Stats(); s.Open.Load() != 0 || s.Waiting.Load() != 0 {
			t.Errorf("%d streams are open, %d wait", s.Open.Load(), s.Waiting.Load())
		}
	})
	return h
}

func hashOf(sid, requester, target string) string {
	sum := sha1.Sum([]byte(sid + requester + target))
	return hex.EncodeToString(sum[:])
}

// dials connects to the proxy.
func (h *house) dials() *net.TCPConn {
	h.t.Helper()
	return h.dialsFrom("127.0.0.1")
}

// dialsFrom is the same for somebody at another address.
func (h *house) dialsFrom(from string) *net.TCPConn {
	h.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc.(*net.TCPConn)
}

// shows connects and shows a hash; code is what the proxy has answered.
func (h *house) shows(hash string) (nc *net.TCPConn, code byte) {
	h.t.Helper()
	return h.showsFrom("127.0.0.1", hash)
}

func (h *house) showsFrom(from, hash string) (nc *net.TCPConn, code byte) {
	h.t.Helper()
	nc = h.dialsFrom(from)
	request := append([]byte{5, 1, 0, 3, byte(len(hash))}, hash...)
	request = append(request, 0, 0)
	if _, err := nc.Write([]byte{5, 2, 2, 0}); err != nil {
		h.t.Fatal(err)
	}
	h.reads(nc, "\x05\x00")
	nc.Write(request)
	answer := make([]byte, len(request))
	if _, err := io.ReadFull(nc, answer); err != nil {
		h.t.Fatal(err)
	}
	if string(answer[3:]) != string(request[3:]) { // XEP-0065 §6.3.2
		h.t.Errorf("%q is answered with %q", request, answer)
	}
	return nc, answer[1]
}

func (h *house) reads(nc net.Conn, want string) {
	h.t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		h.t.Fatalf("there comes %q %v, and not %q", b[:n], err, want)
	}
}

// closed waits for the end of a connection.
func (h *house) closed(nc net.Conn) {
	h.t.Helper()
	b := make([]byte, 1)
	if n, err := nc.Read(b); err == nil || n > 0 {
		h.t.Errorf("there comes %q", b[:n])
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		h.t.Errorf("it is not closed")
	}
}

func activate(sid, target string) string {
	return `<iq type='set' id='a' to='proxy.example.com'><query xmlns='http://jabber.org/protocol/bytestreams' sid='` + sid + `'><activate>` + target + `</activate></query></iq>`
}

// joined connects both sides of a stream and has it activated.
func (h *house) joined(a *routertest.Actor, sid, target string) (requester, other *net.TCPConn) {
	h.t.Helper()
	hash := hashOf(sid, a.JID().String(), target)
	other, code1 := h.shows(hash)
	requester, code2 := h.shows(hash)
	if code1 != 0 || code2 != 0 {
		h.t.Fatalf("the proxy answers %d, %d", code1, code2)
	}
	a.Sends(activate(sid, target))
	a.Gets(`<iq type='result' id='a' from='proxy.example.com'/>`)
	return requester, other
}

func refusal(typ, condition string) string {
	return `<iq type='error' id='a'><error type='` + typ + `'><` + condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`
}
