package main

import (
	"slices"
	"strings"

	"parley/xep/pubsub"
	"parley/xmpp"
)

// PubsubConfig is about what users publish for their contacts and for their own clients, and
// for everybody.
type PubsubConfig struct {
	Nodes         int `toml:"max_nodes" reload:"true" doc:"How many nodes an account may have. Each kind of thing that clients publish has one: avatars, bookmarks, keys."`
	Items         int `toml:"max_items" reload:"true" doc:"How many items a node may have. When there are more the oldest go."`
	Payload       int `toml:"max_payload" reload:"true" doc:"How many bytes an item may have. Smaller than c2s.max_stanza, or that is the limit."`
	Bytes         int `toml:"max_bytes" reload:"true" doc:"How many bytes all items of an account may have."`
	Subscriptions int `toml:"max_subscriptions" reload:"true" doc:"How many subscriptions the nodes of an account may have, beside those of contacts, who need none."`
	Affiliations  int `toml:"max_affiliations" reload:"true" doc:"How many entries the lists of who may do what with the nodes of an account have."`

	Prefix               string `toml:"prefix" doc:"What stands before a domain in the domain of its service: pubsub for pubsub.example.org. Empty: no services; accounts publish all the same."`
	Create               string `toml:"create" reload:"true" doc:"Who may make nodes there: local (users of this server), anyone (users of other servers too) or admins."`
	ServiceNodes         int    `toml:"service_max_nodes" reload:"true" doc:"How many nodes a service may have."`
	PerUser              int    `toml:"service_max_nodes_per_user" reload:"true" doc:"How many of them one user may own."`
	ServiceBytes         int    `toml:"service_max_bytes" reload:"true" doc:"How many bytes all items of a service may have."`
	ServiceSubscriptions int    `toml:"service_max_subscriptions" reload:"true" doc:"How many subscriptions one node of a service may have."`
}

func defaultPubsub() PubsubConfig {
	l, s := pubsub.DefaultLimits(), pubsub.DefaultSettings()
	return PubsubConfig{
		Nodes: l.Nodes, Items: l.Items, Payload: l.Payload, Bytes: l.Bytes, Subscriptions: l.Subscriptions, Affiliations: l.Affiliations,
		Prefix: "pubsub", Create: s.Create, ServiceNodes: s.Nodes, PerUser: s.PerUser, ServiceBytes: s.Bytes, ServiceSubscriptions: s.Subscriptions,
	}
}

// pubsub returns the limits of what users publish.
func (l *live) pubsub() pubsub.Limits {
	c := l.published.Load()
	return pubsub.Limits{Nodes: c.Nodes, Items: c.Items, Payload: c.Payload, Bytes: c.Bytes, Subscriptions: c.Subscriptions, Affiliations: c.Affiliations}
}

// pubsubService returns how the service of a domain is.
func (l *live) pubsubService(string) pubsub.Settings {
	c := l.published.Load()
	return pubsub.Settings{
		Limits: pubsub.Limits{
			Nodes: c.ServiceNodes, Items: c.Items, Payload: c.Payload, Bytes: c.ServiceBytes,
			Subscriptions: c.ServiceSubscriptions, Affiliations: c.Affiliations,
		},
		PerUser: c.PerUser, Create: c.Create,
	}
}

// checkPubsub finds what could not be.
func checkPubsub(cfg *Config) *badKey {
	c := &cfg.Pubsub
	switch c.Create {
	case pubsub.CreateLocal, pubsub.CreateAnyone, pubsub.CreateAdmins:
	default:
		return bad("pubsub.create", "%q is none of local, anyone and admins", c.Create)
	}
	if c.Prefix == "" {
		return nil
	}
	if c.Prefix == cfg.Rooms.Prefix {
		return bad("pubsub.prefix", "%s is where the rooms are", c.Prefix)
	}
	for _, host := range cfg.Domains {
		j, err := xmpp.NewJID("", c.Prefix+"."+host, "")
		switch {
		case err != nil:
			return bad("pubsub.prefix", "%s.%s is no domain", c.Prefix, host)
		case slices.Contains(cfg.Domains, j.Domain()):
			return bad("pubsub.prefix", "%s is one of the domains; the service of %s needs one for itself", j.Domain(), host)
		case hasComponent(cfg, j.Domain()):
			return bad("pubsub.prefix", "%s is a component's; the service of %s needs a domain for itself", j.Domain(), host)
		}
		c.Prefix = strings.TrimSuffix(j.Domain(), "."+host)
	}
	return nil
}
