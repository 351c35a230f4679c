package s2s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// endpoint is what signed DNS says about the certificates of one target.
type endpoint struct {
	target  Target
	base    string // the host whose records they are: the target's, or where its aliases lead
	records []association
}

// dane looks for TLSA records and judges by them. done is false where DANE says nothing, and
// the other proofs are to be tried.
func (e *evidence) dane(ctx context.Context, via *Target) (v Verdict, done bool) {
	if via == nil {
		return e.incoming(ctx)
	}
	if via.SRV && via.Secure {
		e.delegatedTo(via.Host)
	}
	p, err := e.judge.endpoint(ctx, *via, e.trail)
	if err != nil {
		// RFC 7673 §3.4: who can keep us from looking must not win by it.
		return Verdict{Refused: true, Reason: err.Error()}, true
	}
	if len(p.records) == 0 {
		return Verdict{}, false
	}
	reason, ok := e.judgeBy(p)
	if ok {
		return Verdict{Proof: ProofDANE, Reason: reason}, true
	}
	return Verdict{Refused: true, Reason: reason}, true
}

// incoming looks at all targets of the domain that a stream came from (RFC 7712 §4). A server
// may connect out with another certificate than it shows, so dialback, which asks one of these
// targets and holds it to its records, is not ruled out. But an authority's word is, where
// every target has records.
func (e *evidence) incoming(ctx context.Context) (v Verdict, done bool) {
	domain := e.refs[0].ascii
	targets, err := e.judge.cfg.Resolver.Targets(ctx, domain, e.trail)
	if err != nil && !NotFound(err) {
		return Verdict{Reason: fmt.Sprintf("whether signed DNS names its certificates cannot be found out: %v", err)}, true
	}
	without := len(targets) == 0 || len(targets) > maxJudged
	var reasons []string
	for _, t := range targets[:min(len(targets), maxJudged)] {
		if t.SRV && t.Secure {
			e.delegatedTo(t.Host)
		}
		p, err := e.judge.endpoint(ctx, t, e.trail)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		if len(p.records) == 0 {
			without = true
			continue
		}
		reason, ok := e.judgeBy(p)
		if ok {
			return Verdict{Proof: ProofDANE, Reason: reason}, true
		}
		reasons = append(reasons, reason)
	}
	if without {
		return Verdict{}, false
	}
	return Verdict{Reason: strings.Join(reasons, "; ")}, true
}

// judgeBy says whether one of the records proves the certificate, and which.
func (e *evidence) judgeBy(p endpoint) (reason string, ok bool) {
	f := *e
	if p.base != p.target.Host {
		f.refs = slices.Clip(f.refs)
		f.delegatedTo(p.base) // RFC 7671 §7
	}
	name := tlsaName(p.target, p.base)
	err := errNoMatch
	for _, a := range p.records {
		aerr := f.proves(a)
		if aerr == nil {
			return fmt.Sprintf("%s of %s, signed, is for this certificate", a, name), true
		}
		if !errors.Is(aerr, errNoMatch) {
			err = fmt.Errorf("%s is for it, but %w", a, aerr)
		}
	}
	if errors.Is(err, errNoMatch) {
		err = fmt.Errorf("the certificate that was shown is none of the %d that signed TLSA records name", len(p.records))
	}
	return fmt.Sprintf("DANE: %v (%s)", err, name), false
}

// endpoint finds the TLSA records of a target. None: DANE says nothing about it.
func (j *Judge) endpoint(ctx context.Context, t Target, trail *Trail) (endpoint, error) {
	p := endpoint{target: t}
	if t.Static || t.SRV && !t.Secure {
		return p, nil // the way there is not signed (RFC 7673 §3.1)
	}
	if _, ip := literal(t.Host); ip {
		return p, nil
	}
	host, secure, err := j.cfg.Resolver.securely(ctx, t.Host, trail)
	if err != nil {
		if NotFound(err) {
			return p, nil
		}
		return p, fmt.Errorf("DANE: %w", err)
	}
	if !secure {
		return p, nil // RFC 7673 §3.2
	}
	// RFC 7671 §7: first where the aliases of the host lead, then the host.
	for _, base := range []string{host, t.Host} {
		if len(tlsaName(t, base)) > maxHostName {
			continue // no such records can be
		}
		a, err := j.cfg.Resolver.lookup(ctx, question{dns.Fqdn(tlsaName(t, base)), dns.TypeTLSA})
		if err = cmp.Or(err, a.failed); err != nil {
			trail.Fail(StageDANE, "%s TLSA: %v", tlsaName(t, base), err)
			return p, fmt.Errorf("DANE: which certificates %s may have cannot be found out: %w", t.Host, err)
		}
		if len(a.records) == 0 {
			continue
		}
		if !a.secure {
			trail.Note(StageDANE, "%s has TLSA records that are not signed: they do not count", tlsaName(t, base))
			continue
		}
		p.base, p.records = base, usable(a.records)
		trail.Note(StageDANE, "%s has %d TLSA records, %d can be used", tlsaName(t, base), len(a.records), len(p.records))
		return p, nil
	}
	return p, nil
}

// securely returns whether an address of a host was authenticated by DNSSEC, and where its
// aliases lead.
func (r *Resolver) securely(ctx context.Context, host string, trail *Trail) (end string, secure bool, err error) {
	var failed error
	missing := true
	for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeA} {
		a, err := r.lookup(ctx, question{dns.Fqdn(host), qtype})
		failed = cmp.Or(failed, err, a.failed)
		if len(a.records) > 0 {
			missing = false
		}
		if len(a.records) > 0 && a.secure {
			end, err := hostName(a.name)
			return end, err == nil, nil
		}
	}
	if failed != nil {
		return "", false, &ResolveError{Name: host, Text: "its address cannot be found out for now: " + outward(failed)}
	}
	if missing {
		return "", false, &ResolveError{Name: host, NotFound: true, Text: "it has no address in DNS"}
	}
	return "", false, nil
}

// tlsaName is where the records of a target are (RFC 6698 §3).
func tlsaName(t Target, base string) string { return fmt.Sprintf("_%d._tcp.%s", t.Port, base) }
