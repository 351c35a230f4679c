package main

import (
	"maps"
	"slices"
	"time"

	"parley/s2s"
)

// S2SConfig is the table s2s.
type S2SConfig struct {
	Listen      []string `toml:"listen" doc:"Addresses for servers that begin in clear and switch to TLS (STARTTLS). Empty list: none."`
	ListenTLS   []string `toml:"listen_tls" doc:"Addresses for servers that begin with TLS (XEP-0368)."`
	RequireCert bool     `toml:"require_certificate" reload:"true" doc:"Believe a domain by its certificate alone: one of a known authority, or one that DANE or POSH names. Off, dialback over TLS will do where the certificate proves nothing: it relies on DNS, and reaches everybody."`
	Dialback    bool     `toml:"dialback" reload:"true" doc:"Let dialback over TLS do (XEP-0220). Off is the same as require_certificate."`
	Allow       []string `toml:"allow" reload:"true" doc:"Domains to talk to; *.example.org stands for all below it. Empty: all."`
	Deny        []string `toml:"deny" reload:"true" doc:"Domains not to talk to. Of two names that fit the longer one decides."`
	DNS         []string `toml:"dns" doc:"Name servers, as 127.0.0.1:53. Empty: those of the system."`
	DNSTrusted  bool     `toml:"dns_trusted" doc:"Believe name servers on other machines when they say that DNSSEC has proved an answer (for DANE). Those of this machine are believed."`
	CA          []string `toml:"ca" doc:"PEM files of the authorities that other servers' certificates may come from. Empty: the system's."`
	DANE        bool     `toml:"dane" doc:"Let signed DNS say which certificate a domain has (RFC 7673)."`
	POSH        bool     `toml:"posh" doc:"Let a domain's web server say which certificate its XMPP server has (RFC 7711), where a certificate is required and nothing else proves the domain."`
	Bidi        bool     `toml:"bidi" reload:"true" doc:"Use one connection for both directions where the other server does (XEP-0288)."`
	Stanza      int      `toml:"max_stanza" reload:"true" doc:"The largest stanza of another server, in bytes. More than c2s.max_stanza: a stanza grows on its way."`
	QueueBytes  int      `toml:"queue_bytes" reload:"true" doc:"How many bytes may wait for one domain; the senders of more get an error."`
	Queue       int      `toml:"queue_stanzas" reload:"true" doc:"The same in stanzas."`
	GiveUp      Duration `toml:"give_up" reload:"true" doc:"How long a message waits for a domain that cannot be reached; then its sender gets an error."`
	Connect     Duration `toml:"connect_timeout" reload:"true" doc:"How long one attempt to reach a domain may take, from DNS to the proof of who is there."`
	Negotiate   Duration `toml:"proof_timeout" reload:"true" doc:"How long a server that has connected may take to prove a domain."`
	Idle        Duration `toml:"idle" reload:"true" doc:"After how long without stanzas a connection is closed."`
	Stall       Duration `toml:"stall" reload:"true" doc:"How long a server may take nothing of what waits for it."`
	Rate        int      `toml:"connection_rate" reload:"true" doc:"How many bytes a second one connection may send in the long run. More is read later; nothing is lost. 0: any number."`
	Burst       int      `toml:"connection_burst" reload:"true" doc:"How many bytes it may send at once."`
	PerAddress  int      `toml:"max_unproven_per_address" reload:"true" doc:"How many connections of one address may have proved no domain yet. 0: any number."`
	Links       int      `toml:"max_connections" reload:"true" doc:"How many connections with other servers there may be. 0: any number."`
}

// PeerConfig is a table of s2s_domains.
type PeerConfig struct {
	RequireCert *bool    `toml:"require_certificate" doc:"As in s2s."`
	Dialback    *bool    `toml:"dialback" doc:"As in s2s."`
	Route       []string `toml:"route" doc:"Where the domain is reached, without DNS: host:port, or tls://host:port."`
}

func defaultS2S() S2SConfig {
	d := func(t time.Duration) Duration { return Duration{t} }
	set := s2s.Defaults()
	return S2SConfig{
		Listen: []string{":5269"}, ListenTLS: []string{":5270"}, Dialback: true, DANE: true, POSH: true, Bidi: set.Bidi,
		Stanza: set.Stanza, QueueBytes: set.QueueBytes, Queue: set.QueueStanzas, GiveUp: d(set.GiveUp), Connect: d(set.Connect),
		Negotiate: d(set.Negotiate), Idle: d(set.Idle), Stall: d(set.Stall), PerAddress: set.PerAddress, Links: set.Links, Rate: set.Rate, Burst: set.Burst,
	}
}

func s2sSettings(cfg Config) s2s.Settings {
	c := cfg.S2S
	return s2s.Settings{
		Stanza: c.Stanza, QueueBytes: c.QueueBytes, QueueStanzas: c.Queue, GiveUp: c.GiveUp.Duration,
		Connect: c.Connect.Duration, Negotiate: c.Negotiate.Duration, Idle: c.Idle.Duration, Stall: c.Stall.Duration,
		AckWithin: cfg.SM.AckWithin.Duration, PerAddress: c.PerAddress, Links: c.Links, Rate: c.Rate, Burst: c.Burst, Bidi: c.Bidi, Manage: true,
	}
}

// s2sPolicy makes the policy of a configuration.
func s2sPolicy(cfg Config) (*s2s.Policy, error) {
	domains := map[string]s2s.DomainPolicy{}
	for name, d := range cfg.Peers {
		domains[name] = s2s.DomainPolicy{RequireCertificate: d.RequireCert, Dialback: d.Dialback, Route: d.Route}
	}
	return s2s.NewPolicy(s2s.PolicyConfig{
		RequireCertificate: cfg.S2S.RequireCert, Dialback: cfg.S2S.Dialback,
		Allow: cfg.S2S.Allow, Deny: cfg.S2S.Deny, Domains: domains,
	})
}

// checkS2S finds names and routes that are none.
func checkS2S(cfg *Config) *badKey {
	for _, list := range []struct {
		key   string
		names []string
	}{{"s2s.allow", cfg.S2S.Allow}, {"s2s.deny", cfg.S2S.Deny}} {
		if _, err := s2s.NewPolicy(s2s.PolicyConfig{Allow: list.names}); err != nil {
			return bad(list.key, "%v", err)
		}
	}
	if wrong := checkPeers(cfg); wrong != nil {
		return wrong
	}
	if err := s2s.CheckServers(cfg.S2S.DNS); err != nil {
		return bad("s2s.dns", "%v", err)
	}
	if cfg.S2S.Stanza < cfg.C2S.Stanza {
		return bad("s2s.max_stanza", "%d is less than c2s.max_stanza, which is %d: what one user may send would end the connection with another server", cfg.S2S.Stanza, cfg.C2S.Stanza)
	}
	return nil
}

// checkPeers finds sections for what is no domain, or for one that has a section already, and
// routes that lead nowhere.
func checkPeers(cfg *Config) *badKey {
	named := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		domain, err := s2s.ParsePattern(name)
		if err != nil {
			return &badKey{[]string{"s2s_domains", name}, err.Error()}
		}
		if named[domain] {
			return &badKey{[]string{"s2s_domains", name}, domain + " is named twice"}
		}
		named[domain] = true
		for _, route := range cfg.Peers[name].Route {
			if _, err := s2s.ParseRoute(route); err != nil {
				return &badKey{[]string{"s2s_domains", name, "route"}, err.Error()}
			}
		}
	}
	return nil
}
