package s2s

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// The numbers of RFC 6698 §7.2 to §7.4.
const (
	usagePKIXTA = 0
	usagePKIXEE = 1
	usageDANETA = 2
	usageDANEEE = 3

	selectorCert = 0
	selectorSPKI = 1

	matchingFull   = 0
	matchingSHA256 = 1
	matchingSHA512 = 2
)

// An association is a TLSA record that can be used (RFC 6698 §4.1).
type association struct {
	usage, selector, matching uint8
	data                      []byte
}

func (a association) String() string {
	return fmt.Sprintf("TLSA %d %d %d", a.usage, a.selector, a.matching)
}

// usable reads the records that mean something to us. Of the digests for one usage and
// selector only the strongest counts (RFC 7671 §9).
func usable(records []dns.RR) (list []association) {
	var all []association
	strongest := map[[2]uint8]uint8{}
	for _, rr := range records {
		t, ok := rr.(*dns.TLSA)
		if !ok || t.Usage > usageDANEEE || t.Selector > selectorSPKI || t.MatchingType > matchingSHA512 {
			continue
		}
		data, err := hex.DecodeString(t.Certificate)
		if err != nil || !wellFormed(t.Selector, t.MatchingType, data) {
			continue
		}
		all = append(all, association{t.Usage, t.Selector, t.MatchingType, data})
		key := [2]uint8{t.Usage, t.Selector}
		strongest[key] = max(strongest[key], t.MatchingType)
	}
	for _, a := range all {
		if a.matching == matchingFull || a.matching == strongest[[2]uint8{a.usage, a.selector}] {
			list = append(list, a)
		}
	}
	return list
}

// wellFormed: digests have their length, and what is given in full can be read.
func wellFormed(selector, matching uint8, data []byte) bool {
	switch {
	case matching == matchingSHA256:
		return len(data) == sha256.Size
	case matching == matchingSHA512:
		return len(data) == sha512.Size
	case selector == selectorCert:
		_, err := x509.ParseCertificate(data)
		return err == nil
	}
	_, err := x509.ParsePKIXPublicKey(data)
	return err == nil
}

// matches compares a certificate with the record (RFC 6698 §2.1).
func (a association) matches(c *x509.Certificate) bool {
	data := c.Raw
	if a.selector == selectorSPKI {
		data = c.RawSubjectPublicKeyInfo
	}
	switch a.matching {
	case matchingSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchingSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return subtle.ConstantTimeCompare(data, a.data) == 1
}

// proves tries one record; nil where it proves the domain.
func (e *evidence) proves(a association) error {
	leaf := e.chain[0]
	switch a.usage {
	case usageDANEEE:
		// Neither names nor dates count (RFC 7671 §5.1).
		if !a.matches(leaf) {
			return errNoMatch
		}
		return nil
	case usagePKIXEE:
		if !a.matches(leaf) {
			return errNoMatch
		}
		_, err := e.pkix()
		return err
	case usagePKIXTA:
		return e.constrainedTo(a)
	}
	return e.anchored(a)
}

var errNoMatch = errors.New("it is for another certificate")

// constrainedTo wants a path to an authority that we know through the one of the record
// (RFC 7671 §5.4).
func (e *evidence) constrainedTo(a association) error {
	paths, err := e.pkix()
	if err != nil {
		return err
	}
	for _, path := range paths {
		for _, c := range path[1:] {
			if a.matches(c) {
				return nil
			}
		}
	}
	return errNoMatch
}

// anchored verifies the chain up to the authority of the record, and to no other (RFC 7671
// §5.2).
func (e *evidence) anchored(a association) error {
	roots, any := x509.NewCertPool(), false
	for _, c := range e.chain[1:] {
		if a.matches(c) {
			roots.AddCert(c)
			any = true
		}
	}
	if a.matching == matchingFull && !any {
		any = e.fromDNS(a, roots)
	}
	if !any {
		return errNoMatch
	}
	_, err := e.verify(roots, e.chain[1:])
	return err
}

// fromDNS adds the anchor that only the record has: its certificate, or the topmost one of the
// chain where the key of the record has signed that (RFC 7671 §5.2.2, §5.2.3).
func (e *evidence) fromDNS(a association, roots *x509.CertPool) bool {
	if a.selector == selectorCert {
		c, err := x509.ParseCertificate(a.data)
		if err != nil {
			return false
		}
		roots.AddCert(c)
		return true
	}
	key, err := x509.ParsePKIXPublicKey(a.data)
	if err != nil {
		return false
	}
	top := e.chain[len(e.chain)-1]
	issuer := &x509.Certificate{PublicKey: key}
	if strongKey(issuer) != nil || weakSignature(top.SignatureAlgorithm) || issuer.CheckSignature(top.SignatureAlgorithm, top.RawTBSCertificate, top.Signature) != nil {
		return false
	}
	roots.AddCert(top)
	return true
}

// weakSignature: crypto/x509 refuses these by itself where it looks for paths.
func weakSignature(a x509.SignatureAlgorithm) bool {
	return a == x509.SHA1WithRSA || a == x509.ECDSAWithSHA1 || a == x509.DSAWithSHA1
}
