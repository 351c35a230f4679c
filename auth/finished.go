package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// OpenSSL hands out the client's first Finished message as tls-unique also under TLS 1.3,
// for which nobody has defined it (RFC 9266 §3), and slixmpp before 1.8.5 binds SCRAM to
// that, whatever a server announces. The message depends on everything in the handshake
// and on a key that only its two ends have, so it does what a binding must do. It is
// accepted and never announced. crypto/tls does not give it away; what it logs for
// debugging is enough to read it from the bytes of the handshake.

// maxSecrets is how many handshakes may be under way; more lose what is kept of them.
const maxSecrets = 4096

// secrets holds a client's handshake traffic secret for as long as its handshake takes.
// It is a KeyLogWriter, and what it is told goes nowhere else.
type secrets struct {
	mu sync.Mutex // a leaf
	m  map[string]string
}

func (s *secrets) Write(line []byte) (int, error) {
	if rest, ok := bytes.CutPrefix(line, []byte("CLIENT_HANDSHAKE_TRAFFIC_SECRET ")); ok {
		random, secret, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
		s.mu.Lock()
		if s.m == nil || len(s.m) >= maxSecrets {
			s.m = map[string]string{}
		}
		s.m[random] = secret
		s.mu.Unlock()
	}
	return len(line), nil
}

// take returns and forgets the secret of the handshake whose client said random.
func (s *secrets) take(random []byte) []byte {
	key := hex.EncodeToString(random)
	s.mu.Lock()
	text := s.m[key]
	delete(s.m, key)
	s.mu.Unlock()
	secret, _ := hex.DecodeString(text)
	return secret
}

// recorded is a connection that remembers what the peer sent during the handshake.
type recorded interface{ Handshaken() []byte }

// finished returns the verify_data of the client's Finished message of a TLS 1.3
// handshake, nil where it cannot be had.
func (t *TLS) finished(conn *tls.Conn) []byte {
	r, ok := conn.NetConn().(recorded)
	if !ok {
		return nil
	}
	in := r.Handshaken()
	random := clientRandom(in)
	if random == nil {
		return nil
	}
	secret := t.secrets.take(random)
	state := conn.ConnectionState()
	if len(secret) == 0 || state.Version != tls.VersionTLS13 {
		return nil
	}
	aead, iv := handshakeKeys(state.CipherSuite, secret)
	if aead == nil {
		return nil
	}
	return findFinished(in, aead, iv)
}

// record cuts the first TLS record from b.
func record(b []byte) (header, body, rest []byte) {
	if len(b) < 5 {
		return nil, nil, nil
	}
	n := 5 + int(binary.BigEndian.Uint16(b[3:]))
	if len(b) < n {
		return nil, nil, nil
	}
	return b[:5], b[5:n], b[n:]
}

// clientRandom returns the random of the ClientHello that the handshake begins with.
func clientRandom(in []byte) []byte {
	header, body, _ := record(in)
	if header == nil || header[0] != 22 || len(body) < 38 || body[0] != 1 {
		return nil
	}
	return body[6:38]
}

// handshakeKeys makes the keys that protect the client's side of a handshake.
func handshakeKeys(suite uint16, secret []byte) (aead cipher.AEAD, iv []byte) {
	h, size := sha256.New, 16
	switch suite {
	case tls.TLS_AES_256_GCM_SHA384:
		h, size = sha512.New384, 32
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		size = chacha20poly1305.KeySize
	case tls.TLS_AES_128_GCM_SHA256:
	default:
		return nil, nil
	}
	key := expandLabel(h, secret, "key", size)
	iv = expandLabel(h, secret, "iv", 12)
	var err error
	if suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		aead, err = chacha20poly1305.New(key)
	} else if block, failed := aes.NewCipher(key); failed == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil || iv == nil {
		return nil, nil
	}
	return aead, iv
}

// expandLabel is HKDF-Expand-Label of TLS 1.3 with an empty context.
func expandLabel(h func() hash.Hash, secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	out, err := hkdf.Expand(h, secret, string(append(info, 0)), n)
	if err != nil {
		return nil
	}
	return out
}

// findFinished opens the client's protected records until the Finished message.
func findFinished(in []byte, aead cipher.AEAD, iv []byte) []byte {
	var messages []byte
	for seq := uint64(0); ; {
		header, body, rest := record(in)
		if header == nil {
			return nil
		}
		if in = rest; header[0] != 23 {
			continue
		}
		nonce := bytes.Clone(iv)
		for i := range 8 {
			nonce[4+i] ^= byte(seq >> (56 - 8*i))
		}
		seq++
		plain, err := aead.Open(nil, nonce, body, header)
		plain = bytes.TrimRight(plain, "\x00")
		if err != nil || len(plain) == 0 {
			return nil
		}
		if plain[len(plain)-1] != 22 {
			continue
		}
		messages = append(messages, plain[:len(plain)-1]...)
		for len(messages) >= 4 {
			n := 4 + int(messages[1])<<16 + int(messages[2])<<8 + int(messages[3])
			if len(messages) < n {
				break
			}
			if messages[0] == 20 {
				return messages[4:n]
			}
			messages = messages[n:]
		}
	}
}
