package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/s2s"
	"parley/xep/delegation"
	"parley/xep/privilege"
)

// ComponentsConfig is the table components.
type ComponentsConfig struct {
	Listen     []string `toml:"listen" doc:"Addresses for components, in clear: loopback addresses, unless you know who can listen in between. Nothing listens while there is no table component."`
	ListenTLS  []string `toml:"listen_tls" doc:"Addresses for components that begin with TLS."`
	Stanza     int      `toml:"max_stanza" reload:"true" doc:"The largest stanza of a component, in bytes."`
	QueueBytes int      `toml:"queue_bytes" reload:"true" doc:"How many bytes may wait for one component; the senders of more get an error."`
	Handshake  Duration `toml:"handshake_timeout" reload:"true" doc:"How long a connection may take to prove which component it is."`
	Idle       Duration `toml:"idle" reload:"true" doc:"After how much silence a component is asked whether it is still there (XEP-0199). 0s: never."`
	Patience   Duration `toml:"ping_timeout" reload:"true" doc:"How long it may take to answer that."`
	Stall      Duration `toml:"stall" reload:"true" doc:"How long a component may take nothing of what waits for it."`
	Absent     Duration `toml:"absent_after" reload:"true" doc:"How long a component may be gone until users see those for whom it speaks as offline. They are asked for again when it comes back."`
	PerAddress int      `toml:"max_unproven_per_address" reload:"true" doc:"How many connections of one address may have proved nothing yet. 0: any number."`
}

// ComponentConfig is a table of component.
type ComponentConfig struct {
	Secret   Secret   `toml:"secret" doc:"What the component proves to know: 8 characters at least. It is not shown by config show."`
	Wildcard bool     `toml:"wildcard" doc:"The component speaks for all domains below its own, too."`
	Hidden   bool     `toml:"hidden" doc:"Do not name it among the services of this server (XEP-0030)."`
	Name     string   `toml:"name" doc:"What it is called there."`
	Roster   string   `toml:"roster" doc:"What it may do with the contacts of users: none, get, set or both (XEP-0356)."`
	Message  string   `toml:"message" doc:"outgoing: it may send messages in the name of users. none: it may not."`
	Presence string   `toml:"presence" doc:"managed_entity: it is told which users are there. roster: and which of their contacts; that takes roster get or both. none: neither."`
	IQ       []string `toml:"iq" doc:"Requests that it may send in the name of users: namespace=get, namespace=set or namespace=both."`
	Delegate []string `toml:"delegate" doc:"Namespaces of requests to this server and its users that it answers in their place (XEP-0355). Attributes that the request must have may follow, after blanks."`
}

// A Secret is a text that is not shown.
type Secret string

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return []byte{}, nil
	}
	return []byte("(hidden)"), nil
}

// String implements fmt.Stringer.
func (s Secret) String() string { return "(hidden)" }

// minSecret is how long the secret of a component is at least, in bytes.
const minSecret = 8

func defaultComponents() ComponentsConfig {
	d := func(t time.Duration) Duration { return Duration{t} }
	set := s2s.ComponentDefaults()
	return ComponentsConfig{
		Listen: []string{"127.0.0.1:5347"}, Stanza: set.Stanza, QueueBytes: set.QueueBytes, Handshake: d(set.Handshake),
		Idle: d(set.Idle), Patience: d(set.Patience), Stall: d(set.Stall), Absent: d(set.Absent), PerAddress: set.PerAddress,
	}
}

func componentSettings(cfg Config) s2s.ComponentSettings {
	c := cfg.Components
	return s2s.ComponentSettings{
		Stanza: c.Stanza, QueueBytes: c.QueueBytes, Handshake: c.Handshake.Duration, Idle: c.Idle.Duration,
		Patience: c.Patience.Duration, Stall: c.Stall.Duration, Absent: c.Absent.Duration, PerAddress: c.PerAddress,
	}
}

// componentRules are the components of a configuration that has been checked.
func componentRules(cfg Config) (list []s2s.ComponentRule) {
	for _, domain := range slices.Sorted(maps.Keys(cfg.Component)) {
		c := cfg.Component[domain]
		list = append(list, s2s.ComponentRule{Domain: domain, Secret: string(c.Secret), Wildcard: c.Wildcard})
	}
	return list
}

// checkComponents finds components that could not work, and writes their domains as addresses
// do.
func checkComponents(cfg *Config) *badKey {
	named := map[string]ComponentConfig{}
	delegated := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Component)) {
		c := cfg.Component[name]
		wrong := func(key, format string, args ...any) *badKey {
			at := []string{"component", name}
			if key != "" {
				at = append(at, key)
			}
			return &badKey{at, fmt.Sprintf(format, args...)}
		}
		domain, ok := domainOf(name)
		_, twice := named[domain]
		switch {
		case !ok:
			return wrong("", "this is no domain")
		case twice:
			return wrong("", "%s is named twice", domain)
		case slices.Contains(cfg.Domains, domain):
			return wrong("", "this is one of the server's own domains; a component needs one for itself, as service.%s", domain)
		case c.Secret == "":
			return wrong("", "a component needs a secret")
		case len(c.Secret) < minSecret:
			return wrong("secret", "a secret has %d characters at least: who knows it speaks for the domain", minSecret)
		}
		if key, err := c.may(); err != nil {
			return wrong(key, "%v", err)
		}
		for _, d := range c.Delegate {
			ns, _, _ := strings.Cut(d, " ")
			if by := delegated[ns]; by != "" {
				return wrong("delegate", "%s is delegated to %s already", ns, by)
			}
			delegated[ns] = domain
		}
		named[domain] = c
	}
	cfg.Component = named
	return nil
}

// may checks what a component is allowed; key is what is wrong.
func (c ComponentConfig) may() (key string, err error) {
	if key, err = c.permissions().Check(); err != nil {
		return key, err
	}
	_, err = delegation.Parse(c.Delegate)
	return "delegate", err
}

func (c ComponentConfig) permissions() privilege.Permissions {
	return privilege.Permissions{Roster: c.Roster, Message: c.Message, Presence: c.Presence, IQ: c.IQ}
}

// setComponents reads domain=secret, several separated by commas. The error has no secret.
func setComponents(m *map[string]ComponentConfig, s string) error {
	for i, part := range list(s) {
		domain, secret, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("entry %d is not of the form domain=secret", i+1)
		}
		setEntry(m, strings.TrimSpace(domain), ComponentConfig{Secret: Secret(strings.TrimSpace(secret))})
	}
	return nil
}
