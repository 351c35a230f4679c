package xmpp

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A WebSocket is the Transport of a stream in the messages of a WebSocket (RFC 6455, RFC 7395):
// the server's side, behind the handshake. It waits no more than the connection below.
type WebSocket struct {
	*TCP
	peer    net.Addr // behind a proxy; nil: the connection's
	trusted bool     // somebody who is believed has said that it came by https

	buf     *[]byte // what was read of frames: buf[at:end]; nil while that is nothing
	at, end int
	short   bool // what is there is not enough

	left    uint64 // bytes of the frame's payload to come
	key     [4]byte
	turn    int    // of the key
	op      byte   // of the frame; opContinuation and opText are data
	last    bool   // the frame is its message's last one
	message bool   // a message has begun that is not complete
	control []byte // payload of a control frame
	idle    int    // frames without data
	since   int64  // since when these are counted, Unix seconds
	status  uint16 // to say when closing; 0: normal
	over    bool   // the peer has closed
	closing atomic.Bool
}

// Opcodes (RFC 6455 §5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Status codes (RFC 6455 §7.4.1).
const (
	closeNormal      = 1000
	closeProtocol    = 1002
	closeUnsupported = 1003
	closePolicy      = 1008
)

// maxControl is the largest payload of a control frame, in bytes (RFC 6455 §5.5).
const maxControl = 125

// A peer may send this many frames without data, pings say, in this many seconds.
const (
	maxIdleFrames = 1000
	idleWindow    = 10
)

// NewWebSocket returns the transport of a WebSocket on t, of which ahead was read already: at
// most a few kilobytes.
func NewWebSocket(t *TCP, ahead []byte) *WebSocket {
	w := &WebSocket{TCP: t}
	if len(ahead) > 0 {
		b := append(make([]byte, 0, max(socketRead, len(ahead))), ahead...)
		w.end = len(b)
		b = b[:cap(b)]
		w.buf = &b
	}
	return w
}

// Behind says that a proxy stands between us and peer, and whether it is believed that the
// peer came by https.
func (w *WebSocket) Behind(peer net.Addr, secure bool) { w.peer, w.trusted = peer, secure }

// Secure reports whether nobody listens in: here is TLS, or with a proxy before us there is at
// the proxy.
func (w *WebSocket) Secure() bool {
	if w.peer != nil {
		return w.trusted
	}
	return w.TCP.Secure()
}

// RemoteAddr returns the peer's address.
func (w *WebSocket) RemoteAddr() net.Addr {
	if w.peer != nil {
		return w.peer
	}
	return w.TCP.RemoteAddr()
}

// Wait implements Transport.
func (w *WebSocket) Wait() error {
	if w.at < w.end && !w.short {
		return nil
	}
	return w.TCP.Wait()
}

// Between reports whether what was read so far ends where a message ends.
func (w *WebSocket) Between() bool { return !w.message }

// Read implements Transport: the payload of data frames, of one message at most. What is
// wrong with a frame is a *StreamError. io.EOF is the peer's Close frame, or the end of the
// connection.
func (w *WebSocket) Read(p []byte) (int, error) {
	for {
		if w.over {
			return 0, io.EOF
		}
		if w.at == w.end {
			if err := w.fill(); err != nil {
				return 0, err
			}
		}
		if w.left == 0 {
			need, err := w.frame()
			switch {
			case err != nil:
				return 0, err
			case need:
				if err := w.fill(); err != nil {
					return 0, err
				}
				continue
			}
		}
		if w.op >= opClose {
			if err := w.takeControl(); err != nil {
				return 0, err
			}
			continue
		}
		n := copy(p, (*w.buf)[w.at:min(w.end, w.at+int(min(w.left, uint64(len(p)))))])
		w.unmask(p[:n])
		w.skip(n)
		if w.left -= uint64(n); w.left == 0 {
			w.message = !w.last
		}
		if n > 0 {
			return n, nil
		}
	}
}

// fill reads more of the connection behind what is there.
func (w *WebSocket) fill() error {
	if w.buf == nil {
		w.buf = readBuffers.Get().(*[]byte)
	}
	if w.at > 0 {
		w.end = copy(*w.buf, (*w.buf)[w.at:w.end])
		w.at = 0
	}
	n, err := w.TCP.Read((*w.buf)[w.end:])
	w.end += n
	w.short = n == 0
	if n == 0 && w.end == 0 {
		w.release()
	}
	return err
}

func (w *WebSocket) skip(n int) {
	if w.at += n; w.at == w.end {
		w.at, w.end = 0, 0
	}
}

func (w *WebSocket) release() {
	if cap(*w.buf) == socketRead {
		*w.buf = (*w.buf)[:socketRead]
		readBuffers.Put(w.buf)
	}
	w.buf = nil
}

// frame reads the header of a frame (RFC 6455 §5.2); need says that it is not there yet.
func (w *WebSocket) frame() (need bool, err error) {
	b := (*w.buf)[w.at:w.end]
	if len(b) < 2 {
		return true, nil
	}
	op, masked, length := b[0]&0x0F, b[1]&0x80 != 0, uint64(b[1]&0x7F)
	size := 2
	switch {
	case b[0]&0x70 != 0:
		return false, w.wrong(closeProtocol, "a frame has reserved bits that nobody has agreed on")
	case !masked: // RFC 6455 §5.1
		return false, w.wrong(closeProtocol, "a client masks its frames")
	case op >= opClose && (length > maxControl || b[0]&0x80 == 0): // RFC 6455 §5.5
		return false, w.wrong(closeProtocol, "a control frame is too long or fragmented")
	case length == 126:
		size = 4
	case length == 127:
		size = 10
	}
	if len(b) < size+4 {
		return true, nil
	}
	switch size {
	case 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if size == 4 && length < 126 || size == 10 && length < 1<<16 || length > 1<<62 {
		return false, w.wrong(closeProtocol, "a frame's length is not written as it must be")
	}
	if err := w.opens(op); err != nil {
		return false, err
	}
	w.op, w.left, w.turn = op, length, 0
	copy(w.key[:], b[size:])
	w.skip(size + 4)
	if op < opClose {
		w.last = b[0]&0x80 != 0
		w.message = !w.last || length > 0
	}
	if op >= opClose || length == 0 {
		return false, w.idles()
	}
	return false, nil
}

// opens looks whether a frame of this kind may come now (RFC 6455 §5.4, RFC 7395 §3.2).
func (w *WebSocket) opens(op byte) error {
	switch op {
	case opText:
		if w.message {
			return w.wrong(closeProtocol, "a message begins in another one")
		}
	case opContinuation:
		if !w.message {
			return w.wrong(closeProtocol, "a message goes on that has not begun")
		}
	case opBinary:
		return w.wrong(closeUnsupported, "messages are text")
	case opClose, opPing, opPong:
	default:
		return w.wrong(closeProtocol, "a frame of an unknown kind")
	}
	return nil
}

// idles counts a frame without data.
func (w *WebSocket) idles() error {
	now := time.Now().Unix()
	if now-w.since >= idleWindow {
		w.since, w.idle = now, 0
	}
	if w.idle++; w.idle > maxIdleFrames {
		return w.wrong(closePolicy, "too many frames without data")
	}
	return nil
}

func (w *WebSocket) wrong(status uint16, text string) error {
	w.status = status
	return EndStream("policy-violation", "%s", text)
}

// takeControl collects the payload of a control frame and does what it asks for.
func (w *WebSocket) takeControl() error {
	n := min(w.end-w.at, int(w.left))
	from := len(w.control)
	w.control = append(w.control, (*w.buf)[w.at:w.at+n]...)
	w.unmask(w.control[from:])
	w.skip(n)
	if w.left -= uint64(n); w.left > 0 {
		return nil
	}
	said := w.control
	w.control = nil
	switch w.op {
	case opPing: // RFC 6455 §5.5.2
		return w.TCP.Write(appendFrame(nil, opPong, said))
	case opClose: // RFC 6455 §5.5.1
		w.over = true
		if !w.closing.Swap(true) {
			w.TCP.Write(appendFrame(nil, opClose, said[:min(len(said), 2)]))
		}
	}
	return nil
}

// unmask undoes the masking of the frame's next bytes (RFC 6455 §5.3).
func (w *WebSocket) unmask(p []byte) {
	k := [8]byte{}
	for i := range k {
		k[i] = w.key[(w.turn+i)&3]
	}
	w.turn = (w.turn + len(p)) & 3
	word := binary.LittleEndian.Uint64(k[:])
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^word)
	}
	for i := range p {
		p[i] ^= k[i&7]
	}
}

// Write implements Transport. p is whole elements, each of which leaves in a message of its
// own (RFC 7395 §3.3.3).
func (w *WebSocket) Write(p []byte) error {
	if w.closing.Load() {
		return net.ErrClosed
	}
	b := writeBuffers.Get().(*[]byte)
	out := (*b)[:0]
	for len(p) > 0 {
		n := ElementLen(p)
		out = appendFrame(out, opText, p[:n])
		p = p[n:]
	}
	err := w.TCP.Write(out)
	if *b = out[:0]; cap(out) <= keepWrite {
		writeBuffers.Put(b)
	}
	return err
}

// Close implements Transport.
func (w *WebSocket) Close(linger time.Duration) error {
	if !w.closing.Swap(true) {
		status := w.status
		if status == 0 {
			status = closeNormal
		}
		w.TCP.Write(appendFrame(nil, opClose, binary.BigEndian.AppendUint16(nil, status)))
	}
	return w.TCP.Close(linger)
}

// appendFrame writes one unmasked frame that is a whole message.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}
