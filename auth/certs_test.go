package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openCerts(t testing.TB, c *clock, hosts ...HostCert) *Certs {
	t.Helper()
	certs, err := OpenCerts(CertConfig{Dir: filepath.Join(t.TempDir(), "certs"), Hosts: hosts, Now: c.now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

func TestOwnCertificate(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: "münchen.example"})
	info := certs.Info()[0]
	for _, want := range []string{
		"xn--mnchen-3ya.example", "conference.xn--mnchen-3ya.example", "upload.xn--mnchen-3ya.example",
		"pubsub.xn--mnchen-3ya.example", "proxy.xn--mnchen-3ya.example",
		"münchen.example", "_xmpp-client.xn--mnchen-3ya.example", "_xmpp-server.xn--mnchen-3ya.example",
	} {
		if !slices.Contains(info.Names, want) {
			t.Errorf("%s is not in %v", want, info.Names)
		}
	}
	if info.KeyType != "ECDSA P-256" || !info.SelfSigned || !info.NotAfter.Equal(c.now().Add(OwnValidity)) || len(info.Fingerprint) != 95 {
		t.Errorf("%+v", info)
	}
	st, err := os.Stat(info.File)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(info.File)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// It stays as long as it is good, and is made anew when it is about to expire or has to
// name more.
func TestOwnCertificateIsRenewed(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: host})
	first := certs.Info()[0].Fingerprint
	reload := func() string {
		t.Helper()
		if err := certs.Reload(); err != nil {
			t.Fatal(err)
		}
		return certs.Info()[0].Fingerprint
	}
	c.at = c.at.Add(OwnValidity - RenewBefore - time.Hour)
	if reload() != first {
		t.Error("renewed too early")
	}
	c.at = c.at.Add(2 * time.Hour)
	second := reload()
	if second == first {
		t.Error("not renewed")
	}
	certs.cfg.Hosts = []HostCert{{Host: host, Names: []string{"rooms.example.org"}}}
	if reload() == second {
		t.Error("not renewed for another name")
	}
	if err := certs.cfg.Hosts[0].check(certs, "rooms.example.org"); err != nil {
		t.Error(err)
	}
}

// check verifies that the certificate in use is good for a name.
func (h HostCert) check(c *Certs, name string) error {
	return c.table.Load().pick(name, "").cert.Leaf.VerifyHostname(name)
}

func TestOwnCertificateOfAnAddress(t *testing.T) {
	certs := openCerts(t, newClock(), HostCert{Host: "[::1]"}, HostCert{Host: "127.0.0.1"})
	for i, want := range []string{"::1", "127.0.0.1"} {
		if err := certs.table.Load().all[i].cert.Leaf.VerifyHostname(want); err != nil {
			t.Error(err)
		}
	}
}

// A file of ours that cannot be read is not overwritten.
func TestBrokenOwnFileIsKept(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: host})
	file := certs.Info()[0].File
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := certs.Info()[0].Fingerprint
	if err := certs.Reload(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "something else" || certs.Info()[0].Fingerprint != before {
		t.Error("overwritten, or the certificate in use has changed")
	}
}

func TestPick(t *testing.T) {
	c := newClock()
	ca := newAuthority(t, c.now())
	wild := writePair(t, ca, &x509.Certificate{DNSNames: []string{"*.wild.example", "wild.example", "one.example"}})
	certs := openCerts(t, c, HostCert{Host: "one.example"}, HostCert{Host: "two.example"}, HostCert{Host: "wild.example", Names: []string{}, CertFile: wild})
	for _, e := range [][3]string{
		{"one.example", "", "one.example"}, // configured before what a certificate says of itself
		{"TWO.example", "", "two.example"},
		{"two.example.", "", "two.example"},
		{"conference.two.example", "", "two.example"},
		{"any.wild.example", "", "wild.example"},
		{"a.b.wild.example", "", "one.example"}, // a wildcard is one label
		{"", "", "one.example"},
		{"", "two.example", "two.example"},
		{"nobody.example", "two.example", "two.example"},
		{"one.example", "two.example", "one.example"},
		{"*.wild.example", "", "wild.example"},
	} {
		if got := certs.table.Load().pick(e[0], e[1]).info.Host; got != e[2] {
			t.Errorf("asked for %q at %q: %s, want %s", e[0], e[1], got, e[2])
		}
	}
	if got := certs.Certificate("two.example").Leaf.DNSNames[0]; got != "two.example" {
		t.Error(got)
	}
}

// writePair writes a certificate, what leads to its authority, and its key to a file.
func writePair(t testing.TB, ca *authority, template *x509.Certificate, chain ...*x509.Certificate) string {
	t.Helper()
	cert, key := ca.issue(t, template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, append([]*x509.Certificate{cert}, chain...), der)
}

func writePEM(t testing.TB, chain []*x509.Certificate, key []byte) string {
	t.Helper()
	var out bytes.Buffer
	for _, c := range chain {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	if key != nil {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	}
	file := filepath.Join(t.TempDir(), "pair.pem")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReplacedWhileRunning(t *testing.T) {
	c := newClock()
	ca := newAuthority(t, c.now())
	file := writePair(t, ca, &x509.Certificate{DNSNames: []string{host}}, ca.cert)
	certs := openCerts(t, c, HostCert{Host: host, CertFile: file})
	before := certs.Info()[0].Fingerprint
	next, err := os.ReadFile(writePair(t, ca, &x509.Certificate{DNSNames: []string{host}}, ca.cert))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, next, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := certs.Reload(); err != nil || certs.Info()[0].Fingerprint == before {
		t.Errorf("%v, or still the old one", err)
	}
}

// What is wrong with files is said so that people understand it.
func TestProblemsInPlainWords(t *testing.T) {
	c := newClock()
	ca := newAuthority(t, c.now())
	named := func() *x509.Certificate { return &x509.Certificate{DNSNames: []string{host}} }
	old := named()
	old.NotBefore, old.NotAfter = c.now().Add(-48*time.Hour), c.now().Add(-24*time.Hour)
	soon := named()
	soon.NotBefore, soon.NotAfter = c.now().Add(-48*time.Hour), c.now().Add(24*time.Hour)
	later := named()
	later.NotBefore, later.NotAfter = c.now().Add(24*time.Hour), c.now().Add(48*time.Hour)
	other := newAuthority(t, c.now())
	open := writePair(t, ca, named(), ca.cert)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		writePair(t, ca, old, ca.cert):                                                     "expired on 2026-11-20",
		writePair(t, ca, soon, ca.cert):                                                    "expires soon, on 2026-11-22",
		writePair(t, ca, later, ca.cert):                                                   "valid only from 2026-11-22",
		writePair(t, ca, &x509.Certificate{DNSNames: []string{"x.y"}}, ca.cert):            "does not name example.org, only: x.y",
		writePair(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: host}}, ca.cert): "does not name example.org",
		writePair(t, ca, named()):                                                          "full chain",
		writePair(t, ca, named(), other.cert):                                              "broken or out of order",
		open:                                                                               "may read the key",
		writeSigned(t, c, rsaKey(t, 2048)):                                                 "its key is RSA",
		writeSigned(t, c, edKey(t)):                                                        "tls-server-end-point",
	} {
		certs := openCerts(t, c, HostCert{Host: host, CertFile: file})
		if got := strings.Join(certs.Info()[0].Problems, "; "); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	good := openCerts(t, c, HostCert{Host: host, CertFile: writePair(t, ca, named(), ca.cert)})
	if got := good.Info()[0].Problems; len(got) > 0 {
		t.Errorf("a good one: %q", got)
	}
}

func TestFilesThatCannotWork(t *testing.T) {
	c := newClock()
	ca := newAuthority(t, c.now())
	cert, _ := ca.issue(t, &x509.Certificate{DNSNames: []string{host}})
	_, otherKey := ca.issue(t, &x509.Certificate{DNSNames: []string{host}})
	other, _ := x509.MarshalPKCS8PrivateKey(otherKey)
	for _, e := range [][3]string{
		{filepath.Join(t.TempDir(), "none.pem"), "", "does not exist"},
		{writePEM(t, []*x509.Certificate{cert}, other), "", "does not belong to the first certificate"},
		{writePEM(t, nil, other), "", "has no certificate"},
		{writePEM(t, []*x509.Certificate{cert}, nil), "", "has no private key"},
		{writeSigned(t, c, rsaKey(t, 1024)), "", "too short"},
	} {
		_, err := OpenCerts(CertConfig{Hosts: []HostCert{{Host: host, CertFile: e[0], KeyFile: e[1]}}, Now: c.now})
		if err == nil || !strings.Contains(err.Error(), e[2]) || !strings.Contains(err.Error(), host) {
			t.Errorf("%v, want %q", err, e[2])
		}
	}
	if _, err := OpenCerts(CertConfig{}); err == nil {
		t.Error("no domain at all is fine")
	}
}

type signer interface {
	public() any
	private() any
}
type rsaSigner struct{ *rsa.PrivateKey }

func (s rsaSigner) public() any  { return &s.PublicKey }
func (s rsaSigner) private() any { return s.PrivateKey }

type edSigner struct{ ed25519.PrivateKey }

func (s edSigner) public() any  { return s.PrivateKey.Public() }
func (s edSigner) private() any { return s.PrivateKey }

func rsaKey(t testing.TB, bits int) signer {
	t.Helper()
	if bits < 1024 {
		t.Fatal("no")
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return rsaSigner{key}
}

func edKey(t testing.TB) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return edSigner{key}
}

// writeSigned writes a certificate that a key of any kind has signed for itself.
func writeSigned(t testing.TB, c *clock, key signer) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: c.now().Add(-time.Hour), NotAfter: c.now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.public(), key.private())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key.private())
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, []*x509.Certificate{cert}, private)
}

// RFC 5929 §4.1: the hash of the signature, SHA-256 at least.
func TestEndPoint(t *testing.T) {
	raw := []byte("a certificate")
	s256, s384, s512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	for algorithm, want := range map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA: s256[:], x509.SHA1WithRSA: s256[:], x509.ECDSAWithSHA1: s256[:], x509.ECDSAWithSHA256: s256[:],
		x509.SHA256WithRSAPSS: s256[:], x509.ECDSAWithSHA384: s384[:], x509.SHA384WithRSA: s384[:], x509.SHA512WithRSA: s512[:],
		x509.ECDSAWithSHA512: s512[:], x509.PureEd25519: nil, x509.UnknownSignatureAlgorithm: nil,
	} {
		if got := EndPoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: algorithm}); !bytes.Equal(got, want) {
			t.Errorf("%v: %x", algorithm, got)
		}
	}
}

// TestReplaceHosts changes the list of domains under a running server.
func TestReplaceHosts(t *testing.T) {
	c := openCerts(t, newClock(), HostCert{Host: "a.example"})
	if err := c.Replace([]HostCert{{Host: "a.example"}, {Host: "b.example"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Certificate("b.example").Leaf.VerifyHostname("b.example"); err != nil {
		t.Error(err)
	}
	if err := c.Replace([]HostCert{{Host: "a.example", CertFile: "/nowhere"}}); err == nil {
		t.Error("a file that does not exist was taken")
	}
	if err := c.Reload(); err != nil || len(c.Info()) != 2 {
		t.Errorf("after a failed change: %v, %d certificates", err, len(c.Info()))
	}
}

// A spare domain has a certificate of its own only where no other is for it and its names.
func TestSpare(t *testing.T) {
	dir := t.TempDir()
	made := func(host string) bool {
		_, err := os.Stat(OwnFile(dir, host))
		return err == nil
	}
	hosts := []HostCert{
		{Host: "irc.example.org", Names: []string{}, Spare: true},
		{Host: "upload.example.org", Names: []string{}, Spare: true},
		{Host: "example.org"},
		{Host: "pubsub.example.org", Names: []string{"*.pubsub.example.org"}, Spare: true},
	}
	c, err := OpenCerts(CertConfig{Dir: dir, Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	if !made("example.org") || !made("irc.example.org") || made("upload.example.org") || !made("pubsub.example.org") {
		t.Error("other certificates were made than are needed")
	}
	if n := len(c.Info()); n != 3 {
		t.Errorf("there are %d", n)
	}
	for host, names := range map[string]string{"irc.example.org": "irc.example.org", "upload.example.org": "upload.example.org", "a.pubsub.example.org": "*.pubsub.example.org", "other.example": "example.org"} {
		if !slices.Contains(c.Certificate(host).Leaf.DNSNames, names) {
			t.Errorf("%s has the certificate for %v", host, c.Certificate(host).Leaf.DNSNames)
		}
	}
	if err := c.Replace(hosts[2:3]); err != nil || len(c.Info()) != 1 {
		t.Errorf("%v; there are %d", err, len(c.Info()))
	}
}
