package main

import (
	"slices"
	"sync/atomic"
	"time"

	"parley/c2s"
	"parley/muc"
	"parley/roster"
	"parley/router"
	"parley/s2s"
	"parley/web"
	"parley/xep/admin"
	"parley/xep/announce"
	"parley/xep/blocking"
	"parley/xep/bytestreams"
	"parley/xep/caps"
	"parley/xep/carbons"
	"parley/xep/command"
	"parley/xep/contact"
	"parley/xep/delegation"
	"parley/xep/devices"
	"parley/xep/displayed"
	"parley/xep/entitytime"
	"parley/xep/extdisco"
	"parley/xep/lastactivity"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xep/private"
	"parley/xep/privilege"
	"parley/xep/pubsub"
	"parley/xep/push"
	"parley/xep/register"
	"parley/xep/strangers"
	"parley/xep/upload"
	"parley/xep/vcard"
	xepversion "parley/xep/version"
	"parley/xmpp"
)

// live is what features ask for at run time, so that it may change with a reload.
type live struct {
	contact   atomic.Pointer[contact.Addresses]
	offline   atomic.Pointer[mam.Limits]
	admins    atomic.Pointer[[]xmpp.JID]
	limits    atomic.Pointer[LimitsConfig]
	results   atomic.Int64 // of one search
	summary   atomic.Bool  // of notifications
	open      atomic.Bool  // to registration
	published atomic.Pointer[PubsubConfig]
	files     atomic.Pointer[UploadConfig]
	relays    atomic.Pointer[[]extdisco.Service]
	proxied   atomic.Pointer[FileProxyConfig]
	proxyPort atomic.Int64 // of the first listener of the file proxy, once it is open
	web       atomic.Pointer[HTTPConfig]
	webPort   atomic.Pointer[string] // of the first listener with TLS, once it is open
	groups    *roster.Groups
	trusted   atomic.Pointer[trusted]
	rooms     atomic.Pointer[map[string]*muc.Settings] // by domain; "" for all others
}

// administrators returns the addresses of those who run the server.
func (l *live) administrators() []string { return (*l.contact.Load())["admin"] }

// baseURL returns where a domain's web listeners are reached; see HTTPConfig.baseURL.
func (l *live) baseURL(host string) string {
	port := ""
	if p := l.webPort.Load(); p != nil {
		port = *p
	}
	return l.web.Load().baseURL(host, port)
}

// admin reports whether a bare address is one of those who may administrate.
func (l *live) admin(bare xmpp.JID) bool { return slices.Contains(*l.admins.Load(), bare) }

// strangers returns the budgets of who writes to people who do not know them.
func (l *live) strangers() strangers.Limits {
	c := l.limits.Load()
	return strangers.Limits{Messages: c.Strangers, Requests: c.Requests}
}

// roster returns the limits of contacts.
func (l *live) roster() roster.Limits {
	c := l.limits.Load()
	return roster.Limits{Items: c.RosterItems, Bytes: c.RosterBytes, Groups: c.RosterGroups, Name: c.RosterName}
}

// roomSettings returns how the rooms of a domain are.
func (l *live) roomSettings(host string) *muc.Settings {
	all := *l.rooms.Load()
	if set := all[host]; set != nil {
		return set
	}
	return all[""]
}

// features is everything that this server can do, one line each.
func features(h *house) []router.Feature {
	l, office := &h.live, administration{h}
	keeper := mam.NewKeeper(func() mam.Limits { return *l.offline.Load() })
	h.rooms = muc.New(muc.Config{Prefix: h.cfg.Rooms.Prefix, Settings: l.roomSettings, Archives: keeper, Admin: l.admin})
	h.published = pubsub.New(pubsub.Config{Limits: l.pubsub, Prefix: h.cfg.Pubsub.Prefix, Settings: l.pubsubService, Admin: l.admin})
	h.uploads = upload.New(upload.Config{Prefix: h.cfg.Upload.Prefix, Settings: l.uploads, URL: l.baseURL, Shelf: shelf(h.cfg)})
	h.proxy = bytestreams.New(bytestreams.Config{Prefix: h.cfg.FileProxy.Prefix, Address: l.proxyAddress, Settings: l.fileProxy})
	return []router.Feature{
		c2s.SessionFeature(),
		s2s.Feature(),
		web.Feature(h.pagesOf()),
		roster.NewWith(roster.Config{Directory: l.groups, Limits: l.roster}),
		blocking.NewWith(func() int { return l.limits.Load().Blocked }, func() []xmpp.JID { return *l.admins.Load() }),
		mam.Feature(keeper),
		ping.New(),
		xepversion.New(version),
		entitytime.New(time.Now),
		contact.New(&l.contact),
		register.New(h),
		private.NewWith(func() int { return l.limits.Load().PrivateBytes }),
		vcard.NewWith(l.administrators, func() int { return l.limits.Load().VCardBytes }),
		vcard.Search(h.cfg.Search.Enabled, func() int { return int(l.results.Load()) }),
		lastactivity.New(time.Now),
		command.New(time.Now),
		admin.New(office),
		announce.New(&h.announcer, office, admin.May(l.admin)),
		pubsub.Feature(h.published),
		caps.New(time.Now),
		carbons.New(),
		displayed.New(),
		strangers.New(l.strangers, time.Now),
		push.New(push.Config{Summary: l.summary.Load}),
		devices.New(clients{h}),
		l.services(),
		privilege.New(func() *privilege.Table { return l.trusted.Load().privileges }),
		delegation.New(func() *delegation.Table { return l.trusted.Load().delegated }),
		muc.Feature(h.rooms),
		upload.Feature(h.uploads),
		bytestreams.Feature(h.proxy),
		extdisco.New(extdisco.Config{Services: l.external}),
	}
}
