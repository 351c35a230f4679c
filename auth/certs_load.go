package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// CertInfo describes a certificate to people.
type CertInfo struct {
	Host        string
	File        string
	Names       []string // dNSName, then IP addresses, XmppAddr and SRVName
	NotBefore   time.Time
	NotAfter    time.Time
	Fingerprint string // SHA-256 of the certificate, as aa:bb:..., in hexadecimal
	KeyType     string // "ECDSA P-256", "RSA 2048", "Ed25519"
	Issuer      string
	SelfSigned  bool
	// Problems are what an operator should know, each a sentence without its full stop.
	Problems []string
}

// load reads the files of one domain, or takes care of our own.
func (c *Certs) load(h HostCert) (*hostCert, error) {
	if h.CertFile == "" {
		return c.loadOwn(h)
	}
	key := h.KeyFile
	if key == "" {
		key = h.CertFile
	}
	hc, err := c.read(h, h.CertFile, key)
	if err != nil {
		return nil, err
	}
	hc.info.Problems = c.problems(h, hc, key)
	return hc, nil
}

// read loads a certificate and its key and refuses what cannot work at all.
func (c *Certs) read(h HostCert, certFile, keyFile string) (*hostCert, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fileError(err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fileError(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, pairError(certFile, keyFile, err)
	}
	if key, ok := cert.Leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		// RFC 9325 §4.5
		return nil, fmt.Errorf("%s: an RSA key of %d bits is too short, it must have 2048", certFile, key.N.BitLen())
	}
	return &hostCert{cert: cert, endPoint: EndPoint(cert.Leaf), info: describe(h.Host, certFile, cert.Leaf)}, nil
}

func fileError(err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the file %s does not exist", p.Path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the file %s may not be read by the user the server runs as", p.Path)
	}
	return err
}

// pairError says what the standard library found, and where.
func pairError(certFile, keyFile string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "does not match"):
		return fmt.Errorf("the key in %s does not belong to the first certificate in %s", keyFile, certFile)
	case strings.Contains(text, "certificate input") || strings.Contains(text, `"CERTIFICATE"`):
		return fmt.Errorf("%s has no certificate in PEM form", certFile)
	case strings.Contains(text, "key input") || strings.Contains(text, "rather than a key"):
		return fmt.Errorf("%s has no private key in PEM form (or it is protected by a password)", keyFile)
	}
	return fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
}

func describe(host, file string, leaf *x509.Certificate) CertInfo {
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(append(names, XMPPAddrs(leaf)...), SRVNames(leaf)...)
	sum := sha256.Sum256(leaf.Raw)
	return CertInfo{
		Host: host, File: file, Names: names,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		Fingerprint: colons(sum[:]), KeyType: keyType(leaf), Issuer: leaf.Issuer.String(),
		SelfSigned: bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil,
	}
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, ":")
}

func keyType(leaf *x509.Certificate) string {
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return leaf.PublicKeyAlgorithm.String()
}

// problems finds what will make peers refuse the certificate, or is unwise.
func (c *Certs) problems(h HostCert, hc *hostCert, keyFile string) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	leaf, now := hc.cert.Leaf, c.cfg.Now()
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case now.After(leaf.NotAfter):
		say("it has expired on %s: clients and other servers refuse it", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		say("it is valid only from %s on: clients refuse it, or our clock is wrong", day(leaf.NotBefore))
	case leaf.NotAfter.Sub(now) < RenewBefore:
		say("it expires soon, on %s", day(leaf.NotAfter))
	}
	if leaf.VerifyHostname(asciiHost(h.Host)) != nil {
		say("it does not name %s, only: %s", h.Host, strings.Join(hc.info.Names, ", "))
	}
	for _, n := range h.Names {
		if leaf.VerifyHostname(asciiHost(n)) != nil {
			say("it does not name %s: other servers may not reach that service", n)
		}
	}
	if p := chainProblem(hc); p != "" {
		say("%s", p)
	}
	switch {
	case strings.HasPrefix(hc.info.KeyType, "RSA"):
		say("its key is RSA: an ECDSA P-256 key makes each connection cost the server a quarter")
	case hc.endPoint == nil:
		say("its signature has no hash function: clients cannot use tls-server-end-point")
	}
	if st, err := os.Stat(keyFile); err == nil && st.Mode().Perm()&0o007 != 0 {
		say("everybody on this machine may read the key in %s", keyFile)
	}
	return list
}

// chainProblem looks at what follows the certificate in its file: each must have signed
// the one before.
func chainProblem(hc *hostCert) string {
	if len(hc.cert.Certificate) == 1 {
		if hc.info.SelfSigned {
			return "it is signed by itself: others accept it only if somebody tells them to"
		}
		return "its file holds no certificate of the authority between it and the root: many peers will refuse it (use the full chain)"
	}
	child := hc.cert.Leaf
	for i, der := range hc.cert.Certificate[1:] {
		parent, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Sprintf("certificate %d of its file cannot be read: %v", i+2, err)
		}
		if child.CheckSignatureFrom(parent) != nil {
			return fmt.Sprintf("certificate %d of its file has not signed certificate %d: the chain is broken or out of order", i+2, i+1)
		}
		child = parent
	}
	return ""
}
