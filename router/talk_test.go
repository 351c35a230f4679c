package router_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/muc"
	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/admin"
	"parley/xep/announce"
	"parley/xep/blocking"
	"parley/xep/bytestreams"
	"parley/xep/caps"
	"parley/xep/carbons"
	"parley/xep/command"
	"parley/xep/contact"
	"parley/xep/devices"
	"parley/xep/displayed"
	"parley/xep/entitytime"
	"parley/xep/extdisco"
	"parley/xep/lastactivity"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xep/private"
	"parley/xep/pubsub"
	"parley/xep/push"
	"parley/xep/register"
	"parley/xep/upload"
	"parley/xep/vcard"
	"parley/xep/version"
	"parley/xmpp"
)

// talkOffline is how many messages wait for one account in the conversations.
const talkOffline = 20

// fullHouse has every feature that the conversations speak of.
func fullHouse(t testing.TB) *routertest.House {
	t.Helper()
	var addresses atomic.Pointer[contact.Addresses]
	addresses.Store(&contact.Addresses{"abuse": {"mailto:abuse@example.com"}})
	o := &office{disabled: map[xmpp.JID]bool{}}
	dir := &routertest.Directory{}
	groups := roster.NewGroups(dir)
	groups.Set(talkGroups())
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{Messages: talkOffline} })
	set := muc.Settings{Defaults: muc.DefaultRoom()}.Whole()
	rooms := muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return set }, Archives: keeper})
	files := upload.New(upload.Config{Prefix: "upload", URL: func(host string) string { return "https://" + host + ":5443" }, Shelf: upload.NewDisk(filepath.Join(t.TempDir(), "upload"))})
	h := routertest.NewWith(t, routertest.Config{Dir: dir, Features: []router.Feature{
		roster.NewWith(roster.Config{Directory: groups}), blocking.New(),
		mam.Feature(keeper),
		ping.New(), version.New("1.0"), entitytime.New(time.Now), contact.New(&addresses), register.New(o), private.New(),
		vcard.New(func() []string { return nil }), lastactivity.New(time.Now), command.New(time.Now), admin.New(o),
		announce.New(&announce.Announcer{}, o, admin.May(o.Admin)), pubsub.Feature(pubsub.New(pubsub.Config{Prefix: "pubsub"})), caps.New(time.Now),
		vcard.Search(true, func() int { return 3 }), carbons.New(), displayed.New(), push.New(push.Config{}), devices.New(noDevices{}),
		muc.Feature(rooms), upload.Feature(files),
		bytestreams.Feature(bytestreams.New(bytestreams.Config{Prefix: "proxy", Address: func(domain string) (string, int) { return domain, 7777 }})),
		extdisco.New(extdisco.Config{Services: talkServices}),
	}})
	o.house = h
	return h
}

// talkServices are the external services of the conversations.
func talkServices(string) []extdisco.Service {
	return []extdisco.Service{
		{Type: "stun", Host: "stun.example.com", Port: 3478, Transport: "udp"},
		{Type: "turn", Host: "turn.example.com", Name: "Relay", Port: 3478, Transport: "udp", Secret: "secret"},
		{Type: "turns", Host: "turn.example.com", Port: 5349, Transport: "tcp", Username: "guest", Password: "none"},
	}
}

// talkGroups are the shared groups of the conversations.
func talkGroups() []roster.SharedGroup {
	ann, bob, cid := xmpp.MustJID("ann@example.com"), xmpp.MustJID("bob@example.com"), xmpp.MustJID("cid@example.com")
	return []roster.SharedGroup{
		{Name: "Staff", Members: []xmpp.JID{ann, bob}, ShownTo: []xmpp.JID{ann, bob}},
		{Name: "Help", Members: []xmpp.JID{cid}, ShownTo: []xmpp.JID{ann}},
	}
}

// accounts is register.Accounts on the test's directory.
type accounts struct{ house *routertest.House }

func (a *accounts) ChangePassword(_ context.Context, _ xmpp.JID, password string) error {
	if len(password) < 8 {
		return xmpp.Refuse("not-acceptable", "too short")
	}
	return nil
}

func (a *accounts) Remove(ctx context.Context, bare xmpp.JID) error {
	id, _, _ := a.house.Dir.Lookup(ctx, bare)
	err := a.house.Store.Write(ctx, func(tx *storage.Tx) error {
		for _, f := range a.house.Router.Features() {
			if f.Forget == nil {
				continue
			}
			if err := f.Forget(tx, id, bare); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		a.house.Dir.Remove(bare)
	}
	return err
}

// noDevices is devices.Accounts where nobody is remembered.
type noDevices struct{}

func (noDevices) Devices(context.Context, int64) ([]devices.Device, error) { return nil, nil }
func (noDevices) TidyDevices(context.Context) error                        { return nil }
func (noDevices) RevokeDevice(context.Context, int64, string) error {
	return xmpp.Refuse("item-not-found", "")
}

func TestTalk(t *testing.T) {
	files, err := filepath.Glob("../testdata/talk/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".talk"), func(t *testing.T) {
			t.Parallel()
			h := fullHouse(t)
			h.Router.SetLastActivity(strings.HasPrefix(filepath.Base(file), "0256-"))
			routertest.Play(t, file, h)
		})
	}
}
