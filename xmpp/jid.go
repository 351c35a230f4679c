package xmpp

import (
	"strings"
)

// MaxPart is the most bytes that a localpart, domainpart or resourcepart may have after
// normalisation (RFC 7622 §3.1).
const MaxPart = 1023

// A JID is an address (RFC 7622): parsed and normalised when it was made, never after.
// Two JIDs are the same if and only if they are ==, so a JID can be a map key. The zero
// JID is no address.
//
// Parts of a JID share its memory. Who takes a part of a very long address into a place
// where it stays for long may want to clone it.
type JID struct {
	s     string // the whole normalised address
	local uint16 // length of the localpart, 0 where there is none
	bare  uint16 // length of s without "/resource"
}

// ParseJID reads and normalises an address. Parts are split at the first '/' and then
// at the first '@' before it, before anything is mapped (RFC 7622 §3.2). The error is an
// *Error with the condition jid-malformed: the fault of whoever wrote the address.
func ParseJID(s string) (JID, error) {
	local, domain, resource := "", s, ""
	hasLocal, hasResource := false, false
	if i := strings.IndexByte(s, '/'); i >= 0 {
		domain, resource, hasResource = s[:i], s[i+1:], true
	}
	if i := strings.IndexByte(domain, '@'); i >= 0 {
		local, domain, hasLocal = domain[:i], domain[i+1:], true
	}
	if hasLocal && local == "" {
		return JID{}, badJID("empty localpart")
	}
	if hasResource && resource == "" {
		return JID{}, badJID("empty resourcepart")
	}
	if plainLocal(local) && plainDomain(domain) && plainResource(resource) {
		return joined(s, len(local), len(resource)), nil
	}
	return normalised(local, domain, resource)
}

// NewJID makes an address of its parts. local and resource may be empty: absent.
func NewJID(local, domain, resource string) (JID, error) {
	if !plainLocal(local) || !plainDomain(domain) || !plainResource(resource) {
		return normalised(local, domain, resource)
	}
	s := domain
	switch {
	case local != "" && resource != "":
		s = local + "@" + domain + "/" + resource
	case local != "":
		s = local + "@" + domain
	case resource != "":
		s = domain + "/" + resource
	}
	return joined(s, len(local), len(resource)), nil
}

// MustJID is ParseJID for constants; it panics where s is no address.
func MustJID(s string) JID {
	j, err := ParseJID(s)
	if err != nil {
		panic("xmpp: " + s + ": " + err.Error())
	}
	return j
}

// joined makes the value around an address whose parts are known to be normal.
func joined(s string, local, resource int) JID {
	bare := len(s)
	if resource > 0 {
		bare -= resource + 1
	}
	return JID{s, uint16(local), uint16(bare)}
}

// normalised is the way of all addresses that are not normal ASCII already.
func normalised(local, domain, resource string) (JID, error) {
	var space [192]byte
	buf := space[:0]
	var err error
	if local != "" {
		if buf, err = appendLocal(buf, local); err != nil {
			return JID{}, err
		}
		buf = append(buf, '@')
	}
	at := len(buf)
	if buf, err = appendDomain(buf, domain); err != nil {
		return JID{}, err
	}
	bare := len(buf)
	if resource != "" {
		buf = append(buf, '/')
		if buf, err = appendResource(buf, resource); err != nil {
			return JID{}, err
		}
	}
	return JID{string(buf), uint16(max(at-1, 0)), uint16(bare)}, nil
}

// String returns the whole address, "" for the zero JID. It costs nothing.
func (j JID) String() string { return j.s }

// Local returns the localpart, or "".
func (j JID) Local() string { return j.s[:j.local] }

// Domain returns the domainpart: U-labels, an IPv4 address or an IPv6 address in
// brackets.
func (j JID) Domain() string { return j.s[j.domainAt():j.bare] }

// Resource returns the resourcepart, or "".
func (j JID) Resource() string {
	if int(j.bare) == len(j.s) {
		return ""
	}
	return j.s[j.bare+1:]
}

func (j JID) domainAt() uint16 {
	if j.local == 0 {
		return 0
	}
	return j.local + 1
}

// Bare returns the address without its resource.
func (j JID) Bare() JID { return JID{j.s[:j.bare], j.local, j.bare} }

// Host returns the domain as an address.
func (j JID) Host() JID {
	d := j.Domain()
	return JID{d, 0, uint16(len(d))}
}

// WithResource returns the same address with another resource; "" stands for none.
func (j JID) WithResource(resource string) (JID, error) {
	if j.IsZero() {
		return JID{}, badJID("a resourcepart without a domainpart")
	}
	if resource == "" {
		return j.Bare(), nil
	}
	if plainResource(resource) {
		return JID{j.s[:j.bare] + "/" + resource, j.local, j.bare}, nil
	}
	var space [192]byte
	buf := append(append(space[:0], j.s[:j.bare]...), '/')
	buf, err := appendResource(buf, resource)
	if err != nil {
		return JID{}, err
	}
	return JID{string(buf), j.local, j.bare}, nil
}

// IsZero reports whether there is no address.
func (j JID) IsZero() bool { return j.s == "" }

// IsBare reports whether there is an address and it has no resource.
func (j JID) IsBare() bool { return j.s != "" && int(j.bare) == len(j.s) }

// IsHost reports whether the address is a domain alone.
func (j JID) IsHost() bool { return j.IsBare() && j.local == 0 }

// AppendText writes the address.
func (j JID) AppendText(dst []byte) ([]byte, error) { return append(dst, j.s...), nil }

// MarshalText returns the address; the zero JID is the empty text.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.s), nil }

// UnmarshalText parses an address; the empty text is the zero JID.
func (j *JID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*j = JID{}
		return nil
	}
	p, err := ParseJID(string(text))
	if err == nil {
		*j = p
	}
	return err
}

func badJID(text string) error { return Refuse("jid-malformed", text) }
