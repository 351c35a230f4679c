package web

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"parley/xmpp"
)

// A door is a listener that counts connections and learns from proxies whose they are.
type door struct {
	net.Listener
	s *Server
}

// Accept implements net.Listener. A connection over the limit is closed without a word.
func (d *door) Accept() (net.Conn, error) {
	for {
		nc, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := d.s.take(nc.(*net.TCPConn)); c != nil {
			return c, nil
		}
	}
}

// take makes a connection ready for the HTTP server, nil if it is refused.
func (s *Server) take(nc *net.TCPConn) net.Conn {
	s.stats.Accepted.Add(1)
	from := nc.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	set := s.settings.Load()
	proxy := trusted(set, from)
	t, err := xmpp.NewTCP(nc)
	if err != nil || !proxy && !s.admit(from, set.PerAddress) {
		s.stats.Refused.Add(1)
		nc.Close()
		return nil
	}
	s.stats.Open.Add(1)
	c := &conn{Conn: t.Lend(), t: t, s: s, peer: from, client: from, proxied: proxy && set.Proxied}
	if !proxy {
		c.counted = from
	}
	return c
}

func trusted(set *Settings, addr netip.Addr) bool {
	return slices.ContainsFunc(set.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (s *Server) admit(addr netip.Addr, max int) bool {
	from := network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if max > 0 && s.conns[from] >= max {
		return false
	}
	s.conns[from]++
	return true
}

func (s *Server) gone(addr netip.Addr) {
	from := network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[from]--; s.conns[from] <= 0 {
		delete(s.conns, from)
	}
}

// network is what an address is counted by: itself, or for IPv6 the /64 around it.
func network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}

type connKey struct{}

// A conn is a connection that knows whom it is from.
type conn struct {
	net.Conn
	t       *xmpp.TCP
	s       *Server
	peer    netip.Addr
	client  netip.Addr // peer, or whom a proxy speaks for
	proxied bool       // a PROXY header comes first
	secure  bool       // which says that the client has TLS with the proxy
	own     bool       // which says that it is for nobody: the proxy looks whether we are there
	begin   sync.Once
	wrong   error

	mu      sync.Mutex // a leaf
	until   time.Time  // the deadline that somebody above has set
	counted netip.Addr // for whom it counts; zero: for nobody
	left    bool       // it counts no more
}

// Read implements net.Conn; the first call reads the PROXY header, if there is to be one.
func (c *conn) Read(p []byte) (int, error) {
	if c.proxied {
		c.begin.Do(c.readHeader)
		if c.wrong != nil {
			return 0, c.wrong
		}
	}
	return c.Conn.Read(p)
}

// readHeader reads the PROXY header (versions 1 and 2). What comes behind it is kept.
func (c *conn) readHeader() {
	c.deadline(time.Now().Add(headerWithin))
	r := bufio.NewReaderSize(c.Conn, 4096)
	h, err := proxyproto.Read(r)
	if err != nil {
		c.wrong = errors.New("web: a trusted proxy did not begin with a PROXY header")
		c.s.stats.Refused.Add(1)
		c.s.log.Warn("a proxy did not begin with the PROXY protocol; is it told to, and is http.proxy_protocol meant?", "address", c.peer.String(), "error", err)
		return
	}
	c.deadline(time.Time{})
	c.learn(h)
	if set := c.s.settings.Load(); !trusted(set, c.client) && !c.count(set.PerAddress) {
		c.wrong = errors.New("web: too many connections of an address behind a proxy")
		c.s.stats.Refused.Add(1)
		return
	}
	rest, _ := r.Peek(r.Buffered())
	if len(rest) > 0 {
		c.t.Ahead(rest)
	}
}

// learn reads of a PROXY header whom the connection is for. LOCAL and UNKNOWN name nobody: the rest of
// such a header says nothing, and what comes behind it is the proxy's own.
func (c *conn) learn(h *proxyproto.Header) {
	src, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok || !h.Command.IsProxy() {
		c.own = true
		return
	}
	c.client = src.AddrPort().Addr().Unmap()
	if tlvs, err := h.TLVs(); err == nil {
		if ssl, found := tlvparse.FindSSL(tlvs); found {
			c.secure = ssl.ClientSSL()
		}
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// leave takes the connection off the counts.
func (c *conn) leave() {
	c.mu.Lock()
	was, counted := c.left, c.counted
	c.left = true
	c.mu.Unlock()
	if was {
		return
	}
	c.s.stats.Open.Add(-1)
	if counted.IsValid() {
		c.s.gone(counted)
	}
}

// count has the connection count for whom a proxy speaks for, false if that one has too many.
func (c *conn) count(max int) bool {
	if !c.s.admit(c.client, max) {
		return false
	}
	c.mu.Lock()
	left := c.left
	if !left {
		c.counted = c.client
	}
	c.mu.Unlock()
	if left {
		c.s.gone(c.client)
	}
	return !left
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetDeadline(t)
}

// deadline sets one of ours for reading, zero for none. That of whoever reads holds all the same:
// that of a TLS handshake, say.
func (c *conn) deadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() || !c.until.IsZero() && c.until.Before(t) {
		t = c.until
	}
	c.Conn.SetReadDeadline(t)
}

// Lent returns the connection as xmpp.Regain takes it back. It then counts no more here.
func (c *conn) Lent() net.Conn {
	c.leave()
	return c.Conn
}
