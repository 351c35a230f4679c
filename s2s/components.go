package s2s

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

// ComponentSettings are what may change while the server runs.
type ComponentSettings struct {
	Stanza     int           // bytes of a stanza of a component
	QueueBytes int           // that may wait for one component
	Handshake  time.Duration // that a connection may take to prove which component it is
	Idle       time.Duration // of silence until a component is asked whether it is there; 0: never
	Patience   time.Duration // that it may take to answer
	Stall      time.Duration // that it may take nothing of what waits
	Absent     time.Duration // that one is gone until those it speaks for are taken for absent
	PerAddress int           // connections of one address that have proved nothing yet; 0: any number
}

// ComponentDefaults are the settings of a server without a configuration.
func ComponentDefaults() ComponentSettings {
	return ComponentSettings{
		Stanza: 512 << 10, QueueBytes: 16 << 20, Handshake: 30 * time.Second, Idle: 5 * time.Minute,
		Patience: time.Minute, Stall: time.Minute, Absent: 30 * time.Second, PerAddress: 50,
	}
}

// A ComponentRule says who may be a component.
type ComponentRule struct {
	Domain   string // as addresses write it
	Secret   string // that the component proves to know
	Wildcard bool   // it speaks for all domains below Domain, too
}

// ComponentsConfig is what Components are made of.
type ComponentsConfig struct {
	Router     *router.Router
	TLS        *auth.TLS // for connections that begin with TLS
	Settings   ComponentSettings
	Rules      []ComponentRule
	Log        *slog.Logger
	SweepEvery time.Duration // how often streams are looked at; 0 means 1 s
}

// Components are the services beside the server that speak for domains of their own
// (XEP-0114), and the door that they come in by.
type Components struct {
	cfg      ComponentsConfig
	settings atomic.Pointer[ComponentSettings]
	table    atomic.Pointer[componentTable]
	log      *slog.Logger
	brake    brake
	stats    ComponentStats
	door     doorway
	ctx      context.Context
	stop     context.CancelFunc
	works    sync.WaitGroup

	mu       sync.Mutex // a leaf
	links    map[*componentLink]struct{}
	unproven map[netip.Prefix]int // connections by address
}

// ComponentStats are counters that only grow.
type ComponentStats struct {
	Accepted atomic.Int64 // connections
	Refused  atomic.Int64 // over a limit
	Failed   atomic.Int64 // handshakes with a wrong secret, or too many of these
}

// componentTable is who the components are. It never changes.
type componentTable struct {
	byDomain map[string]*component
	wild     bool // some of them speak for what is below their domains
}

// find returns who speaks for a domain: the component of that name, or the nearest one above
// it that has what is below.
func (t *componentTable) find(domain string) *component {
	if c := t.byDomain[domain]; c != nil || !t.wild {
		return c
	}
	for {
		_, above, ok := strings.Cut(domain, ".")
		if !ok {
			return nil
		}
		if c := t.byDomain[above]; c != nil && c.rule.Load().Wildcard {
			return c
		}
		domain = above
	}
}

// NewComponents returns a door that listens nowhere yet.
func NewComponents(cfg ComponentsConfig) *Components {
	c := &Components{cfg: cfg, log: cfg.Log, links: map[*componentLink]struct{}{}, unproven: map[netip.Prefix]int{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.cfg.SweepEvery <= 0 {
		c.cfg.SweepEvery = time.Second
	}
	c.brake.init()
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.table.Store(&componentTable{})
	c.SetSettings(cfg.Settings)
	c.SetRules(cfg.Rules)
	c.works.Add(1)
	go c.sweep()
	return c
}

// SetSettings changes the settings.
func (c *Components) SetSettings(set ComponentSettings) { c.settings.Store(&set) }

// SetRules changes who the components are. The stream of one that is none any more ends with
// host-gone, and with reset where the secret is another one (RFC 6120 §4.9.3.5, §4.9.3.16).
func (c *Components) SetRules(rules []ComponentRule) {
	was, now := c.table.Load(), &componentTable{byDomain: make(map[string]*component, len(rules))}
	for _, rule := range rules {
		k := was.byDomain[rule.Domain]
		if k == nil {
			jid, err := xmpp.NewJID("", rule.Domain, "")
			if err != nil {
				c.log.Error("a component has no domain", "domain", rule.Domain)
				continue
			}
			k = &component{c: c, jid: jid}
		}
		before := k.rule.Swap(&rule)
		if before != nil && before.Secret != rule.Secret {
			k.end(xmpp.EndStream("reset", "the secret has changed"))
		}
		now.byDomain[rule.Domain] = k
		now.wild = now.wild || rule.Wildcard
	}
	c.table.Store(now)
	c.brake.forget()
	for domain, k := range was.byDomain {
		if now.byDomain[domain] == nil {
			k.end(xmpp.EndStream("host-gone", ""))
			k.distant(false)
		}
	}
}

// Local reports whether a domain is that of a component, connected or not.
func (c *Components) Local(domain string) bool { return c.table.Load().find(domain) != nil }

// Ways returns the ways to components, and for all other domains those of next.
func (c *Components) Ways(next router.Ways) router.Ways {
	return func(from, to string) (router.Way, *xmpp.Error) {
		if k := c.table.Load().find(to); k != nil {
			return k, nil
		}
		return next(from, to)
	}
}

// Stats returns the counters.
func (c *Components) Stats() *ComponentStats { return &c.stats }

// ComponentInfo is what an operator may want to know of a component.
type ComponentInfo struct {
	Domain    string    `json:"domain"`
	Wildcard  bool      `json:"wildcard"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`
	Address   string    `json:"address,omitempty"`
	TLS       string    `json:"tls,omitempty"`
	In        int64     `json:"stanzas_in"` // since the server began
	Out       int64     `json:"stanzas_out"`
	Waiting   int       `json:"waiting_bytes"`
}

// Info describes the components in the order of their domains.
func (c *Components) Info() []ComponentInfo {
	list := []ComponentInfo{}
	for _, k := range c.table.Load().byDomain {
		list = append(list, k.info())
	}
	slices.SortFunc(list, func(a, b ComponentInfo) int { return strings.Compare(a.Domain, b.Domain) })
	return list
}

// Serve accepts connections of l until it is closed; direct says that TLS comes first.
func (c *Components) Serve(l net.Listener, direct bool) error {
	return c.door.serve(l, c.log, func(nc *net.TCPConn) { c.accept(nc, direct) })
}

// admit takes in a connection, if there is room.
func (c *Components) admit(l *componentLink) bool {
	most := c.settings.Load().PerAddress
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.door.stopping.Load() || most > 0 && c.unproven[l.prefix] >= most {
		return false
	}
	c.unproven[l.prefix]++
	l.counted = true
	c.links[l] = struct{}{}
	c.works.Add(1)
	return true
}

// proven takes a connection out of those that have proved nothing.
func (c *Components) proven(l *componentLink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uncount(l)
}

// uncount is proven; the lock is held.
func (c *Components) uncount(l *componentLink) {
	if !l.counted {
		return
	}
	l.counted = false
	if c.unproven[l.prefix]--; c.unproven[l.prefix] <= 0 {
		delete(c.unproven, l.prefix)
	}
}

// forget takes out a stream that is over.
func (c *Components) forget(l *componentLink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
	c.uncount(l)
	c.works.Done()
}

func (c *Components) all() (list []*componentLink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.links {
		list = append(list, l)
	}
	return list
}

// sweep looks at the streams now and then.
func (c *Components) sweep() {
	defer c.works.Done()
	t := time.NewTicker(c.cfg.SweepEvery)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		for _, l := range c.all() {
			l.look(now)
		}
		for _, k := range c.table.Load().byDomain {
			k.missed(now)
		}
	}
}

// CloseListeners has nobody connect any more.
func (c *Components) CloseListeners() { c.door.closeListeners() }

// Shutdown ends all streams, when what came by them is settled, or ctx is over.
func (c *Components) Shutdown(ctx context.Context) error {
	c.CloseListeners()
	for _, l := range c.all() {
		l.end(xmpp.EndStream("system-shutdown", ""))
	}
	c.stop()
	done := make(chan struct{})
	go func() {
		c.works.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
