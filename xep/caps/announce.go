package caps

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"

	"parley/xmpp"
)

const (
	nsCaps   = "http://jabber.org/protocol/caps"
	nsCaps2  = "urn:xmpp:caps"
	nsHashes = "urn:xmpp:hashes:2"
)

// Limits of what one presence may announce.
const (
	maxHashes = 8    // of a capability hash set; more are not looked at
	maxNode   = 1024 // bytes of the node that is asked
)

// A digest is one hash that was announced, or verified. It is the same for all who can do
// the same.
type digest struct {
	generation  string // "0115" or "0390": what it is a hash of
	algo, value string
}

func (d digest) String() string { return d.generation + " " + d.algo + " " + d.value }

// of reports whether the digest is that of some octets.
func (d digest) of(s []byte) bool {
	h := hashFunction(d.algo)
	h.Write(s)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == d.value
}

// An announcement is what presence says of the capabilities of who sent it.
type announcement struct {
	node    string   // of the disco#info that is asked
	digests []digest // that the answer is compared with; none: it cannot be verified
}

// announced reads the announcement of a presence stanza; ok is false where there is none, or
// none that makes sense. Where both generations are there the newer one is believed, and
// what it finds is compared with the older one too (XEP-0390 §7.2).
func announced(st *xmpp.Stanza) (an announcement, ok bool) {
	old := announcedOld(st.Child(nsCaps, "c"))
	an = announcedNew(st.Child(nsCaps2, "c"))
	if an.node == "" {
		return old, old.node != ""
	}
	an.digests = append(an.digests, old.digests...)
	return an, true
}

// same reports whether two announcements are the same.
func (an announcement) same(other announcement) bool {
	return an.node == other.node && slices.Equal(an.digests, other.digests)
}

// trusted are the digests that say what somebody can do without being asked: those of the
// newer generation alone, where there are such (XEP-0390 §7.2).
func (an announcement) trusted() []digest {
	for i, d := range an.digests {
		if d.generation != an.digests[0].generation {
			return an.digests[:i]
		}
	}
	return an.digests
}

// announcedOld reads an announcement of XEP-0115 §4. One without 'hash', and one of a
// function that is not known here, can be asked for and not be verified (XEP-0115 §5.4).
func announcedOld(c xmpp.Element) (an announcement) {
	node, ver, algo := c.Attr("node"), c.Attr("ver"), c.Attr("hash")
	if node == "" || ver == "" || len(node)+len(ver) > maxNode {
		return an
	}
	an.node = node + "#" + ver
	if strings.HasPrefix(algo, "sha-") && wellFormed(algo, ver) {
		an.digests = []digest{{"0115", algo, ver}}
	}
	return an
}

// announcedNew reads a capability hash set (XEP-0390 §5.4). What is asked for is the first
// hash of a function that is known here. SHA-1 is too weak for it (XEP-0300 §4).
func announcedNew(c xmpp.Element) (an announcement) {
	n := 0
	for e := range c.Children {
		if n++; n > maxHashes {
			break
		}
		algo, value := e.Attr("algo"), strings.TrimSpace(e.Text())
		if !e.Is(nsHashes, "hash") || algo == "sha-1" || !wellFormed(algo, value) {
			continue
		}
		if an.node == "" {
			an.node = nsCaps2 + "#" + algo + "." + value // XEP-0390 §4.3
		}
		an.digests = append(an.digests, digest{"0390", algo, value})
	}
	return an
}

// wellFormed reports whether a value is one that the function gives, in the one form of
// Base64 that is right.
func wellFormed(algo, value string) bool {
	h := hashFunction(algo)
	if h == nil || len(value) > base64.StdEncoding.EncodedLen(h.Size()) {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(value)
	return err == nil && len(b) == h.Size() && base64.StdEncoding.EncodeToString(b) == value
}

// hashFunction returns a function by its name (XEP-0300 §4), nil for one that is not known
// here.
func hashFunction(algo string) (h hash.Hash) {
	switch algo {
	case "sha-1":
		h = sha1.New()
	case "sha-224":
		h = sha256.New224()
	case "sha-256":
		h = sha256.New()
	case "sha-384":
		h = sha512.New384()
	case "sha-512":
		h = sha512.New()
	case "sha3-256":
		h = sha3.New256()
	case "sha3-512":
		h = sha3.New512()
	case "blake2b-256":
		h, _ = blake2b.New256(nil) // fails for long keys only
	case "blake2b-512":
		h, _ = blake2b.New512(nil)
	}
	return h
}
