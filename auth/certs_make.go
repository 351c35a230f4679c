package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// OwnValidity is how long a certificate of our making is valid.
const OwnValidity = 825 * 24 * time.Hour

// loadOwn takes the certificate that we made for a domain, and makes it where there is
// none, or it is about to expire, or the names are others now. Certificate and key are
// in one file, so that a crash cannot leave one without the other.
func (c *Certs) loadOwn(h HostCert) (*hostCert, error) {
	if c.cfg.Dir == "" {
		return nil, errors.New("no certificate file is configured, and no directory to keep one of our own")
	}
	file := OwnFile(c.cfg.Dir, h.Host)
	hc, err := c.read(h, file, file)
	switch _, statErr := os.Stat(file); {
	case err == nil && c.fresh(h, hc):
		return hc, nil
	case err != nil && !errors.Is(statErr, fs.ErrNotExist):
		return nil, err // it is there and cannot be read: not ours to overwrite
	}
	data, err := makeOwn(h, c.cfg.Now())
	if err != nil {
		return nil, err
	}
	if err := writePrivate(file, data); err != nil {
		return nil, err
	}
	if hc, err = c.read(h, file, file); err == nil {
		c.cfg.Log.Info("made a certificate, signed by itself", "host", h.Host, "file", file,
			"until", hc.info.NotAfter, "sha256", hc.info.Fingerprint)
	}
	return hc, err
}

// OwnFile is where the certificate that we make for a domain is kept, with its key, below
// CertConfig.Dir.
func OwnFile(dir, host string) string { return filepath.Join(dir, fileName(host)+".pem") }

// fileName makes a file's name of a domain: an IPv6 address has colons and brackets.
func fileName(host string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:[]/\`, r) {
			return '_'
		}
		return r
	}, asciiHost(host))
}

// fresh reports whether a certificate of ours can stay in use.
func (c *Certs) fresh(h HostCert, hc *hostCert) bool {
	now, leaf := c.cfg.Now(), hc.cert.Leaf
	if now.Before(leaf.NotBefore) || leaf.NotAfter.Sub(now) < RenewBefore {
		return false
	}
	want := ownNames(h)
	have := describe(h.Host, "", leaf).Names
	for _, n := range slices.Concat(want.dns, want.addr, want.srv) {
		if !slices.Contains(have, n) {
			return false
		}
	}
	return true
}

// ownNames are those of RFC 6120 §13.7.1.2: the domain as dNSName, SRVName and XmppAddr,
// and its services as dNSName.
func ownNames(h HostCert) (n altNames) {
	if ip, ok := hostAddr(h.Host); ok {
		n.ips = append(n.ips, ip)
	} else {
		host := asciiHost(h.Host)
		n.dns = append(n.dns, host)
		n.srv = append(n.srv, "_xmpp-client."+host, "_xmpp-server."+host)
	}
	for _, s := range h.names() {
		n.dns = append(n.dns, asciiHost(s))
	}
	n.addr = append(n.addr, h.Host)
	return n
}

// makeOwn returns a new key and its certificate in PEM form. ECDSA P-256: a handshake
// costs a quarter of RSA's.
func makeOwn(h HostCert, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	names, err := ownNames(h).extension()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName(h.Host)},
		NotBefore:             now.Add(-time.Hour), // for clocks that are behind ours
		NotAfter:              now.Add(OwnValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{names},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(data, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), nil
}

// commonName is for people only; it has at most 64 characters (ub-common-name of RFC 5280).
func commonName(host string) string {
	if host = asciiHost(host); len(host) <= 64 {
		return host
	}
	return "parley"
}

// writePrivate replaces a file with one that only we may read, whole or not at all.
func writePrivate(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
