package xmpp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Transport carries the bytes of one stream. One goroutine calls Wait and Read; Write,
// Backlog and Close may be called by anyone.
type Transport interface {
	// Wait parks until Read has something to say. It is the only call that waits.
	Wait() error
	// Read returns bytes that are there, or ErrMore. io.EOF is the peer's end.
	Read(p []byte) (int, error)
	// Write takes every byte, or fails for good. What the socket refuses is sent later.
	Write(p []byte) error
	// Backlog returns how many bytes were taken and refused by the socket so far, and
	// since when the peer has taken none of them.
	Backlog() (bytes int, since time.Time)
	// WhenSent has fn called once, on a goroutine of its own, when nothing is left of what the
	// socket has refused, or will not be sent any more. It returns false, and forgets fn, where
	// nothing is left.
	WhenSent(fn func()) bool
	// Close sends what is left for as long as linger lasts and closes.
	Close(linger time.Duration) error
}

// socketRead is how much one read asks the socket for, in bytes.
const socketRead = 8 << 10

// keepWrite is the largest write buffer that is kept for the next write, in bytes.
const keepWrite = 64 << 10

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

var readBuffers = sync.Pool{New: func() any { b := make([]byte, socketRead); return &b }}

// TCP is the Transport of a TCP connection, in clear or under TLS. Nobody waits for the
// socket but Wait and, for the rest of a refused write, a goroutine made for it.
type TCP struct {
	sock   socket
	tls    atomic.Pointer[tls.Conn] // nil in clear
	unread atomic.Int64             // SetUnread
}

// ErrUnread is what Read returns where the peer reads too little of what it is sent. It is
// the peer's fault.
var ErrUnread = errors.New("xmpp: the peer does not read what it is sent")

// maxUnread is how much a peer may leave unread that is to be read from, in bytes, unless
// SetUnread says otherwise.
const maxUnread = 128 << 10

// NewTCP returns the transport of conn, which it owns from now on.
func NewTCP(conn *net.TCPConn) (*TCP, error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &TCP{}
	t.unread.Store(maxUnread)
	t.sock.TCPConn, t.sock.rc = conn, rc
	t.sock.readFn, t.sock.waitFn, t.sock.writeFn = t.sock.readNow, t.sock.waitReadable, t.sock.writeNow
	return t, nil
}

// SetUnread says from which backlog on, in bytes, Read fails with ErrUnread. What a peer
// has us answer by itself (questions before login, TLS key updates) passes no queue that
// would limit it.
func (t *TCP) SetUnread(max int) { t.unread.Store(int64(max)) }

// StartTLS has handshake do the server's side of a handshake, which waits for the peer
// until deadline. Bytes that were read before are not part of it: they are dropped
// (RFC 6120 §5.4.3.3). Meanwhile Write fails and Close does not linger: there is no stream
// to say anything on.
func (t *TCP) StartTLS(cfg *tls.Config, deadline time.Time, handshake func(*tls.Conn) error) error {
	return t.startTLS(tls.Server, cfg, deadline, handshake)
}

// ConnectTLS is StartTLS for the client's side.
func (t *TCP) ConnectTLS(cfg *tls.Config, deadline time.Time, handshake func(*tls.Conn) error) error {
	return t.startTLS(tls.Client, cfg, deadline, handshake)
}

func (t *TCP) startTLS(side func(net.Conn, *tls.Config) *tls.Conn, cfg *tls.Config, deadline time.Time, handshake func(*tls.Conn) error) error {
	t.sock.dropRead()
	t.sock.SetReadDeadline(deadline)
	t.sock.waits.Store(true)
	c := side(&t.sock, cfg)
	err := handshake(c)
	t.sock.said = nil
	if err != nil {
		t.sock.flush() // the alert
		return err
	}
	t.sock.SetReadDeadline(time.Time{}) // before Close may set one that is to last
	t.tls.Store(c)
	t.sock.waits.Store(false)
	return nil
}

// TLS returns the state of the TLS layer, or nil in clear.
func (t *TCP) TLS() *tls.ConnectionState {
	c := t.tls.Load()
	if c == nil {
		return nil
	}
	s := c.ConnectionState()
	return &s
}

// Secure reports whether there is a TLS layer.
func (t *TCP) Secure() bool { return t.tls.Load() != nil }

// RemoteAddr returns the peer's address.
func (t *TCP) RemoteAddr() net.Addr { return t.sock.RemoteAddr() }

// Wait implements Transport.
func (t *TCP) Wait() error { return t.sock.wait() }

// Trim gives back the memory that crypto/tls keeps for the next record. It may be called
// by the reader alone, after a Read that said ErrMore and before a Wait that is likely to
// be long.
func (t *TCP) Trim() {
	if c := t.tls.Load(); c != nil {
		trimTLS(c)
	}
}

// Read implements Transport.
func (t *TCP) Read(p []byte) (int, error) {
	c := t.tls.Load()
	if t.sock.unread() > int(t.unread.Load()) {
		return 0, ErrUnread
	}
	if c == nil {
		return t.sock.Read(p)
	}
	n, err := c.Read(p)
	t.sock.flush() // TLS answers some records by itself
	if n > 0 {
		return n, nil // an error shows again at the next call
	}
	var e tls.RecordHeaderError
	switch {
	case err == nil:
		return 0, ErrMore
	case errors.Is(err, errWouldBlock):
		return 0, ErrMore
	case errors.As(err, &e):
		return 0, io.ErrUnexpectedEOF
	}
	return 0, err
}

// Write implements Transport.
func (t *TCP) Write(p []byte) error {
	if t.sock.waits.Load() {
		return errHandshake
	}
	var err error
	if c := t.tls.Load(); c != nil {
		_, err = c.Write(p)
	} else {
		_, err = t.sock.Write(p)
	}
	t.sock.flush()
	return err
}

// ErrNudged is what Wait returns after a Nudge. The connection is as it was.
var ErrNudged = errors.New("xmpp: waiting was interrupted")

// Nudge has Wait, the one under way or the next, return ErrNudged once.
func (t *TCP) Nudge() { t.sock.nudge() }

var errHandshake = errors.New("xmpp: a TLS handshake is under way")

// Backlog implements Transport.
func (t *TCP) WhenSent(fn func()) bool { return t.sock.whenSent(fn) }

// Backlog implements Transport.
func (t *TCP) Backlog() (int, time.Time) {
	t.sock.mu.Lock()
	defer t.sock.mu.Unlock()
	return len(t.sock.rest), t.sock.stalled
}

// Close implements Transport.
func (t *TCP) Close(linger time.Duration) error {
	if t.sock.waits.Load() {
		return t.sock.shut(0)
	}
	if c := t.tls.Load(); c != nil {
		c.CloseWrite() // close_notify; without it the end may be an attacker's (RFC 7590 §3.3 speaks of truncation)
		t.sock.flush()
	}
	return t.sock.shut(linger)
}
