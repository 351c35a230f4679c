// Package web is the door for HTTP: one mux on listeners with TLS and, behind reverse proxies,
// in clear. What it serves is declared by features and other doors (router.HTTP); the package
// adds what all of it needs: who asks, what pages of other origins may do, headers that keep
// browsers from guessing, and limits.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
)

// Settings are what may change while the server runs.
type Settings struct {
	Trusted    []netip.Prefix // proxies that are believed about who asks and how
	Proxied    bool           // these begin a connection with the PROXY protocol
	PerAddress int            // connections of one address, proxies apart; 0: any number
}

// Config is what a Server is made of.
type Config struct {
	Pages    []router.HTTP
	TLS      *tls.Config // for listeners with TLS; ALPN is set here
	Settings Settings
	Log      *slog.Logger
}

// Limits of every connection.
const (
	headerWithin = 10 * time.Second // for a request's header to be complete
	bodyWithin   = 30 * time.Second // for its body, where its handler has no opinion
	writeWithin  = time.Minute      // that a client may take for writeAtOnce
	writeAtOnce  = 64 << 10         // bytes of an answer
	idleFor      = 2 * time.Minute  // between two requests
	maxHeader    = 32 << 10         // bytes of a request's header
	maxStreams   = 100              // requests at once on one connection (HTTP/2)
	pingAfter    = 30 * time.Second // that nothing came on such a connection
	pongWithin   = 15 * time.Second // for the answer
)

// A Server serves pages.
type Server struct {
	log      *slog.Logger
	settings atomic.Pointer[Settings]
	stats    Stats
	tls      *tls.Config
	secure   *http.Server
	clear    *http.Server

	body, write time.Duration // bodyWithin and writeWithin, but in tests

	mu    sync.Mutex           // a leaf
	conns map[netip.Prefix]int // by network
}

// Stats are counters that only grow, and one gauge.
type Stats struct {
	Accepted atomic.Int64 // connections
	Refused  atomic.Int64 // of these, over the limit or with a wrong PROXY header
	Open     atomic.Int64
	Requests [6]atomic.Int64 // by the first digit of the status; 0: none was sent, or the connection was taken over
}

// NewServer returns a server that listens nowhere yet. Patterns that contradict each other
// panic, as http.ServeMux says.
func NewServer(cfg Config) *Server {
	s := &Server{log: cfg.Log, body: bodyWithin, write: writeWithin, conns: map[netip.Prefix]int{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetSettings(cfg.Settings)
	h := s.visited(mux(cfg.Pages))
	s.secure, s.clear = s.server(h), s.server(h)
	s.clear.Protocols = new(http.Protocols)
	s.clear.Protocols.SetHTTP1(true)
	if cfg.TLS != nil {
		s.tls = cfg.TLS.Clone()
		s.tls.NextProtos = []string{"h2", "http/1.1"}
		s.tls.KeyLogWriter = nil // see auth: nobody here asks for what it keeps
	}
	return s
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ConnContext: connOf, ReadHeaderTimeout: headerWithin, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pongWithin},
		ErrorLog: slog.NewLogLogger(s.log.With("from", "http").Handler(), slog.LevelDebug),
	}
}

// connOf puts our connection into the context of its requests.
func connOf(ctx context.Context, nc net.Conn) context.Context {
	if above, ok := nc.(*tls.Conn); ok {
		nc = above.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}

// SetSettings changes the settings. Open connections keep who they were said to be from.
func (s *Server) SetSettings(set Settings) { s.settings.Store(&set) }

// Stats returns the counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Serve accepts connections of l until Shutdown; secure says that TLS comes first.
func (s *Server) Serve(l net.Listener, secure bool) error {
	d := &door{Listener: l, s: s}
	var err error
	if secure {
		srv := s.secure
		err = srv.Serve(tls.NewListener(d, s.tls))
	} else {
		err = s.clear.Serve(d)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting and waits until no request is under way, or ctx is over; then what
// is left is cut off. Connections that were taken over (WebSocket) are their takers'.
func (s *Server) Shutdown(ctx context.Context) error {
	var wait sync.WaitGroup
	errs := make([]error, 2)
	for i, srv := range []*http.Server{s.secure, s.clear} {
		wait.Go(func() {
			if errs[i] = srv.Shutdown(ctx); errs[i] != nil {
				srv.Close()
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
