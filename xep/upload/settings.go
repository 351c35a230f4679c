package upload

import "time"

// Settings are how the service of one domain is. What is not set is as in DefaultSettings; where
// it says so, a negative number sets a limit to none.
type Settings struct {
	Size      int64         // bytes of one file
	Daily     int64         // bytes that one user may send in 24 hours; negative: any number
	Kept      int64         // bytes of one user's files that are there; negative: any number
	Files     int           // of one user, within 24 hours or kept
	Retention time.Duration // how long a file of a message is kept; negative: for ever

	ProfileSize      int64         // bytes of one file of a profile (XEP-0363 §5.2)
	ProfileKept      int64         // bytes of all those of one user; negative: any number
	ProfileRetention time.Duration // how long they are kept; negative: for ever
	PermanentKept    int64         // bytes of one user's files for long term storage (XEP-0363 §5.4); 0: there are none, negative: any number

	Slot      time.Duration // how long a slot waits for its file (XEP-0363 §8)
	Rate      int           // bytes a second that who sends or gets a file takes at least
	Uploads   int           // files on their way in at a time
	PerUser   int           // of these, of one user
	Downloads int           // files on their way out at a time
	PerPlace  int           // of these, to one address

	Allow []string // other domains whose users may upload; their addresses' domains, exactly
}

// DefaultSettings are those of a server whose operator has no other opinion.
func DefaultSettings() Settings {
	return Settings{
		Size: 100 << 20, Daily: 2 << 30, Kept: 10 << 30, Files: 10_000, Retention: 30 * day,
		ProfileSize: 2 << 20, ProfileKept: 20 << 20, ProfileRetention: -1,
		Slot: 5 * time.Minute, Rate: 1024, Uploads: 128, PerUser: 8, Downloads: 1024, PerPlace: 128,
	}
}

// Whole returns the settings with the defaults for what is not set.
func (s Settings) Whole() Settings {
	d := DefaultSettings()
	or(&s.Size, d.Size)
	or(&s.Daily, d.Daily)
	or(&s.Kept, d.Kept)
	or(&s.Files, d.Files)
	or(&s.Retention, d.Retention)
	or(&s.ProfileSize, d.ProfileSize)
	or(&s.ProfileKept, d.ProfileKept)
	or(&s.ProfileRetention, d.ProfileRetention)
	or(&s.Slot, d.Slot)
	or(&s.Rate, d.Rate)
	or(&s.Uploads, d.Uploads)
	or(&s.PerUser, d.PerUser)
	or(&s.Downloads, d.Downloads)
	or(&s.PerPlace, d.PerPlace)
	return s
}

func or[T int | int64 | time.Duration](at *T, d T) {
	if *at == 0 {
		*at = d
	}
}

// A purpose is what a file is for (XEP-0363 §5).
type purpose int

const (
	forMessage purpose = iota
	forProfile
	forEphemeral
	forPermanent
)

func (p purpose) String() string {
	return [...]string{"message", "profile", "ephemeral", "permanent"}[p]
}

// purposes are those that the service has.
func (s Settings) purposes() []purpose {
	list := []purpose{forMessage, forProfile, forEphemeral}
	if s.PermanentKept != 0 {
		list = append(list, forPermanent)
	}
	return list
}

// allowance is what files of a purpose may be.
type allowance struct {
	size int64         // bytes of one
	kept int64         // bytes of all of one user that count together; negative: any number
	time time.Duration // how long they are kept; negative: for ever
}

// of returns the allowance of a purpose. Those of messages and ephemeral ones count together.
func (s Settings) of(p purpose) allowance {
	switch p {
	case forProfile:
		return allowance{min(s.ProfileSize, s.Size), s.ProfileKept, s.ProfileRetention}
	case forPermanent:
		return allowance{s.Size, s.PermanentKept, -1}
	}
	return allowance{s.Size, s.Kept, s.Retention}
}

// bucket is what the bytes of a purpose count together with.
func (p purpose) bucket() purpose {
	if p == forEphemeral {
		return forMessage
	}
	return p
}
