package router

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"

	"parley/xmpp"
)

const (
	nsCaps   = "http://jabber.org/protocol/caps"
	nsCaps2  = "urn:xmpp:caps"
	nsHashes = "urn:xmpp:hashes:2"

	// capsNode names this software in entity capabilities (XEP-0115 §4).
	capsNode = "urn:x-parley:server"
)

// Caps are hashes of what the server is and can do on one of its domains.
type Caps struct {
	Ver    string // the verification string of XEP-0115 §5.1, with SHA-1
	Hashes []Hash // the capability hash set of XEP-0390 §4.2
}

// A Hash is a capability hash: the name of a function (XEP-0300 §4), and its value in
// Base64.
type Hash struct{ Algo, Value string }

// Node is the node that is asked for what the hash is of (XEP-0390 §4.3).
func (h Hash) Node() string { return nsCaps2 + "#" + h.Algo + "." + h.Value }

// names reports whether a node of disco#info is one of these.
func (c Caps) names(node string) bool {
	for _, h := range c.Hashes {
		if node == h.Node() {
			return true
		}
	}
	return node == capsNode+"#"+c.Ver
}

// Features returns the two stream features that announce them (XEP-0115 §6.3,
// XEP-0390 §5.2).
func (c Caps) Features() xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsCaps, "c", "hash", "sha-1", "node", capsNode, "ver", c.Ver).Close()
	b.Open(nsCaps2, "c")
	for _, h := range c.Hashes {
		b.Leaf(nsHashes, "hash", h.Value, "algo", h.Algo)
	}
	return b.Payload()
}

// Caps returns the server's own capabilities on one of its domains.
func (r *Router) Caps(host string) Caps {
	d := &r.disco
	d.mu.Lock()
	c, ok := d.caps[host]
	d.mu.Unlock()
	if ok {
		return c
	}
	about := r.about(host)
	in := xmpp.Info{Features: about.Features, Forms: about.Forms}
	for _, id := range about.Identities {
		in.Identities = append(in.Identities, xmpp.Identity{Category: id.Category, Type: id.Type, Name: id.Name})
	}
	if s, err := in.Legacy(); err != nil {
		r.log.Error("the server's own capabilities", "error", err)
	} else {
		sum := sha1.Sum(s)
		c.Ver = base64.StdEncoding.EncodeToString(sum[:])
	}
	if s, err := in.Input(); err != nil {
		r.log.Error("the server's own capabilities", "error", err)
	} else {
		two, three := sha256.Sum256(s), sha3.Sum256(s)
		c.Hashes = []Hash{
			{"sha-256", base64.StdEncoding.EncodeToString(two[:])},
			{"sha3-256", base64.StdEncoding.EncodeToString(three[:])},
		}
	}
	d.mu.Lock()
	d.caps[host] = c
	d.mu.Unlock()
	return c
}

// forgetCaps has the hashes computed again, after a reload.
func (d *disco) forgetCaps() {
	d.mu.Lock()
	d.caps = map[string]Caps{}
	d.mu.Unlock()
}
