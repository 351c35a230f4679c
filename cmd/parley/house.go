package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"parley/auth"
	"parley/muc"
	"parley/roster"
	"parley/router"
	"parley/s2s"
	"parley/storage"
	"parley/xep/announce"
	"parley/xep/bytestreams"
	"parley/xep/contact"
	"parley/xep/mam"
	"parley/xep/pubsub"
	"parley/xep/upload"
	"parley/xmpp"
)

// A house is what stands below the doors: the store, the accounts, the features and the
// router. Commands that work while the server is stopped open one too.
type house struct {
	cfg       Config
	log       *slog.Logger
	store     *storage.Store
	auth      *auth.Auth
	accounts  *auth.Accounts
	features  []router.Feature
	router    *router.Router
	rooms     *muc.Service
	published *pubsub.Service
	uploads   *upload.Service
	proxy     *bytestreams.Proxy
	live      live
	reload    func() (reloaded, error) // set while the server runs
	s2s       *s2s.Server              // the same

	components *s2s.Components // the same

	announcer announce.Announcer
	halt      halt
}

// openHouse opens the store in the data directory.
func openHouse(ctx context.Context, cfg Config, log *slog.Logger) (*house, error) {
	h := &house{cfg: cfg, log: log, halt: halt{now: make(chan string, 1)}}
	h.live.groups = roster.NewGroups(h)
	h.settle(cfg)
	h.features = features(h)
	schemas := []storage.Schema{auth.Schema()}
	for _, f := range h.features {
		if f.Schema.Name != "" {
			schemas = append(schemas, f.Schema)
		}
	}
	var err error
	h.store, err = storage.Open(ctx, storage.Config{
		Dir: cfg.Data, Readers: cfg.Storage.Readers, QueueBytes: int64(cfg.Storage.Queue), Log: log,
	}, schemas...)
	if err != nil {
		return nil, err
	}
	h.auth, err = auth.New(ctx, h.store, auth.Config{Iterations: cfg.Auth.Iterations, Plain: cfg.Auth.Plain, NoChannelBinding: !cfg.Auth.Binding, Devices: devicePolicy(cfg), Log: log})
	if err != nil {
		h.store.Close(ctx)
		return nil, err
	}
	h.accounts = h.auth.Accounts()
	h.router = router.New(router.Config{
		Hosts: cfg.Domains, Store: h.store, Accounts: h, Features: h.features,
		MaxResources: cfg.Limits.Resources, UnknownErrors: cfg.Limits.UnknownErrors, Log: log,
	})
	h.router.SetLastActivity(cfg.Presence.LastActivity)
	return h, nil
}

// settle takes over what a reload may change.
func (h *house) settle(cfg Config) {
	addresses := contact.Addresses(cfg.Contact)
	h.live.contact.Store(&addresses)
	admins := adminList(cfg.Admins)
	h.live.admins.Store(&admins)
	h.live.offline.Store(&mam.Limits{Messages: int64(cfg.Limits.OfflineMessages), Bytes: int64(cfg.Limits.OfflineBytes), Expiry: cfg.Limits.OfflineExpiry.Duration, Archive: cfg.archiveOf})
	h.live.limits.Store(&cfg.Limits)
	h.live.summary.Store(cfg.Push.Summary)
	h.live.results.Store(int64(cfg.Search.Results))
	h.live.trusted.Store(trustedOf(cfg))
	h.live.groups.Set(sharedGroups(cfg))
	h.live.published.Store(&cfg.Pubsub)
	h.live.files.Store(&cfg.Upload)
	h.live.proxied.Store(&cfg.FileProxy)
	relays := cfg.services()
	h.live.relays.Store(&relays)
	h.live.web.Store(&cfg.HTTP)
	h.live.open.Store(cfg.Registration.Open)
	rooms := cfg.roomSettings()
	h.live.rooms.Store(&rooms)
	if h.router != nil {
		h.accounts.SetDevices(devicePolicy(cfg))
		h.router.SetHosts(cfg.Domains) // which forgets what was announced, too
		h.router.SetMaxResources(cfg.Limits.Resources)
		h.router.SetLastActivity(cfg.Presence.LastActivity)
		h.router.SetUnknownErrors(cfg.Limits.UnknownErrors)
	}
}

func (h *house) close(ctx context.Context) error {
	h.router.Stop(ctx)
	return h.store.Close(ctx)
}

// Lookup implements router.Directory.
func (h *house) Lookup(ctx context.Context, bare xmpp.JID) (int64, bool, error) {
	acc, found, err := h.accounts.Get(ctx, bare)
	return acc.ID, found, err
}

// Address implements router.Directory.
func (h *house) Address(ctx context.Context, id int64) (xmpp.JID, bool, error) {
	acc, found, err := h.accounts.ByID(ctx, id)
	return acc.JID, found, err
}

// EachAccount implements roster.Accounts.
func (h *house) EachAccount(ctx context.Context, domain string, each func(xmpp.JID)) error {
	return h.accounts.EachAccount(ctx, domain, each)
}

// ChangePassword implements register.Accounts.
func (h *house) ChangePassword(ctx context.Context, bare xmpp.JID, password string) error {
	err := h.accounts.SetPassword(ctx, bare, password)
	var bad *auth.PasswordError
	if errors.As(err, &bad) {
		return xmpp.Refuse("not-acceptable", bad.Reason)
	}
	return err
}

// Remove implements register.Accounts: the account and all that features keep of it go in
// one transaction. The sessions are the caller's business.
func (h *house) Remove(ctx context.Context, bare xmpp.JID) error {
	return h.store.Write(ctx, func(tx *storage.Tx) error {
		acc, found, err := h.accounts.GetTx(tx, bare)
		if err != nil {
			return err
		}
		if !found {
			return auth.ErrNotFound
		}
		for _, f := range h.features {
			if f.Forget == nil {
				continue
			}
			if err := f.Forget(tx, acc.ID, bare); err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		return h.accounts.DeleteTx(tx, acc.ID)
	})
}

// newLogger makes the logger of the configuration; level may be changed later.
func newLogger(cfg LogConfig, level *slog.LevelVar) *slog.Logger {
	level.UnmarshalText([]byte(strings.ToUpper(cfg.Level)))
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// parseUser reads an address of the command line: a bare JID of one of our domains.
func (h *house) parseUser(s string) (xmpp.JID, error) { return parseUser(s, h.cfg.Domains) }

func parseUser(s string, domains []string) (xmpp.JID, error) {
	if !strings.Contains(s, "@") {
		s += "@" + domains[0]
	}
	j, err := xmpp.ParseJID(s)
	if err != nil {
		return j, fail(exitUsage, "%q is no address: %v", s, err)
	}
	if j.Local() == "" || !j.IsBare() {
		return j, fail(exitUsage, "%q is no user's address; write it as juliet@%s", s, domains[0])
	}
	for _, d := range domains {
		if d == j.Domain() {
			return j, nil
		}
	}
	return j, fail(exitUsage, "%s is none of this server's domains (%s)", j.Domain(), strings.Join(domains, ", "))
}

// absolute returns a path as the operator can use it from anywhere.
func absolute(path string) string {
	if p, err := filepath.Abs(path); err == nil {
		return p
	}
	return path
}
