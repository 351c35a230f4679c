package web

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley/router"
)

var landing = template.Must(template.ParseFS(pages, "pages/landing.html"))

// Landing returns the page at /, which tells people what this server is and how to use it, and
// its style. It runs no script.
func Landing(site Site) []router.HTTP {
	return []router.HTTP{
		page("GET /{$}", site.landing),
		page("GET /landing.css", asset("landing.css")),
	}
}

// contact is an address to write to.
type contact struct {
	Kind, Text string
	Link       template.URL // empty: nothing that one could click
}

type landingData struct {
	Domain, Version string
	German          bool
	Register, Chat  bool
	Contacts        []contact
	Ports           Ports
}

func (s *Site) landing(w http.ResponseWriter, r *http.Request) {
	domain, _ := s.domain(r)
	w.Header().Set("Vary", "Accept-Language, Host")
	render(w, http.StatusOK, landing, landingData{
		Domain: domain, Version: s.Version, German: prefersGerman(r.Header.Get("Accept-Language")),
		Register: s.Register != nil && s.Register(), Chat: s.hasChat(),
		Contacts: s.contacts(domain), Ports: s.Ports,
	})
}

// contacts are the addresses of XEP-0157 §3, in an order that stays.
func (s *Site) contacts(domain string) (list []contact) {
	if s.Contacts == nil {
		return nil
	}
	byKind := s.Contacts(domain)
	var kinds []string
	for kind := range byKind {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		for _, uri := range byKind[kind] {
			list = append(list, contact{Kind: kind, Text: shown(uri), Link: link(uri)})
		}
	}
	return list
}

// link is a URI that may be clicked: one that writes to somebody or leads to a page, and runs
// nothing. The template escapes it.
func link(uri string) template.URL {
	u, err := url.Parse(uri)
	if err != nil || !slices.Contains([]string{"mailto", "xmpp", "https", "http"}, u.Scheme) {
		return ""
	}
	return template.URL(uri)
}

// shown is a URI as people read it.
func shown(uri string) string {
	for _, scheme := range []string{"mailto:", "xmpp:"} {
		if rest, ok := strings.CutPrefix(uri, scheme); ok {
			return rest
		}
	}
	return uri
}

// prefersGerman reads Accept-Language (RFC 9110) as far as it matters: whether German
// is named before English.
func prefersGerman(accept string) bool {
	for _, tag := range strings.Split(accept, ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		switch lang, _, _ := strings.Cut(strings.ToLower(tag), "-"); lang {
		case "de":
			return true
		case "en":
			return false
		}
	}
	return false
}
