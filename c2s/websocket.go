package c2s

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"strings"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

// WebSocketPath is where clients come by WebSocket.
const WebSocketPath = "/xmpp-websocket"

// WebSocket serves streams in WebSockets (RFC 7395), on listeners whose connections can be
// taken back (xmpp.Regain). channel describes TLS that ends there.
func (s *Server) WebSocket(channel func(r *http.Request) auth.Channel) router.HTTP {
	return router.HTTP{Pattern: "GET " + WebSocketPath, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.upgrade(w, r, channel)
	})}
}

// upgrade takes the connection of a request for a WebSocket (RFC 6455 §4.2). Pages of any
// origin may ask for one: nothing here depends on what browsers keep for us.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, channel func(*http.Request) auth.Channel) {
	accept, ok := handshake(w, r)
	if !ok {
		return
	}
	v := router.VisitorOf(r)
	s.stats.Accepted.Add(1)
	if s.stopping.Load() {
		http.Error(w, "the server is being stopped", http.StatusServiceUnavailable)
		return
	}
	if !s.admit(v.Addr) {
		s.stats.Refused.Add(1)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many connections of your address are on their way to a login", http.StatusTooManyRequests)
		return
	}
	t, err := s.takeOver(w, v, accept)
	if err != nil {
		s.known(v.Addr)
		s.log.Debug("a WebSocket was not opened", "addr", v.Addr.String(), "error", err)
		return
	}
	c := newConn(s, t, true, v.Addr)
	if r.TLS != nil && !v.Proxy {
		c.login.channel = channel(r)
	}
	if !s.enter(c) {
		t.Close(0)
	}
}

// takeOver answers the request and takes its connection from the HTTP server.
func (s *Server) takeOver(w http.ResponseWriter, v router.Visitor, accept string) (*xmpp.WebSocket, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot become a WebSocket", http.StatusHTTPVersionNotSupported)
		return nil, err
	}
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	ahead = bytes.Clone(ahead)
	tcp, err := xmpp.Regain(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	t := xmpp.NewWebSocket(tcp, ahead)
	if v.Proxy || v.Addr.IsValid() && addrString(tcp) != v.Addr.String() {
		t.Behind(&net.TCPAddr{IP: v.Addr.AsSlice()}, v.Secure)
	}
	err = tcp.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept +
		"\r\nSec-WebSocket-Protocol: xmpp\r\nX-Content-Type-Options: nosniff\r\n\r\n"))
	if err != nil {
		tcp.Close(0)
	}
	return t, err
}

func addrString(t *xmpp.TCP) string {
	return t.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String()
}

// handshake checks a request for a WebSocket (RFC 6455 §4.2.1, RFC 7395 §3.1) and returns what
// proves that it was understood (RFC 6455 §4.2.2); else it answers it.
func handshake(w http.ResponseWriter, r *http.Request) (accept string, ok bool) {
	h := r.Header
	if !lists(h, "Connection", "upgrade") || !lists(h, "Upgrade", "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this address is for WebSockets (RFC 7395)", http.StatusUpgradeRequired)
		return "", false
	}
	if h.Get("Sec-WebSocket-Version") != "13" { // RFC 6455 §4.4
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, "version 13 of the WebSocket protocol is what is spoken here", http.StatusUpgradeRequired)
		return "", false
	}
	key := h.Get("Sec-WebSocket-Key")
	if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != 16 {
		http.Error(w, "Sec-WebSocket-Key is no key", http.StatusBadRequest)
		return "", false
	}
	if !lists(h, "Sec-WebSocket-Protocol", "xmpp") {
		http.Error(w, "the subprotocol that is spoken here is xmpp (RFC 7395)", http.StatusBadRequest)
		return "", false
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §1.3
	return base64.StdEncoding.EncodeToString(sum[:]), true
}

// lists reports whether a header that is a list names a token.
func lists(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
