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
	roster  atomic.Pointer[roster.Limits]
	groups  *roster.Groups
}

// administrators returns the addresses of those who run the server.
func (l *live) administrators() []string { return (*l.contact.Load())["admin"] }

// features is everything that this server can do, one line each.
func features(l *live, accounts register.Accounts) []router.Feature {
	return []router.Feature{
		c2s.SessionFeature(),
		roster.NewWith(roster.Config{Directory: l.groups, Limits: func() roster.Limits { return *l.roster.Load() }}),
		blocking.New(),
		offline.New(func() offline.Limits { return *l.offline.Load() }, time.Now),
		ping.New(),
		xepversion.New(version),
		entitytime.New(time.Now),
		contact.New(&l.contact),
		register.New(accounts),
		private.New(),
		vcard.New(l.administrators),
		lastactivity.New(time.Now),
	}
}
