package main

import (
	"maps"
	"slices"
	"strings"
)

// reloaded is what came of a reload.
type reloaded struct {
	NeedRestart []string `json:"needs_restart"` // keys that have changed and were not taken over
}

func (s *server) reloadAndSay() {
	notify("RELOADING=1")
	defer notify("READY=1")
	done, err := s.reload()
	if err != nil {
		s.log.Error("the configuration was not reloaded; the old one stays in force", "error", err)
		return
	}
	s.log.Info("reloaded")
	for _, key := range done.NeedRestart {
		s.log.Warn("a changed setting needs a restart", "key", key)
	}
}

// reload reads the whole configuration and the certificates, and checks them before
// anything changes. Then limits, certificates, contact addresses and the log's level are
// those of now; what has to stay until a restart is named.
func (s *server) reload() (reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	done := reloaded{NeedRestart: []string{}}
	cfg, err := s.o.load()
	if err != nil {
		return done, err
	}
	if !s.listening { // to components: the doors are yet to be opened
		s.cfg.Components.Listen, s.cfg.Components.ListenTLS = cfg.Components.Listen, cfg.Components.ListenTLS
	}
	was := s.cfg
	if !slices.Equal(was.Domains, cfg.Domains) { // those of new domains wait for the restart
		kept := maps.Clone(cfg.Certificates)
		for _, d := range was.Domains {
			if !slices.Contains(cfg.Domains, d) {
				kept[d] = was.Certificates[d]
			}
		}
		cfg.Certificates = kept
	}
	done.NeedRestart = append(done.NeedRestart, unreloadable(was, cfg)...)
	cfg.Domains = was.Domains
	policy, err := s2sPolicy(cfg)
	if err != nil {
		return done, err
	}
	if err := s.certs.Replace(hostCerts(cfg)); err != nil {
		return done, err
	}
	s.level.UnmarshalText([]byte(strings.ToUpper(cfg.Log.Level)))
	s.settle(cfg)
	set := settings(cfg)
	set.RequireTLS = was.C2S.RequireTLS
	s.c2s.SetSettings(set)
	if s.site != nil {
		s.site.SetSettings(webSettings(cfg))
	}
	s.policy.Store(policy)
	s.s2s.SetPolicy(policy)
	s.s2s.SetSettings(s2sSettings(cfg))
	return done, s.reloadComponents(was, cfg)
}
