// Package muc is group chat: rooms that people enter, speak in and belong to (XEP-0045).
//
// A room is an address of a domain beside the server's own, conference.example.org. Everything
// that changes a room or is seen in it is a turn of the room: it decides, writes, waits for the
// disk, changes memory, then speaks.
package muc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"parley/router"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// Config is what rooms are made of.
type Config struct {
	Prefix   string                            // of the domain that has the rooms of a domain: conference for conference.example.org; "" for no rooms
	Settings func(host string) *Settings       // of the rooms of a domain of the house; asked each time; see Settings.Whole
	Archives *mam.Keeper                       // where what is said is kept
	Admin    func(bare xmpp.JID) bool          // one of those who run the server
	Now      func() time.Time                  // nil: time.Now
	After    func(time.Duration, func()) Timer // nil: time.AfterFunc
}

// A Timer is what Config.After gives.
type Timer interface{ Stop() bool }

// A Service is the rooms of a server.
type Service struct {
	cfg    Config
	router *router.Router
	store  *storage.Store
	log    *slog.Logger
	secret []byte
	stats  Stats
	tables tables

	commands []command

	readers  chan struct{} // of archives, at work
	watchers watchers

	mu      sync.Mutex // a leaf
	rooms   map[xmpp.JID]*room
	count   map[string]int          // rooms that exist, by domain
	seated  map[xmpp.JID][]xmpp.JID // where sessions are: room/nick
	timer   Timer
	stopped bool
}

// Stats are counters that only grow.
type Stats struct {
	Messages   atomic.Int64 // that rooms have passed on
	Deliveries atomic.Int64 // of these, one for each who got it
	Joins      atomic.Int64
	Ghosts     atomic.Int64 // occupants removed since they were not there any more
	Refused    atomic.Int64 // over a limit
	Told       atomic.Int64 // members who were not there and were told of what was said
	Untold     atomic.Int64 // messages of which nobody was told since too many waited to be
}

// New returns the rooms of a server.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.After == nil {
		cfg.After = func(d time.Duration, fn func()) Timer { return time.AfterFunc(d, fn) }
	}
	if cfg.Admin == nil {
		cfg.Admin = func(xmpp.JID) bool { return false }
	}
	s := &Service{cfg: cfg, rooms: map[xmpp.JID]*room{}, count: map[string]int{}, seated: map[xmpp.JID][]xmpp.JID{}}
	s.watchers.init()
	s.commands = roomCommands()
	cfg.Archives.Follow(s.memberships)
	s.tables, s.readers = s.handlers(), make(chan struct{}, maxReaders)
	return s
}

// maxReaders is how many may read archives at a time.
const maxReaders = 64

// Stats returns the counters.
func (s *Service) Stats() *Stats { return &s.stats }

// settings returns what the operator says of the rooms of a domain of rooms.
func (s *Service) settings(domain string) *Settings {
	host, _ := s.hostOf(domain)
	return s.cfg.Settings(host)
}

func (s *Service) start(h router.Hall) {
	s.router, s.store, s.log = h.Router, h.Store, h.Log
	s.secret = s.store.Secret("occupant ids")
	s.begin(context.Background())
	s.takeSeats()
	s.timer = s.cfg.After(sweepEvery, s.sweep)
}

// Has implements router.Service.
func (s *Service) Has(domain string) bool {
	_, ok := s.hostOf(domain)
	return ok
}

// hostOf returns the domain of the house whose rooms a domain has.
func (s *Service) hostOf(domain string) (string, bool) {
	prefix := s.cfg.Prefix
	if prefix == "" || len(domain) <= len(prefix) || domain[len(prefix)] != '.' || domain[:len(prefix)] != prefix {
		return "", false
	}
	host := domain[len(prefix)+1:]
	return host, s.router.Serves(host)
}

// domainOf returns the domain that has the rooms of one of the house.
func (s *Service) domainOf(host string) (xmpp.JID, bool) {
	prefix := s.cfg.Prefix
	if prefix == "" {
		return xmpp.JID{}, false
	}
	j, err := xmpp.NewJID("", prefix+"."+host, "")
	return j, err == nil
}

// Take implements router.Service.
func (s *Service) Take(rd *router.Round, st *xmpp.Stanza, settled func()) {
	if settled == nil {
		settled = func() {}
	}
	if st.To.Local() == "" {
		s.toService(rd, st)
		settled()
		return
	}
	e := event{st: st, settled: settled, size: st.Len()}
	for {
		r := s.room(st.To.Bare())
		switch r.put(e) {
		case accepted:
			return
		case full:
			s.stats.Refused.Add(1)
			s.router.Bounce(rd, st, xmpp.Refuse("resource-constraint", "the room has too much to do"))
			settled()
			return
		}
		// it was just forgotten: once more
	}
}

// room returns the room of an address, in memory. Whether there is one its first turn finds
// out.
func (s *Service) room(jid xmpp.JID) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[jid]
	if r == nil {
		host, _ := s.hostOf(jid.Domain())
		r = &room{s: s, jid: jid, host: host, inbox: s.router.NewInbox(), teller: &teller{s: s, room: jid}}
		s.rooms[jid] = r
	}
	return r
}

// Do runs fn in a turn of a room, and waits for it.
func (s *Service) do(jid xmpp.JID, fn func(*turn) error) (err error) {
	done := make(chan struct{})
	e := event{settled: func() { close(done) }}
	e.do = func(t *turn, failed error) {
		if err = failed; err == nil {
			err = fn(t)
		}
	}
	for s.room(jid).put(e) == gone {
	}
	<-done
	return err
}

// occupantID is what a bare address is called in a room (XEP-0421 §3): the same each time,
// and nobody can tell the address from it.
func (s *Service) occupantID(room, real xmpp.JID) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(room.String()))
	mac.Write([]byte{0})
	mac.Write([]byte(real.String()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// local reports whether an address is a user's of this server.
func (s *Service) local(j xmpp.JID) bool { return s.router.Serves(j.Domain()) }

// mayCreate reports whether somebody may make a room (XEP-0045 §10.1.1).
func (s *Service) mayCreate(domain string, by xmpp.JID) bool {
	if s.cfg.Admin(by.Bare()) {
		return true
	}
	switch s.settings(domain).Create {
	case CreateAnyone:
		return true
	case CreateLocal:
		return s.local(by)
	}
	return false
}

// blank reports whether a nickname shows nothing (XEP-0045 §17.1). What else cannot be seen is in
// no address, but for the empty character of Braille.
func blank(nick string) bool {
	return strings.TrimFunc(nick, func(r rune) bool { return unicode.IsSpace(r) || r == 0x2800 }) == ""
}
