// Package bytestreams is a proxy for files that one client sends to another (XEP-0065): both
// connect to it by SOCKS5 and show the same hash, and the one who is a user of this server has it
// join them. It connects to nobody, and carries nothing for strangers.
package bytestreams

import (
	"crypto/sha1"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/xmpp"
)

const (
	ns      = "http://jabber.org/protocol/bytestreams"
	nsItems = "http://jabber.org/protocol/disco#items"
)

// Limits that nobody has asked to change.
const (
	greetingWithin = 5 * time.Second  // for the SOCKS5 handshake
	joinedWithin   = 30 * time.Second // from there until the stream is activated
	maxWaiting     = 512              // connections that are not activated
	maxGreeting    = 128              // of these, who have not shown a hash yet
	maxPerAddress  = 16               // of one address (IPv6: a /64)
	maxPerNetwork  = 64               // of one network (IPv4: a /24, IPv6: a /48)
	maxEarly       = 64 << 10         // bytes that one may send before it is activated; they are ignored
	chunk          = 32 << 10         // of a stream in memory, each way
	maxSID         = 1023             // bytes of a stream's id
)

// Settings are what may change while the server runs. What is not set is as in DefaultSettings.
type Settings struct {
	Streams int           // at a time
	PerUser int           // of these, activated by one user
	Rate    int           // bytes a second of one user's streams, both ways together; negative: any number
	Idle    time.Duration // how long a stream may carry nothing
}

// DefaultSettings are those of a server whose operator has no other opinion.
func DefaultSettings() Settings {
	return Settings{Streams: 256, PerUser: 8, Rate: 8 << 20, Idle: 2 * time.Minute}
}

// Whole returns the settings with the defaults for what is not set.
func (s Settings) Whole() Settings {
	d := DefaultSettings()
	if s.Streams == 0 {
		s.Streams = d.Streams
	}
	if s.PerUser == 0 {
		s.PerUser = d.PerUser
	}
	if s.Rate == 0 {
		s.Rate = d.Rate
	}
	if s.Idle == 0 {
		s.Idle = d.Idle
	}
	return s
}

// Config is what a Proxy is made of.
type Config struct {
	Prefix   string                                      // of the domain that is the proxy of a domain: proxy for proxy.example.org; "" for none
	Address  func(domain string) (host string, port int) // where clients of a domain reach the listener; port 0: nothing listens
	Settings func() Settings                             // asked each time; nil: DefaultSettings
}

// Stats are counters that only grow, and two gauges.
type Stats struct {
	Accepted atomic.Int64 // connections
	Refused  atomic.Int64 // of these, for a limit or since they spoke something else
	Streams  atomic.Int64 // activated
	Bytes    atomic.Int64 // carried
	Open     atomic.Int64 // streams, now
	Waiting  atomic.Int64 // connections that are not activated, now
}

// A Proxy joins connections of clients.
type Proxy struct {
	cfg    Config
	router *router.Router
	log    *slog.Logger
	stats  Stats

	stop chan struct{} // closed by Shutdown

	mu      sync.Mutex // a leaf
	closed  bool
	all     map[*peer]bool       // connections, so that they can be closed
	waiting map[string][]*peer   // by what they have shown: one or two
	from    map[netip.Prefix]int // connections that are not activated, by address and by network
	greets  int                  // of these, who have not shown a hash yet
	users   map[xmpp.JID]*budget // of open streams
	done    sync.WaitGroup       // goroutines of connections
}

// New returns a proxy that listens nowhere yet.
func New(cfg Config) *Proxy {
	if cfg.Settings == nil {
		cfg.Settings = DefaultSettings
	}
	return &Proxy{cfg: cfg, stop: make(chan struct{}), log: slog.New(slog.DiscardHandler), all: map[*peer]bool{}, waiting: map[string][]*peer{}, from: map[netip.Prefix]int{}, users: map[xmpp.JID]*budget{}}
}

// Stats returns the counters.
func (p *Proxy) Stats() *Stats { return &p.stats }

// Feature is what the proxy is to the server.
func Feature(p *Proxy) router.Feature {
	return router.Feature{
		Name:    "file proxy",
		XEPs:    []router.XEP{{Number: 65, Version: "1.8.2", Note: "as a proxy, over TCP"}},
		Service: p,
		Items:   p.items,
		Start:   func(h router.Hall) { p.router, p.log = h.Router, h.Log },
	}
}

// Has implements router.Service.
func (p *Proxy) Has(domain string) bool {
	_, ok := p.hostOf(domain)
	return ok
}

// hostOf returns the domain of the house whose proxy a domain is.
func (p *Proxy) hostOf(domain string) (string, bool) {
	host, ok := strings.CutPrefix(domain, p.cfg.Prefix+".")
	return host, p.cfg.Prefix != "" && ok && p.router.Serves(host)
}

// Seats implements router.Service: nobody is at an address of it.
func (p *Proxy) Seats(_, _ xmpp.JID) bool { return false }

// items names the proxy of a domain (XEP-0065 §4), where it listens.
func (p *Proxy) items(host string) []router.Item {
	if _, port := p.cfg.Address(host); p.cfg.Prefix == "" || port == 0 {
		return nil
	}
	j, err := xmpp.NewJID("", p.cfg.Prefix+"."+host, "")
	if err != nil {
		return nil
	}
	return []router.Item{{JID: j, Name: "File proxy"}}
}

// Take implements router.Service.
func (p *Proxy) Take(rd *router.Round, st *xmpp.Stanza, settled func()) {
	switch {
	case st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set"):
		answer, err := p.answer(st)
		p.router.Answer(rd, st, answer, err)
	case st.Kind == xmpp.Message:
		p.router.Bounce(rd, st, xmpp.Refuse("service-unavailable", ""))
		settled()
	}
}

func (p *Proxy) answer(st *xmpp.Stanza) (xmpp.Payload, error) {
	q := st.Payload()
	switch get := st.Type == "get"; {
	case st.To.Local() != "" || st.To.Resource() != "":
		return nil, xmpp.Refuse("item-not-found", "")
	case get && q.Is("urn:xmpp:ping", "ping"):
		return nil, nil
	case get && (q.Is(xmpp.NSInfo, "query") || q.Is(nsItems, "query")):
		return discovered(q)
	case !q.Is(ns, "query"):
	case st.From.Local() == "" || !p.router.Serves(st.From.Domain()):
		return nil, xmpp.Refuse("forbidden", "") // XEP-0065 §4
	case get:
		return p.streamhost(st.To)
	default:
		return nil, p.activate(st.From, q)
	}
	return nil, xmpp.Refuse("service-unavailable", "")
}

// discovered says what the proxy is (XEP-0065 §4).
func discovered(q xmpp.Element) (xmpp.Payload, error) {
	if q.Attr("node") != "" {
		return nil, xmpp.Refuse("item-not-found", "") // XEP-0030 §7
	}
	var b xmpp.Builder
	b.Open(q.Name().Space, "query")
	if q.Name().Space == xmpp.NSInfo {
		b.Open("", "identity", "category", "proxy", "type", "bytestreams", "name", "File proxy").Close()
		for _, f := range []string{ns, xmpp.NSInfo, nsItems, "urn:xmpp:ping"} {
			b.Open("", "feature", "var", f).Close()
		}
	}
	return b.Payload(), nil
}

// streamhost says where clients connect to (XEP-0065 §4).
func (p *Proxy) streamhost(at xmpp.JID) (xmpp.Payload, error) {
	domain, _ := p.hostOf(at.Domain())
	host, port := p.cfg.Address(domain)
	if port == 0 {
		return nil, xmpp.Refuse("not-allowed", "nothing listens here")
	}
	var b xmpp.Builder
	b.Open(ns, "query").Open("", "streamhost", "host", host, "jid", at.String(), "port", strconv.Itoa(port)).Close()
	return b.Payload(), nil
}

// activate joins two connections that have shown the hash of this stream (XEP-0065 §6.3.5).
func (p *Proxy) activate(from xmpp.JID, q xmpp.Element) error {
	sid, text := q.Attr("sid"), strings.TrimSpace(q.ChildText(ns, "activate"))
	target, err := xmpp.ParseJID(text)
	if sid == "" || len(sid) > maxSID || err != nil || target.IsZero() {
		return xmpp.Refuse("bad-request", "a stream has a sid and a target")
	}
	return p.join(from, sid, target.String(), text)
}

// hash is what both sides show (XEP-0065 §6.3.2). Nothing depends on its strength (§11.4).
func hash(sid, requester, target string) string {
	sum := sha1.Sum([]byte(sid + requester + target))
	return hex.EncodeToString(sum[:])
}
