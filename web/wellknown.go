package web

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/netip"

	"parley/router"
)

// hostMetaTTL is for how long a program may go by a document, in seconds (XEP-0487 §2.1). It is
// short: addresses change, and to ask again costs little.
const hostMetaTTL = 3600

// Relations of the links (XEP-0156 §2.1, XEP-0487 §2.1).
const (
	relWebSocket  = "urn:xmpp:alt-connections:websocket"
	relBOSH       = "urn:xmpp:alt-connections:xbosh"
	relTLS        = "urn:xmpp:alt-connections:tls"
	relServersTLS = "urn:xmpp:alt-connections:s2s-tls"
)

// WellKnown returns the documents by which programs that cannot ask DNS find the doors: host-meta
// and host-meta.json (RFC 6415, XEP-0156, XEP-0487), for pages of any origin.
func WellKnown(site Site) []router.HTTP {
	serve := func(kind string, make func(string) ([]byte, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			domain, known := site.domain(r)
			if !known && len(site.Domains) > 1 { // whose doors would it be about?
				http.NotFound(w, r)
				return
			}
			doc, err := make(domain)
			if err != nil {
				http.Error(w, "internal server error", http.StatusInternalServerError)
				return
			}
			h := w.Header()
			h.Set("Content-Type", kind)
			h.Set("Cache-Control", "max-age=300")
			h.Set("Vary", "Host")
			w.Write(doc)
		}
	}
	list := []router.HTTP{
		page("GET /.well-known/host-meta", serve("application/xrd+xml; charset=utf-8", site.HostMeta)),
		page("GET /.well-known/host-meta.json", serve("application/json", site.HostMetaJSON)),
	}
	for i := range list {
		list[i].Cross = []string{"GET", "HEAD"} // XEP-0156 §3
	}
	return list
}

// xrd is the XML form (RFC 6415 §3.1).
type xrd struct {
	XMLName xml.Name  `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
	Links   []xrdLink `xml:"Link"`
}

type xrdLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

// HostMeta returns a domain's host-meta document in XML (XEP-0156 §2.1).
func (s *Site) HostMeta(domain string) ([]byte, error) {
	doc := xrd{}
	for _, l := range s.webLinks(domain) {
		doc.Links = append(doc.Links, xrdLink{l.Rel, l.Href})
	}
	out, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}

// jrd is the JSON form (RFC 6415 §A).
type jrd struct {
	XMPP  *jrdXMPP  `json:"xmpp,omitempty"`
	Links []jrdLink `json:"links"`
}

type jrdXMPP struct {
	TTL int `json:"ttl"`
}

type jrdLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href,omitempty"`
	*jrdWhere
}

// jrdWhere is what XEP-0487 §2.1 adds to a link.
type jrdWhere struct {
	Port     uint16       `json:"port,omitempty"`
	Addr     []netip.Addr `json:"ips"`
	Priority int          `json:"priority"`
	Weight   int          `json:"weight"`
	SNI      string       `json:"sni"`
}

// HostMetaJSON returns the document in JSON. It is one of XEP-0487 where the addresses of this
// machine are known, which that demands of each link (§2.1); and where they are not, of XEP-0156,
// since programs that see the other kind ask DNS no more (XEP-0487 §2.2).
func (s *Site) HostMetaJSON(domain string) ([]byte, error) {
	doc := jrd{Links: s.webLinks(domain)}
	if len(s.Addresses) > 0 {
		doc.XMPP = &jrdXMPP{TTL: hostMetaTTL}
		name, err := toASCII(domain)
		if err != nil {
			return nil, err
		}
		// What costs the fewest round trips comes first.
		where := func(port uint16, priority int, sni string) *jrdWhere {
			return &jrdWhere{Port: port, Addr: s.Addresses, Priority: priority, Weight: 1, SNI: sni}
		}
		for i := range doc.Links {
			host, err := toASCII(s.base(domain).Hostname())
			if err != nil {
				return nil, err
			}
			doc.Links[i].jrdWhere = where(0, 20+10*i, host)
		}
		if p := s.Ports.DirectTLS; p != 0 {
			doc.Links = append(doc.Links, jrdLink{Rel: relTLS, jrdWhere: where(p, 10, name)})
		}
		if p := s.Ports.ServersTLS; p != 0 {
			doc.Links = append(doc.Links, jrdLink{Rel: relServersTLS, jrdWhere: where(p, 10, name)})
		}
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}

// webLinks are those to WebSocket and BOSH, in this order, of those that are there and encrypted
// (XEP-0156 §2.2).
func (s *Site) webLinks(domain string) []jrdLink {
	u := s.base(domain)
	links := []jrdLink{}
	if u == nil {
		return links
	}
	if s.WebSocket != "" {
		links = append(links, jrdLink{Rel: relWebSocket, Href: origin(u, "wss") + u.Path + s.WebSocket})
	}
	if s.BOSH != "" {
		links = append(links, jrdLink{Rel: relBOSH, Href: origin(u, "https") + u.Path + s.BOSH})
	}
	return links
}
