//go:build interop

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority issues certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

// newAuthority makes one of this name, with files in a directory of its own that every user
// of the machine can read.
func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: openDir(t)}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write("authority.pem", pemOf("CERTIFICATE", der))
	return a
}

// A leaf says what a certificate is to be. The zero value is a good one.
type leaf struct {
	names      []string // dNSName, the first also as common name; none: the domain
	common     bool     // the domain is the common name in any case
	xmpp       bool     // with id-on-xmppAddr (RFC 6120 §13.7.1.4) and id-on-dnsSRV (RFC 4985) of the domain, and no dNSName at all
	expired    bool     // since yesterday
	selfSigned bool
	serverOnly bool // with the purpose serverAuth alone, as public authorities have it today
}

// A credential is a certificate in files.
type credential struct {
	cert, key, both string // PEM: the chain, the key, and these in one
	parsed          *x509.Certificate
}

// issue makes a certificate for a domain.
func (a *authority) issue(domain string, l leaf) credential {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: domain},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		DNSNames: l.names, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if l.serverOnly {
		template.ExtKeyUsage = template.ExtKeyUsage[:1]
	}
	if l.expired {
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	}
	if l.xmpp {
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: otherNames(a.t, domain)}}
	} else if l.names == nil {
		template.DNSNames = []string{domain}
	}
	if len(l.names) > 0 && !l.common {
		template.Subject.CommonName = l.names[0]
	}
	key := newKey(a.t)
	parent, signer := a.cert, a.key
	if l.selfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	chain, private := pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", secret)
	return credential{
		cert: a.write(domain+".crt", chain), key: a.write(domain+".key", private), both: a.write(domain+".pem", chain+private), parsed: parsed,
	}
}

// otherNames is the content of a subjectAltName with the names that XMPP has of its own.
func otherNames(t testing.TB, domain string) []byte {
	t.Helper()
	type utf8Name struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"tag:0,explicit,utf8"`
	}
	type ia5Name struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"tag:0,explicit,ia5"`
	}
	pkixOn := func(last int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, last} }
	var names []asn1.RawValue
	for _, name := range []any{utf8Name{pkixOn(5), domain}, ia5Name{pkixOn(7), "_xmpp-server." + domain}} {
		der, err := asn1.MarshalWithParams(name, "tag:0") // otherName (RFC 5280)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, asn1.RawValue{FullBytes: der})
	}
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (a *authority) write(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// openDir makes a directory that programs of other users can read; what they write goes into
// directories that are theirs.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "federation-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
