package s2s

import (
	"crypto/x509"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/auth"
)

func TestStandsFor(t *testing.T) {
	for _, c := range []struct {
		domain string
		names  names
		want   bool
	}{
		{"b.example", names{dns: []string{"b.example"}}, true},
		{"b.example", names{dns: []string{"B.Example"}}, true},
		{"b.example", names{dns: []string{"b.example."}}, true},
		{"b.example", names{dns: []string{"a.example", "b.example"}}, true},
		{"b.example", names{dns: []string{"x.b.example"}}, false},
		{"b.example", names{dns: []string{"example"}}, false},
		{"b.example", names{}, false},
		// RFC 6125 §6.4.3
		{"im.b.example", names{dns: []string{"*.b.example"}}, true},
		{"b.example", names{dns: []string{"*.b.example"}}, false},
		{"x.im.b.example", names{dns: []string{"*.b.example"}}, false},
		{"im.b.example", names{dns: []string{"im.*.example"}}, false},
		{"im.b.example", names{dns: []string{"i*.b.example"}}, false},
		{"im.b.example", names{dns: []string{"*m.b.example"}}, false},
		{"im.b.example", names{dns: []string{"**.b.example"}}, false},
		{"im.b.example", names{dns: []string{"*.*.example"}}, false},
		{"im.b.example", names{dns: []string{"*"}}, false},
		{"b.example", names{dns: []string{"*.example"}}, false},
		// RFC 6125 §6.4.2: A-labels
		{"bücher.example", names{dns: []string{"xn--bcher-kva.example"}}, true},
		{"xn--bcher-kva.example", names{dns: []string{"xn--bcher-kva.example"}}, true},
		{"bücher.example", names{dns: []string{"xn--*.example"}}, false},
		{"im.bücher.example", names{dns: []string{"*.xn--bcher-kva.example"}}, true},
		// SRV-ID
		{"b.example", names{srv: []string{"_xmpp-server.b.example"}}, true},
		{"b.example", names{srv: []string{"_XMPP-Server.B.Example"}}, true},
		{"b.example", names{srv: []string{"_xmpp-client.b.example"}}, false},
		{"b.example", names{srv: []string{"_imap.b.example"}}, false},
		{"b.example", names{srv: []string{"_*.b.example"}}, false},
		{"b.example", names{srv: []string{"*.b.example"}}, false},
		{"im.b.example", names{srv: []string{"_xmpp-server.*.b.example"}}, false},
		{"b.example", names{srv: []string{"_xmpp-server.x.b.example"}}, false},
		{"b.example", names{srv: []string{"_xmpp-server"}}, false},
		{"bücher.example", names{srv: []string{"_xmpp-server.xn--bcher-kva.example"}}, true},
		// XmppAddr
		{"b.example", names{addr: []string{"b.example"}}, true},
		{"bücher.example", names{addr: []string{"bücher.example"}}, true},
		{"b.example", names{addr: []string{"user@b.example"}}, false},
		{"b.example", names{addr: []string{"b.example/resource"}}, false},
		{"im.b.example", names{addr: []string{"*.b.example"}}, false},
		{"b.example", names{addr: []string{"a.example", "b.example"}}, true},
		// addresses
		{"192.0.2.1", names{ips: []string{"192.0.2.1"}}, true},
		{"192.0.2.1", names{ips: []string{"192.0.2.2"}}, false},
		{"192.0.2.1", names{dns: []string{"192.0.2.1"}}, false},
		{"192.0.2.1", names{addr: []string{"192.0.2.1"}}, false},
		{"[2001:db8::1]", names{ips: []string{"2001:db8::1"}}, true},
		{"not a domain", names{dns: []string{"b.example"}}, false},
		{"", names{dns: []string{""}, addr: []string{""}, srv: []string{""}}, false},
	} {
		cert := &x509.Certificate{}
		if c.names.dns != nil || c.names.ips != nil || c.names.srv != nil || c.names.addr != nil {
			cert = server(t, nil, c.names).cert
		}
		if got := StandsFor(cert, c.domain); got != c.want {
			t.Errorf("%s and %+v: %v", c.domain, c.names, got)
		}
	}
}

// The common name is never looked at.
func TestCommonNameIsNoIdentity(t *testing.T) {
	cert := issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "b.example" }).cert
	if StandsFor(cert, "b.example") {
		t.Error("the common name was taken")
	}
}

// A machine to which DNS leads is proved by a name of machines.
func TestHostIsOnlyComparedWithHosts(t *testing.T) {
	host := reference{ascii: "xmpp.b.example", host: true}
	if !host.matches(server(t, nil, names{dns: []string{"*.b.example"}}).cert, true) {
		t.Error("a DNS-ID was not taken")
	}
	if host.matches(server(t, nil, names{addr: []string{"xmpp.b.example"}, srv: []string{"_xmpp-server.xmpp.b.example"}}).cert, true) {
		t.Error("a name of a service was taken for a host")
	}
}

func TestNamesForPeople(t *testing.T) {
	for want, n := range map[string]names{
		"b.example":              {dns: []string{"b.example"}, addr: []string{"b.example"}},
		"192.0.2.1, a, b":        {dns: []string{"b", "a"}, ips: []string{"192.0.2.1"}},
		"a, b, c, d and others":  {dns: []string{"e", "d", "c", "b", "a"}},
		"_xmpp-server.b.example": {srv: []string{"_xmpp-server.b.example"}},
		"a?b":                    {addr: []string{"a\nb"}},
	} {
		if got := namesOf(server(t, nil, n).cert); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if got := namesOf(&x509.Certificate{}); got != "no name" {
		t.Error(got)
	}
	long := server(t, nil, names{addr: []string{strings.Repeat("x", 5000)}}).cert
	if n := len(namesOf(long)); n > 100 {
		t.Errorf("%d bytes", n)
	}
}

// FuzzIdentities reads certificates of any form. None may be taken for a domain that is not
// written in it, and none for a common name.
func FuzzIdentities(f *testing.F) {
	for _, n := range []names{
		{dns: []string{"*.b.example", "b.example"}, ips: []string{"192.0.2.1"}},
		{srv: []string{"_xmpp-server.b.example"}, addr: []string{"b.example"}, critical: true},
	} {
		f.Add(server(f, nil, n).cert.Raw, "b.example")
		f.Add(server(f, nil, n).cert.Raw, "im.b.example")
	}
	f.Fuzz(func(t *testing.T, der []byte, domain string) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		_ = namesOf(cert)
		if !StandsFor(cert, domain) {
			return
		}
		ascii, err := asciiDomain(domain)
		if err != nil {
			t.Fatalf("%q is no domain, and the certificate stands for it", domain)
		}
		if _, ip := literal(domain); ip {
			return
		}
		for _, a := range auth.XMPPAddrs(cert) {
			if strings.ContainsFunc(a, func(r rune) bool { return r >= utf8.RuneSelf }) {
				return // written otherwise than it is compared
			}
		}
		_, parent, _ := strings.Cut(ascii, ".")
		if text := strings.ToLower(string(der)); !strings.Contains(text, ascii) && !strings.Contains(text, "*."+parent) {
			t.Fatalf("%q is not in it", domain)
		}
	})
}
