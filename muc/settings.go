package muc

import "time"

// Settings are what the operator says of the rooms of a domain. They may change while the
// server runs, by others in their place.
type Settings struct {
	Create      string        // who may make rooms: CreateLocal (also if empty), CreateAnyone or CreateAdmins
	Defaults    RoomConfig    // what a new room is
	UnlockAfter time.Duration // that a new room waits for its owner's configuration; 0 means 30 s (XEP-0045 §10.1)
	Idle        time.Duration // that a room stays in memory when nobody is in it; 0 means 1 minute

	Rooms        int // of one domain; 0 means 100,000
	RoomsPerUser int // that one may own; 0 means 500
	Occupants    int // of one room; 0 means 5,000
	Affiliations int // entries in the lists of one room; 0 means 10,000
	History      int // messages that are told to who enters; 0 means 100
	Rate         int // messages of one user in one room in 10 s; 0 means 100
	RateBytes    int // bytes of these; 0 means 1 MiB
	PresenceRate int // changes of presence of one user in one room in 10 s, and as many entries; 0 means 30
	Sessions     int // of one user under one nickname; 0 means 10, 1 forbids several
	Queue        int // stanzas that wait in one room; 0 means 4,096
	QueueBytes   int // bytes of these; 0 means 16 MiB
	Applications int // requests to register with one room in an hour, where admins decide; 0 means 100
	SlowMode     int // seconds that a room may make people wait between two messages; 0 means 86,400
	Hats         int // that one room has; 0 means 100
	HatsWorn     int // by one user in one room; 0 means 10
	Versions     int // changes of one room's lists that clients may catch up with; 0 means 1,000
	AvatarBytes  int // of a room's vCard; 0 means 128 KiB
	Watchers     int // sessions that are told where something was said; 0 means 10,000
	Watched      int // rooms that one of these is told of; 0 means 200
}

// Who may make rooms.
const (
	CreateLocal  = "local"  // users of this server
	CreateAnyone = "anyone" // users of other servers too
	CreateAdmins = "admins" // the server's administrators
)

// Whole returns the settings with what is not said filled in.
func (s Settings) Whole() *Settings {
	orElse := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	orElse(&s.Rooms, 100_000)
	orElse(&s.RoomsPerUser, 500)
	orElse(&s.Occupants, 5_000)
	orElse(&s.Affiliations, 10_000)
	orElse(&s.History, 100)
	orElse(&s.Rate, 100)
	orElse(&s.RateBytes, 1<<20)
	orElse(&s.PresenceRate, 30)
	orElse(&s.Sessions, 10)
	orElse(&s.Queue, 4096)
	orElse(&s.QueueBytes, 16<<20)
	orElse(&s.Applications, 100)
	orElse(&s.SlowMode, 86_400)
	orElse(&s.Hats, 100)
	orElse(&s.HatsWorn, 10)
	orElse(&s.Versions, 1_000)
	orElse(&s.AvatarBytes, 128<<10)
	orElse(&s.Watchers, 10_000)
	orElse(&s.Watched, 200)
	if s.UnlockAfter <= 0 {
		s.UnlockAfter = 30 * time.Second
	}
	if s.Idle <= 0 {
		s.Idle = time.Minute
	}
	if s.Create == "" {
		s.Create = CreateLocal
	}
	return &s
}

// A RoomConfig is how a room is configured (XEP-0045 §10.2, §16.5.3). It is stored as JSON:
// names stay.
type RoomConfig struct {
	Name          string   `json:"name,omitempty"`
	Description   string   `json:"description,omitempty"`
	Lang          string   `json:"lang,omitempty"`
	Persistent    bool     `json:"persistent"`
	Public        bool     `json:"public"` // it is listed
	MembersOnly   bool     `json:"members_only"`
	Moderated     bool     `json:"moderated"`
	NonAnonymous  bool     `json:"non_anonymous"`
	Password      string   `json:"password,omitempty"`
	AllowInvites  bool     `json:"allow_invites"`               // by everybody in it, not only by admins, where it is for members only
	ChangeSubject bool     `json:"change_subject"`              // by everybody who may speak
	AllowPM       string   `json:"allow_pm,omitempty"`          // anyone (also if empty), participants, moderators or none
	MaxUsers      int      `json:"max_users,omitempty"`         // 0: as many as the server allows
	History       int      `json:"history"`                     // messages that are told to who enters
	Archive       bool     `json:"archive"`                     // what is said is kept (XEP-0313)
	HidePresence  []string `json:"hide_presence,omitempty"`     // roles whose presence is told to nobody else
	MemberList    []string `json:"member_list,omitempty"`       // roles that may read the list of members
	Contacts      []string `json:"contacts,omitempty"`          // whom to ask about the room
	Pubsub        string   `json:"pubsub,omitempty"`            // the node that goes with the room
	SlowMode      int      `json:"slow_mode,omitempty"`         // seconds between two messages of one occupant (XEP-0500)
	NoVoice       bool     `json:"no_voice_requests,omitempty"` // visitors may not ask for voice
}

// DefaultRoom is a room that anybody may enter, and that stays.
func DefaultRoom() RoomConfig {
	return RoomConfig{Persistent: true, Public: true, AllowInvites: true, History: 20, Archive: true}
}

// CompanyRoom is a room that people are members of, and know each other in.
func CompanyRoom() RoomConfig {
	c := DefaultRoom()
	c.MembersOnly, c.NonAnonymous = true, true
	return c
}
