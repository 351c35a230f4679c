package main

import (
	"testing"
)

// TestArchiveRetention: the operator says how long one user's messages are kept, beside a
// running server and without one.
func TestArchiveRetention(t *testing.T) {
	for _, running := range []bool{true, false} {
		c := newChild(t)
		if running {
			c.start()
		}
		c.must("pw\n", "user", "add", "juliet")
		for _, step := range [][2]string{
			{"", "messages of juliet@localhost are kept 8760h (as for all)\n"},
			{"30d", "messages of juliet@localhost are kept 720h (said for this user)\n"},
			{"", "messages of juliet@localhost are kept 720h (said for this user)\n"},
			{"90m", "messages of juliet@localhost are kept 1h30m (said for this user)\n"},
			{"forever", "messages of juliet@localhost are kept for ever (said for this user)\n"},
			{"default", "messages of juliet@localhost are kept 8760h (as for all)\n"},
		} {
			args := []string{"archive", "retention", "juliet"}
			if step[0] != "" {
				args = append(args, step[0])
			}
			if got := c.must("", args...); got != step[1] {
				t.Errorf("%q: %q", step[0], got)
			}
		}
		for _, wrong := range []string{"soon", "-1d", "1m", "0s", "d", "99999999d"} {
			c.fails(exitUsage, "", "archive", "retention", "juliet", "--", wrong)
		}
		contains(t, c.fails(exitNotFound, "", "archive", "retention", "nobody", "30d"), "there is no account nobody@localhost")
		var r retentionInfo
		c.mustJSON(&r, "archive", "retention", "juliet", "10d")
		if r != (retentionInfo{"juliet@localhost", "240h", true}) {
			t.Errorf("%+v", r)
		}
	}
}

// TestArchiveConfig: what a domain has otherwise, and what is refused.
func TestArchiveConfig(t *testing.T) {
	cfg := defaults()
	cfg.Domains = []string{"example.org", "example.net"}
	hours := Duration{100 * 3600e9}
	cfg.Archives = map[string]DomainArchive{"Example.net": {Default: "roster", Retention: &hours}}
	if wrong := checkArchive(&cfg); wrong != nil {
		t.Fatal(wrong)
	}
	if a := cfg.archiveOf("example.org"); a.Default != "always" || a.Retention.Hours() != 8760 || a.Messages != 1_000_000 || a.Bytes != 1<<30 || a.Page != 250 {
		t.Errorf("%+v", a)
	}
	if a := cfg.archiveOf("example.net"); a.Default != "roster" || a.Retention != hours.Duration || a.Page != 250 {
		t.Errorf("%+v", a)
	}
	short := Duration{1e9}
	for key, change := range map[string]func(*Config){
		"archive.default":                       func(c *Config) { c.Archive.Default = "sometimes" },
		"archive.retention":                     func(c *Config) { c.Archive.Retention = short },
		"archive_domains.example.com":           func(c *Config) { c.Archives = map[string]DomainArchive{"example.com": {}} },
		"archive_domains.example.net.default":   func(c *Config) { c.Archives = map[string]DomainArchive{"example.net": {Default: "x"}} },
		"archive_domains.example.net.retention": func(c *Config) { c.Archives = map[string]DomainArchive{"example.net": {Retention: &short}} },
	} {
		c := defaults()
		c.Domains = cfg.Domains
		change(&c)
		wrong := checkArchive(&c)
		if wrong == nil || wrong.at("", "", nil).Error() == "" {
			t.Errorf("%s is accepted", key)
			continue
		}
		contains(t, wrong.at("", "", nil).Error(), key)
	}
}
