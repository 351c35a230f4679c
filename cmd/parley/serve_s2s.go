package main

import (
	"context"
	"crypto/x509"
	"fmt"

	"parley/auth"
	"parley/s2s"
)

// openS2S opens the way to other servers, and the doors for them.
func (s *server) openS2S() (err error) {
	policy, err := s2sPolicy(s.cfg)
	if err != nil {
		return err
	}
	s.policy.Store(policy)
	if s.asks, err = s2s.NewResolver(s2s.ResolverConfig{
		Servers: s.cfg.S2S.DNS, TrustAD: s.cfg.S2S.DNSTrusted,
		Routes: func(domain string) []string { return s.policy.Load().Routes(domain) },
	}); err != nil {
		return fmt.Errorf("s2s.dns: %w", err)
	}
	roots, err := s2sRoots(s.cfg.S2S.CA)
	if err != nil {
		return err
	}
	s.judge = s2s.NewJudge(s2s.JudgeConfig{Roots: roots, Resolver: s.asks, DANE: s.cfg.S2S.DANE, POSH: s.cfg.S2S.POSH})
	byHost := &hostTLS{certs: s.certs, known: s.isLocal, first: s.cfg.Domains[0]}
	s.s2s = s2s.NewServer(s2s.Config{
		Router: s.router, Store: s.store, Log: s.log, Settings: s2sSettings(s.cfg), Policy: policy,
		Local:       s.isLocal,
		TLS:         byHost.of,
		DirectTLS:   s.certs.Server(auth.TLSOptions{ALPN: []string{"xmpp-server"}, AskClient: true}),
		Certificate: s.certs.Certificate,
		Resolver:    s.asks, Dialer: &s2s.Dialer{Resolver: s.asks}, Judge: s.judge,
	})
	s.router.SetWays(s.components.Ways(s.s2s.Ways))
	if err := s.s2s.Start(context.Background()); err != nil {
		return fmt.Errorf("messages for other servers could not be read: %w", err)
	}
	return s.openDoors("servers", "s2s", s.s2s.Serve, s.cfg.S2S.Listen, s.cfg.S2S.ListenTLS)
}

// s2sRoots reads the authorities of other servers' certificates; nil: the system's.
func s2sRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	return authorities("s2s.ca", files)
}
