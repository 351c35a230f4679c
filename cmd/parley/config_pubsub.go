package main

import "parley/xep/pubsub"

// PubsubConfig is about what users publish for their contacts and for their own clients.
type PubsubConfig struct {
	Nodes         int `toml:"max_nodes" reload:"true" doc:"How many nodes an account may have. Each kind of thing that clients publish has one: avatars, bookmarks, keys."`
	Items         int `toml:"max_items" reload:"true" doc:"How many items a node may have. When there are more the oldest go."`
	Payload       int `toml:"max_payload" reload:"true" doc:"How many bytes an item may have. Smaller than c2s.max_stanza, or that is the limit."`
	Bytes         int `toml:"max_bytes" reload:"true" doc:"How many bytes all items of an account may have."`
	Subscriptions int `toml:"max_subscriptions" reload:"true" doc:"How many subscriptions the nodes of an account may have, beside those of contacts, who need none."`
	Affiliations  int `toml:"max_affiliations" reload:"true" doc:"How many entries the lists of who may do what with the nodes of an account have."`
}

func defaultPubsub() PubsubConfig {
	l := pubsub.DefaultLimits()
	return PubsubConfig{l.Nodes, l.Items, l.Payload, l.Bytes, l.Subscriptions, l.Affiliations}
}

// pubsub returns the limits of what users publish.
func (l *live) pubsub() pubsub.Limits { return pubsub.Limits(*l.published.Load()) }
