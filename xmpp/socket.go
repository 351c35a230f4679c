package xmpp

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

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
	waits  atomic.Bool // Read may wait: a handshake is under way
	said   []byte      // what the peer has sent in the handshake, while it is under way
	primed bool        // the last read emptied the socket

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
	sent    []func()   // what follows when it has sent all
	stalled time.Time  // when the socket last took nothing
	wn      int        // of writeNow
	werr    error
	closed  bool
	nudged  bool // wait is to return errNudged
}

// maxHandshaken is how much of a handshake is remembered, in bytes.
const maxHandshaken = 32 << 10

// Handshaken returns what the peer has sent during the handshake, as far as that is
// remembered; nothing once it is over.
func (s *socket) Handshaken() []byte { return s.said }

// Read implements net.Conn. It waits only during a handshake.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.read(p)
	if n > 0 && s.waits.Load() && len(s.said) < maxHandshaken {
		s.said = append(s.said, p[:n]...)
	}
	return n, err
}

func (s *socket) read(p []byte) (int, error) {
	if s.at < s.end {
		n := copy(p, (*s.stash)[s.at:s.end])
		s.at += n
		if s.at == s.end {
			s.dropRead()
		}
		return n, nil
	}
	if s.waits.Load() {
		if err := s.wait(); err != nil {
			return 0, err
		}
		if s.at < s.end {
			return s.read(p)
		}
	}
	if s.primed {
		return 0, errWouldBlock
	}
	s.dst = p
	if err := s.rc.Read(s.readFn); err != nil {
		if s.isNudged() {
			return 0, errWouldBlock // the next wait says so
		}
		return 0, err
	}
	return s.result(len(p))
}

// result turns the outcome of a read call of size asked into that of Read.
func (s *socket) result(asked int) (int, error) {
	s.dst = nil
	switch {
	case s.err == syscall.EAGAIN:
		return 0, errWouldBlock
	case s.err != nil:
		return 0, s.err
	case s.n == 0:
		return 0, io.EOF
	}
	s.primed = s.n < asked
	return s.n, nil
}

// read is the system call, again after a signal.
func read(fd uintptr, p []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), p); err != syscall.EINTR {
			return n, err
		}
	}
}

func (s *socket) readNow(fd uintptr) bool {
	s.n, s.err = read(fd, s.dst)
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
	if s.shutting() { // the deadline that shut has set may be over again
		return net.ErrClosed
	}
	if err := s.rc.Read(s.waitFn); err != nil {
		if s.unnudge() {
			return ErrNudged
		}
		return err
	}
	n, err := s.result(socketRead)
	if err != nil {
		s.dropRead()
		return err
	}
	s.at, s.end = 0, n
	return nil
}

// nudge has wait, this one or the next, return ErrNudged.
func (s *socket) nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.nudged {
		s.nudged = true
		s.SetReadDeadline(time.Unix(1, 0)) // a call that does not wait
	}
}

func (s *socket) isNudged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nudged
}

// unnudge takes a nudge back and reports whether there was one.
func (s *socket) unnudge() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.nudged && !s.closed
	if was {
		s.SetReadDeadline(time.Time{})
	}
	s.nudged = false
	return was
}

func (s *socket) waitReadable(fd uintptr) bool {
	if s.stash == nil {
		s.stash = readBuffers.Get().(*[]byte)
	}
	s.n, s.err = read(fd, *s.stash)
	if s.err == syscall.EAGAIN {
		s.dropRead()
		return false
	}
	return true
}

// ahead puts bytes before what the socket has: at most socketRead of them.
func (s *socket) ahead(p []byte) {
	if s.stash == nil {
		s.stash = readBuffers.Get().(*[]byte)
	}
	s.at, s.end = 0, copy(*s.stash, p)
}

func (s *socket) dropRead() {
	s.at, s.end = 0, 0
	if s.stash != nil {
		readBuffers.Put(s.stash)
		s.stash = nil
	}
}

// SetDeadline, SetReadDeadline of the connection are ours; crypto/tls sets the one for
// writing when it says close_notify, so that nothing is written any more. But that and
// what the socket has refused before it are still to be written.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// unread returns how many bytes the socket has refused so far.
func (s *socket) unread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sending {
		return 0
	}
	return len(s.rest)
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
	if s.waits.Load() {
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

// whenSent has fn called when the goroutine that finishes a refused write ends.
func (s *socket) whenSent(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending {
		s.sent = append(s.sent, fn)
	}
	return s.sending
}

// send finishes a refused write. It is the only goroutine that waits for the peer to
// read, and ends with the last byte.
func (s *socket) send() {
	for {
		s.mu.Lock()
		if len(s.rest) == 0 || s.werr != nil {
			s.sending = false
			s.stalled = time.Time{}
			then := s.sent
			s.sent = nil
			s.mu.Unlock()
			for _, fn := range then {
				fn()
			}
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

func (s *socket) shutting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// maxDrain is how much of what the peer still sends is read away after the end, in bytes.
const maxDrain = 256 << 10

// shut sends what is left, says that nothing follows, and reads away for a moment what
// the peer has under way: closing at once would reset the connection, and the peer
// might never read the error that it ended with (RFC 6120 §4.4). Whoever waits to read is
// told at once.
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
	s.TCPConn.SetWriteDeadline(until)
	s.TCPConn.SetReadDeadline(time.Unix(1, 0))
	go s.drain(until)
	return nil
}

func (s *socket) drain(until time.Time) {
	defer s.TCPConn.Close()
	s.TCPConn.Read(make([]byte, 1)) // returns when nobody else reads
	s.TCPConn.SetReadDeadline(until)
	for s.busy() && time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond)
	}
	if s.TCPConn.CloseWrite() == nil {
		io.CopyN(io.Discard, s.TCPConn, maxDrain)
	}
}

func (s *socket) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sending
}
