package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/muc"
	"parley/xmpp"
)

// RoomsConfig is about group chat.
type RoomsConfig struct {
	Prefix string `toml:"prefix" doc:"What stands before a domain in the domain of its rooms: conference for conference.example.org. Empty: no rooms."`
	Create string `toml:"create" reload:"true" doc:"Who may make rooms: local (users of this server), anyone (users of other servers too) or admins."`
	Kind   string `toml:"kind" reload:"true" doc:"What a new room is, unless its owner says otherwise: public (anybody may enter; addresses are for moderators) or company (for members only, who see each other's addresses). Both stay when nobody is in them, are in the list of rooms, and keep what is said."`

	Defaults []string `toml:"defaults" reload:"true" doc:"What a new room is otherwise than its kind says: persistent or temporary, public or hidden, members_only or open, moderated or unmoderated, non_anonymous or semi_anonymous, archive or no_archive, subject_by_all or subject_by_moderators, invites_by_all or invites_by_admins."`

	Unlock       Duration `toml:"unlock_after" reload:"true" doc:"How long a new room waits for its owner's configuration until it opens with the defaults."`
	Idle         Duration `toml:"idle" reload:"true" doc:"How long a room stays in memory when nobody is in it."`
	Max          int      `toml:"max" reload:"true" doc:"How many rooms one domain has."`
	PerUser      int      `toml:"max_per_user" reload:"true" doc:"How many rooms one user may own."`
	Occupants    int      `toml:"max_occupants" reload:"true" doc:"How many may be in one room."`
	Affiliations int      `toml:"max_affiliations" reload:"true" doc:"How many entries the lists of one room have: members, admins, owners, outcasts."`
	History      int      `toml:"max_history" reload:"true" doc:"How many messages a room tells who enters, at most. All others are in its archive."`
	Rate         int      `toml:"message_rate" reload:"true" doc:"How many messages one user may send to a room in 10 s."`
	RateBytes    int      `toml:"byte_rate" reload:"true" doc:"How many bytes these may have."`
	PresenceRate int      `toml:"presence_rate" reload:"true" doc:"How often one user may change presence or nickname in a room in 10 s, and enter it."`
	Sessions     int      `toml:"max_sessions" reload:"true" doc:"How many clients of one user may be in a room under one nickname. 1: no more than one. Under several nicknames together it is this, or 10."`
	Queue        int      `toml:"queue_stanzas" reload:"true" doc:"How many stanzas may wait in one room; the senders of more get an error."`
	QueueBytes   int      `toml:"queue_bytes" reload:"true" doc:"The same in bytes."`
	Applications int      `toml:"max_applications" reload:"true" doc:"How many requests to become a member the admins of one room are told of in an hour."`
	SlowMode     int      `toml:"max_slow_mode" reload:"true" doc:"How many seconds a room may make people wait between two messages, at most (XEP-0500)."`
	Hats         int      `toml:"max_hats" reload:"true" doc:"How many hats one room has (XEP-0317)."`
	HatsWorn     int      `toml:"max_hats_per_user" reload:"true" doc:"How many of them one user wears."`
	Versions     int      `toml:"max_versions" reload:"true" doc:"How many changes of a room's lists clients may catch up with; after more they get the lists (XEP-0463)."`
	AvatarBytes  int      `toml:"max_avatar" reload:"true" doc:"How many bytes a room's vCard has, with its picture."`
	Watchers     int      `toml:"max_watchers" reload:"true" doc:"How many sessions may ask to be told where something is said while they are not there (XEP-0437)."`
	Watched      int      `toml:"max_watched" reload:"true" doc:"How many rooms one of these is told of."`
}

// DomainRooms is what the rooms of a domain have otherwise.
type DomainRooms struct {
	Create    string   `toml:"create" doc:"As rooms.create."`
	Kind      string   `toml:"kind" doc:"As rooms.kind."`
	Defaults  []string `toml:"defaults" doc:"As rooms.defaults, beside these."`
	Max       *int     `toml:"max" doc:"As rooms.max."`
	Occupants *int     `toml:"max_occupants" doc:"As rooms.max_occupants."`
}

// Kinds of rooms.
const (
	kindPublic  = "public"
	kindCompany = "company"
)

func defaultRooms() RoomsConfig {
	d := func(t time.Duration) Duration { return Duration{t} }
	set := muc.Settings{}.Whole()
	return RoomsConfig{
		Prefix: "conference", Create: set.Create, Kind: kindPublic, Unlock: d(set.UnlockAfter), Idle: d(set.Idle),
		Max: set.Rooms, PerUser: set.RoomsPerUser, Occupants: set.Occupants, Affiliations: set.Affiliations, History: set.History,
		Rate: set.Rate, RateBytes: set.RateBytes, PresenceRate: set.PresenceRate, Sessions: set.Sessions, Queue: set.Queue, QueueBytes: set.QueueBytes,
		Applications: set.Applications, SlowMode: set.SlowMode, Hats: set.Hats, HatsWorn: set.HatsWorn, Versions: set.Versions,
		AvatarBytes: set.AvatarBytes, Watchers: set.Watchers, Watched: set.Watched,
	}
}

// roomSettings are how rooms are, by domain; "" for those that are not named.
func (cfg *Config) roomSettings() map[string]*muc.Settings {
	c := cfg.Rooms
	common := muc.Settings{
		Create: c.Create, Defaults: roomKind(c.Kind), UnlockAfter: c.Unlock.Duration, Idle: c.Idle.Duration,
		Rooms: c.Max, RoomsPerUser: c.PerUser, Occupants: c.Occupants, Affiliations: c.Affiliations, History: c.History,
		Rate: c.Rate, RateBytes: c.RateBytes, PresenceRate: c.PresenceRate, Sessions: c.Sessions, Queue: c.Queue, QueueBytes: c.QueueBytes,
		Applications: c.Applications, SlowMode: c.SlowMode, Hats: c.Hats, HatsWorn: c.HatsWorn, Versions: c.Versions,
		AvatarBytes: c.AvatarBytes, Watchers: c.Watchers, Watched: c.Watched,
	}
	shape(&common.Defaults, c.Defaults)
	all := map[string]*muc.Settings{"": common.Whole()}
	for domain, d := range cfg.RoomDomains {
		s := common
		if d.Create != "" {
			s.Create = d.Create
		}
		if d.Kind != "" {
			s.Defaults = roomKind(d.Kind)
			shape(&s.Defaults, c.Defaults)
		}
		shape(&s.Defaults, d.Defaults)
		if d.Max != nil {
			s.Rooms = *d.Max
		}
		if d.Occupants != nil {
			s.Occupants = *d.Occupants
		}
		all[domain] = s.Whole()
	}
	return all
}

// shapes are the words for what a new room is.
func shapes(r *muc.RoomConfig) map[string]func() {
	either := func(what *bool, yes, no string) map[string]func() {
		return map[string]func(){yes: func() { *what = true }, no: func() { *what = false }}
	}
	all := map[string]func(){}
	for _, m := range []map[string]func(){
		either(&r.Persistent, "persistent", "temporary"), either(&r.Public, "public", "hidden"),
		either(&r.MembersOnly, "members_only", "open"), either(&r.Moderated, "moderated", "unmoderated"),
		either(&r.NonAnonymous, "non_anonymous", "semi_anonymous"), either(&r.Archive, "archive", "no_archive"),
		either(&r.ChangeSubject, "subject_by_all", "subject_by_moderators"), either(&r.AllowInvites, "invites_by_all", "invites_by_admins"),
	} {
		maps.Copy(all, m)
	}
	return all
}

// shape makes a room what words say that have been checked.
func shape(r *muc.RoomConfig, words []string) {
	all := shapes(r)
	for _, w := range words {
		if is := all[w]; is != nil {
			is()
		}
	}
}

func roomKind(kind string) muc.RoomConfig {
	if kind == kindCompany {
		return muc.CompanyRoom()
	}
	return muc.DefaultRoom()
}

// serviceDomains are the domains beside those that have accounts: of rooms, of what is
// published, and of files.
func serviceDomains(cfg Config) (list []string) {
	for _, prefix := range []string{cfg.Rooms.Prefix, cfg.Pubsub.Prefix, cfg.Upload.Prefix, cfg.FileProxy.Prefix} {
		if prefix == "" {
			continue
		}
		for _, d := range cfg.Domains {
			list = append(list, prefix+"."+d)
		}
	}
	return list
}

// checkRooms finds what could not be, and writes domains as addresses do.
func checkRooms(cfg *Config) *badKey {
	c := &cfg.Rooms
	if c.Prefix != "" {
		for _, host := range cfg.Domains {
			j, err := xmpp.NewJID("", c.Prefix+"."+host, "")
			switch {
			case err != nil:
				return bad("rooms.prefix", "%s.%s is no domain", c.Prefix, host)
			case slices.Contains(cfg.Domains, j.Domain()):
				return bad("rooms.prefix", "%s is one of the domains; the rooms of %s need one for themselves", j.Domain(), host)
			case hasComponent(cfg, j.Domain()):
				return bad("rooms.prefix", "%s is a component's; the rooms of %s need a domain for themselves", j.Domain(), host)
			}
			c.Prefix = strings.TrimSuffix(j.Domain(), "."+host)
		}
	}
	if wrong := checkRoomKind(c.Create, c.Kind, c.Defaults); wrong != nil {
		return bad("rooms."+wrong[0], "%s", wrong[1])
	}
	named := map[string]DomainRooms{}
	for _, domain := range slices.Sorted(maps.Keys(cfg.RoomDomains)) {
		d := cfg.RoomDomains[domain]
		name, ok := domainOf(domain)
		if !ok || !slices.Contains(cfg.Domains, name) {
			return &badKey{[]string{"rooms_domains", domain}, "this is none of the domains, " + strings.Join(cfg.Domains, ", ")}
		}
		create, kind := d.Create, d.Kind
		if create == "" {
			create = c.Create
		}
		if kind == "" {
			kind = c.Kind
		}
		if wrong := checkRoomKind(create, kind, d.Defaults); wrong != nil {
			return &badKey{[]string{"rooms_domains", domain, wrong[0]}, wrong[1]}
		}
		named[name] = d
	}
	cfg.RoomDomains = named
	return nil
}

func hasComponent(cfg *Config, domain string) bool {
	for name := range cfg.Component {
		if d, ok := domainOf(name); ok && d == domain {
			return true
		}
	}
	return false
}

// checkRoomKind returns which of these is wrong, and why.
func checkRoomKind(create, kind string, words []string) []string {
	switch {
	case !slices.Contains([]string{muc.CreateLocal, muc.CreateAnyone, muc.CreateAdmins}, create):
		return []string{"create", fmt.Sprintf("%q is none of local, anyone, admins", create)}
	case kind != kindPublic && kind != kindCompany:
		return []string{"kind", fmt.Sprintf("%q is neither public nor company", kind)}
	}
	valid := slices.Sorted(maps.Keys(shapes(new(muc.RoomConfig))))
	for _, w := range words {
		if !slices.Contains(valid, w) {
			return []string{"defaults", fmt.Sprintf("%q is none of %s", w, strings.Join(valid, ", "))}
		}
	}
	return nil
}

// setRoomDomains reads domain=kind, several separated by commas.
func setRoomDomains(m *map[string]DomainRooms, s string) error {
	for _, part := range list(s) {
		domain, kind, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("%q is not of the form domain=kind", part)
		}
		setEntry(m, strings.TrimSpace(domain), DomainRooms{Kind: strings.TrimSpace(kind)})
	}
	return nil
}
