package xmpp

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// A lent connection is a TCP that somebody else reads and writes for a while, waiting as any
// net.Conn does: an HTTP server, until a request turns the connection into a stream. TLS above
// it stays where it is when the connection is taken back.
type lent struct {
	*net.TCPConn
	t    *TCP
	back atomic.Bool
}

// Lend returns the connection for others to use until Regain.
func (t *TCP) Lend() net.Conn { return &lent{TCPConn: t.sock.TCPConn, t: t} }

// Regain takes back a connection that was lent, with the TLS above it. Between them may be one
// that has a method Lent() net.Conn. Nobody may read it any more. What was read already the
// caller has to keep.
func Regain(conn net.Conn) (*TCP, error) {
	above, _ := conn.(*tls.Conn)
	if above != nil {
		conn = above.NetConn()
	}
	if between, ok := conn.(interface{ Lent() net.Conn }); ok {
		conn = between.Lent()
	}
	l, ok := conn.(*lent)
	if !ok || l.back.Swap(true) {
		return nil, errors.New("xmpp: the connection was not lent")
	}
	if err := l.TCPConn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if above != nil {
		l.t.tls.Store(above)
	}
	return l.t, nil
}

// Ahead has bytes be read before all that the socket has. It is called before anything is
// read.
func (t *TCP) Ahead(p []byte) { t.sock.ahead(p) }

// Read implements net.Conn.
func (l *lent) Read(p []byte) (int, error) {
	if l.back.Load() {
		return l.t.sock.Read(p)
	}
	if s := &l.t.sock; s.at < s.end {
		return s.read(p)
	}
	return l.TCPConn.Read(p)
}

// Write implements net.Conn.
func (l *lent) Write(p []byte) (int, error) {
	if l.back.Load() {
		return l.t.sock.Write(p)
	}
	return l.TCPConn.Write(p)
}

// SetWriteDeadline implements net.Conn; see socket.SetWriteDeadline.
func (l *lent) SetWriteDeadline(at time.Time) error {
	if l.back.Load() {
		return nil
	}
	return l.TCPConn.SetWriteDeadline(at)
}
