// Package pubsub keeps what people publish for others, or for their own other clients, in nodes,
// and tells who is interested (XEP-0060). Every account is such a service by itself: personal
// eventing (XEP-0163).
//
// What changes a node is a turn of its owner: it decides, writes, waits for the disk, then
// speaks. Nothing of a node is kept in memory; what is, is who is interested in what.
package pubsub

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Namespaces of XEP-0060 §16.1.
const (
	nsPubsub = "http://jabber.org/protocol/pubsub"
	nsErrors = nsPubsub + "#errors"
	nsEvent  = nsPubsub + "#event"
	nsOwner  = nsPubsub + "#owner"
)

// Limits are those of one account. What is not set is as in DefaultLimits.
type Limits struct {
	Nodes         int // an account has
	Items         int // of one node; max_items of max is this many
	Payload       int // bytes of one item
	Bytes         int // of all items of an account
	Subscriptions int // to the nodes of an account, beside those of who sees its presence
	Affiliations  int // with the nodes of an account
}

// DefaultLimits are those of a server whose operator has no other opinion.
func DefaultLimits() Limits {
	return Limits{Nodes: 500, Items: 5000, Payload: 256 << 10, Bytes: 16 << 20, Subscriptions: 1000, Affiliations: 1000}
}

// Whole returns the limits with the defaults for what is not set.
func (l Limits) Whole() Limits { return l.or(DefaultLimits()) }

// or returns the limits with others for what is not set.
func (l Limits) or(d Limits) Limits {
	for _, f := range []struct{ at, def *int }{
		{&l.Nodes, &d.Nodes}, {&l.Items, &d.Items}, {&l.Payload, &d.Payload}, {&l.Bytes, &d.Bytes},
		{&l.Subscriptions, &d.Subscriptions}, {&l.Affiliations, &d.Affiliations},
	} {
		if *f.at <= 0 {
			*f.at = *f.def
		}
	}
	return l
}

// Limits that nobody has asked to change.
const (
	maxName       = 1023      // bytes of the name of a node, or of an item's id
	maxConfig     = 8 << 10   // bytes of a configuration
	maxSubscribed = 20        // subscriptions of one address to the nodes of an account
	maxPage       = 1000      // items of one answer
	maxAnswer     = 1 << 20   // bytes of an answer within the house
	maxAnswerAway = 192 << 10 // bytes of an answer to another house, whose limits are not known
	maxChanges    = 100       // subscriptions or affiliations that one request changes
	maxGuests     = 1000      // resources elsewhere that have shown themselves to one account
	maxAllGuests  = 200_000   // the same for all accounts
	maxInterests  = 100       // nodes that one resource is interested in
	maxWaiting    = 4096      // guests of whom it is not known yet what they want
	maxLookers    = 8         // goroutines that look for what there is for who has come
)

// Config is what the feature is made of.
type Config struct {
	Limits func() Limits // of accounts; asked each time; nil: DefaultLimits

	Prefix   string                     // of the domain that is the service of a domain: pubsub for pubsub.example.org; "" for none
	Settings func(host string) Settings // of that service; asked each time; nil: DefaultSettings
	Admin    func(bare xmpp.JID) bool   // one of those who run the server
}

// Stats are counters that only grow.
type Stats struct {
	Published     atomic.Int64 // items
	Notifications atomic.Int64 // one for each who is told
	Refused       atomic.Int64 // requests over a limit
	Guests        atomic.Int64 // resources elsewhere that are not remembered, over a limit
}

// A Service is what is published: at accounts, and at domains beside them.
type Service struct {
	cfg     Config
	domains domains
	limit   func() Limits
	actions map[key]action

	router  *router.Router
	store   *storage.Store
	log     *slog.Logger
	stats   Stats
	lookers chan struct{}

	readers sync.Map // router.Session -> *reader

	mu      sync.Mutex // a leaf
	guests  map[xmpp.JID]map[xmpp.JID]*guest
	all     int // guests
	waiting int // of them, those who are being found out about
}

// New returns the service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, limit: cfg.Limits, guests: map[xmpp.JID]map[xmpp.JID]*guest{}, lookers: make(chan struct{}, maxLookers), actions: actions()}
	if s.limit == nil {
		s.limit = DefaultLimits
	}
	return s
}

// Stats returns the counters.
func (s *Service) Stats() *Stats { return &s.stats }

// limits returns the limits in force.
func (s *Service) limits() Limits { return s.limit().Whole() }

// Feature is what the service is to the server.
func Feature(s *Service) router.Feature {
	return router.Feature{
		Name: "publishing",
		XEPs: []router.XEP{
			{Number: 60, Version: "1.30.0", Note: "on accounts and as a service; without collections, options and leases of subscriptions"},
			{Number: 163, Version: "1.2.2"},
			{Number: 222, Version: "1.0"},
			{Number: 223, Version: "1.1.1"},
			{Number: 413, Version: "0.2.1"},
			{Number: 462, Version: "0.1.1"},
		},
		Disco:        []string{nsPubsub + "#publish-options"},
		Identities:   []router.Identity{{Category: "pubsub", Type: "pep"}}, // XEP-0222 §5, XEP-0223 §5
		AccountAs:    []router.Identity{{Category: "pubsub", Type: "pep"}}, // XEP-0163 §6.1
		AccountDisco: features(),
		IQ: []router.IQ{
			router.Get(router.ToOwn, nsPubsub, "pubsub", s.handle),
			router.Set(router.ToOwn, nsPubsub, "pubsub", s.handle),
			router.Get(router.ToOwn, nsOwner, "pubsub", s.handle),
			router.Set(router.ToOwn, nsOwner, "pubsub", s.handle),
			router.Get(router.ToAccount, nsPubsub, "pubsub", s.handle),
			router.Set(router.ToAccount, nsPubsub, "pubsub", s.handle),
			router.Get(router.ToAccount, nsOwner, "pubsub", s.handle),
			router.Set(router.ToAccount, nsOwner, "pubsub", s.handle),
		},
		AccountNode:  s.nodeInfo,
		AccountNodes: s.nodeList,
		Sent:         router.Hooks{Guard: s.decided},
		Arrived:      router.Hooks{Guard: s.returned},
		Shows:        s.shows,
		Shares:       s.shares,
		Presence:     s.presence,
		Known:        s.known,
		Admitted:     s.admitted,
		Distant:      s.distant,
		Save:         s.save,
		Restore:      s.restore,
		Service:      s,
		Items:        s.services,
		Start:        s.start,
		Edits:        s.edits,
		Tidy:         s.tidy,
		Forget:       forget,
		Schema:       schema,
	}
}

func (s *Service) start(h router.Hall) {
	s.router, s.store, s.log = h.Router, h.Store, h.Log
	s.domains.start(h.Router)
}

// features are those of XEP-0060 §10 that an account has.
func features() []string {
	list := []string{nsPubsub, nsOrder, nsOrder + "@" + nsPubsub, nsFilter} // XEP-0413 §6, XEP-0462 §3.1
	for _, name := range []string{
		"access-presence", "auto-create", "auto-subscribe", "config-node", "config-node-max", "create-and-configure", "create-nodes",
		"delete-items", "delete-nodes", "filtered-notifications", "instant-nodes", "item-ids", "last-published",
		"manage-subscriptions", "member-affiliation", "meta-data", "modify-affiliations", "multi-items", "outcast-affiliation",
		"persistent-items", "presence-subscribe", "publish", "publish-node-full", "publish-only-affiliation", "publish-options",
		"publisher-affiliation", "pubsub-on-a-jid", "purge-nodes", "retract-items", "retrieve-affiliations", "retrieve-default",
		"retrieve-items", "retrieve-subscriptions", "rsm", "subscribe", "subscription-notifications",
	} {
		list = append(list, nsPubsub+"#"+name)
	}
	return list
}
