// Package contact says whom to write to about this server (XEP-0157).
package contact

import (
	"net/url"
	"sync/atomic"

	"golang.org/x/net/idna"

	"parley/router"
	"parley/xmpp"
)

// Kinds are the fields of XEP-0157 §5, in the order in which they are announced.
var Kinds = []string{"abuse", "admin", "feedback", "sales", "security", "status", "support"}

// Addresses are URIs by kind: mailto:, xmpp: or https:.
type Addresses map[string][]string

// IsURI reports whether s begins as a URI does, with a scheme (RFC 3986), which is what
// clients can open.
func IsURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && len(s) > len(u.Scheme)+1
}

// For returns the addresses of a domain. Where the operator has named none, these are the
// mailboxes that every domain is expected to have for such purposes (RFC 2142), and one that
// offers XMPP for that (XEP-0157 §2).
func (a Addresses) For(domain string) Addresses {
	if len(a) > 0 {
		return a
	}
	host, err := idna.ToASCII(domain)
	if err != nil {
		host = domain
	}
	return Addresses{"abuse": {"mailto:abuse@" + host}, "admin": {"mailto:xmpp@" + host}}
}

// New returns the feature; addresses may be replaced while the server runs.
func New(addresses *atomic.Pointer[Addresses]) router.Feature {
	return router.Feature{
		Name: "contact",
		XEPs: []router.XEP{{Number: 157, Version: "1.1.1"}},
		Forms: func(host string) []xmpp.Form {
			a := addresses.Load()
			if a == nil {
				return nil
			}
			all := a.For(host)
			f := xmpp.Form{Type: "result", Fields: []xmpp.Field{xmpp.FormType("http://jabber.org/network/serverinfo")}}
			for _, kind := range Kinds {
				if uris := all[kind]; len(uris) > 0 {
					f.Fields = append(f.Fields, xmpp.Field{Var: kind + "-addresses", Type: "list-multi", Values: uris})
				}
			}
			return []xmpp.Form{f}
		},
	}
}
