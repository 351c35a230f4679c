package main

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"parley/roster"
	"parley/xmpp"
)

// What the shared groups of a configuration may be.
const (
	maxSharedGroups    = 200
	maxSharedGroupName = 200 // characters
)

func checkSharedGroups(cfg *Config) *badKey {
	if len(cfg.SharedGroups) > maxSharedGroups {
		return bad("shared_groups", "there are %d, and more than %d are too many", len(cfg.SharedGroups), maxSharedGroups)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.SharedGroups)) {
		g := cfg.SharedGroups[name]
		if wrong := checkGroupName(name); wrong != "" {
			return &badKey{[]string{"shared_groups", name}, wrong}
		}
		for _, l := range []struct {
			key  string
			list []string
		}{{"members", g.Members}, {"shown_to", g.ShownTo}} {
			if wrong := checkPeople(l.list, cfg.Domains); wrong != "" {
				return &badKey{[]string{"shared_groups", name, l.key}, wrong}
			}
		}
		if len(g.Members) == 0 {
			return &badKey{[]string{"shared_groups", name}, "a group needs members"}
		}
	}
	return nil
}

func checkGroupName(name string) string {
	switch {
	case strings.TrimSpace(name) == "" || strings.TrimSpace(name) != name:
		return "the name of a group is not empty and has no blanks around it"
	case utf8.RuneCountInString(name) > maxSharedGroupName:
		return "this name is too long for clients to show it"
	case xmpp.Clean(name) != name:
		return "this name has signs that XML cannot carry"
	}
	return ""
}

func checkPeople(list, domains []string) string {
	for _, s := range list {
		j, ok := people(s)
		switch {
		case !ok:
			return "\"" + s + "\" is neither an address like juliet@" + domains[0] + " nor a domain like @" + domains[0]
		case !slices.Contains(domains, j.Domain()):
			return j.Domain() + " is none of the domains, " + strings.Join(domains, ", ")
		}
	}
	return ""
}

// people reads an address, or a domain with or without an @ before it.
func people(s string) (xmpp.JID, bool) {
	j, err := xmpp.ParseJID(strings.TrimPrefix(s, "@"))
	return j, err == nil && j.IsBare() && !(strings.HasPrefix(s, "@") && j.Local() != "")
}

// sharedGroups are those of a configuration that has been checked.
func sharedGroups(cfg Config) (list []roster.SharedGroup) {
	all := func(list []string) (jids []xmpp.JID) {
		for _, s := range list {
			if j, ok := people(s); ok && slices.Contains(cfg.Domains, j.Domain()) {
				jids = append(jids, j)
			}
		}
		return jids
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.SharedGroups)) {
		g := roster.SharedGroup{Name: name, Members: all(cfg.SharedGroups[name].Members), ShownTo: all(cfg.SharedGroups[name].ShownTo)}
		if cfg.SharedGroups[name].ShownTo == nil {
			g.ShownTo = g.Members
		}
		list = append(list, g)
	}
	return list
}
