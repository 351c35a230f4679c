package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"parley/auth"
	"parley/c2s"
	"parley/s2s"
	"parley/storage"
	"parley/web"
	"parley/xmpp"
)

// stopWithin is how long stopping may take in all.
const stopWithin = 10 * time.Second

// A server is a house with its doors open.
type server struct {
	*house
	o      *options
	level  *slog.LevelVar
	certs  *auth.Certs
	c2s    *c2s.Server
	site   *web.Server // for everybody's browsers; nil if switched off
	asks   *s2s.Resolver
	judge  *s2s.Judge
	policy atomic.Pointer[s2s.Policy]
	admin  *http.Server   // the control socket
	web    *http.Server   // metrics and health; nil if switched off
	where  []string       // what listens, for people
	doors  []net.Listener // of the file proxy
	errors chan error
	ready  chan struct{} // closed when all doors are open

	reloading sync.Mutex // one reload at a time
	listening bool       // to components

	quiet      context.CancelFunc // ends announcing; nil before it has begun
	announcing sync.WaitGroup
}

func serveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Start the server", Args: cobra.NoArgs,
		Long: `Start the server in the foreground. It stops on SIGTERM or SIGINT within 10 seconds and reads
its configuration and certificates again on SIGHUP.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), o, cfg, cmd.OutOrStdout())
		},
	}
}

func serve(ctx context.Context, o *options, cfg Config, out io.Writer) error {
	level := new(slog.LevelVar)
	log := newLogger(cfg.Log, level)
	if cfg.Limits.Memory > 0 {
		debug.SetMemoryLimit(int64(cfg.Limits.Memory) << 20)
	}
	raiseFileLimit()
	syscall.Umask(0o077) // nobody else reads what the server writes, nor reaches its socket
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	s, err := start(ctx, o, cfg, log, level)
	if err != nil {
		return err
	}
	background, end := context.WithCancel(ctx)
	defer end()
	go s.quieten(background)
	go s.tidy(background)
	s.announce(background)
	s.hello(out)
	notify("READY=1")
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				s.reloadAndSay()
				continue
			}
			log.Info("stopping", "signal", sig.String())
			return s.stop()
		case by := <-s.halt.now:
			log.Info("stopping", "by", by)
			return s.stop()
		case err := <-s.errors:
			log.Error("a listener failed", "error", err)
			s.stop()
			return fail(exitFailed, "%v", err)
		case err := <-s.store.Fatal():
			// What the disk did with the last batch is unknown: only a restart can tell.
			log.Error("the database failed while it was written to; the server ends, and a restart finds out what was kept", "error", err)
			return fail(exitFailed, "the database failed: %v", err)
		}
	}
}

// announce carries out announcements to all until ctx is over, or the server stops.
func (s *server) announce(ctx context.Context) {
	ctx, s.quiet = context.WithCancel(ctx)
	s.announcing.Add(1)
	go func() {
		defer s.announcing.Done()
		s.announcer.Run(ctx)
	}()
}

// start opens everything, from the store up to the doors.
func start(ctx context.Context, o *options, cfg Config, log *slog.Logger, level *slog.LevelVar) (s *server, err error) {
	h, err := openHouse(ctx, cfg, log)
	if errors.Is(err, storage.ErrLocked) {
		return nil, fail(exitFailed, "another server is using %s", absolute(cfg.Data))
	}
	if err != nil {
		return nil, plainly(err)
	}
	s = &server{house: h, o: o, level: level, errors: make(chan error, 8), ready: make(chan struct{})}
	h.reload = s.reload
	defer func() {
		if err != nil {
			s.closeAll()
			err = plainly(err)
		}
	}()
	if s.certs, err = openCerts(cfg, log); err != nil {
		return s, err
	}
	s.openComponents()
	if err = s.openS2S(); err != nil {
		return s, err
	}
	if err = s.openC2S(); err != nil {
		return s, err
	}
	if err = s.listenToComponents(); err != nil {
		return s, err
	}
	if err = s.openWeb(); err != nil {
		return s, err
	}
	if err = s.openFileProxy(); err != nil {
		return s, err
	}
	if err = s.openControl(); err != nil {
		return s, err
	}
	if err = s.openMetrics(); err != nil {
		return s, err
	}
	debug.FreeOSMemory() // what opening took
	close(s.ready)
	log.Info("parley started", "version", versionInfo().Version, "config", o.config, "data", absolute(cfg.Data),
		"domains", strings.Join(cfg.Domains, " "), "listen", strings.Join(s.where, ", "))
	return s, nil
}

// openC2S opens the doors for clients.
func (s *server) openC2S() error {
	cas, err := authorities("tls.client_ca", s.cfg.TLS.ClientCA)
	if err != nil {
		return err
	}
	byHost := map[string]*auth.TLS{}
	for _, d := range s.cfg.Domains {
		byHost[d] = s.certs.Server(auth.TLSOptions{Host: d, ClientCAs: cas})
	}
	s.c2s = c2s.NewServer(c2s.Config{
		Router: s.router, Auth: s.auth, Accounts: s.accounts, Store: s.store, Log: s.log, Settings: settings(s.cfg),
		TLS:       func(host string) *auth.TLS { return byHost[host] },
		DirectTLS: s.certs.Server(auth.TLSOptions{ALPN: []string{"xmpp-client"}, ClientCAs: cas}),
	})
	if err := s.c2s.Restore(context.Background()); err != nil {
		return fmt.Errorf("saved sessions could not be read: %w", err)
	}
	return s.openDoors("clients", "c2s", s.c2s.Serve, s.cfg.C2S.Listen, s.cfg.C2S.ListenTLS)
}

// openDoors listens on addresses of both kinds, which the settings listen and listen_tls of a table have.
func (s *server) openDoors(whom, table string, serve func(net.Listener, bool) error, clear, direct []string) error {
	plain := "STARTTLS"
	if whom == "components" {
		plain = "in clear"
	}
	for _, door := range []struct {
		addresses []string
		direct    bool
		what      string
		setting   string
	}{{clear, false, plain, ".listen"}, {direct, true, "direct TLS", ".listen_tls"}} {
		for _, a := range door.addresses {
			l, err := listen(table+door.setting, a)
			if err != nil {
				return err
			}
			s.where = append(s.where, fmt.Sprintf("%s on %s (%s)", whom, l.Addr(), door.what))
			select {
			case <-s.ready: // opened by a reload
				s.log.Info("an address is listened on", "for", whom, "address", l.Addr().String(), "with", door.what)
			default:
			}
			go func() {
				if err := serve(l, door.direct); err != nil {
					s.errors <- err
				}
			}()
		}
	}
	return nil
}

// listen says in one sentence what is wrong with an address, and which setting has it.
func listen(setting, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program; is a server running already? (%s sets the address)", address, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not listen on a port below 1024 (%s sets the address)", address, setting)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s (%s): %w", address, setting, err)
	}
	return l, nil
}

func settings(cfg Config) c2s.Settings {
	admins := adminList(cfg.Admins)
	return c2s.Settings{
		RequireTLS: cfg.C2S.RequireTLS, StanzaBefore: cfg.C2S.StanzaBefore, Stanza: cfg.C2S.Stanza,
		LoginTimeout: cfg.C2S.LoginTimeout.Duration, Idle: cfg.C2S.Idle.Duration, PingTimeout: cfg.C2S.PingTimeout.Duration,
		StanzaTimeout: cfg.C2S.StanzaTime.Duration, Queue: cfg.C2S.Queue, Stall: cfg.C2S.Stall.Duration,
		AccountRate: cfg.C2S.AccountRate, AccountBurst: cfg.C2S.AccountBurst, AddressRate: cfg.C2S.AddressRate, AddressBurst: cfg.C2S.AddressBurst,
		PerAddress: cfg.C2S.PerAddress, Attempts: cfg.C2S.Attempts,
		SMTimeout: cfg.SM.Timeout.Duration, SMStanzas: cfg.SM.Stanzas, SMBytes: cfg.SM.Bytes,
		SMSessions: cfg.SM.Sessions, SMAckWithin: cfg.SM.AckWithin.Duration,
		Register: cfg.Registration.Open, RegisterPerDay: cfg.Registration.PerDay,
		Reserved: func(jid xmpp.JID) bool { return slices.Contains(admins, jid) },
	}
}

func (s *server) openControl() error {
	srv, l, err := control(s.house)
	if err != nil {
		return err
	}
	s.admin = srv
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.errors <- err
		}
	}()
	return nil
}

func (s *server) openMetrics() error {
	if s.cfg.Metrics.Listen == "" {
		return nil
	}
	l, err := listen("metrics.listen", s.cfg.Metrics.Listen)
	if err != nil {
		return err
	}
	s.where = append(s.where, fmt.Sprintf("metrics on http://%s/metrics", l.Addr()))
	s.web = &http.Server{Handler: s.metrics(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.errors <- err
		}
	}()
	return nil
}

// hello says in a few lines what runs where and what to type next.
func (s *server) hello(out io.Writer) {
	fmt.Fprintf(out, "Parley %s serves %s.\n", versionInfo().Version, strings.Join(s.cfg.Domains, ", "))
	for _, w := range s.where {
		fmt.Fprintf(out, "  %s\n", w)
	}
	fmt.Fprintf(out, "  data in %s\n", absolute(s.cfg.Data))
	program := "parley"
	if p, err := os.Executable(); err == nil {
		program = p
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, p); err == nil && !strings.HasPrefix(rel, "..") {
				program = "./" + rel
			}
		}
	}
	flags := ""
	if s.o.config != "" {
		flags += " --config " + s.o.config
	}
	if s.o.data != "" {
		flags += " --data " + s.o.data
	}
	fmt.Fprintf(out, "Make an account, in another terminal:\n  %s%s user add juliet@%s\n", program, flags, s.cfg.Domains[0])
	if base := s.live.baseURL(s.cfg.Domains[0]); base != "" && s.site != nil {
		fmt.Fprintf(out, "Log in with any client, or in a browser:\n  %s/\n", base)
	}
}

// stop closes everything, from the doors down to the store (architecture: Stopping).
func (s *server) stop() error {
	notify("STOPPING=1")
	if err := s.closeAll(); err != nil {
		return err
	}
	s.log.Info("stopped")
	return nil
}

func (s *server) closeAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin-time.Second)
	defer cancel()
	s.halt.off()
	if s.quiet != nil {
		s.quiet()
	}
	s.announcing.Wait() // for a chunk at most
	if s.web != nil {
		s.web.Close()
	}
	if s.admin != nil {
		s.admin.Close()
		os.Remove(socketPath(s.cfg.Data)) // while the data directory is still ours
	}
	if s.c2s != nil {
		sub, done := context.WithTimeout(ctx, stopWithin/2)
		if err := s.c2s.Shutdown(sub); err != nil {
			s.log.Warn("some streams did not end in time", "error", err)
		}
		done()
	}
	if err := s.closeFileProxy(ctx); err != nil {
		s.log.Warn("the file proxy did not end in time", "error", err)
	}
	if s.site != nil {
		sub, done := context.WithTimeout(ctx, stopWithin/5)
		if err := s.site.Shutdown(sub); err != nil {
			s.log.Warn("some HTTP requests did not end in time", "error", err)
		}
		done()
	}
	if s.components != nil {
		sub, done := context.WithTimeout(ctx, stopWithin/5)
		if err := s.components.Shutdown(sub); err != nil {
			s.log.Warn("some components did not end in time", "error", err)
		}
		done()
	}
	if s.s2s != nil {
		sub, done := context.WithTimeout(ctx, stopWithin/4)
		if err := s.s2s.Shutdown(sub); err != nil {
			s.log.Warn("some connections with other servers did not end in time", "error", err)
		}
		done()
	}
	if s.judge != nil {
		s.judge.Close()
	}
	if s.asks != nil {
		s.asks.Close()
	}
	s.router.Stop(ctx)
	if err := s.close(ctx); err != nil {
		return fail(exitFailed, "the database could not be closed: %w", err)
	}
	return nil
}
