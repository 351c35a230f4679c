// Package c2s is the door for clients: streams over TCP with STARTTLS or direct TLS,
// authentication and resource binding. Behind it a client is a router.Session.
package c2s

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/auth"
	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Settings are what may change while the server runs. New connections see a change; open
// streams keep what they began with, unless a setting says otherwise.
type Settings struct {
	RequireTLS     bool          // nothing but STARTTLS is offered in clear
	StanzaBefore   int           // bytes of a stanza before login
	Stanza         int           // bytes of a stanza after login
	LoginTimeout   time.Duration // from connecting to a bound resource
	Idle           time.Duration // of silence until the server asks whether the client lives
	PingTimeout    time.Duration // to answer that
	StanzaTimeout  time.Duration // for a stanza that has begun to be complete
	Queue          int           // bytes that may wait for a client
	Stall          time.Duration // that a client with a quarter of that may take none
	PerAddress     int           // connections of one address that are not logged in
	AccountRate    int           // bytes a second that one account may send in the long run; 0: any number
	AccountBurst   int           // bytes that it may send at once
	AddressRate    int           // the same of one address, all its accounts together
	AddressBurst   int
	Attempts       int                 // failed authentications of one stream
	Register       bool                // accounts may be made in-band
	RegisterPerDay int                 // by one address
	Reserved       func(xmpp.JID) bool // addresses that nobody may register; nil: none

	// Stream management (XEP-0198). A change of these counts for open streams, too.
	SMTimeout   time.Duration // that a session waits to be resumed, at most; 0: not at all
	SMStanzas   int           // that may wait for a client's acknowledgement
	SMBytes     int           // of these
	SMSessions  int           // of one account that wait to be resumed
	SMAckWithin time.Duration // that an <r/> waits for the commit under way
}

// Defaults are the settings of a server without a configuration.
func Defaults() Settings {
	return Settings{
		RequireTLS: true, StanzaBefore: 64 << 10, Stanza: 256 << 10,
		LoginTimeout: 60 * time.Second, Idle: 5 * time.Minute, PingTimeout: time.Minute, StanzaTimeout: 2 * time.Minute,
		Queue: 4 << 20, Stall: 10 * time.Second, PerAddress: 200, AccountRate: 1 << 20, AccountBurst: 32 << 20, AddressRate: 16 << 20, AddressBurst: 256 << 20, Attempts: 3, RegisterPerDay: 3,
		SMTimeout: 10 * time.Minute, SMStanzas: 2500, SMBytes: 2 << 20, SMSessions: 5, SMAckWithin: 100 * time.Millisecond,
	}
}

// Config is what a Server is made of.
type Config struct {
	Router     *router.Router
	Auth       *auth.Auth
	Accounts   *auth.Accounts
	Store      *storage.Store              // where sessions outlast the server, with the tables of SessionFeature; nil: they do not
	TLS        func(host string) *auth.TLS // for STARTTLS on a stream to this domain
	DirectTLS  *auth.TLS                   // with the ALPN protocol xmpp-client (XEP-0368 §3)
	Settings   Settings
	SweepEvery time.Duration // how often sessions are looked at for silence; 0 means 5 s
	Log        *slog.Logger
}

// A Server accepts clients.
type Server struct {
	cfg      Config
	settings atomic.Pointer[Settings]
	log      *slog.Logger
	stats    Stats
	stopping atomic.Bool
	ctx      context.Context // of logins; ends with Shutdown
	stop     context.CancelFunc

	mu        sync.Mutex // a leaf
	listeners []net.Listener
	conns     map[*conn]struct{}
	strangers map[netip.Prefix]int // connections that are not logged in, by network
	spent     map[whose]*budget
	newcomers map[netip.Prefix]int // accounts made in-band since newDay
	newDay    time.Time
	sleepers
	closed   bool                 // Shutdown has begun
	bosh     sync.Map             // session id -> *bosh
	arriving map[netip.Prefix]int // requests of BOSH whose bodies are on their way
	done     sync.WaitGroup       // readers, those that end sessions, and one until Shutdown
}

// Stats are counters that only grow, and one gauge.
type Stats struct {
	Accepted     atomic.Int64 // connections
	Refused      atomic.Int64 // connections over a limit
	Open         atomic.Int64 // connections now, sessions of BOSH among them
	WebSockets   atomic.Int64 // of these
	BOSH         atomic.Int64 // of these
	Logins       atomic.Int64
	LoginsFailed atomic.Int64
	StreamErrors sync.Map // condition -> *atomic.Int64

	Paced         atomic.Int64 // times that a client was read later than it sent
	Resumed       atomic.Int64 // sessions that went on with another connection
	ResumesFailed atomic.Int64 // that were asked for and not there
	Expired       atomic.Int64 // that nobody came back to in time
	AcksBack      atomic.Int64 // acknowledgements of less than before, ignored
}

// NewServer returns a server that listens nowhere yet.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Log, conns: map[*conn]struct{}{}, strangers: map[netip.Prefix]int{}, spent: map[whose]*budget{}, arriving: map[netip.Prefix]int{}}
	s.sleepers = sleepers{resumable: map[resumeKey]*session{}, asleep: map[xmpp.JID][]*session{}, counts: map[resumeKey]uint32{}}
	s.done.Add(1)
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.cfg.SweepEvery <= 0 {
		s.cfg.SweepEvery = sweepEvery
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetSettings(cfg.Settings)
	go s.sweep()
	return s
}

// SetSettings changes the settings.
func (s *Server) SetSettings(set Settings) { s.settings.Store(&set) }

// Stats returns the counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Serve accepts connections of l until it is closed; direct says that TLS comes first.
func (s *Server) Serve(l net.Listener, direct bool) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	if s.stopping.Load() { // CloseListeners may not have seen it
		return l.Close()
	}
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Error("accepting a connection failed; is the limit on open files too low?", "error", err)
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.accept(nc.(*net.TCPConn), direct)
	}
}

func (s *Server) accept(nc *net.TCPConn, direct bool) {
	s.stats.Accepted.Add(1)
	addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	t, err := xmpp.NewTCP(nc)
	if err != nil || !s.admit(addr) {
		s.stats.Refused.Add(1)
		nc.Close() // over the limit: no XMPP error (XEP-0205 §4.1)
		return
	}
	c := newConn(s, t, false, addr)
	c.direct = direct
	if !s.enter(c) {
		nc.Close()
	}
}

// enter begins the negotiation of a connection that was admitted, unless the server stops.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		s.known(c.addr)
		return false
	}
	s.conns[c] = struct{}{}
	s.done.Add(1)
	s.mu.Unlock()
	s.present(c, 1)
	go c.negotiate()
	return true
}

// admit counts a connection that is not logged in against its address.
func (s *Server) admit(addr netip.Addr) bool {
	from := network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if max := s.settings.Load().PerAddress; max > 0 && s.strangers[from] >= max {
		return false
	}
	s.strangers[from]++
	return true
}

// network is what an address is counted by: itself, or for IPv6 the /64 that the smallest
// customer has for himself.
func network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}

// known takes a connection off its address's count: it has logged in, or is gone.
func (s *Server) known(addr netip.Addr) {
	from := network(addr)
	s.mu.Lock()
	if s.strangers[from]--; s.strangers[from] <= 0 {
		delete(s.strangers, from)
	}
	s.mu.Unlock()
}

// mayRegister counts a new account against its address. max is for a day, 0 for any
// number.
func (s *Server) mayRegister(addr netip.Addr, max int) bool {
	if max == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.newDay) > 24*time.Hour {
		s.newcomers, s.newDay = map[netip.Prefix]int{}, now
	}
	from := network(addr)
	if s.newcomers[from] >= max {
		return false
	}
	s.newcomers[from]++
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.present(c, -1)
	s.done.Done()
}

// present counts who is there, by how they came.
func (s *Server) present(c *conn, n int64) {
	s.stats.Open.Add(n)
	switch c.via() {
	case viaWebSocket:
		s.stats.WebSockets.Add(n)
	case viaBOSH:
		s.stats.BOSH.Add(n)
	}
}

// sweepEvery is how often sessions are looked at for silence.
const sweepEvery = 5 * time.Second

// sweep looks after connections that are silent, drip or do not read.
func (s *Server) sweep() {
	tick := time.NewTicker(s.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, c := range s.list() {
				c.look(now)
			}
			s.forgetBudgets(now)
			s.expire(now)
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Server) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// CloseListeners stops accepting.
func (s *Server) CloseListeners() {
	s.stopping.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		l.Close()
	}
}

// Shutdown stops accepting, ends every stream with system-shutdown (RFC 6120 §4.9.3.20),
// waits until all are gone, and saves the sessions that may be resumed; or until ctx is
// over.
func (s *Server) Shutdown(ctx context.Context) error {
	s.CloseListeners()
	for _, c := range s.list() {
		if c.bound.Load() {
			c.sess.lastWord()
		}
		c.lose(xmpp.EndStream("system-shutdown", ""))
	}
	s.stop()
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.done.Done()
	}
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		s.done.Wait()
		s.rest(ctx)
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) countError(condition string) {
	n, ok := s.stats.StreamErrors.Load(condition)
	if !ok {
		n, _ = s.stats.StreamErrors.LoadOrStore(condition, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}
