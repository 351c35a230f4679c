package s2s

import (
	"slices"
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
	yes, no := true, false
	p, err := NewPolicy(PolicyConfig{
		Dialback: true,
		Allow:    []string{"*.Example.org", "bücher.example", "good.evil.example", "192.0.2.1", "tie.example"},
		Deny:     []string{"*.bad.example.org", "*.evil.example", "[2001:db8::1]", "tie.example"},
		Domains: map[string]DomainPolicy{
			"*.example.org":      {RequireCertificate: &yes, Route: []string{"127.0.0.1:5269", "tls://h.example"}},
			"open.example.org":   {RequireCertificate: &no},
			"strict.example.org": {RequireCertificate: &no, Dialback: &no},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		domain                    string
		denied, require, dialback bool
		why                       string
	}{
		{"a.example.org", false, true, false, `[s2s_domains."*.example.org"] require_certificate is true`},
		{"A.Example.ORG", false, true, false, `[s2s_domains."*.example.org"]`},
		{"deep.a.example.org", false, true, false, "require_certificate is true"},
		{"example.org", true, false, false, "allow does not have it"}, // only what is below
		{"x.bad.example.org", true, false, false, `deny has "*.bad.example.org"`},
		{"bad.example.org", false, true, false, ""},
		{"notexample.org", true, false, false, "allow does not have it"},
		{"bücher.example", false, false, true, "[s2s] lets dialback over TLS do"},
		{"xn--bcher-kva.example", false, false, true, ""},
		{"good.evil.example", false, false, true, ""}, // the longer name decides
		{"evil.evil.example", true, false, false, `deny has "*.evil.example"`},
		{"tie.example", true, false, false, "deny has"},
		{"open.example.org", false, false, true, ""},
		{"strict.example.org", false, true, false, `[s2s_domains."strict.example.org"] dialback is false`},
		{"192.0.2.1", false, false, true, ""},
		{"192.0.2.2", true, false, false, "allow does not have it"},
		{"[2001:db8::1]", true, false, false, "deny has"},
		{"no domain", true, false, false, "is no domain"},
		{"", true, false, false, "is no domain"},
	} {
		r := p.For(c.domain)
		if r.Denied != c.denied || r.RequireCertificate != c.require || r.Dialback != c.dialback || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %+v", c.domain, r)
		}
	}
	if got := p.Routes("open.example.org"); !slices.Equal(got, []string{"127.0.0.1:5269", "tls://h.example"}) {
		t.Errorf("routes %q: a section without any hides those of a wider one", got)
	}
	if p.Routes("other.example") != nil || p.Routes("\x00") != nil {
		t.Error("routes for nobody")
	}
}

func TestPolicyDefaults(t *testing.T) {
	for _, c := range []struct {
		cfg                       PolicyConfig
		denied, require, dialback bool
	}{
		{PolicyConfig{}, false, true, false}, // dialback = false
		{PolicyConfig{Dialback: true}, false, false, true},
		{PolicyConfig{Dialback: true, RequireCertificate: true}, false, true, false},
		{PolicyConfig{Dialback: true, Deny: []string{"*"}}, true, false, false},
		{PolicyConfig{Dialback: true, Deny: []string{"*"}, Allow: []string{"b.example"}}, false, false, true},
		{PolicyConfig{Dialback: true, Allow: []string{"a.example"}}, true, false, false},
	} {
		p, err := NewPolicy(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if r := p.For("b.example"); r.Denied != c.denied || r.RequireCertificate != c.require || r.Dialback != c.dialback {
			t.Errorf("%+v: %+v", c.cfg, r)
		}
	}
}

func TestPolicyMistakes(t *testing.T) {
	for _, cfg := range []PolicyConfig{
		{Allow: []string{"a b"}},
		{Deny: []string{""}},
		{Deny: []string{"*.*.example"}},
		{Deny: []string{"a*.example"}},
		{Deny: []string{"*.192.0.2.1"}},
		{Domains: map[string]DomainPolicy{"-": {}}},
		{Domains: map[string]DomainPolicy{"b.example": {Route: []string{"host:port"}}}},
		{Domains: map[string]DomainPolicy{"b.example": {Route: []string{"host:0"}}}},
		{Domains: map[string]DomainPolicy{"b.example": {Route: []string{"http://host"}}}},
		{Domains: map[string]DomainPolicy{"b.example": {Route: []string{""}}}},
	} {
		if _, err := NewPolicy(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
