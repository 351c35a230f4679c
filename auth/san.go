package auth

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"unicode/utf8"
)

// maxAltNames bounds how many names of a certificate are looked at.
const maxAltNames = 256

// The names that crypto/x509 does not know: otherName entries of subjectAltName, by
// their number below id-on, 1.3.6.1.5.5.7.8.
const (
	onXMPPAddr = 5 // RFC 6120 §13.7.1.4
	onDNSSRV   = 7 // of RFC 4985; RFC 6120 §13.7.1.2
)

func idOn(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, n} }

func oidSubjectAltName() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 17} }

// XMPPAddrs returns the XmppAddr names of a certificate as they stand there (RFC 6120
// §13.7.1.4). It says nothing about whether the certificate is to be trusted.
func XMPPAddrs(cert *x509.Certificate) []string {
	return otherNames(cert, onXMPPAddr, asn1.TagUTF8String)
}

// SRVNames returns the SRVName names of a certificate, such as "_xmpp-server.example.org"
// (RFC 6120 §13.7.1.2).
func SRVNames(cert *x509.Certificate) []string {
	return otherNames(cert, onDNSSRV, asn1.TagIA5String)
}

// otherNames returns the values of one kind. What is not encoded as it must be is no name.
func otherNames(cert *x509.Certificate, kind, tag int) (list []string) {
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSubjectAltName()) {
			continue
		}
		var names asn1.RawValue
		if rest, err := asn1.Unmarshal(ext.Value, &names); err != nil || len(rest) > 0 {
			return nil
		}
		rest := names.Bytes
		for n := 0; len(rest) > 0 && n < maxAltNames; n++ {
			var name asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				return nil
			}
			if s, ok := otherName(name, kind, tag); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// otherName reads [0] { type-id, [0] EXPLICIT value }, as OtherName of RFC 5280 is encoded.
func otherName(name asn1.RawValue, kind, tag int) (string, bool) {
	if name.Class != asn1.ClassContextSpecific || name.Tag != 0 || !name.IsCompound {
		return "", false
	}
	var id asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(name.Bytes, &id)
	if err != nil || !id.Equal(idOn(kind)) {
		return "", false
	}
	var outer, value asn1.RawValue
	if rest, err = asn1.Unmarshal(rest, &outer); err != nil || len(rest) > 0 ||
		outer.Class != asn1.ClassContextSpecific || outer.Tag != 0 || !outer.IsCompound {
		return "", false
	}
	if rest, err = asn1.Unmarshal(outer.Bytes, &value); err != nil || len(rest) > 0 ||
		value.Class != asn1.ClassUniversal || value.Tag != tag || value.IsCompound {
		return "", false
	}
	if !utf8.Valid(value.Bytes) || bytes.IndexByte(value.Bytes, 0) >= 0 {
		return "", false
	}
	return string(value.Bytes), true
}

// altNames is what a certificate of ours says about itself.
type altNames struct {
	dns  []string
	ips  []netip.Addr
	addr []string // XmppAddr
	srv  []string // SRVName
}

// extension encodes the names as a subjectAltName.
func (n altNames) extension() (pkix.Extension, error) {
	var list []asn1.RawValue
	for _, d := range n.dns {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(d)})
	}
	for _, ip := range n.ips {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: ip.AsSlice()})
	}
	for _, a := range n.addr {
		v, err := makeOtherName(onXMPPAddr, asn1.TagUTF8String, a)
		if err != nil {
			return pkix.Extension{}, err
		}
		list = append(list, v)
	}
	for _, s := range n.srv {
		v, err := makeOtherName(onDNSSRV, asn1.TagIA5String, s)
		if err != nil {
			return pkix.Extension{}, err
		}
		list = append(list, v)
	}
	value, err := asn1.Marshal(list)
	return pkix.Extension{Id: oidSubjectAltName(), Value: value}, err
}

func makeOtherName(kind, tag int, s string) (asn1.RawValue, error) {
	id, err := asn1.Marshal(idOn(kind))
	if err != nil {
		return asn1.RawValue{}, err
	}
	value, err := asn1.Marshal(asn1.RawValue{Tag: tag, Bytes: []byte(s)})
	if err != nil {
		return asn1.RawValue{}, err
	}
	outer, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: value})
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(id, outer...)}, err
}
