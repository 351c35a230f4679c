package main

import (
	"net"
	"net/netip"
	"strconv"

	"parley/web"
)

// Where the transports of browsers are.
const (
	webSocketPath = "/xmpp-websocket"
	boshPath      = "/http-bind"
)

// pagesOf is what the pages for people and the well-known documents say of this house, as it is
// at the moment.
func (h *house) pagesOf() web.Site {
	site := siteOf(h.cfg)
	site.Base, site.Register = h.live.baseURL, h.live.open.Load
	site.Contacts = func(host string) map[string][]string { return h.live.contact.Load().For(host) }
	return site
}

// siteOf is what can be said of a configuration.
func siteOf(cfg Config) web.Site {
	site := web.Site{
		Version: versionInfo().Version, Domains: cfg.Domains, Chat: cfg.HTTP.Chat,
		Base: func(host string) string { return cfg.HTTP.baseURL(host, "") },
		Rooms: func(host string) string {
			if cfg.Rooms.Prefix == "" {
				return ""
			}
			return cfg.Rooms.Prefix + "." + host
		},
		Ports: web.Ports{
			STARTTLS: worldPort(cfg.C2S.Listen), DirectTLS: worldPort(cfg.C2S.ListenTLS), ServersTLS: worldPort(cfg.S2S.ListenTLS),
		},
	}
	if cfg.HTTP.WebSocket {
		site.WebSocket = webSocketPath
	}
	if cfg.HTTP.BOSH {
		site.BOSH = boshPath
	}
	for _, a := range cfg.HTTP.Addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			site.Addresses = append(site.Addresses, ip)
		}
	}
	return site
}

// worldPort is the port of the first address that others than this machine can reach; 0 if
// there is none, or the system chooses.
func worldPort(addresses []string) uint16 {
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		n, bad := strconv.ParseUint(port, 10, 16)
		if ip, no := netip.ParseAddr(host); err == nil && bad == nil && n != 0 && (no != nil || !ip.IsLoopback()) {
			return uint16(n)
		}
	}
	return 0
}
