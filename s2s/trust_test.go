package s2s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"
)

func newTestJudge(t testing.TB, z *zone, change func(*JudgeConfig)) *Judge {
	t.Helper()
	cfg := ResolverConfig{Servers: []string{"127.0.0.1:9"}, Timeout: 300 * time.Millisecond}
	if z != nil {
		cfg.Servers[0] = z.addr
	}
	r, err := NewResolver(cfg)
	if err != nil {
		t.Fatal(err)
	}
	jc := JudgeConfig{Resolver: r, Roots: x509.NewCertPool(), Now: testTime}
	change(&jc)
	j := NewJudge(jc)
	t.Cleanup(func() {
		j.Close()
		r.Close()
	})
	return j
}

func TestPKIX(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	between := newCA(t, "Test Intermediate", root)
	stranger := newCA(t, "Somebody\nElse", nil)
	old := issue(t, root, func(c *x509.Certificate) {
		c.Subject.CommonName = "Old Intermediate"
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		c.NotAfter = testTime().AddDate(0, 0, -1)
	})
	narrow := issue(t, root, func(c *x509.Certificate) {
		c.Subject.CommonName = "Narrow"
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"tenant.example"}, true
	})
	b := names{dns: []string{"b.example"}}
	good := server(t, between, b)
	expired := issue(t, root, func(c *x509.Certificate) {
		setNames(t, c, b)
		c.NotAfter = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		c.NotBefore = c.NotAfter.AddDate(0, 0, -1)
	})
	early := issue(t, root, func(c *x509.Certificate) {
		setNames(t, c, b)
		c.NotBefore, c.NotAfter = testTime().AddDate(1, 0, 0), testTime().AddDate(2, 0, 0)
	})
	client := issue(t, root, func(c *x509.Certificate) {
		setNames(t, c, b)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := issueFor(t, root, weakKey, func(c *x509.Certificate) { setNames(t, c, b) })
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short := issueFor(t, root, curve, func(c *x509.Certificate) { setNames(t, c, b) })
	long := []*signer{good}
	for range maxChain {
		long = append(long, between)
	}
	j := newTestJudge(t, nil, func(c *JudgeConfig) { c.Roots.AddCert(root.cert) })
	for _, c := range []struct {
		name   string
		domain string
		chain  []*signer
		proof  string
		reason string
	}{
		{"with its intermediate", "b.example", []*signer{good, between}, ProofPKIX, `"Test Root" vouches`},
		{"with its root too", "b.example", []*signer{good, between, root}, ProofPKIX, ""},
		{"out of order", "b.example", []*signer{good, root, between}, ProofPKIX, ""},
		{"for clients only", "b.example", []*signer{client}, ProofPKIX, ""},
		{"SRV-ID, critical", "b.example", []*signer{server(t, root, names{srv: []string{"_xmpp-server.b.example"}, critical: true})}, ProofPKIX, ""},
		{"XmppAddr", "b.example", []*signer{server(t, root, names{addr: []string{"b.example"}})}, ProofPKIX, ""},
		{"address", "192.0.2.1", []*signer{server(t, root, names{ips: []string{"192.0.2.1"}})}, ProofPKIX, ""},
		{"nothing", "b.example", nil, "", "no certificate was shown"},
		{"no domain", "b example", []*signer{good}, "", "cannot be the name of a server"},
		{"another name", "b.example", []*signer{server(t, root, names{dns: []string{"x.example"}})}, "", "the certificate is for x.example, not for b.example"},
		{"without a name", "b.example", []*signer{issue(t, root, nil)}, "", "the certificate is for no name, not for b.example"},
		{"self-signed", "b.example", []*signer{server(t, nil, b)}, "", "the certificate is self-signed"},
		{"a stranger's", "b.example", []*signer{server(t, stranger, b), stranger}, "", `its authority is not known here: "Somebody\nElse"`},
		{"intermediate missing", "b.example", []*signer{good}, "", `its authority is not known here: "Test Intermediate"`},
		{"expired", "b.example", []*signer{expired}, "", "the certificate expired on 2026-01-02"},
		{"not yet", "b.example", []*signer{early}, "", "the certificate is not valid before 2027-05-04"},
		{"old intermediate", "b.example", []*signer{server(t, old, b), old}, "", `the certificate of "Old Intermediate" expired on 2026-05-03`},
		{"by no authority", "b.example", []*signer{server(t, good, b), good, between}, "", "authority"},
		{"weak key", "b.example", []*signer{weak}, "", `has 1024 bits, fewer than 2048`},
		{"short curve", "b.example", []*signer{short}, "", `has 224 bits, fewer than 256`},
		{"a long chain", "b.example", long, "", "more than 10 certificates"},
		{"within its constraints", "im.tenant.example", []*signer{server(t, narrow, names{dns: []string{"im.tenant.example"}}), narrow}, ProofPKIX, ""},
		{"outside of its constraints", "b.example", []*signer{server(t, narrow, b), narrow}, "", "b.example"},
		{"around its constraints", "b.example", []*signer{server(t, narrow, names{dns: []string{"im.tenant.example"}, addr: []string{"b.example"}}), narrow}, "", "not for b.example"},
		{"around its constraints", "b.example", []*signer{server(t, narrow, names{dns: []string{"im.tenant.example"}, srv: []string{"_xmpp-server.b.example"}}), narrow}, "", "not for b.example"},
	} {
		var trail Trail
		v := j.Verify(testContext(t), c.domain, chainOf(c.chain...), nil, &trail)
		if v.Proof != c.proof || v.Refused || !strings.Contains(v.Reason, c.reason) || strings.ContainsAny(v.Reason, "\r\n") {
			t.Errorf("%s: %+v", c.name, v)
		}
		if !strings.Contains(trail.String(), v.Reason) {
			t.Errorf("%s: the trail is %v", c.name, &trail)
		}
	}
}

// The system's authorities are used where none are named; ours is not among them.
func TestSystemRoots(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	j := newTestJudge(t, nil, func(c *JudgeConfig) { c.Roots = nil })
	v := j.Verify(testContext(t), "b.example", chainOf(server(t, root, names{dns: []string{"b.example"}})), nil, nil)
	if v.Proof != "" || v.Reason == "" {
		t.Errorf("%+v", v)
	}
}

// A judge without DANE and POSH asks nobody.
func TestJudgeAsksNobodyUnlessTold(t *testing.T) {
	z := newZone(t)
	j := newTestJudge(t, z, func(*JudgeConfig) {})
	j.Verify(testContext(t), "b.example", chainOf(server(t, nil, names{dns: []string{"b.example"}})), nil, nil)
	if z.count("udp") != 0 {
		t.Errorf("%d queries", z.count("udp"))
	}
}

// DANE is worth nothing with a resolver that is not believed, and asks nobody then.
func TestNoDANEWithoutTrust(t *testing.T) {
	r, err := NewResolver(ResolverConfig{Servers: []string{"192.0.2.1:53"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	root := newCA(t, "Test Root", nil)
	j := NewJudge(JudgeConfig{Resolver: r, Roots: pool(root), DANE: true, Now: testTime})
	defer j.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	start := time.Now()
	v := j.Verify(ctx, "b.example", chainOf(server(t, root, names{dns: []string{"b.example"}})), nil, nil)
	if v.Proof != ProofPKIX || time.Since(start) >= DefaultQueryTimeout {
		t.Errorf("%+v after %v", v, time.Since(start))
	}
}

func TestPublicOnly(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "2001:db8::1": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.1.1": false,
		"172.16.0.1": false, "100.64.0.1": false, "169.254.169.254": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false,
	} {
		if err := publicOnly("tcp", net.JoinHostPort(addr, "443"), nil); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
