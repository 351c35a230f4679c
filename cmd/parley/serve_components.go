package main

import (
	"maps"
	"slices"
	"sync"

	"parley/auth"
	"parley/router"
	"parley/s2s"
	"parley/xep/delegation"
	"parley/xep/privilege"
	"parley/xmpp"
)

// trusted is what the components of a configuration may do; features ask at run time.
type trusted struct {
	privileges *privilege.Table
	delegated  *delegation.Table
	services   []router.Item // that service discovery names
}

// trustedOf reads a configuration that has been checked.
func trustedOf(cfg Config) *trusted {
	may, answers := map[string]privilege.Permissions{}, map[string][]delegation.Namespace{}
	t := &trusted{}
	for _, domain := range slices.Sorted(maps.Keys(cfg.Component)) {
		c := cfg.Component[domain]
		may[domain] = c.permissions()
		if list, err := delegation.Parse(c.Delegate); err == nil {
			answers[domain] = list
		}
		if jid, err := xmpp.NewJID("", domain, ""); err == nil && !c.Hidden {
			t.services = append(t.services, router.Item{JID: jid, Name: c.Name})
		}
	}
	t.privileges, t.delegated = privilege.NewTable(may), delegation.NewTable(answers)
	return t
}

// services is the feature that names components among what the domains of the server have
// (XEP-0030 §4.1), connected or not: a client that looks at one that is not gets an error at
// once.
func (l *live) services() router.Feature {
	return router.Feature{
		Name:  "components",
		XEPs:  []router.XEP{{Number: 114, Version: "1.6", Note: "jabber:component:accept"}},
		Items: func(string) []router.Item { return l.trusted.Load().services },
	}
}

// openComponents makes the door for components. It listens if there are any.
func (s *server) openComponents() {
	s.components = s2s.NewComponents(s2s.ComponentsConfig{
		Router: s.router, TLS: s.certs.Server(auth.TLSOptions{}), Settings: componentSettings(s.cfg),
		Rules: componentRules(s.cfg), Log: s.log,
	})
}

// listenToComponents opens the door, when the way to other servers is there.
func (s *server) listenToComponents() error {
	if s.listening || len(s.cfg.Component) == 0 {
		return nil
	}
	s.listening = true
	return s.openDoors("components", "components", s.components.Serve, s.cfg.Components.Listen, s.cfg.Components.ListenTLS)
}

// isLocal reports whether a domain is of this house: the server's, or a component's.
func (s *server) isLocal(domain string) bool {
	return s.router.Local(domain) || s.components.Local(domain)
}

// hostTLS makes the server's side of TLS by host, one each.
type hostTLS struct {
	certs *auth.Certs
	known func(host string) bool
	first string

	mu   sync.Mutex // a leaf
	made map[string]*auth.TLS
}

// maxHostTLS is how many names below the domains of components have a TLS side of their own;
// with more, these are made anew.
const maxHostTLS = 1000

func (h *hostTLS) of(host string) *auth.TLS {
	if !h.known(host) {
		host = h.first
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.made[host]
	if t == nil {
		if len(h.made) >= maxHostTLS {
			h.made = nil
		}
		if h.made == nil {
			h.made = map[string]*auth.TLS{}
		}
		t = h.certs.Server(auth.TLSOptions{Host: host, AskClient: true})
		h.made[host] = t
	}
	return t
}

// reloadComponents takes over what a reload has changed of components. Those that are
// connected are told what they may do where that is something else now (XEP-0355 §8).
func (s *server) reloadComponents(was, now Config) error {
	s.components.SetSettings(componentSettings(now))
	s.components.SetRules(componentRules(now))
	s.cfg.Component = now.Component
	s.router.Nested()
	for _, i := range s.components.Info() {
		a, b := was.Component[i.Domain], now.Component[i.Domain]
		a.Secret, a.Name, a.Hidden = b.Secret, b.Name, b.Hidden
		if jid, err := xmpp.NewJID("", i.Domain, ""); err == nil && i.Connected && !sameComponent(a, b) {
			s.router.Attached(jid)
		}
	}
	return s.listenToComponents()
}

func sameComponent(a, b ComponentConfig) bool {
	return a.Roster == b.Roster && a.Message == b.Message && a.Presence == b.Presence && slices.Equal(a.IQ, b.IQ) && slices.Equal(a.Delegate, b.Delegate)
}
