package xmpp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
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
	sock socket
	tls  *tls.Conn // nil in clear
}

// NewTCP returns the transport of conn, which it owns from now on.
func NewTCP(conn *net.TCPConn) (*TCP, error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &TCP{}
	t.sock.TCPConn, t.sock.rc = conn, rc
	t.sock.readFn, t.sock.waitFn, t.sock.writeFn = t.sock.readNow, t.sock.waitReadable, t.sock.writeNow
	return t, nil
}

// StartTLS has handshake do the server's side of a handshake, which waits for the peer
// until deadline. Bytes that were read before are not part of it: they are dropped
// (RFC 6120 §5.4.3.3).
func (t *TCP) StartTLS(cfg *tls.Config, deadline time.Time, handshake func(*tls.Conn) error) error {
	t.sock.dropRead()
	t.sock.waits = true
	t.sock.SetReadDeadline(deadline)
	c := tls.Server(&t.sock, cfg)
	if err := handshake(c); err != nil {
		t.sock.flush()
		return err
	}
	t.sock.SetReadDeadline(time.Time{})
	t.sock.waits = false
	t.tls = c
	return nil
}

// TLS returns the state of the TLS layer, or nil in clear.
func (t *TCP) TLS() *tls.ConnectionState {
	if t.tls == nil {
		return nil
	}
	s := t.tls.ConnectionState()
	return &s
}

// RemoteAddr returns the peer's address.
func (t *TCP) RemoteAddr() net.Addr { return t.sock.RemoteAddr() }

// Wait implements Transport.
func (t *TCP) Wait() error { return t.sock.wait() }

// Trim gives back the memory that crypto/tls keeps for the next record. It may be called
// by the reader alone, after a Read that said ErrMore and before a Wait that is likely to
// be long.
func (t *TCP) Trim() {
	if t.tls != nil {
		trimTLS(t.tls)
	}
}

// Read implements Transport.
func (t *TCP) Read(p []byte) (int, error) {
	if t.tls == nil {
		return t.sock.Read(p)
	}
	n, err := t.tls.Read(p)
	if n > 0 {
		return n, nil // an error shows again at the next call
	}
	var e *tls.RecordHeaderError
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
	if t.tls == nil {
		_, err := t.sock.Write(p)
		t.sock.flush()
		return err
	}
	_, err := t.tls.Write(p)
	t.sock.flush()
	return err
}

// Nudge has Wait return os.ErrDeadlineExceeded, at once and until it is called again with
// false.
func (t *TCP) Nudge(on bool) {
	if on {
		t.sock.SetReadDeadline(time.Unix(1, 0))
	} else {
		t.sock.SetReadDeadline(time.Time{})
	}
}

// Backlog implements Transport.
func (t *TCP) Backlog() (int, time.Time) {
	t.sock.mu.Lock()
	defer t.sock.mu.Unlock()
	return len(t.sock.rest), t.sock.stalled
}

// Close implements Transport.
func (t *TCP) Close(linger time.Duration) error {
	if t.tls != nil {
		t.tls.CloseWrite() // close_notify; without it the end may be an attacker's (RFC 7590 §3.3 speaks of truncation)
		t.sock.flush()
	}
	return t.sock.shut(linger)
}

// errWouldBlock is what a socket answers instead of waiting. crypto/tls keeps an error
// for ever unless it is temporary.
var errWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string        { return "xmpp: nothing to read yet" }
func (wouldBlock) Timeout() bool        { return false }
func (wouldBlock) Temporary() bool      { return true }
func (wouldBlock) Is(target error) bool { return target == ErrMore }

// socket is the net.Conn below TLS. Its Read does not wait, except during a handshake;
// its Write collects, flush sends what is collected in one system call.
type socket struct {
	*net.TCPConn
	rc     syscall.RawConn
	waits  bool // Read may wait: a handshake is under way
	primed bool // the last read emptied the socket

	stash *[]byte // what wait has read ahead: stash[at:end]
	at    int
	end   int
	dst   []byte // of readNow
	n     int
	err   error

	readFn, waitFn, writeFn func(fd uintptr) bool

	mu      sync.Mutex // guards what follows; a leaf
	rest    []byte     // collected, or refused by the socket
	sending bool       // a goroutine sends rest
	stalled time.Time  // when the socket last took nothing
	wn      int        // of writeNow
	werr    error
	closed  bool
}

func (s *socket) Read(p []byte) (int, error) {
	if s.at < s.end {
		n := copy(p, (*s.stash)[s.at:s.end])
		s.at += n
		if s.at == s.end {
			s.dropRead()
		}
		return n, nil
	}
	if s.waits {
		if err := s.wait(); err != nil {
			return 0, err
		}
		if s.at < s.end {
			return s.Read(p)
		}
	}
	if s.primed {
		return 0, errWouldBlock
	}
	s.dst = p
	if err := s.rc.Read(s.readFn); err != nil {
		return 0, err
	}
	return s.result(len(p))
}

// result turns the outcome of a read call of size asked into that of Read.
func (s *socket) result(asked int) (int, error) {
	s.dst = nil
	switch {
	case s.err == syscall.EAGAIN || s.err == syscall.EINTR:
		return 0, errWouldBlock
	case s.err != nil:
		return 0, s.err
	case s.n == 0:
		return 0, io.EOF
	}
	s.primed = s.n < asked
	return s.n, nil
}

func (s *socket) readNow(fd uintptr) bool {
	s.n, s.err = syscall.Read(int(fd), s.dst)
	return true
}

// wait parks until the socket has something, and reads it into a borrowed buffer: the
// look whether there is something is the read itself, and a parked connection holds no
// memory.
func (s *socket) wait() error {
	if s.at < s.end {
		return nil
	}
	s.primed = false
	if err := s.rc.Read(s.waitFn); err != nil {
		return err
	}
	n, err := s.result(socketRead)
	if err == errWouldBlock {
		return nil
	}
	if err != nil {
		s.dropRead()
		return err
	}
	s.at, s.end = 0, n
	return nil
}

func (s *socket) waitReadable(fd uintptr) bool {
	if s.stash == nil {
		s.stash = readBuffers.Get().(*[]byte)
	}
	s.n, s.err = syscall.Read(int(fd), *s.stash)
	if s.err == syscall.EAGAIN {
		s.dropRead()
		return false
	}
	return true
}

func (s *socket) dropRead() {
	s.at, s.end = 0, 0
	if s.stash != nil {
		readBuffers.Put(s.stash)
		s.stash = nil
	}
}

// Write collects p; during a handshake it is sent at once.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.werr != nil || s.closed {
		err := s.werr
		s.mu.Unlock()
		if err == nil {
			err = net.ErrClosed
		}
		return 0, err
	}
	if s.rest == nil {
		s.rest = *writeBuffers.Get().(*[]byte)
	}
	s.rest = append(s.rest, p...)
	s.mu.Unlock()
	if s.waits {
		s.flush()
	}
	return len(p), nil
}

// flush sends what is collected. What the socket refuses is left to a goroutine.
func (s *socket) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending || len(s.rest) == 0 || s.werr != nil {
		return
	}
	if err := s.rc.Write(s.writeFn); err != nil && s.werr == nil {
		s.werr = err
	}
	s.took()
	if len(s.rest) > 0 && s.werr == nil {
		s.sending = true
		s.stalled = time.Now()
		go s.send()
	}
}

// writeNow tries once; the lock is held.
func (s *socket) writeNow(fd uintptr) bool {
	s.wn, s.werr = syscall.Write(int(fd), s.rest)
	if s.werr == syscall.EAGAIN || s.werr == syscall.EINTR {
		s.wn, s.werr = 0, nil
	}
	return true
}

// took removes what was written from rest and gives a large or empty buffer back.
func (s *socket) took() {
	if s.wn <= 0 {
		s.wn = 0
		return
	}
	if n := copy(s.rest, s.rest[s.wn:]); n > 0 {
		s.rest = s.rest[:n]
	} else {
		if cap(s.rest) <= keepWrite {
			b := s.rest[:0]
			writeBuffers.Put(&b)
		}
		s.rest = nil
	}
	s.wn = 0
}

// send finishes a refused write. It is the only goroutine that waits for the peer to
// read, and ends with the last byte.
func (s *socket) send() {
	for {
		s.mu.Lock()
		if len(s.rest) == 0 || s.werr != nil {
			s.sending = false
			s.stalled = time.Time{}
			s.mu.Unlock()
			return
		}
		out := s.rest[:len(s.rest):len(s.rest)] // others append behind it; only this goroutine moves it
		s.mu.Unlock()
		n, err := 0, error(nil)
		werr := s.rc.Write(func(fd uintptr) bool {
			n, err = syscall.Write(int(fd), out)
			return err != syscall.EAGAIN
		})
		if err == nil {
			err = werr
		}
		s.mu.Lock()
		if n > 0 {
			s.wn = n
			s.took()
			s.stalled = time.Now()
		}
		if err != nil && err != syscall.EINTR {
			s.werr = err
		}
		s.mu.Unlock()
	}
}

// maxDrain is how much of what the peer still sends is read away after the end, in bytes.
const maxDrain = 256 << 10

// shut sends what is left, says that nothing follows, and reads away for a moment what
// the peer has under way: closing at once would reset the connection, and the peer
// might never read the error that it ended with (RFC 6120 §4.4).
func (s *socket) shut(linger time.Duration) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	broken := s.werr != nil
	s.mu.Unlock()
	if broken || linger <= 0 {
		return s.TCPConn.Close()
	}
	until := time.Now().Add(linger)
	s.TCPConn.SetDeadline(until)
	go func() {
		defer s.TCPConn.Close()
		for time.Now().Before(until) {
			s.mu.Lock()
			sending := s.sending
			s.mu.Unlock()
			if !sending {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if s.TCPConn.CloseWrite() == nil {
			io.CopyN(io.Discard, s.TCPConn, maxDrain)
		}
	}()
	return nil
}
