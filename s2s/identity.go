package s2s

import (
	"crypto/x509"
	"encoding/asn1"
	"net"
	"net/netip"
	"slices"
	"strings"

	"parley/auth"
	"parley/xmpp"
)

// maxIdentities bounds how many names of a certificate are compared, of each kind.
const maxIdentities = 256

// A reference is a domain that a certificate is to stand for (RFC 6125 §6.2).
type reference struct {
	ascii string     // A-labels in lower case
	ip    netip.Addr // valid where the domain is an IP address
	// host: the name of a machine to which signed DNS delegates the domain. It is compared
	// with names of machines only.
	host bool
}

func newReference(domain string) (reference, error) {
	ascii, err := asciiDomain(domain)
	ip, _ := literal(domain)
	return reference{ascii: ascii, ip: ip}, err
}

// StandsFor returns whether a certificate is for a domain by its subjectAltName: DNS-ID, with
// a wildcard as the whole left-most label; SRV-ID of xmpp-server; XmppAddr; or an address for
// domains that are one (RFC 6120 §13.7.1.2, RFC 6125 §6.4). The subject is never looked at.
// It says nothing about whether the certificate is to be trusted.
func StandsFor(cert *x509.Certificate, domain string) bool {
	ref, err := newReference(domain)
	return err == nil && ref.matches(cert, true)
}

// matches compares. The names that authorities' name constraints do not reach, SRV-ID and
// XmppAddr, count only where all is true.
func (r reference) matches(cert *x509.Certificate, all bool) bool {
	if r.ip.IsValid() {
		return slices.ContainsFunc(capped(cert.IPAddresses), func(b net.IP) bool {
			ip, ok := netip.AddrFromSlice(b)
			return ok && ip.Unmap() == r.ip
		})
	}
	if slices.ContainsFunc(capped(cert.DNSNames), r.matchesDNS) {
		return true
	}
	if r.host || !all {
		return false
	}
	return slices.ContainsFunc(auth.SRVNames(cert), r.matchesSRV) ||
		slices.ContainsFunc(auth.XMPPAddrs(cert), r.matchesAddr)
}

// matchesDNS compares a DNS-ID (RFC 6125 §6.4.1, §6.4.3). A wildcard is one whole label, the
// left-most, and stands above two others at least: nobody is given a whole top level.
func (r reference) matchesDNS(name string) bool {
	rest, wild := strings.CutPrefix(name, "*.")
	rest, err := hostName(rest)
	if err != nil {
		return false
	}
	if !wild {
		return rest == r.ascii
	}
	_, parent, ok := strings.Cut(r.ascii, ".")
	return ok && parent == rest && strings.Contains(rest, ".")
}

// matchesSRV compares an SRV-ID: "_xmpp-server." and the domain (RFC 6125 §6.5.1). A wildcard
// is none here.
func (r reference) matchesSRV(name string) bool {
	service, rest, _ := strings.Cut(name, ".")
	if !strings.EqualFold(service, "_xmpp-server") {
		return false
	}
	rest, err := hostName(rest)
	return err == nil && rest == r.ascii
}

// matchesAddr compares an XmppAddr, which for a server is a bare domain (RFC 6120 §13.7.1.2.1).
func (r reference) matchesAddr(addr string) bool {
	j, err := xmpp.ParseJID(addr)
	if err != nil || j.Local() != "" || j.Resource() != "" {
		return false
	}
	ascii, err := asciiDomain(j.Domain())
	return err == nil && ascii == r.ascii
}

// constrained reports whether an authority in a chain may only issue for some names. Go checks
// that for DNS names and addresses; SRV-ID and XmppAddr would slip through.
func constrained(chain []*x509.Certificate) bool {
	nameConstraints := asn1.ObjectIdentifier{2, 5, 29, 30}
	for _, cert := range chain[min(1, len(chain)):] {
		for _, ext := range cert.Extensions {
			if ext.Id.Equal(nameConstraints) {
				return true
			}
		}
	}
	return false
}

// namesOf is what a certificate says that it is for, for people: a few names, on one line.
func namesOf(cert *x509.Certificate) string {
	const few = 4
	list := append([]string(nil), capped(cert.DNSNames)...)
	for _, ip := range capped(cert.IPAddresses) {
		list = append(list, ip.String())
	}
	list = append(append(list, auth.SRVNames(cert)...), auth.XMPPAddrs(cert)...)
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) == 0 {
		return "no name"
	}
	more := ""
	if len(list) > few {
		list, more = list[:few], " and others"
	}
	for i := range list {
		list[i] = oneLine(cut(list[i], 80))
	}
	return strings.Join(list, ", ") + more
}

func capped[T any](list []T) []T { return list[:min(len(list), maxIdentities)] }
