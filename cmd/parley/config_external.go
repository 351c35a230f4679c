package main

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/xep/extdisco"
)

// ExternalServiceConfig is a table of external_services.
type ExternalServiceConfig struct {
	Type      string   `toml:"type" doc:"stun, stuns, turn or turns; or another type that clients know."`
	Host      string   `toml:"host" doc:"A domain or an address."`
	Port      int      `toml:"port" doc:"By default 3478, or 5349 for stuns and turns."`
	Transport string   `toml:"transport" doc:"udp or tcp. By default udp, or tcp for stuns and turns."`
	Secret    Secret   `toml:"secret" doc:"Shared with the service (static-auth-secret of coturn): users of this server get passwords made from it."`
	Lifetime  Duration `toml:"lifetime" doc:"How long such a password is good."`
	Username  string   `toml:"username" doc:"In the place of a secret, one name for all users,"`
	Password  Secret   `toml:"password" doc:"and one password."`
}

// services returns what clients of any domain are told of.
func (c Config) services() (list []extdisco.Service) {
	for _, name := range slices.Sorted(maps.Keys(c.External)) {
		e := c.External[name]
		s := extdisco.Service{
			Name: name, Type: e.Type, Host: e.Host, Port: e.Port, Transport: e.Transport,
			Secret: string(e.Secret), Lifetime: e.Lifetime.Duration, Username: e.Username, Password: string(e.Password),
		}
		port, transport := 0, ""
		switch s.Type {
		case "stun", "turn":
			port, transport = 3478, "udp"
		case "stuns", "turns":
			port, transport = 5349, "tcp"
		}
		if s.Port == 0 {
			s.Port = port
		}
		if s.Transport == "" {
			s.Transport = transport
		}
		list = append(list, s)
	}
	return list
}

// external returns what clients of a domain are told of.
func (l *live) external(string) []extdisco.Service { return *l.relays.Load() }

var serviceType = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,31}$`)

// checkExternal finds services that clients could not use.
func checkExternal(cfg *Config) *badKey {
	for _, name := range slices.Sorted(maps.Keys(cfg.External)) {
		s := cfg.External[name]
		wrong := func(key, format string, args ...any) *badKey {
			return &badKey{[]string{"external_services", name, key}, fmt.Sprintf(format, args...)}
		}
		_, isDomain := domainOf(s.Host)
		_, err := netip.ParseAddr(s.Host)
		switch {
		case !serviceType.MatchString(s.Type):
			return wrong("type", "%q is none of stun, stuns, turn, turns and the like", s.Type)
		case !isDomain && err != nil:
			return wrong("host", "%q is neither a domain nor an address", s.Host)
		case s.Port < 0 || s.Port > 65535:
			return wrong("port", "%d is no port", s.Port)
		case s.Transport != "" && s.Transport != "udp" && s.Transport != "tcp":
			return wrong("transport", "%q is neither udp nor tcp", s.Transport)
		case s.Secret != "" && (s.Username != "" || s.Password != ""):
			return wrong("secret", "a service has either a secret, or a name and a password for all")
		case s.Lifetime.Duration != 0 && (s.Lifetime.Duration < 10*time.Minute || s.Lifetime.Duration > 30*24*time.Hour):
			return wrong("lifetime", "%s is not between 10m and 720h", s.Lifetime.Duration)
		}
	}
	return nil
}

// setExternal reads name=type:host:port:secret, several separated by commas; port and secret may
// be missing, and addresses of IPv6 stand in brackets. The error has no secret.
func setExternal(m *map[string]ExternalServiceConfig, s string) error {
	for i, part := range list(s) {
		name, rest, ok := strings.Cut(part, "=")
		typ, rest, more := strings.Cut(rest, ":")
		if !ok || !more {
			return fmt.Errorf("entry %d is not of the form name=type:host:port:secret", i+1)
		}
		e := ExternalServiceConfig{Type: strings.TrimSpace(typ)}
		if after, ok := strings.CutPrefix(rest, "["); ok {
			e.Host, rest, _ = strings.Cut(after, "]")
			rest = strings.TrimPrefix(rest, ":")
		} else {
			e.Host, rest, _ = strings.Cut(rest, ":")
		}
		port, secret, _ := strings.Cut(rest, ":")
		if port != "" {
			n, err := strconv.Atoi(port)
			if err != nil {
				return fmt.Errorf("the port of entry %d is no number", i+1)
			}
			e.Port = n
		}
		e.Secret = Secret(secret)
		setEntry(m, strings.TrimSpace(name), e)
	}
	return nil
}
