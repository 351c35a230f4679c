package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/xep/mam"
)

// ArchiveConfig is about the archives of messages.
type ArchiveConfig struct {
	Default   string   `toml:"default" reload:"true" doc:"What is archived of users who say nothing (XEP-0441): always, roster (only what is exchanged with contacts) or never. Users may choose otherwise."`
	Retention Duration `toml:"retention" reload:"true" doc:"How long messages stay in an archive. 0s: for ever. For single users: parley archive retention. What still waits for a user stays until limits.offline_expiry."`
	Messages  int      `toml:"max_messages" reload:"true" doc:"How many messages the archive of one user has; then the oldest go. 0: any number."`
	Bytes     int      `toml:"max_bytes" reload:"true" doc:"How many bytes these have. 0: any number."`
	Page      int      `toml:"max_page" reload:"true" doc:"How many messages one answer of an archive has at most."`
}

// DomainArchive is what a domain has otherwise.
type DomainArchive struct {
	Default   string    `toml:"default" doc:"As archive.default."`
	Retention *Duration `toml:"retention" doc:"As archive.retention."`
}

// archiveOf returns what holds for the archives of a domain, or of the rooms of one.
func (cfg *Config) archiveOf(host string) mam.Archive {
	a := mam.Archive{
		Default: cfg.Archive.Default, Retention: cfg.Archive.Retention.Duration,
		Messages: int64(cfg.Archive.Messages), Bytes: int64(cfg.Archive.Bytes), Page: cfg.Archive.Page,
	}
	d, named := cfg.Archives[host]
	if rooms, ok := strings.CutPrefix(host, cfg.Rooms.Prefix+"."); ok && !named && !slices.Contains(cfg.Domains, host) {
		d = cfg.Archives[rooms] // what holds for a domain holds for its rooms
	}
	if d.Default != "" {
		a.Default = d.Default
	}
	if d.Retention != nil {
		a.Retention = d.Retention.Duration
	}
	return a
}

func checkArchive(cfg *Config) *badKey {
	if wrong := checkArchived(cfg.Archive.Default, cfg.Archive.Retention.Duration); wrong != nil {
		return bad("archive."+wrong[0], "%s", wrong[1])
	}
	named := map[string]DomainArchive{}
	for _, domain := range slices.Sorted(maps.Keys(cfg.Archives)) {
		d := cfg.Archives[domain]
		name, ok := domainOf(domain)
		if !ok || !slices.Contains(cfg.Domains, name) && !slices.Contains(cfg.Domains, strings.TrimPrefix(name, cfg.Rooms.Prefix+".")) {
			return &badKey{[]string{"archive_domains", domain}, "this is none of the domains, " + strings.Join(cfg.Domains, ", ")}
		}
		policy, keep := d.Default, time.Duration(0)
		if policy == "" {
			policy = mam.PolicyAlways
		}
		if d.Retention != nil {
			keep = d.Retention.Duration
		}
		if wrong := checkArchived(policy, keep); wrong != nil {
			return &badKey{[]string{"archive_domains", domain, wrong[0]}, wrong[1]}
		}
		named[name] = d
	}
	cfg.Archives = named
	return nil
}

// checkArchived returns which of the two is wrong, and why.
func checkArchived(policy string, keep time.Duration) []string {
	switch {
	case !slices.Contains(mam.Policies(), policy):
		return []string{"default", fmt.Sprintf("%q is none of %s", policy, strings.Join(mam.Policies(), ", "))}
	case keep != 0 && keep < time.Hour:
		return []string{"retention", fmt.Sprintf("%s is less than an hour; 0s keeps messages for ever", keep)}
	}
	return nil
}

// setArchiveDomains reads domain=retention, several separated by commas.
func setArchiveDomains(m *map[string]DomainArchive, s string) error {
	for _, part := range list(s) {
		domain, keep, ok := strings.Cut(part, "=")
		var d Duration
		if !ok || d.UnmarshalText([]byte(strings.TrimSpace(keep))) != nil {
			return fmt.Errorf("%q is not of the form domain=720h", part)
		}
		setEntry(m, strings.TrimSpace(domain), DomainArchive{Retention: &d})
	}
	return nil
}
