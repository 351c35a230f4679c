package bytestreams

import (
	"errors"
	"io"
	"strings"
)

// What SOCKS5 says in numbers (RFC 1928).
const (
	version      = 5
	noProof      = 0    // a method: nobody proves who they are
	noMethod     = 0xff // none of those that were offered
	connect      = 1    // a command
	byName       = 3    // a kind of address
	succeeded    = 0    // answers
	notAllowed   = 2
	noCommand    = 7
	noAddressing = 8
)

// hashChars is how long the hexadecimal form of a SHA-1 is.
const hashChars = 40

var errSOCKS = errors.New("bytestreams: this is not SOCKS5 as XEP-0065 has it")

// greet reads what somebody wants who has connected, and returns what they have shown: the hash
// of a stream in lower case (XEP-0065 §6.3.2, §10.2). What is refused is answered. accept answers
// the rest, and is to be called once.
func greet(rw io.ReadWriter) (shown string, accept func(ok bool) error, err error) {
	var b [2]byte
	if _, err := io.ReadFull(rw, b[:]); err != nil {
		return "", nil, err
	}
	if b[0] != version {
		return "", nil, errSOCKS
	}
	methods := make([]byte, b[1])
	if _, err := io.ReadFull(rw, methods); err != nil {
		return "", nil, err
	}
	if strings.IndexByte(string(methods), noProof) < 0 {
		rw.Write([]byte{version, noMethod})
		return "", nil, errSOCKS
	}
	if _, err := rw.Write([]byte{version, noProof}); err != nil {
		return "", nil, err
	}
	return readRequest(rw)
}

func readRequest(rw io.ReadWriter) (shown string, accept func(ok bool) error, err error) {
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return "", nil, err
	}
	refuse := byte(succeeded)
	switch {
	case head[0] != version:
		return "", nil, errSOCKS
	case head[1] != connect: // UDP is optional (XEP-0065 §8), and nobody does it
		refuse = noCommand
	case head[3] != byName:
		refuse = noAddressing
	}
	if refuse != succeeded {
		rw.Write([]byte{version, refuse, 0, 1, 0, 0, 0, 0, 0, 0})
		return "", nil, errSOCKS
	}
	var n [1]byte
	if _, err := io.ReadFull(rw, n[:]); err != nil {
		return "", nil, err
	}
	addr := make([]byte, int(n[0])+2) // with the port, which says nothing
	if _, err := io.ReadFull(rw, addr); err != nil {
		return "", nil, err
	}
	answer := func(code byte) error {
		_, err := rw.Write(append([]byte{version, code, 0, byName, n[0]}, addr...)) // as it was asked (XEP-0065 §6.3.2)
		return err
	}
	shown = strings.ToLower(string(addr[:n[0]]))
	if len(shown) != hashChars || strings.Trim(shown, "0123456789abcdef") != "" {
		answer(notAllowed)
		return "", nil, errSOCKS // no other hosts are to be had here
	}
	return shown, func(ok bool) error {
		if !ok {
			return answer(notAllowed)
		}
		return answer(succeeded)
	}, nil
}
