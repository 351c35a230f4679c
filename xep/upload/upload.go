// Package upload takes users' files and serves them to whoever has their addresses (XEP-0363).
//
// A client asks the service of its domain for a slot: an address to put one file to, once, and
// the one to get it from. What is known of a file is in the database before the first byte of
// it arrives, so that nothing can lie on the disk that nobody knows of; the bytes themselves are
// on a Shelf, a directory or a store of others that speaks S3. Nothing of a file is kept in
// memory.
package upload

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Namespaces of XEP-0363.
const (
	ns        = "urn:xmpp:http:upload:0"
	nsPurpose = "urn:xmpp:http:upload:purpose:0"
)

// Limits that nobody has asked to change.
const (
	maxName   = 180              // bytes of a file's name
	maxType   = 127              // bytes of a content type
	maxSlots  = 100              // slots of one user that no file has come for yet
	copyBytes = 64 << 10         // of a file in memory at a time
	readPause = 30 * time.Second // how long a sender may send nothing
	writeStop = time.Minute      // how long a receiver may take for copyBytes
	graceTime = time.Minute      // what a sender has beside the time that Settings.Rate gives
	day       = 24 * time.Hour   // what Settings.Daily is about
)

// Config is what the service is made of.
type Config struct {
	Prefix   string                     // of the domain that is the service of a domain: upload for upload.example.org; "" for none
	Settings func(host string) Settings // of that service; asked each time; nil: DefaultSettings
	URL      func(host string) string   // where the web listener is for a domain, without a slash at its end; "" where nothing listens
	Shelf    Shelf                      // where the bytes of files are
	Now      func() time.Time           // nil: time.Now
}

// Stats are counters that only grow, and two gauges.
type Stats struct {
	Slots      atomic.Int64 // given out
	Refused    atomic.Int64 // slots refused for a limit
	Stored     atomic.Int64 // files
	Received   atomic.Int64 // bytes of these
	Failed     atomic.Int64 // uploads that did not come to their end
	Served     atomic.Int64 // requests for files that were there
	Sent       atomic.Int64 // bytes of these
	Removed    atomic.Int64 // files
	Uploading  atomic.Int64 // files on their way in, now
	ServingNow atomic.Int64 // files on their way out, now
}

// A Service is the files of the users of a server.
type Service struct {
	cfg    Config
	router *router.Router
	store  *storage.Store
	log    *slog.Logger
	secret []byte
	stats  Stats
	ready  error // why nothing can be taken or served; nil: all is well

	pause, grace time.Duration // readPause and graceTime, but in tests

	mu    sync.Mutex           // a leaf
	busy  map[string]bool      // ids of files that somebody is putting
	mine  map[string]int       // how many of these, by owner
	gets  map[netip.Prefix]int // files on their way out, by network
	swept time.Time            // when the shelf was looked through
}

// New returns the service.
func New(cfg Config) *Service {
	if cfg.Settings == nil {
		cfg.Settings = func(string) Settings { return DefaultSettings() }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg, pause: readPause, grace: graceTime, busy: map[string]bool{}, mine: map[string]int{}, gets: map[netip.Prefix]int{}}
}

// Stats returns the counters.
func (s *Service) Stats() *Stats { return &s.stats }

// Feature is what the service is to the server.
func Feature(s *Service) router.Feature {
	return router.Feature{
		Name:     "upload",
		XEPs:     []router.XEP{{Number: 363, Version: "1.2.0"}},
		Service:  s,
		Items:    s.items,
		HTTP:     s.http(),
		Commands: s.commands(),
		Start:    s.start,
		Tidy:     s.tidy,
		Forget:   func(tx *storage.Tx, _ int64, jid xmpp.JID) error { return forget(tx, jid.String()) },
		Schema:   schema,
	}
}

func (s *Service) start(h router.Hall) {
	s.router, s.store, s.log = h.Router, h.Store, h.Log
	s.secret = s.store.Secret("upload slots")
	if s.cfg.Shelf == nil {
		s.ready = errors.New("upload: there is no shelf for files")
	} else {
		s.ready = s.cfg.Shelf.Begin()
	}
	if s.ready != nil {
		s.log.Error("files can neither be taken nor served", "error", s.ready)
	}
}

// Has implements router.Service.
func (s *Service) Has(domain string) bool {
	_, ok := s.hostOf(domain)
	return ok
}

// hostOf returns the domain of the house whose service a domain is.
func (s *Service) hostOf(domain string) (string, bool) {
	host, ok := strings.CutPrefix(domain, s.cfg.Prefix+".")
	return host, s.cfg.Prefix != "" && ok && s.router.Serves(host)
}

// Seats implements router.Service: nobody is at an address of it.
func (s *Service) Seats(_, _ xmpp.JID) bool { return false }

// items names the service of a domain (XEP-0363 §3), where there is a listener to put files to.
func (s *Service) items(host string) []router.Item {
	if s.cfg.Prefix == "" || s.base(host) == "" {
		return nil
	}
	j, err := xmpp.NewJID("", s.cfg.Prefix+"."+host, "")
	if err != nil {
		return nil
	}
	return []router.Item{{JID: j, Name: "Files"}}
}

// base is where files of a domain are put and got.
func (s *Service) base(host string) string {
	if s.cfg.URL == nil {
		return ""
	}
	return s.cfg.URL(host)
}

func (s *Service) settings(host string) Settings { return s.cfg.Settings(host).Whole() }

// Sizes of what names and protects a file, in random bytes and in characters.
const (
	idBytes    = 18 // 144 bits: nobody guesses one (XEP-0363 §9.3)
	idChars    = 24
	tokenBytes = 18
)

func newID() string {
	var b [idBytes]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// isID reports whether a text could be an id.
func isID(id string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(b) == idBytes && len(id) == idChars
}

// token is what allows to put the file of a slot. It shows that the id was made here.
func (s *Service) token(id string) string {
	m := hmac.New(sha256.New, s.secret)
	m.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:tokenBytes])
}

func (s *Service) allows(id, token string) bool {
	return isID(id) && hmac.Equal([]byte(token), []byte(s.token(id)))
}
