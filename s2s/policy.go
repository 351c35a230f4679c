package s2s

import (
	"fmt"
	"strings"
)

// PolicyConfig is what the operator says about other domains.
type PolicyConfig struct {
	// RequireCertificate: a domain is believed by its certificate alone, that is by PKIX,
	// DANE or POSH.
	RequireCertificate bool
	// Dialback: dialback over TLS may prove a domain too. False is the same as
	// RequireCertificate.
	Dialback bool
	// Allow and Deny name domains: "b.example", "*.b.example" for all below it, "*" for all.
	// The longest name that fits decides, and of two equal ones Deny. Where Allow is not
	// empty, a domain that nothing names is denied.
	Allow, Deny []string
	// Domains has what differs, by the same kinds of names; the longest that fits is used.
	Domains map[string]DomainPolicy
}

// DomainPolicy is what differs for one domain. Nil means as for the others.
type DomainPolicy struct {
	RequireCertificate *bool
	Dialback           *bool
	// Route lists where the domain is reached, instead of DNS; see ParseRoute.
	Route []string
}

// A Rule is what applies to one domain.
type Rule struct {
	Denied             bool   // no stream with this domain, in no direction
	RequireCertificate bool   // dialback alone is not enough
	Dialback           bool   // dialback over TLS is enough
	Why                string // which rule of the configuration decided, in words
}

// A Policy answers what applies to a domain. It never changes; a reload makes another.
type Policy struct {
	requireCertificate, dialback bool
	listed                       map[string]bool // pattern -> denied
	onlyListed                   bool            // there is an allow list
	domains                      map[string]DomainPolicy
	names                        map[string]string // pattern as it is compared -> as it was written
}

// NewPolicy checks the names and routes and makes a policy. The error names what is wrong.
func NewPolicy(cfg PolicyConfig) (*Policy, error) {
	p := &Policy{
		requireCertificate: cfg.RequireCertificate, dialback: cfg.Dialback,
		listed: map[string]bool{}, onlyListed: len(cfg.Allow) > 0,
		domains: map[string]DomainPolicy{}, names: map[string]string{},
	}
	for _, list := range []struct {
		names  []string
		denied bool
	}{{cfg.Allow, false}, {cfg.Deny, true}} { // Deny last: it decides of two equal names
		for _, name := range list.names {
			key, err := p.pattern(name)
			if err != nil {
				return nil, err
			}
			p.listed[key] = list.denied
		}
	}
	for name, d := range cfg.Domains {
		key, err := p.pattern(name)
		if err != nil {
			return nil, err
		}
		for _, route := range d.Route {
			if _, err := ParseRoute(route); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		p.domains[key] = d
	}
	return p, nil
}

// pattern returns a name of the configuration as it is compared.
func (p *Policy) pattern(name string) (string, error) {
	key, err := ParsePattern(name)
	if err == nil {
		p.names[key] = name
	}
	return key, err
}

// ParsePattern returns the name of a rule, a domain, *.domain or *, in the one form in which
// names are compared: lower case and A-labels. The error says what is wrong with it.
func ParsePattern(name string) (string, error) {
	key := name
	if rest, ok := strings.CutPrefix(name, "*."); ok || name != "*" {
		ascii, err := asciiDomain(rest)
		if _, ip := literal(rest); err != nil || ip && ok {
			return "", fmt.Errorf("%q is no domain, and not of the form *.example.org", name)
		}
		key = name[:len(name)-len(rest)] + ascii
	}
	return key, nil
}

// For returns the rule for a domain, in the form that addresses have or with A-labels. What
// is no domain at all is denied.
func (p *Policy) For(domain string) Rule {
	ascii, err := asciiDomain(domain)
	if err != nil {
		return Rule{Denied: true, Why: fmt.Sprintf("%q is no domain", cut(domain, 80))}
	}
	key, found := longest(p.listed, ascii)
	switch {
	case found && p.listed[key]:
		return Rule{Denied: true, Why: fmt.Sprintf("deny has %q", p.names[key])}
	case !found && p.onlyListed:
		return Rule{Denied: true, Why: "allow does not have it"}
	}
	return p.proof(ascii)
}

// proof says what a domain that is not denied has to show.
func (p *Policy) proof(ascii string) Rule {
	require, dialback, where := p.requireCertificate, p.dialback, "[s2s]"
	if key, ok := longest(p.domains, ascii); ok {
		d := p.domains[key]
		if d.RequireCertificate != nil {
			require, where = *d.RequireCertificate, fmt.Sprintf("[s2s_domains.%q]", p.names[key])
		}
		if d.Dialback != nil {
			dialback, where = *d.Dialback, fmt.Sprintf("[s2s_domains.%q]", p.names[key])
		}
	}
	switch {
	case require:
		return Rule{RequireCertificate: true, Why: where + " require_certificate is true"}
	case !dialback:
		return Rule{RequireCertificate: true, Why: where + " dialback is false"}
	}
	return Rule{Dialback: true, Why: where + " lets dialback over TLS do where no certificate proves the domain"}
}

// Routes returns the static routes of a domain, for ResolverConfig. None: ask DNS.
func (p *Policy) Routes(domain string) []string {
	ascii, err := asciiDomain(domain)
	if err != nil {
		return nil
	}
	// A domain may have its own section only for its certificate: routes are looked for on.
	for key := range patterns(ascii) {
		if d, ok := p.domains[key]; ok && len(d.Route) > 0 {
			return d.Route
		}
	}
	return nil
}

// longest returns the longest name of a table that fits a domain.
func longest[V any](table map[string]V, ascii string) (key string, ok bool) {
	for key := range patterns(ascii) {
		if _, ok := table[key]; ok {
			return key, true
		}
	}
	return "", false
}

// patterns yields the names that fit a domain, the longest first: "a.b.c", "*.b.c", "*.c", "*".
func patterns(ascii string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(ascii) {
			return
		}
		if _, ip := literal(ascii); !ip {
			for rest := ascii; ; {
				_, up, ok := strings.Cut(rest, ".")
				if !ok {
					break
				}
				if !yield("*." + up) {
					return
				}
				rest = up
			}
		}
		yield("*")
	}
}
