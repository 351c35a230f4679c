package main

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parley/web"
)

// HTTPConfig is about browsers and other programs that speak HTTP.
type HTTPConfig struct {
	Listen     []string `toml:"listen" doc:"Addresses in clear, for a reverse proxy on this machine or in a network that you trust. What comes here counts as secure only if a trusted proxy says that it came by https. Empty list: none."`
	ListenTLS  []string `toml:"listen_tls" doc:"Addresses with TLS. One that ends with a question mark is tried, and left alone where another program has it or this user may not listen there."`
	URL        string   `toml:"url" reload:"true" doc:"Where people reach these listeners, if that is not https, the domain and the port of the first address: https://chat.example.org, say. {domain} stands for the domain of who asks."`
	Trusted    []string `toml:"trusted_proxies" reload:"true" doc:"Addresses and networks of reverse proxies that are believed about who asks, and whether by https (Forwarded, X-Forwarded-For, X-Forwarded-Proto)."`
	Proxied    bool     `toml:"proxy_protocol" reload:"true" doc:"These proxies begin every connection with the PROXY protocol, version 1 or 2."`
	PerAddress int      `toml:"max_connections_per_address" reload:"true" doc:"How many connections one address may have, proxies apart. 0: any number."`
	WebSocket  bool     `toml:"websocket" doc:"Clients may come by WebSocket (RFC 7395), at /xmpp-websocket."`
	BOSH       bool     `toml:"bosh" doc:"Clients may come by BOSH (XEP-0206), at /http-bind."`
	Chat       bool     `toml:"chat" doc:"Serve the web client at /chat. It comes by WebSocket or BOSH, one of which has to be on."`
	Addresses  []string `toml:"addresses" doc:"The addresses of this machine as the world sees them, IPv4 and IPv6. With them /.well-known/host-meta.json tells programs all there is to know (XEP-0487), and these ask DNS no more. Empty: it tells of WebSocket and BOSH alone (XEP-0156)."`
}

func defaultHTTP() HTTPConfig {
	return HTTPConfig{
		Listen: []string{}, ListenTLS: []string{":5443", ":443?"}, Trusted: []string{"127.0.0.0/8", "::1"},
		PerAddress: 500, WebSocket: true, BOSH: true, Chat: true, Addresses: []string{},
	}
}

// checkHTTP finds what could not be.
func checkHTTP(cfg *Config) *badKey {
	c := &cfg.HTTP
	for _, l := range []struct {
		key  string
		list []string
	}{{"http.listen", c.Listen}, {"http.listen_tls", c.ListenTLS}} {
		for i, a := range l.list {
			bare, maybe := strings.CutSuffix(a, "?")
			if _, err := strconv.Atoi(bare); err == nil { // a bare port
				bare = ":" + bare
			}
			_, port, err := net.SplitHostPort(bare)
			if n, badPort := strconv.Atoi(port); err != nil || badPort != nil || n < 0 || n > 65535 {
				return bad(l.key, "%q is no address; write it as 127.0.0.1:5443, [::1]:5443 or :5443", a)
			}
			if l.list[i] = bare; maybe {
				l.list[i] = bare + "?"
			}
		}
	}
	for _, t := range c.Trusted {
		if _, ok := network(t); !ok {
			return bad("http.trusted_proxies", "%q is neither an address nor a network; write it as 192.0.2.1 or 192.0.2.0/24", t)
		}
	}
	for _, a := range c.Addresses {
		if ip, err := netip.ParseAddr(a); err != nil || ip.Zone() != "" {
			return bad("http.addresses", "%q is no IP address", a)
		}
	}
	if c.PerAddress < 0 {
		return bad("http.max_connections_per_address", "%d is less than 0", c.PerAddress)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(c.URL, "{domain}", cfg.Domains[0]))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return bad("http.url", "%q is no address of a web server; write it as https://chat.example.org", c.URL)
	}
	c.URL = strings.TrimRight(c.URL, "/")
	return nil
}

// network reads an address or a network.
func network(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

func webSettings(cfg Config) web.Settings {
	set := web.Settings{Proxied: cfg.HTTP.Proxied, PerAddress: cfg.HTTP.PerAddress}
	for _, t := range cfg.HTTP.Trusted {
		if p, ok := network(t); ok {
			set.Trusted = append(set.Trusted, p)
		}
	}
	return set
}

// baseURL returns where the web listeners of a domain are reached, without a slash at the end:
// "" where there is nothing that people could reach. An address that is only tried counts for
// nothing: what is told today must be true tomorrow.
func (c *HTTPConfig) baseURL(host, port string) string {
	if c.URL != "" {
		return strings.ReplaceAll(c.URL, "{domain}", host)
	}
	sure := slices.IndexFunc(c.ListenTLS, func(a string) bool { return !strings.HasSuffix(a, "?") })
	if sure < 0 {
		return ""
	}
	if port == "" {
		_, port, _ = net.SplitHostPort(c.ListenTLS[sure])
	}
	if port == "443" {
		return "https://" + host
	}
	return "https://" + host + ":" + port
}
