package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"parley/router"
)

// A Site is what the pages for people and the well-known documents say of this server. Funcs
// are asked for each page, so that a reload shows at once.
type Site struct {
	Version string   // of the server, for the landing page's foot
	Domains []string // that have accounts; the first is shown where a request names none of them

	// Base returns the URL of a domain's pages as the world sees them, without a slash at its
	// end: https://xmpp.example.org:5443. Empty: not known, and nothing that needs it is said.
	Base     func(domain string) string
	Contacts func(domain string) map[string][]string // URIs by kind (XEP-0157)
	Rooms    func(domain string) string              // the domain of its group chats; empty: none
	Register func() bool                             // anybody may make an account

	Chat      bool   // the web client is served
	WebSocket string // path, as /ws; empty: none
	BOSH      string // the same

	Ports     Ports
	Addresses []netip.Addr // of this machine, as the world sees it; empty: not known
}

// Ports are where other doors than the web's can be reached from the world; 0: not at all.
type Ports struct {
	STARTTLS   uint16 // clients
	DirectTLS  uint16 // clients (XEP-0368)
	ServersTLS uint16 // other servers, direct TLS
}

// Feature returns what the pages and documents are to the house.
func Feature(site Site) router.Feature {
	f := router.Feature{
		Name: "web",
		RFCs: []router.RFC{{Number: 6415, Note: "host-meta, in XML and JSON"}},
		XEPs: []router.XEP{
			{Number: 156, Version: "1.4.0"},
			{Number: 487, Version: "0.1.0", Note: "where the operator names the server's addresses; without keys"},
		},
	}
	f.HTTP = slices.Concat(Landing(site), WellKnown(site), Chat(site))
	return f
}

// domain returns which of the site's domains a request is about: the one that it names in Host,
// by itself or by the address of its pages. If it names none, that is the first, and known is
// false.
func (s *Site) domain(r *http.Request) (name string, known bool) {
	host := hostOf(r.Host)
	for _, d := range s.Domains {
		if strings.EqualFold(d, host) {
			return d, true
		}
	}
	for _, d := range s.Domains {
		if u := s.base(d); u != nil && hostOf(u.Host) == host {
			return d, true
		}
	}
	return s.Domains[0], false
}

// hasChat says whether there is a web client, which needs a way to connect.
func (s *Site) hasChat() bool { return s.Chat && s.WebSocket+s.BOSH != "" }

// base returns the URL of a domain's pages, nil if it is not known or not https.
func (s *Site) base(domain string) *url.URL {
	if s.Base == nil {
		return nil
	}
	u, err := url.Parse(s.Base(domain))
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
}

// toASCII is a domain as DNS and URLs have it.
func toASCII(domain string) (string, error) { return idna.ToASCII(domain) }

// hostOf is a host as domains are written here: without a port, in Unicode.
func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if u, err := idna.ToUnicode(host); err == nil {
		return u
	}
	return host
}

// page is one that is looked at, and never by another site in a frame.
func page(pattern string, h http.HandlerFunc) router.HTTP {
	return router.HTTP{Pattern: pattern, Handler: h}
}

// guard sets what keeps a page in its bounds: policy says what it may load.
func guard(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
