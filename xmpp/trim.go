package xmpp

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls keeps two input buffers at their high-water mark for as long as a
// connection lives: 3.5 KiB after a handshake, 16 KiB more after a large record. A
// parked connection needs neither. The offsets are looked up once by name and type; if
// a Go release renames them, nothing is trimmed and only memory is lost.
var rawInputAt, handAt = bufferOffset("rawInput"), bufferOffset("hand")

func bufferOffset(name string) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}

// trimTLS drops the empty input buffers of c. It may be called only by the goroutine
// that reads from c, right after a Read that said ErrMore: then no plaintext that has
// not been read lies in them.
func trimTLS(c *tls.Conn) {
	for _, b := range inputBuffers(c) {
		if b != nil && b.Len() == 0 && b.Cap() > 0 {
			*b = bytes.Buffer{}
		}
	}
}

// inputBuffers returns the buffers, nil for one that was not found.
func inputBuffers(c *tls.Conn) (list [2]*bytes.Buffer) {
	for i, at := range [...]uintptr{rawInputAt, handAt} {
		if at != 0 {
			list[i] = (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), at))
		}
	}
	return list
}
