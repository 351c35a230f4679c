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

// pagesOf is what the pages for people and the well-known documents say of this house.
func (h *house) pagesOf() web.Site {
	l, cfg := &h.live, &h.cfg
	site := web.Site{
		Version: versionInfo().Version, Domains: cfg.Domains, Base: l.baseURL, Chat: cfg.HTTP.Chat,
		Contacts: func(string) map[string][]string { return *l.contact.Load() },
		Rooms: func(host string) string {
			if cfg.Rooms.Prefix == "" {
				return ""
			}
			return cfg.Rooms.Prefix + "." + host
		},
		Register: l.open.Load,
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
