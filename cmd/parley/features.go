package main

import (
	"sync/atomic"
	"time"

	"parley/c2s"
	"parley/roster"
	"parley/router"
	"parley/xep/blocking"
	"parley/xep/contact"
	"parley/xep/entitytime"
	"parley/xep/lastactivity"
	"parley/xep/offline"
	"parley/xep/ping"
	"parley/xep/private"
	"parley/xep/register"
	"parley/xep/vcard"
	xepversion "parley/xep/version"
)

// live is what features ask for at run time, so that it may change with a reload.
type live struct {
	contact atomic.Pointer[contact.Addresses]
	offline atomic.Pointer[offline.Limits]
	limits  atomic.Pointer[LimitsConfig]
	results atomic.Int64 // of one search
	groups  *roster.Groups
}

// administrators returns the addresses of those who run the server.
func (l *live) administrators() []string { return (*l.contact.Load())["admin"] }

// roster returns the limits of contacts.
func (l *live) roster() roster.Limits {
	c := l.limits.Load()
	return roster.Limits{Items: c.RosterItems, Groups: c.RosterGroups, Name: c.RosterName}
}

// features is everything that this server can do, one line each. search says
// that users may search for each other.
func features(l *live, accounts register.Accounts, search bool) []router.Feature {
	return []router.Feature{
		c2s.SessionFeature(),
		roster.NewWith(roster.Config{Directory: l.groups, Limits: l.roster}),
		blocking.NewWith(func() int { return l.limits.Load().Blocked }),
		offline.New(func() offline.Limits { return *l.offline.Load() }, time.Now),
		ping.New(),
		xepversion.New(version),
		entitytime.New(time.Now),
		contact.New(&l.contact),
		register.New(accounts),
		private.NewWith(func() int { return l.limits.Load().PrivateBytes }),
		vcard.NewWith(l.administrators, func() int { return l.limits.Load().VCardBytes }),
		lastactivity.New(time.Now),
		vcard.Search(search, func() int { return int(l.results.Load()) }),
	}
}
