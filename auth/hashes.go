package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
)

// minIterations is the least that RFC 5802 §5.1 and RFC 7677 §4 ask for.
const minIterations = 4096

// maxIterations bounds what an import may bring: more would make every PLAIN login of
// that account stop a hasher for seconds.
const maxIterations = 10_000_000

// saltSize is the length of a new salt in bytes: 128 bits.
const saltSize = 16

// A Hash is a hash function that SCRAM is used with, by the name in its mechanism.
type Hash string

const (
	SHA1   Hash = "SHA-1"   // RFC 5802
	SHA256 Hash = "SHA-256" // RFC 7677
	SHA512 Hash = "SHA-512"
)

// hashes returns all of them, the strongest first.
func hashes() [3]Hash { return [3]Hash{SHA512, SHA256, SHA1} }

// cheapest returns them in the order in which PLAIN takes one: SHA-256 and SHA-1 cost
// the same where the processor has instructions for them, SHA-512 more than twice that.
func cheapest() [3]Hash { return [3]Hash{SHA256, SHA1, SHA512} }

func (h Hash) known() bool { return h == SHA1 || h == SHA256 || h == SHA512 }

func (h Hash) new() hash.Hash {
	switch h {
	case SHA1:
		return sha1.New()
	case SHA512:
		return sha512.New()
	}
	return sha256.New()
}

func (h Hash) size() int {
	switch h {
	case SHA1:
		return sha1.Size
	case SHA512:
		return sha512.Size
	}
	return sha256.Size
}

// sum is H() of RFC 5802 §2.2.
func (h Hash) sum(b []byte) []byte {
	switch h {
	case SHA1:
		s := sha1.Sum(b)
		return s[:]
	case SHA512:
		s := sha512.Sum512(b)
		return s[:]
	}
	s := sha256.Sum256(b)
	return s[:]
}

// mac is HMAC() of RFC 5802 §2.2.
func (h Hash) mac(key, msg []byte) []byte {
	m := hmac.New(h.new, key)
	m.Write(msg)
	return m.Sum(make([]byte, 0, h.size()))
}

// A Credential proves a password without holding it (RFC 5802 §3): what the server keeps
// for one account and one hash.
type Credential struct {
	Hash       Hash
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// check reports what makes a credential from elsewhere unusable.
func (c Credential) check() error {
	switch {
	case !c.Hash.known():
		return fmt.Errorf("auth: unknown hash %q", c.Hash)
	case len(c.Salt) == 0 || len(c.Salt) > 256:
		return fmt.Errorf("auth: a salt of %d bytes", len(c.Salt))
	case c.Iterations < 1 || c.Iterations > maxIterations:
		return fmt.Errorf("auth: %d iterations", c.Iterations)
	case len(c.StoredKey) != c.Hash.size() || len(c.ServerKey) != c.Hash.size():
		return fmt.Errorf("auth: keys of a wrong length for %s", c.Hash)
	}
	return nil
}

// derive makes the credential of a prepared password (RFC 5802 §3). It is slow: call it
// with a hasher of the gate in hand.
func derive(h Hash, prepared string, salt []byte, iterations int) (Credential, error) {
	salted, err := pbkdf2.Key(h.new, prepared, salt, iterations, h.size())
	if err != nil {
		return Credential{}, fmt.Errorf("auth: %w", err)
	}
	return fromSalted(h, salted, salt, iterations), nil
}

// fromSalted makes the credential of a SaltedPassword (RFC 5802 §3).
func fromSalted(h Hash, salted, salt []byte, iterations int) Credential {
	return Credential{
		Hash: h, Salt: salt, Iterations: iterations,
		StoredKey: h.sum(h.mac(salted, []byte("Client Key"))),
		ServerKey: h.mac(salted, []byte("Server Key")),
	}
}

// proves reports whether proof is the ClientProof for authMessage (RFC 5802 §3). It
// takes the same time whatever the answer.
func (c Credential) proves(authMessage, proof []byte) bool {
	signature := c.Hash.mac(c.StoredKey, authMessage)
	if len(proof) != len(signature) {
		return false
	}
	subtle.XORBytes(signature, signature, proof) // now the ClientKey
	return subtle.ConstantTimeCompare(c.Hash.sum(signature), c.StoredKey) == 1
}

// signature is the ServerSignature for authMessage (RFC 5802 §3).
func (c Credential) signature(authMessage []byte) []byte {
	return c.Hash.mac(c.ServerKey, authMessage)
}
