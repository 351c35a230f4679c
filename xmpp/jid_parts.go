package xmpp

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// Limits of domain names (RFC 5890 §2.3.1 and RFC 7622 §3.2, which keeps those of the
// DNS): bytes in the form with A-labels.
const (
	maxLabel  = 63
	maxDomain = 253
)

// Classes of ASCII bytes in addresses.
const (
	inLocal    = 1 << iota // a localpart may hold it as it is
	inDomain               // a letter, digit, hyphen or dot of a normal domain
	inResource             // a resourcepart may hold it as it is
)

// jidClass says for each byte in which parts it may stand without any mapping: the
// ASCII7 of the PRECIS IdentifierClass (RFC 8264 §9.11) without capitals and without the
// signs of RFC 7622 §3.3.1, and the FreeformClass, which has the space too.
var jidClass = func() (t [256]uint8) {
	for c := 0x20; c < 0x7F; c++ {
		t[c] |= inResource
		if c > 0x20 && !strings.ContainsRune(notInLocal, rune(c)) && (c < 'A' || c > 'Z') {
			t[c] |= inLocal
		}
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			t[c] |= inDomain
		}
	}
	return t
}()

// notInLocal are the signs of RFC 7622 §3.3.1.
const notInLocal = `"&'/:<>@`

func plainLocal(s string) bool {
	for i := 0; i < len(s); i++ {
		if jidClass[s[i]]&inLocal == 0 {
			return false
		}
	}
	return len(s) <= MaxPart
}

func plainResource(s string) bool {
	for i := 0; i < len(s); i++ {
		if jidClass[s[i]]&inResource == 0 {
			return false
		}
	}
	return len(s) <= MaxPart && (s == "" || s[0] != ' ')
}

// plainDomain reports whether s is a normal domain of NR-LDH labels (RFC 5890 §2.3.2.2)
// that cannot be taken for an IPv4 address. What it refuses may still be a domain.
func plainDomain(s string) bool {
	if s == "" || len(s) > maxDomain {
		return false
	}
	start := 0
	for i := 0; i < len(s); i++ {
		if jidClass[s[i]]&inDomain == 0 {
			return false
		}
		if s[i] == '.' {
			if !plainLabel(s[start:i]) {
				return false
			}
			start = i + 1
		}
	}
	last := s[start:]
	return plainLabel(last) && !allDigits(last)
}

func plainLabel(s string) bool {
	n := len(s)
	return n > 0 && n <= maxLabel && s[0] != '-' && s[n-1] != '-' && !(n >= 4 && s[2] == '-' && s[3] == '-')
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// appendLocal writes the localpart after the UsernameCaseMapped profile (RFC 8265 §3.3)
// and the further exclusions of RFC 7622 §3.3.1, which are looked for after the mapping:
// a fullwidth '@' becomes one.
func appendLocal(dst []byte, s string) ([]byte, error) {
	if ascii(s) {
		at := len(dst)
		dst = appendLower(dst, s)
		if !plainLocal(view(dst[at:])) {
			return nil, badJID("localpart: a character that is not allowed, or more than 1023 bytes")
		}
		return dst, nil
	}
	out, err := stable(precis.UsernameCaseMapped, s)
	if err != nil {
		return nil, badJID("localpart: " + err.Error())
	}
	if strings.ContainsAny(out, notInLocal) {
		return nil, badJID("localpart: a character that is not allowed")
	}
	return appendPart(dst, out, "localpart")
}

// appendResource writes the resourcepart after the OpaqueString profile (RFC 8265 §4.2).
// A leading space is refused as in example 18 of RFC 7622 §3.5.
func appendResource(dst []byte, s string) ([]byte, error) {
	out := s
	if !ascii(s) {
		var err error
		if out, err = stable(precis.OpaqueString, s); err != nil {
			return nil, badJID("resourcepart: " + err.Error())
		}
		if strings.HasPrefix(out, " ") {
			return nil, badJID("resourcepart: a leading space")
		}
	} else if !plainResource(s) {
		return nil, badJID("resourcepart: a control character, a leading space, or more than 1023 bytes")
	}
	return appendPart(dst, out, "resourcepart")
}

func appendPart(dst []byte, s, what string) ([]byte, error) {
	if s == "" || len(s) > MaxPart {
		return nil, badJID(what + ": empty or more than 1023 bytes")
	}
	return append(dst, s...), nil
}

// stable applies the profile until nothing changes any more; a string that does not
// settle is refused (RFC 8264 §7).
func stable(p *precis.Profile, s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNotUTF8
	}
	for range 4 {
		out, err := p.String(s)
		if err != nil {
			return "", err
		}
		if out == s {
			return out, nil
		}
		s = out
	}
	return "", errUnsettled
}

const (
	errNotUTF8   = partError("not UTF-8")
	errUnsettled = partError("no stable form")
)

type partError string

func (e partError) Error() string { return string(e) }

// appendDomain writes the one canonical form of a domainpart: an address literal, or
// labels in lower case, IDNA ones as U-labels (RFC 7622 §3.2.1), without a final dot.
func appendDomain(dst []byte, s string) ([]byte, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return nil, badJID("no domainpart")
	}
	if s[0] == '[' {
		return appendIPv6(dst, s)
	}
	at := len(dst)
	if ascii(s) && !hasACE(s) {
		dst = appendLower(dst, s)
	} else {
		out, err := uLabels(s)
		if err != nil {
			return nil, err
		}
		dst = append(dst, out...)
	}
	out := view(dst[at:])
	if !ascii(out) || plainDomain(out) {
		return dst, nil // uLabels has looked at everything that is not ASCII
	}
	if a, err := netip.ParseAddr(string(dst[at:])); err == nil && a.Is4() {
		return a.AppendTo(dst[:at]), nil
	}
	return nil, badJID("domainpart: not a host name of letters, digits and inner hyphens")
}

// appendIPv6 writes an IPv6 address in brackets, with the zone of RFC 6874 if there is
// one (RFC 7622 §3.1).
func appendIPv6(dst []byte, s string) ([]byte, error) {
	if s[len(s)-1] != ']' {
		return nil, badJID("domainpart: '[' without ']'")
	}
	addr, zone, hasZone := strings.Cut(s[1:len(s)-1], "%25")
	a, err := netip.ParseAddr(addr)
	if err != nil || !a.Is6() || a.Zone() != "" || hasZone && !zoneID(zone) {
		return nil, badJID("domainpart: not an IPv6 address")
	}
	dst = a.AppendTo(append(dst, '['))
	if hasZone {
		dst = append(append(dst, "%25"...), zone...)
	}
	return append(dst, ']'), nil
}

// zoneID reports whether s consists of unreserved characters (RFC 3986) and is not long.
func zoneID(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '.' && s[i] != '_' && s[i] != '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxLabel
}

// uLabels maps a domain to lower case and NFC, turns A-labels into U-labels and checks
// all of them (RFC 5891 §4.2, §5). What UTS 46 lets pass beyond IDNA2008, symbols above
// all, the PRECIS IdentifierClass refuses: it is built of the same categories (RFC 8264
// §4.2).
func uLabels(s string) (string, error) {
	p := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
		idna.CheckHyphens(true), idna.CheckJoiners(true), idna.ValidateLabels(true), idna.BidiRule())
	for range 4 {
		out, err := p.ToUnicode(s)
		if err != nil {
			return "", badJID("domainpart: " + err.Error())
		}
		out = strings.TrimSuffix(out, ".")
		if out == s {
			return s, checkULabels(p, s)
		}
		s = out
	}
	return "", badJID("domainpart: no stable form")
}

func checkULabels(p *idna.Profile, s string) error {
	a, err := p.ToASCII(s)
	if err != nil || len(a) > maxDomain || len(s) > MaxPart {
		return badJID("domainpart: no form with A-labels, or too long")
	}
	for label := range strings.SplitSeq(a, ".") {
		if label == "" || len(label) > maxLabel {
			return badJID("domainpart: a label of no or more than 63 bytes")
		}
	}
	identifier := precis.NewIdentifier()
	for label := range strings.SplitSeq(s, ".") {
		if _, err := identifier.String(label); err != nil {
			return badJID("domainpart: a label with a character that is not allowed")
		}
		if ascii(label) && !plainLabel(label) {
			return badJID("domainpart: a label that is neither NR-LDH nor a U-label")
		}
	}
	return nil
}

// hasACE reports whether a label begins with xn-- in any case.
func hasACE(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if len(label) >= 4 && strings.EqualFold(label[:4], "xn--") {
			return true
		}
	}
	return false
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
