package s2s

import (
	"context"
	"testing"
)

// What is known already: the way of each stream that is opened again.
func BenchmarkTargetsKnown(b *testing.B) {
	z := newZone(b, "_xmpp-server._tcp.b.example. 3600 IN SRV 0 0 5269 xmpp.b.example.",
		"_xmpps-server._tcp.b.example. 3600 IN SRV 0 0 5270 xmpp.b.example.")
	r := newTestResolver(b, z)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Targets(context.Background(), "b.example", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPKIX(b *testing.B) {
	root := newCA(b, "Test Root", nil)
	between := newCA(b, "Test Intermediate", root)
	chain := chainOf(server(b, between, names{dns: []string{"b.example"}}), between)
	j := newTestJudge(b, nil, func(c *JudgeConfig) { c.Roots.AddCert(root.cert) })
	b.ReportAllocs()
	for b.Loop() {
		if v := j.Verify(context.Background(), "b.example", chain, nil, nil); v.Proof != ProofPKIX {
			b.Fatal(v)
		}
	}
}

func BenchmarkPolicy(b *testing.B) {
	p, err := NewPolicy(PolicyConfig{Dialback: true, Deny: []string{"*.spam.example", "x.example"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if p.For("im.b.example").Denied {
			b.Fatal("denied")
		}
	}
}
