package s2s

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Addresses returns the addresses of a host, IPv6 first, at most 16 of each kind, and whether
// all of them were authenticated by DNSSEC. The error is a *ResolveError, or that of ctx.
func (r *Resolver) Addresses(ctx context.Context, host string, trail *Trail) (list []netip.Addr, secure bool, err error) {
	if list := local(host); list != nil {
		return list, false, nil
	}
	var four, six family
	done := make(chan struct{})
	go func() {
		defer close(done)
		six = r.family(ctx, host, dns.TypeAAAA, trail)
	}()
	four = r.family(ctx, host, dns.TypeA, trail)
	<-done
	list = append(six.list, four.list...)
	if len(list) == 0 {
		return nil, false, noAddress(ctx, host, four, six)
	}
	secure = (len(six.list) == 0 || six.secure) && (len(four.list) == 0 || four.secure)
	return list, secure, nil
}

// A family is what is known of a host's addresses of one kind.
type family struct {
	list   []netip.Addr
	secure bool
	failed error
	// Whose it is; set by the race for connections.
	at, kind int
}

func (r *Resolver) family(ctx context.Context, host string, qtype uint16, trail *Trail) (f family) {
	a, err := r.lookup(ctx, question{dns.Fqdn(host), qtype})
	if f.failed = cmp.Or(err, a.failed); errors.Is(f.failed, context.Canceled) {
		return f // it was not needed any more
	} else if f.failed != nil {
		trail.Fail(StageDNS, "%s %s: %v", host, dns.TypeToString[qtype], f.failed)
		return f
	}
	f.secure = a.secure
	for _, rr := range a.records {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if addr, ok := netip.AddrFromSlice(ip); ok && len(f.list) < maxAddresses && !addr.IsUnspecified() {
			f.list = append(f.list, addr.Unmap())
		}
	}
	if len(f.list) > 0 {
		trail.Note(StageDNS, "%s %s %s%s", host, dns.TypeToString[qtype], join(f.list), signed(a.secure))
	}
	return f
}

// noAddress is the error for a host without addresses.
func noAddress(ctx context.Context, host string, four, six family) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := cmp.Or(four.failed, six.failed); err != nil {
		return &ResolveError{Name: host, Text: "its address cannot be found out for now: " + outward(err)}
	}
	return &ResolveError{Name: host, NotFound: true, Text: "it has no address in DNS"}
}

// local returns the addresses of what needs no DNS: literals, and localhost (RFC 6761).
func local(host string) []netip.Addr {
	if ip, ok := literal(host); ok {
		return []netip.Addr{ip}
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

func join(list []netip.Addr) string {
	s := make([]string, len(list))
	for i, a := range list {
		s[i] = a.String()
	}
	return strings.Join(s, " ")
}
