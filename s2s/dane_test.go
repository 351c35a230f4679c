package s2s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// tlsa prints the data of a record for a certificate.
func tlsa(usage, selector, matching int, s *signer) string {
	data := s.cert.Raw
	if selector == 1 {
		data = s.cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return fmt.Sprintf("%d %d %d %s", usage, selector, matching, hex.EncodeToString(data))
}

// daneZone has b.example at xmpp.b.example, signed, with these TLSA records.
func daneZone(t *testing.T, records ...string) *zone {
	t.Helper()
	z := newZone(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 xmpp.b.example.", "xmpp.b.example. 60 IN A 192.0.2.1")
	for _, r := range records {
		z.add(t, "_5269._tcp.xmpp.b.example. 60 IN TLSA "+r)
	}
	z.set(func() { z.signed = true })
	return z
}

func TestDANE(t *testing.T) {
	root := newCA(t, "Test Root", nil) // known here
	between := newCA(t, "Test Intermediate", root)
	private := newCA(t, "Private Root", nil)
	privateBetween := newCA(t, "Private Intermediate", private)
	b := names{dns: []string{"b.example"}}
	host := names{dns: []string{"xmpp.b.example"}}
	other := names{dns: []string{"x.example"}}
	expired := issue(t, nil, func(c *x509.Certificate) { c.NotAfter = testTime().AddDate(0, 0, -1) })
	oldPrivate := issue(t, private, func(c *x509.Certificate) {
		setNames(t, c, b)
		c.NotAfter = testTime().AddDate(0, 0, -1)
	})
	ownPublic, ownB := server(t, root, b), server(t, private, b)
	viaBetween, viaPrivate := server(t, between, b), server(t, privateBetween, b)
	self, stranger := server(t, nil, other), server(t, nil, b)
	forHost, forOther := server(t, private, host), server(t, private, other)
	publicOther, publicHost := server(t, root, other), server(t, root, host)
	const fits = "is for this certificate"
	const none = "none of the"
	for _, c := range []struct {
		name    string
		records []string
		chain   []*signer
		proof   string
		refused bool
		reason  string
	}{
		{"no records, PKIX", nil, []*signer{ownPublic}, ProofPKIX, false, "vouches"},
		{"no records, no PKIX", nil, []*signer{ownB, private}, "", false, "not known here"},
		{"no records, host", nil, []*signer{publicHost}, ProofPKIX, false, "to which signed DNS leads"}, // RFC 7673 §4.1
		{"3 1 1", []string{tlsa(3, 1, 1, self)}, []*signer{self}, ProofDANE, false, "TLSA 3 1 1 of _5269._tcp.xmpp.b.example, signed, " + fits},
		{"3 1 2", []string{tlsa(3, 1, 2, self)}, []*signer{self}, ProofDANE, false, fits},
		{"3 1 0", []string{tlsa(3, 1, 0, self)}, []*signer{self}, ProofDANE, false, fits},
		{"3 0 1", []string{tlsa(3, 0, 1, self)}, []*signer{self}, ProofDANE, false, fits},
		{"3 0 0", []string{tlsa(3, 0, 0, self)}, []*signer{self}, ProofDANE, false, fits},
		{"3, expired, no name", []string{tlsa(3, 0, 1, expired)}, []*signer{expired}, ProofDANE, false, fits},
		{"3, the second fits", []string{tlsa(3, 1, 1, stranger), tlsa(3, 1, 1, self)}, []*signer{self}, ProofDANE, false, fits},
		{"3, another certificate", []string{tlsa(3, 1, 1, self)}, []*signer{stranger}, "", true, none},
		{"3, another, though PKIX would do", []string{tlsa(3, 1, 1, self)}, []*signer{ownPublic}, "", true, none},
		{"3 is not for authorities", []string{tlsa(3, 1, 1, private)}, []*signer{ownB, private}, "", true, none},
		{"2 0 1", []string{tlsa(2, 0, 1, private)}, []*signer{ownB, private}, ProofDANE, false, fits},
		{"2 1 1", []string{tlsa(2, 1, 1, private)}, []*signer{ownB, private}, ProofDANE, false, fits},
		{"2, an intermediate", []string{tlsa(2, 0, 2, privateBetween)}, []*signer{viaPrivate, privateBetween}, ProofDANE, false, fits},
		{"2, through an intermediate", []string{tlsa(2, 1, 1, private)}, []*signer{viaPrivate, privateBetween, private}, ProofDANE, false, fits},
		{"2, for the host", []string{tlsa(2, 0, 1, private)}, []*signer{forHost, private}, ProofDANE, false, fits},
		{"2, another name", []string{tlsa(2, 0, 1, private)}, []*signer{forOther, private}, "", true, "the certificate is for x.example, not for b.example"},
		{"2, expired", []string{tlsa(2, 0, 1, private)}, []*signer{oldPrivate, private}, "", true, "expired on"},
		{"2, anchor not sent", []string{tlsa(2, 0, 1, private)}, []*signer{ownB}, "", true, none},
		{"2 0 0, anchor not sent", []string{tlsa(2, 0, 0, private)}, []*signer{ownB}, ProofDANE, false, fits}, // RFC 7671 §5.2.2
		{"2 1 0, anchor not sent", []string{tlsa(2, 1, 0, private)}, []*signer{viaPrivate, privateBetween}, ProofDANE, false, fits},
		{"2 1 0, leaf alone", []string{tlsa(2, 1, 0, private)}, []*signer{ownB}, ProofDANE, false, fits}, // RFC 7671 §5.2.3
		{"2 1 0, leaf alone, another name", []string{tlsa(2, 1, 0, private)}, []*signer{forOther}, "", true, "not for b.example"},
		{"2 1 0, another key", []string{tlsa(2, 1, 0, root)}, []*signer{ownB}, "", true, none},
		{"2, a chain beside the anchor", []string{tlsa(2, 0, 1, private)}, []*signer{stranger, private}, "", true, "is for it, but"},
		{"2, a known authority beside the anchor", []string{tlsa(2, 0, 1, private)}, []*signer{ownPublic, private, root}, "", true, "is for it, but"},
		{"2 is not for the leaf", []string{tlsa(2, 0, 1, self)}, []*signer{self}, "", true, none},
		{"1", []string{tlsa(1, 1, 1, ownPublic)}, []*signer{ownPublic}, ProofDANE, false, fits},
		{"1, no PKIX", []string{tlsa(1, 1, 1, ownB)}, []*signer{ownB, private}, "", true, "its authority is not known here"},
		{"1, another name", []string{tlsa(1, 1, 1, publicOther)}, []*signer{publicOther}, "", true, "not for b.example"},
		{"1, another", []string{tlsa(1, 1, 1, ownB)}, []*signer{ownPublic}, "", true, none},
		{"0, the root", []string{tlsa(0, 0, 1, root)}, []*signer{viaBetween, between}, ProofDANE, false, fits},
		{"0, the intermediate", []string{tlsa(0, 1, 1, between)}, []*signer{viaBetween, between}, ProofDANE, false, fits},
		{"0, another authority", []string{tlsa(0, 0, 1, private)}, []*signer{viaBetween, between, private}, "", true, none},
		{"0, not known", []string{tlsa(0, 0, 1, private)}, []*signer{ownB, private}, "", true, "not known here"},
		{"0 is not for the leaf", []string{tlsa(0, 0, 1, ownPublic)}, []*signer{ownPublic}, "", true, none},
		// RFC 6698 §4.1: what cannot be used is as if it was not there.
		{"unknown usage", []string{"4 1 1 " + strings.Repeat("00", 32)}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"PrivCert", []string{"255 1 1 " + strings.Repeat("00", 32)}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"unknown selector", []string{"3 2 1 " + strings.Repeat("00", 32)}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"unknown digest", []string{"3 1 3 " + strings.Repeat("00", 32)}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"a digest too short", []string{"3 1 1 " + strings.Repeat("00", 31)}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"no certificate", []string{"3 0 0 3000"}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"no key", []string{"2 1 0 00"}, []*signer{ownPublic}, ProofPKIX, false, ""},
		{"one that can be used", []string{"3 2 1 " + strings.Repeat("00", 32), tlsa(3, 1, 1, self)}, []*signer{ownPublic}, "", true, "none of the 1"},
		// RFC 7671 §9: the weaker digest does not count beside the stronger.
		{"agility", []string{tlsa(3, 1, 1, self), tlsa(3, 1, 2, stranger)}, []*signer{self}, "", true, none},
		{"agility, other selector", []string{tlsa(3, 1, 1, self), tlsa(3, 0, 2, stranger)}, []*signer{self}, ProofDANE, false, fits},
	} {
		z := daneZone(t, c.records...)
		j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.Roots.AddCert(root.cert); jc.DANE = true })
		targets, err := j.cfg.Resolver.Targets(testContext(t), "b.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		v := j.Verify(testContext(t), "b.example", chainOf(c.chain...), &targets[0], nil)
		if v.Proof != c.proof || v.Refused != c.refused || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%s: %+v", c.name, v)
		}
		// A stream that came in: the same, but dialback is not ruled out.
		v = j.Verify(testContext(t), "b.example", chainOf(c.chain...), nil, nil)
		if v.Proof != c.proof || v.Refused || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%s, incoming: %+v", c.name, v)
		}
	}
}

// DANE counts only where the whole way is signed; and who can keep us from looking must not
// win by it.
func TestDANENeedsSignatures(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	good, self := server(t, root, names{dns: []string{"b.example"}}), server(t, nil, names{})
	forHost := server(t, root, names{dns: []string{"xmpp.b.example"}})
	for _, c := range []struct {
		name    string
		change  func(z *zone)
		chain   *signer
		proof   string
		refused bool
		reason  string
	}{
		{"nothing signed", func(z *zone) { z.signed = false }, good, ProofPKIX, false, ""},
		{"nothing signed, the record fits", func(z *zone) { z.signed = false }, self, "", false, "self-signed"},
		{"nothing signed, host", func(z *zone) { z.signed = false }, forHost, "", false, "not for b.example"},
		{"SRV not signed", func(z *zone) { z.unsigned["_xmpp-server._tcp.b.example."] = true }, self, "", false, "self-signed"},
		{"address not signed", func(z *zone) { z.unsigned["xmpp.b.example."] = true }, self, "", false, "self-signed"},
		{"TLSA not signed", func(z *zone) { z.unsigned["_5269._tcp.xmpp.b.example."] = true }, self, "", false, "self-signed"},
		{"TLSA fails", func(z *zone) { z.rcodes["_5269._tcp.xmpp.b.example."] = dns.RcodeServerFailure }, good, "", true, "SERVFAIL"},
		{"TLSA silent", func(z *zone) { z.silent["_5269._tcp.xmpp.b.example."] = true }, good, "", true, "no answer"},
		{"address fails", func(z *zone) { z.rcodes["xmpp.b.example."] = dns.RcodeServerFailure }, good, "", true, "SERVFAIL"},
	} {
		z := daneZone(t, tlsa(3, 1, 1, self))
		z.set(func() { c.change(z) })
		j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.Roots.AddCert(root.cert); jc.DANE = true })
		targets, err := j.cfg.Resolver.Targets(testContext(t), "b.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, via := range []*Target{&targets[0], nil} {
			v := j.Verify(testContext(t), "b.example", chainOf(c.chain), via, nil)
			if v.Proof != c.proof || v.Refused != (c.refused && via != nil) || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("%s, via %v: %+v", c.name, via, v)
			}
		}
	}
}

// Without SRV records it is the domain itself, and a static route is no word of the domain.
func TestDANEWithoutSRV(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	self, good := server(t, nil, names{}), server(t, root, names{dns: []string{"b.example"}})
	z := newZone(t, "b.example. 60 IN A 192.0.2.1", "_5269._tcp.b.example. 60 IN TLSA "+tlsa(3, 1, 1, self))
	z.set(func() { z.signed = true })
	j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.Roots.AddCert(root.cert); jc.DANE = true })
	verify := func(s *signer, via *Target) Verdict {
		return j.Verify(testContext(t), "b.example", chainOf(s), via, nil)
	}
	if v := verify(self, &Target{Domain: "b.example", Host: "b.example", Port: 5269}); v.Proof != ProofDANE {
		t.Errorf("%+v", v)
	}
	if v := verify(good, &Target{Domain: "b.example", Host: "b.example", Port: 5269}); !v.Refused {
		t.Errorf("%+v", v)
	}
	if v := verify(self, &Target{Domain: "b.example", Host: "b.example", Port: 5269, Static: true}); v.Proof != "" || v.Refused {
		t.Errorf("%+v", v)
	}
	if v := verify(good, &Target{Domain: "b.example", Host: "192.0.2.1", Port: 5269, Static: true}); v.Proof != ProofPKIX {
		t.Errorf("%+v", v)
	}
	if v := j.Verify(testContext(t), "192.0.2.1", chainOf(server(t, root, names{ips: []string{"192.0.2.1"}})), nil, nil); v.Proof != ProofPKIX {
		t.Errorf("%+v", v)
	}
}

// RFC 7671 §7: the records of where the aliases lead come first, and its name counts too.
func TestDANEThroughAliases(t *testing.T) {
	private := newCA(t, "Private Root", nil)
	leaf := server(t, private, names{dns: []string{"box.hoster.example"}})
	self := server(t, nil, names{})
	z := newZone(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 xmpp.b.example.",
		"xmpp.b.example. 60 IN CNAME box.hoster.example.", "box.hoster.example. 60 IN AAAA 2001:db8::1",
		"_5269._tcp.box.hoster.example. 60 IN TLSA "+tlsa(2, 0, 1, private),
		"_xmpp-server._tcp.c.example. 60 IN SRV 0 0 5269 xmpp.c.example.",
		"xmpp.c.example. 60 IN CNAME plain.hoster.example.", "plain.hoster.example. 60 IN AAAA 2001:db8::1",
		"_5269._tcp.xmpp.c.example. 60 IN CNAME tlsa.c.example.", "tlsa.c.example. 60 IN TLSA "+tlsa(3, 1, 1, self))
	z.set(func() { z.signed = true })
	j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.DANE = true })
	if v := j.Verify(testContext(t), "b.example", chainOf(leaf, private), nil, nil); v.Proof != ProofDANE {
		t.Errorf("%+v", v)
	}
	if v := j.Verify(testContext(t), "c.example", chainOf(self), nil, nil); v.Proof != ProofDANE {
		t.Errorf("%+v", v)
	}
	// Not signed from the alias on: nothing counts.
	z.set(func() { z.unsigned["box.hoster.example."] = true })
	j = newTestJudge(t, z, func(jc *JudgeConfig) { jc.DANE = true })
	if v := j.Verify(testContext(t), "b.example", chainOf(leaf, private), nil, nil); v.Proof != "" || v.Refused {
		t.Errorf("%+v", v)
	}
}

// A hoster's server, with its records, proves the domains that lead to it, and no others.
func TestDANEOfAnotherDomain(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	self, host := server(t, nil, names{}), server(t, root, names{dns: []string{"xmpp.b.example"}})
	for record, shown := range map[string]*signer{tlsa(3, 1, 1, self): self, "": host} {
		z := daneZone(t)
		if record != "" {
			z.add(t, "_5269._tcp.xmpp.b.example. 60 IN TLSA "+record)
		}
		j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.Roots.AddCert(root.cert); jc.DANE = true })
		targets, err := j.cfg.Resolver.Targets(testContext(t), "b.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := j.Verify(testContext(t), "b.example", chainOf(shown), &targets[0], nil); v.Proof == "" {
			t.Errorf("%+v", v)
		}
		if v := j.Verify(testContext(t), "victim.example", chainOf(shown), &targets[0], nil); v.Proof != "" {
			t.Errorf("%+v", v)
		}
	}
}

// Of several targets any may be the one that connects to us; and as long as one has no
// records, an authority's word is good (RFC 7673 §9.1).
func TestDANEOfSeveralTargets(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	one, two := server(t, nil, names{}), server(t, nil, names{})
	public := server(t, root, names{dns: []string{"b.example"}})
	z := newZone(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 one.b.example.", "_xmpps-server._tcp.b.example. 60 IN SRV 5 0 443 two.b.example.",
		"one.b.example. 60 IN A 192.0.2.1", "two.b.example. 60 IN A 192.0.2.1",
		"_5269._tcp.one.b.example. 60 IN TLSA "+tlsa(3, 1, 1, one), "_443._tcp.two.b.example. 60 IN TLSA "+tlsa(3, 1, 1, two))
	z.set(func() { z.signed = true })
	verify := func(s *signer) Verdict {
		t.Helper()
		j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.Roots.AddCert(root.cert); jc.DANE = true })
		return j.Verify(testContext(t), "b.example", chainOf(s), nil, nil)
	}
	for _, s := range []*signer{one, two} {
		if v := verify(s); v.Proof != ProofDANE {
			t.Errorf("%+v", v)
		}
	}
	if v := verify(public); v.Proof != "" || v.Refused {
		t.Errorf("%+v", v)
	}
	z.add(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 three.b.example.", "three.b.example. 60 IN A 192.0.2.1")
	if v := verify(public); v.Proof != ProofPKIX {
		t.Errorf("%+v", v)
	}
	z.set(func() { z.rcodes["_xmpps-server._tcp.b.example."], z.rcodes["_xmpp-server._tcp.b.example."] = 2, 2 })
	if v := verify(public); v.Proof != "" || !strings.Contains(v.Reason, "SERVFAIL") {
		t.Errorf("%+v", v)
	}
}

// FuzzTLSA matches records of any form. Nothing but the digest or the bytes of what was shown
// may fit.
func FuzzTLSA(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	leaf := issueFor(f, nil, key, func(c *x509.Certificate) { setNames(f, c, names{dns: []string{"b.example"}}) })
	ca := newCA(f, "Test Root", nil)
	for usage := range 5 {
		for selector := range 3 {
			for matching := range 4 {
				data := strings.SplitN(tlsa(usage, selector, matching, leaf), " ", 4)[3]
				f.Add(uint8(usage), uint8(selector), uint8(matching), data)
			}
		}
	}
	f.Add(uint8(2), uint8(1), uint8(0), strings.SplitN(tlsa(2, 1, 0, ca), " ", 4)[3])
	r, err := NewResolver(ResolverConfig{Servers: []string{"127.0.0.1:9"}})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	j := NewJudge(JudgeConfig{Resolver: r, Roots: pool(ca), Now: testTime})
	defer j.Close()
	ref, _ := newReference("b.example")
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data string) {
		list := usable([]dns.RR{&dns.TLSA{Usage: usage, Selector: selector, MatchingType: matching, Certificate: data}})
		if len(list) == 0 {
			return
		}
		if len(list) > 1 || usage > 3 || selector > 1 || matching > 2 {
			t.Fatalf("%d %d %d can be used", usage, selector, matching)
		}
		e := &evidence{judge: j, refs: []reference{ref}, chain: chainOf(leaf, ca)}
		if e.proves(list[0]) != nil {
			return
		}
		want := strings.SplitN(tlsa(int(usage), int(selector), int(matching), leaf), " ", 4)[3]
		if usage != usageDANEEE && usage != usageDANETA || !strings.EqualFold(data, want) {
			t.Fatalf("%d %d %d %s proves it", usage, selector, matching, data)
		}
	})
}
