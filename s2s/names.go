package s2s

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHostName is how long a host name can be, without its final dot.
const maxHostName = 253

var errNoHostName = errors.New("not a host name")

// asciiDomain is a domain as DNS and certificates write it: A-labels in lower case without a
// final dot (RFC 7673 §8), or an IP address without brackets.
func asciiDomain(domain string) (string, error) {
	if ip, ok := literal(domain); ok {
		return ip.String(), nil
	}
	if lower := strings.ToLower(domain); plainASCII(lower) {
		return hostName(lower) // IDNA has no say in it
	}
	domain = strings.TrimSuffix(domain, ".")
	a, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", errNoHostName
	}
	return hostName(a)
}

// plainASCII reports whether there is no U-label and no A-label in a name.
func plainASCII(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if strings.HasPrefix(label, "xn--") {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// hostName checks a name that came from DNS or a configuration and returns it in lower case
// without its final dot. Underscores are let pass, as some hosts are named with them.
func hostName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > maxHostName {
		return "", errNoHostName
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", errNoHostName
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", errNoHostName
			}
		}
	}
	return s, nil
}

// literal returns the IP address that a domainpart may be (RFC 7622 §3.2). Zones are refused:
// they mean something on one machine only.
func literal(domain string) (netip.Addr, bool) {
	s, bracket := strings.CutPrefix(domain, "[")
	if bracket {
		var closed bool
		if s, closed = strings.CutSuffix(s, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
