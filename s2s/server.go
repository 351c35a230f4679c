package s2s

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/auth"
	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Settings are what may change while the server runs.
type Settings struct {
	Stanza       int           // bytes of a stanza of another server
	QueueBytes   int           // that may wait for one domain, from one domain of ours
	QueueStanzas int           // the same in stanzas
	GiveUp       time.Duration // how long a message waits for a domain that is not reached
	Connect      time.Duration // for one attempt to open a stream, from DNS to the proof
	Negotiate    time.Duration // that a server which has connected may take to prove a domain
	Idle         time.Duration // of a stream without stanzas until it is closed
	Stall        time.Duration // that a server may take nothing, or acknowledge nothing, of what waits
	AckWithin    time.Duration // that an <r/> waits for the commit under way
	PerAddress   int           // streams of one address that have proved nothing yet; 0: any number
	Links        int           // streams at the same time; 0: any number
	Rate         int           // bytes a second that one stream may send in the long run; 0: any number
	Burst        int           // bytes that it may send at once
	Bidi         bool          // ask for streams of both directions (XEP-0288)
	Manage       bool          // offer stream management (XEP-0198), and use it
}

// Defaults are the settings of a server without a configuration.
func Defaults() Settings {
	return Settings{
		Stanza: 512 << 10, QueueBytes: 16 << 20, QueueStanzas: 20_000, GiveUp: 2 * time.Hour,
		Connect: 45 * time.Second, Negotiate: 40 * time.Second, Idle: 10 * time.Minute, Stall: time.Minute,
		AckWithin: 100 * time.Millisecond, PerAddress: 50, Links: 10_000, Rate: 16 << 20, Burst: 256 << 20, Bidi: true, Manage: true,
	}
}

// Config is what a Server is made of.
type Config struct {
	Router      *router.Router
	Store       *storage.Store                     // with the tables of Feature
	Local       func(domain string) bool           // is it ours: a domain of the house, or of a component
	TLS         func(host string) *auth.TLS        // for STARTTLS on a stream to this domain
	DirectTLS   *auth.TLS                          // with the ALPN protocol xmpp-server (XEP-0368 §3)
	Certificate func(host string) *tls.Certificate // that we show for a domain of ours
	Resolver    *Resolver
	Dialer      *Dialer
	Judge       *Judge
	Policy      *Policy
	Settings    Settings
	SweepEvery  time.Duration // how often streams are looked at; 0 means 1 s
	Log         *slog.Logger
}

// A Server accepts the streams of other servers, and opens ours to them. Ways is the way
// out of the house.
type Server struct {
	cfg       Config
	settings  atomic.Pointer[Settings]
	policy    atomic.Pointer[Policy]
	log       *slog.Logger
	secret    string // of dialback keys
	quick     *Judge // for domains that dialback may prove
	outbox    outbox
	stats     Stats
	door      doorway
	verifying atomic.Int64 // dialback keys, now
	ctx       context.Context
	stop      context.CancelFunc
	works     sync.WaitGroup

	mu        sync.RWMutex // a leaf
	routes    map[pair]*route
	links     map[*link]struct{}
	unproven  map[netip.Prefix]int // streams by address
	lasting   map[string]*link     // that may be resumed, by id
	counts    map[string]count     // of streams that have ended, by id
	verifiers map[string]*verifier // by domain
}

// Stats are counters that only grow.
type Stats struct {
	Accepted     atomic.Int64 // connections of other servers
	Refused      atomic.Int64 // over a limit
	Connected    atomic.Int64 // streams that we have opened
	Failed       atomic.Int64 // attempts that failed
	In, Out      atomic.Int64 // stanzas of streams that have ended
	Resumed      atomic.Int64
	Paced        atomic.Int64 // times that a server was read later than it sent
	StreamErrors sync.Map     // condition -> *atomic.Int64
}

// NewServer returns a server that listens nowhere yet, and has sent nothing.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Log, routes: map[pair]*route{}, links: map[*link]struct{}{}, unproven: map[netip.Prefix]int{}, lasting: map[string]*link{}, counts: map[string]count{}, verifiers: map[string]*verifier{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.SweepEvery <= 0 {
		s.cfg.SweepEvery = time.Second
	}
	s.quick = cfg.Judge.WithoutPOSH()
	s.secret = hex.EncodeToString(cfg.Store.Secret("server dialback"))
	s.outbox.store, s.outbox.through = cfg.Store, cfg.Router.Through
	s.outbox.fail = func(err error) {
		s.log.Error("what another server has could not be taken out of the outbox; it may get it twice", "error", err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.SetSettings(cfg.Settings)
	s.SetPolicy(cfg.Policy)
	s.works.Add(1)
	go s.sweep()
	return s
}

// SetSettings changes the settings.
func (s *Server) SetSettings(set Settings) { s.settings.Store(&set) }

// Stats returns the counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Start sends what the last run has left. It is called once, before anything else is sent.
func (s *Server) Start(ctx context.Context) error {
	rows, broken, err := s.outbox.load(ctx)
	if err != nil {
		return err
	}
	if len(broken) > 0 {
		s.log.Error("messages in the outbox cannot be read, and are deleted", "messages", len(broken))
		s.outbox.gone(broken)
	}
	for _, k := range rows {
		r := s.route(k.pair)
		r.mu.Lock()
		size := k.st.Len()
		r.queue = append(r.queue, item{st: k.st, id: k.id, size: size, at: k.id.Time()})
		r.bytes += size
		r.mu.Unlock()
	}
	if len(rows) > 0 {
		s.log.Info("messages for other servers wait from before", "messages", len(rows))
	}
	for _, r := range s.allRoutes() {
		r.mu.Lock()
		start := r.starts()
		r.mu.Unlock()
		if start {
			s.work(r.connect)
		}
	}
	return nil
}

// Serve accepts connections of l until it is closed; direct says that TLS comes first.
func (s *Server) Serve(l net.Listener, direct bool) error {
	return s.door.serve(l, s.log, func(nc *net.TCPConn) { s.accept(nc, direct) })
}

// Ways implements router.Ways: every domain is another server's.
func (s *Server) Ways(from, to string) (router.Way, *xmpp.Error) {
	p := pair{from, to}
	if r := s.known(p); r != nil && !r.denied.Load() {
		return r, nil
	}
	switch {
	case !s.cfg.Local(from): // nothing is relayed
		return nil, xmpp.Refuse("not-allowed", "this server does not serve "+from)
	case s.cfg.Local(to):
		return nil, xmpp.Refuse("service-unavailable", "")
	}
	if rule := s.policy.Load().For(to); rule.Denied {
		return nil, xmpp.Refuse("not-allowed", "this server does not talk to "+to)
	}
	if s.crowded() {
		return nil, &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too many domains are being reached"}
	}
	return s.route(p), nil
}

// maxRoutes is how many ways to other domains there are at the same time.
const maxRoutes = 100_000

func (s *Server) crowded() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.routes) >= maxRoutes
}

// known returns the route of a pair, if there is one.
func (s *Server) known(p pair) *route {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.routes[p]
}

// route returns the route of a pair, which is made where there is none.
func (s *Server) route(p pair) *route {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.routes[p]
	if r == nil {
		r = &route{s: s, pair: pair{strings.Clone(p.local), strings.Clone(p.remote)}, used: time.Now()}
		s.routes[r.pair] = r
	}
	return r
}

func (s *Server) allRoutes() []*route {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*route, 0, len(s.routes))
	for _, r := range s.routes {
		list = append(list, r)
	}
	return list
}

func (s *Server) allLinks() []*link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*link, 0, len(s.links))
	for l := range s.links {
		list = append(list, l)
	}
	return list
}

// work runs f on a goroutine of its own, which Shutdown waits for. ctx ends with the server.
func (s *Server) work(f func(context.Context)) {
	s.works.Add(1)
	go func() {
		defer s.works.Done()
		f(s.ctx)
	}()
}

// parted gives what a stream had not delivered back to those who have sent it.
func (s *Server) parted(l *link, rest remains) {
	order, by := groups(rest.pending)
	for _, r := range rest.routes {
		if by[r] == nil {
			order = append(order, r)
		}
	}
	if !rest.lost && rest.in != nil {
		s.notLasting(rest.in.id, l)
	}
	id := ""
	switch {
	case !rest.lost || rest.out == nil || rest.out.before > 0: // it does not know that counting has begun
	case l.out:
		id = rest.out.id
	default:
		id = rest.in.id
	}
	if id != "" && rest.bidi && len(order) == 0 { // nothing of ours was in it, but of the other side's
		order = append(order, s.route(rest.head))
	}
	for _, r := range order {
		var back *resumption
		if id != "" && len(order) == 1 && r.pair == rest.head {
			back = &resumption{id: id, link: l, acked: rest.out.acked, n: len(by[r]), until: time.Now().Add(resumeFor), bidi: rest.bidi}
		}
		r.lost(l, by[r], back, rest.lost)
	}
}

// sweep looks at streams and routes now and then.
func (s *Server) sweep() {
	defer s.works.Done()
	t := time.NewTicker(s.cfg.SweepEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		for _, l := range s.allLinks() {
			l.look(now)
		}
		if n%60 == 0 {
			s.tidy(now)
		}
	}
}

// forgetAfter is how long a route is remembered that nobody uses.
const forgetAfter = 10 * time.Minute

func (s *Server) tidy(now time.Time) {
	var list []*route
	for _, r := range s.allRoutes() {
		if r.idle(now.Add(-forgetAfter)) {
			list = append(list, r)
		}
	}
	s.mu.Lock()
	for _, r := range list {
		delete(s.routes, r.pair)
	}
	lasting := maps.Clone(s.lasting)
	maps.DeleteFunc(s.counts, func(_ string, c count) bool { return now.Sub(c.at) > resumeFor })
	s.mu.Unlock()
	for id, l := range lasting {
		if l.overSince(now.Add(-resumeFor)) {
			s.notLasting(id, l)
		}
	}
}

func (s *Server) countError(condition string) {
	n, _ := s.stats.StreamErrors.LoadOrStore(condition, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// CloseListeners has nobody connect any more.
func (s *Server) CloseListeners() { s.door.closeListeners() }

// Shutdown ends all streams, when what came by them is settled, or ctx is over. What has not
// arrived at other servers is sent by the next run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.CloseListeners()
	for _, l := range s.allLinks() {
		l.leave(xmpp.EndStream("system-shutdown", ""), nil)
	}
	s.stop()
	done := make(chan struct{})
	go func() {
		s.works.Wait()
		close(done)
	}()
	defer s.outbox.write()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newID returns an unpredictable stream id (RFC 6120 §4.7.3).
func newID() string { return strings.ToLower(rand.Text()) }
