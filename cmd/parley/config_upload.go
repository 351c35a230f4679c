package main

import (
	"slices"
	"strings"
	"time"

	"parley/xep/upload"
	"parley/xmpp"
)

// UploadConfig is about files that users send by HTTP.
type UploadConfig struct {
	Prefix       string   `toml:"prefix" doc:"What stands before a domain in the domain of its service: upload for upload.example.org. Empty: nobody uploads. What was uploaded is served all the same."`
	Size         int      `toml:"max_size" reload:"true" doc:"How many bytes a file may have."`
	Daily        int      `toml:"max_bytes_per_day" reload:"true" doc:"How many bytes of files one user may send in 24 hours. 0: any number."`
	Kept         int      `toml:"max_bytes" reload:"true" doc:"How many bytes of one user's files are kept at a time. 0: any number."`
	Files        int      `toml:"max_files" reload:"true" doc:"How many files one user may have, those of the last 24 hours included."`
	Retention    Duration `toml:"retention" reload:"true" doc:"How long a file is kept, from its upload on. A change is for files that come from then on. 0s: for ever."`
	ProfileSize  int      `toml:"profile_max_size" reload:"true" doc:"How many bytes a file may have that a client says is for a profile, as a picture of its user."`
	ProfileKept  int      `toml:"profile_max_bytes" reload:"true" doc:"How many bytes of these one user may have; they count by themselves. 0: any number."`
	ProfileKeep  Duration `toml:"profile_retention" reload:"true" doc:"How long these are kept. 0s: for ever."`
	Permanent    int      `toml:"permanent_max_bytes" reload:"true" doc:"How many bytes of files one user may have that a client says are to be kept for ever. 0: there are no such files."`
	Slot         Duration `toml:"slot_lifetime" reload:"true" doc:"How long a client has from being given an address to the beginning of its upload."`
	Rate         int      `toml:"min_rate" reload:"true" doc:"How many bytes a second a file must come in at least, in the mean."`
	Uploads      int      `toml:"max_uploads" reload:"true" doc:"How many files may be on their way in at a time."`
	PerUser      int      `toml:"max_uploads_per_user" reload:"true" doc:"How many of these may be one user's."`
	Downloads    int      `toml:"max_downloads" reload:"true" doc:"How many files may be on their way out at a time."`
	PerPlace     int      `toml:"max_downloads_per_address" reload:"true" doc:"How many of these one address may be fetching."`
	AllowDomains []string `toml:"allow" reload:"true" doc:"Other domains whose users may upload here, as those of components. Users of this server may without being named."`
}

func defaultUpload() UploadConfig {
	s := upload.DefaultSettings()
	return UploadConfig{
		Prefix: "upload", Size: int(s.Size), Daily: int(s.Daily), Kept: int(s.Kept), Files: s.Files, Retention: Duration{s.Retention},
		ProfileSize: int(s.ProfileSize), ProfileKept: int(s.ProfileKept), Slot: Duration{s.Slot}, Rate: s.Rate,
		Uploads: s.Uploads, PerUser: s.PerUser, Downloads: s.Downloads, PerPlace: s.PerPlace, AllowDomains: []string{},
	}
}

// none makes a limit that is switched off of the 0 that the configuration has for it.
func none[T int64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// uploads returns how files of a domain are taken and kept.
func (l *live) uploads(string) upload.Settings {
	c := l.files.Load()
	return upload.Settings{
		Size: int64(c.Size), Daily: none(int64(c.Daily)), Kept: none(int64(c.Kept)), Files: c.Files, Retention: none(c.Retention.Duration),
		ProfileSize: int64(c.ProfileSize), ProfileKept: none(int64(c.ProfileKept)), ProfileRetention: none(c.ProfileKeep.Duration), PermanentKept: int64(c.Permanent),
		Slot: c.Slot.Duration, Rate: c.Rate, Uploads: c.Uploads, PerUser: c.PerUser, Downloads: c.Downloads, PerPlace: c.PerPlace, Allow: c.AllowDomains,
	}
}

// checkUpload finds what could not be, and writes domains as addresses do.
func checkUpload(cfg *Config) *badKey {
	c := &cfg.Upload
	for _, n := range []struct {
		key              string
		value, least, to int
	}{
		{"max_size", c.Size, 1, 1 << 50}, {"max_bytes_per_day", c.Daily, 0, 1 << 60}, {"max_bytes", c.Kept, 0, 1 << 60}, {"max_files", c.Files, 1, 1 << 20},
		{"profile_max_size", c.ProfileSize, 1, 1 << 50}, {"profile_max_bytes", c.ProfileKept, 0, 1 << 60}, {"permanent_max_bytes", c.Permanent, 0, 1 << 60},
		{"min_rate", c.Rate, 1, 1 << 30}, {"max_uploads", c.Uploads, 1, 1 << 20}, {"max_uploads_per_user", c.PerUser, 1, 1 << 20}, {"max_downloads", c.Downloads, 1, 1 << 20}, {"max_downloads_per_address", c.PerPlace, 1, 1 << 20},
	} {
		if n.value < n.least || n.value > n.to {
			return bad("upload."+n.key, "%d is not between %d and %d", n.value, n.least, n.to)
		}
	}
	for _, d := range []struct {
		key string
		Duration
	}{{"retention", c.Retention}, {"profile_retention", c.ProfileKeep}} {
		if t := d.Duration.Duration; t != 0 && t < time.Hour {
			return bad("upload."+d.key, "%s is less than an hour; 0s keeps files for ever", t)
		}
	}
	if t := c.Slot.Duration; t < 10*time.Second || t > 24*time.Hour {
		return bad("upload.slot_lifetime", "%s is not between 10s and a day", t)
	}
	for i, d := range c.AllowDomains {
		name, ok := domainOf(d)
		if !ok {
			return bad("upload.allow", "%q is no domain", d)
		}
		c.AllowDomains[i] = name
	}
	return checkPrefix(cfg, "upload.prefix", &c.Prefix, cfg.Rooms.Prefix, cfg.Pubsub.Prefix)
}

// checkPrefix finds domains of services that are others', and writes the prefix as addresses do.
func checkPrefix(cfg *Config, key string, prefix *string, others ...string) *badKey {
	if *prefix == "" {
		return nil
	}
	for _, host := range cfg.Domains {
		j, err := xmpp.NewJID("", *prefix+"."+host, "")
		switch {
		case err != nil:
			return bad(key, "%s.%s is no domain", *prefix, host)
		case slices.Contains(cfg.Domains, j.Domain()):
			return bad(key, "%s is one of the domains; the service of %s needs one for itself", j.Domain(), host)
		case hasComponent(cfg, j.Domain()):
			return bad(key, "%s is a component's; the service of %s needs a domain for itself", j.Domain(), host)
		}
		*prefix = strings.TrimSuffix(j.Domain(), "."+host)
	}
	if slices.Contains(others, *prefix) {
		return bad(key, "%s is where another service is", *prefix)
	}
	return nil
}
