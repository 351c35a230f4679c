package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"
)

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
}

func newAuthority(t testing.TB, now time.Time) *authority {
	t.Helper()
	ca := &authority{now: now}
	ca.cert, ca.key = ca.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return ca
}

// issue signs a template; the first one signs itself.
func (ca *authority) issue(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = ca.now.Add(-time.Hour), ca.now.Add(365*24*time.Hour)
	}
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// person makes the template of a client's certificate.
func person(t testing.TB, commonName string, addrs ...string) *x509.Certificate {
	t.Helper()
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: commonName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if len(addrs) > 0 {
		ext, err := altNames{addr: addrs}.extension()
		if err != nil {
			t.Fatal(err)
		}
		cert.ExtraExtensions = []pkix.Extension{ext}
	}
	return cert
}

func (ca *authority) channel(t testing.TB, template *x509.Certificate) Channel {
	t.Helper()
	cert, _ := ca.issue(t, template)
	ch := channel(somewhere)
	ch.Certs = []*x509.Certificate{cert, ca.cert}
	return ch
}

func TestExternal(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	create(t, a, "julia", "pencil")
	ca := newAuthority(t, c.now())
	for name, e := range map[string]struct {
		addrs         []string
		authzid, want string
		as            string
	}{
		"one":                     {[]string{"romeo@example.org"}, "", "", "romeo"},
		"one, named":              {[]string{"romeo@example.org"}, "romeo@example.org", "", "romeo"},
		"one, upper case":         {[]string{"Romeo@Example.org"}, "ROMEO@example.org", "", "romeo"},
		"one of two":              {[]string{"romeo@example.org", "julia@example.org"}, "julia@example.org", "", "julia"},
		"two, none chosen":        {[]string{"romeo@example.org", "julia@example.org"}, "", InvalidAuthzid, ""},
		"one here, one elsewhere": {[]string{"romeo@other.org", "julia@example.org"}, "", "", "julia"},
		"somebody else":           {[]string{"romeo@example.org"}, "julia@example.org", InvalidAuthzid, ""},
		"with resource":           {[]string{"romeo@example.org"}, "romeo@example.org/x", InvalidAuthzid, ""},
		"no account":              {[]string{"tybalt@example.org"}, "", NotAuthorized, ""},
	} {
		ch := ca.channel(t, person(t, "julia@example.org", e.addrs...))
		if m := a.Mechanisms(ch); m[0] != "EXTERNAL" {
			t.Errorf("%s: offered %v", name, m)
		}
		x := begin(t, a, "EXTERNAL", ch)
		_, _, err := x.Step(context.Background(), []byte(e.authzid))
		if got := condition(t, err); got != e.want || x.Account().JID.Local() != e.as {
			t.Errorf("%s: %q as %v (%v)", name, got, x.Account().JID, err)
		}
		a.lockout.addresses.Purge()
	}
}

// The identity is an XmppAddr and nothing else: no common name, no mail address, no host
// name, no address of another domain, no badly encoded one. Then EXTERNAL is not offered.
func TestExternalTakesNoOtherName(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ca := newAuthority(t, c.now())
	mail := person(t, "romeo@example.org")
	mail.EmailAddresses = []string{"romeo@example.org"}
	mail.DNSNames = []string{"romeo.example.org"}
	raw := func(id asn1.ObjectIdentifier, tag int, value string) *x509.Certificate {
		p := person(t, "x")
		oid, _ := asn1.Marshal(id)
		val, _ := asn1.Marshal(asn1.RawValue{Tag: tag, Bytes: []byte(value)})
		outer, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: val})
		san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(oid, outer...)}})
		if err != nil {
			t.Fatal(err)
		}
		p.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName(), Value: san}}
		return p
	}
	for name, template := range map[string]*x509.Certificate{
		"common name":     person(t, "romeo@example.org"),
		"DN with a comma": person(t, "mallory, CN=romeo@example.org"),
		"mail and DNS":    mail,
		"other domain":    person(t, "romeo", "romeo@other.org"),
		"domain only":     person(t, "romeo", "example.org"),
		"full JID":        person(t, "romeo", "romeo@example.org/phone"),
		"no JID":          person(t, "romeo", "@@"),
		"other kind":      raw(idOn(onDNSSRV), asn1.TagUTF8String, "romeo@example.org"),
		"other encoding":  raw(idOn(onXMPPAddr), asn1.TagPrintableString, "romeo@example.org"),
		"NUL":             raw(idOn(onXMPPAddr), asn1.TagUTF8String, "romeo@example.org\x00.evil.org"),
		"not UTF-8":       raw(idOn(onXMPPAddr), asn1.TagUTF8String, "romeo\xff@example.org"),
	} {
		ch := ca.channel(t, template)
		if slices.Contains(a.Mechanisms(ch), "EXTERNAL") {
			t.Errorf("%s: offered", name)
		}
		_, err := a.Start(context.Background(), "EXTERNAL", ch, []string{"EXTERNAL"})
		if got := condition(t, err); got != InvalidMechanism {
			t.Errorf("%s: %q", name, got)
		}
	}
	good := raw(idOn(onXMPPAddr), asn1.TagUTF8String, "romeo@example.org")
	if !slices.Contains(a.Mechanisms(ca.channel(t, good)), "EXTERNAL") {
		t.Error("the helper makes no good certificates")
	}
}

// An account that is disabled stays out with a certificate too.
func TestDisabledWithExternal(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	if err := a.Accounts().Disable(context.Background(), address("romeo")); err != nil {
		t.Fatal(err)
	}
	ch := newAuthority(t, c.now()).channel(t, person(t, "x", "romeo@example.org"))
	_, _, err := begin(t, a, "EXTERNAL", ch).Step(context.Background(), []byte{})
	wantCondition(t, err, AccountDisabled)
}
