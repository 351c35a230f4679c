package muc_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"parley/muc"
)

// sameLists wants every client to know what is true, of those whom the room shows.
func (c *comedy) sameLists(now muc.Info) {
	all, want := map[string]seen{}, map[string]seen{}
	at := map[string]string{}
	shown := strings.Split(now.Config["presencebroadcast"], ",")
	for _, o := range now.Occupants {
		all[o.Nick] = seen{o.Role, o.Affiliation}
		if slices.Contains(shown, o.Role) {
			want[o.Nick] = all[o.Nick]
		}
		for _, full := range o.Sessions {
			at[full] = o.Nick
		}
	}
	for _, p := range c.all {
		nick, in := at[p.full]
		if in != p.in || nick != p.nick && in {
			c.Fatalf("%s believes to be in: %v, as %q; it is: %v, as %q", p.full, p.in, p.nick, in, nick)
		}
		if !in {
			continue
		}
		mine := maps.Clone(want)
		mine[nick] = all[nick]
		if d := cmp.Diff(mine, p.knows); d != "" {
			c.Fatalf("%s knows the wrong people (-there +known):\n%s", p.full, d)
		}
	}
}

// sameMessages wants all who are there to have heard the same in the same order, and who enters
// to be told the end of it.
func (c *comedy) sameMessages(what string, by *player, was map[*player]bool) {
	var said []string
	var first *player
	for _, p := range c.all {
		if !was[p] || !p.in {
			if len(p.said) > 0 {
				c.Fatalf("%s heard %v and was not there", p.full, p.said)
			}
			continue
		}
		if first == nil {
			first, said = p, p.said
		}
		if d := cmp.Diff(said, p.said); d != "" {
			c.Fatalf("%s and %s heard other things:\n%s", first.full, p.full, d)
		}
	}
	before := c.log
	c.log = append(c.log, said...)
	for _, p := range c.all {
		switch tail := before[max(0, len(before)-20):]; {
		case p != by && len(p.history) > 0:
			c.Fatalf("%s was told a history", p.full)
		case p == by && p.in && !was[p] && !slices.Equal(p.history, tail):
			c.Fatalf("%s entered and was told %v instead of %v", p.full, p.history, tail)
		}
	}
	if what != "say" && what != "chorus" && len(said) > 0 {
		c.Fatalf("%s: %v was said", what, said)
	}
}

// nothingElse wants who is outside, and does nothing, to hear nothing but invitations.
func (c *comedy) nothingElse(by *player, was map[*player]bool) {
	for _, p := range c.all {
		if p == by || was[p] || p.in {
			continue
		}
		for _, text := range p.text {
			if !strings.Contains(text, "<invite ") && !strings.Contains(text, "type='error'") {
				c.Fatalf("%s is outside and heard %s", p.full, text)
			}
		}
	}
}

// whispered wants a private message to have been heard by whom it was for, with all sessions, and
// by nobody else.
func (c *comedy) whispered(what string, by *player, before muc.Info) {
	for _, p := range c.all {
		if len(p.whisper) == 0 {
			continue
		}
		if what != "whisper" || !by.in || !p.in {
			c.Fatalf("%s heard %v of %s, who did: %s", p.full, p.whisper, by.full, what)
		}
		for _, o := range before.Occupants {
			if o.Nick != p.nick {
				continue
			}
			for _, other := range c.all {
				if slices.Contains(o.Sessions, other.full) != (len(other.whisper) == 1) {
					c.Fatalf("of %v %s heard %v", o.Sessions, other.full, other.whisper)
				}
			}
		}
	}
}

// noAddresses wants nobody to have read an address in a room that is not to tell it.
func (c *comedy) noAddresses(before, now muc.Info) {
	if before.Config["whois"] == "anyone" || now.Config["whois"] == "anyone" {
		return
	}
	may := map[string]bool{}
	for _, in := range []muc.Info{before, now} {
		for _, o := range in.Occupants {
			for _, full := range o.Sessions {
				may[full] = may[full] || o.Role == "moderator"
			}
		}
	}
	for _, p := range c.all {
		for _, text := range p.text {
			for _, other := range c.all {
				if !may[p.full] && other.bare != p.bare && strings.Contains(text, other.bare) {
					c.Fatalf("%s has read the address of %s:\n%s", p.full, other.full, text)
				}
			}
		}
	}
}
