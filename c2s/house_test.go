package c2s_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/auth"
	"parley/c2s"
	"parley/muc"
	"parley/roster"
	"parley/router"
	"parley/storage"
	"parley/storage/storagetest"
	"parley/web"
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
	"parley/xmpp/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host  = "example.com"
	other = "example.net"
)

// A house is a whole server in this process, with doors on loopback.
type house struct {
	*c2s.Server
	t        testing.TB
	auth     *auth.Auth
	router   *router.Router
	store    *storage.Store
	disk     *storagetest.Disk
	certs    *auth.Certs
	starttls string
	direct   string
	web      string
	log      *record
	begun    *atomic.Int64 // requests of BOSH
}

// plan is what a test changes about a house.
type plan struct {
	set        c2s.Settings
	auth       auth.Config
	resources  int
	clientCAs  *x509.CertPool
	features   []router.Feature // beside the usual ones
	dir        string           // of a store that is there already
	waiting    int64            // how many messages wait for one account
	unarchived bool             // nothing is archived
}

// talkServices are the external services of the conversations.
func talkServices(string) []extdisco.Service {
	return []extdisco.Service{
		{Type: "stun", Host: "stun.example.com", Port: 3478, Transport: "udp"},
		{Type: "turn", Host: "turn.example.com", Name: "Relay", Port: 3478, Transport: "udp", Secret: "secret"},
		{Type: "turns", Host: "turn.example.com", Port: 5349, Transport: "tcp", Username: "guest", Password: "none"},
	}
}

// open builds a house and opens its doors. Looks at silent sessions are frequent.
func open(t testing.TB, change func(*plan)) *house {
	t.Helper()
	p := plan{waiting: 20, set: c2s.Defaults(), auth: auth.Config{Iterations: 4096, Throttle: auth.Throttle{AddressFree: 1 << 20, AddressLimit: 1 << 20, AccountFree: 1 << 20}}}
	p.set.PerAddress = 0
	if change != nil {
		change(&p)
	}
	h := &house{t: t, log: &record{}}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var addresses atomic.Pointer[contact.Addresses]
	addresses.Store(&contact.Addresses{"abuse": {"mailto:abuse@example.com"}})
	groups := roster.NewGroups(h)
	ann, bob, cid := xmpp.MustJID("ann@example.com"), xmpp.MustJID("bob@example.com"), xmpp.MustJID("cid@example.com")
	groups.Set([]roster.SharedGroup{ // those of the conversations
		{Name: "Staff", Members: []xmpp.JID{ann, bob}, ShownTo: []xmpp.JID{ann, bob}},
		{Name: "Help", Members: []xmpp.JID{cid}, ShownTo: []xmpp.JID{ann}},
	})
	keeper := mam.NewKeeper(p.limits)
	set := muc.Settings{Defaults: muc.DefaultRoom(), RateBytes: 1 << 40, Rate: 1 << 30}.Whole()
	rooms := muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return set }, Archives: keeper})
	files := upload.New(upload.Config{Prefix: "upload", URL: func(host string) string { return "https://" + host + ":5443" }, Shelf: upload.NewDisk(filepath.Join(t.TempDir(), "upload"))})
	features := []router.Feature{
		c2s.SessionFeature(), roster.NewWith(roster.Config{Directory: groups}), blocking.New(),
		mam.Feature(keeper),
		ping.New(), version.New("1.0"), entitytime.New(time.Now), contact.New(&addresses), register.New(h),
		private.New(), vcard.New(func() []string { return nil }),
		lastactivity.New(time.Now), command.New(time.Now), admin.New(office{h}),
		announce.New(&announce.Announcer{}, office{h}, admin.May(office{h}.Admin)),
		pubsub.Feature(pubsub.New(pubsub.Config{Prefix: "pubsub"})), caps.New(time.Now), carbons.New(), displayed.New(), push.New(push.Config{}), vcard.Search(true, func() int { return 3 }),
		devices.New(clients{h}),
		muc.Feature(rooms), upload.Feature(files),
		bytestreams.Feature(bytestreams.New(bytestreams.Config{Prefix: "proxy", Address: func(domain string) (string, int) { return domain, 7777 }})),
		extdisco.New(extdisco.Config{Services: talkServices}),
	}
	features = append(features, p.features...)
	schemas := []storage.Schema{auth.Schema()}
	for _, f := range features {
		if f.Schema.Name != "" {
			schemas = append(schemas, f.Schema)
		}
	}
	h.store, h.disk = storagetest.OpenFaulty(t, storage.Config{Dir: p.dir}, schemas...)
	var err error
	if h.auth, err = auth.New(t.Context(), h.store, p.auth); err != nil {
		t.Fatal(err)
	}
	h.router = router.New(router.Config{Hosts: []string{host, other}, Store: h.store, Accounts: h, Features: features, MaxResources: p.resources, Log: log})
	if h.certs, err = auth.OpenCerts(auth.CertConfig{Dir: t.TempDir(), Hosts: []auth.HostCert{{Host: host}, {Host: other}}}); err != nil {
		t.Fatal(err)
	}
	doors := map[string]*auth.TLS{}
	for _, name := range []string{host, other} {
		doors[name] = h.certs.Server(auth.TLSOptions{Host: name, ClientCAs: p.clientCAs})
	}
	h.Server = c2s.NewServer(c2s.Config{
		Router: h.router, Auth: h.auth, Accounts: h.auth.Accounts(), Store: h.store, Settings: p.set, Log: log, SweepEvery: 20 * time.Millisecond,
		TLS:       func(name string) *auth.TLS { return doors[name] },
		DirectTLS: h.certs.Server(auth.TLSOptions{ALPN: []string{"xmpp-client"}, ClientCAs: p.clientCAs}),
	})
	if err := h.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.starttls, h.direct = h.listen(false), h.listen(true)
	h.openWeb()
	t.Cleanup(h.stop)
	return h
}

func (h *house) listen(direct bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	go h.Serve(l, direct)
	return l.Addr().String()
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// pages are those of this door.
func (h *house) pages() []router.HTTP {
	certs := h.certs.Server(auth.TLSOptions{})
	bosh, begun := h.BOSH(), new(atomic.Int64)
	h.begun = begun
	answers := bosh.Handler
	bosh.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		answers.ServeHTTP(w, r)
	})
	return []router.HTTP{h.WebSocket(func(r *http.Request) auth.Channel { return certs.Channel(*r.TLS) }), bosh}
}

// openWeb opens a listener for what comes by HTTP.
func (h *house) openWeb() {
	site := web.NewServer(web.Config{Pages: h.pages(), TLS: h.certs.Server(auth.TLSOptions{}).Config()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	go site.Serve(l, true)
	h.web = l.Addr().String()
	h.t.Cleanup(func() { site.Shutdown(context.Background()) })
}

// webOptions connect to the first domain by WebSocket.
func (h *house) webOptions() xmpptest.Options {
	return xmpptest.Options{Addr: h.web, Host: host, TLS: h.trust(host), WebSocket: "wss://" + host + c2s.WebSocketPath}
}

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		h.t.Errorf("the server did not stop: %v", err)
	}
	h.router.Wait(context.Background())
}

// Lookup implements router.Directory.
func (h *house) Lookup(ctx context.Context, bare xmpp.JID) (int64, bool, error) {
	acc, found, err := h.auth.Accounts().Get(ctx, bare)
	return acc.ID, found, err
}

// Address implements router.Directory.
func (h *house) Address(ctx context.Context, id int64) (xmpp.JID, bool, error) {
	acc, found, err := h.auth.Accounts().ByID(ctx, id)
	return acc.JID, found, err
}

// EachAccount implements roster.Accounts.
func (h *house) EachAccount(ctx context.Context, domain string, each func(xmpp.JID)) error {
	return h.auth.Accounts().EachAccount(ctx, domain, each)
}

// ChangePassword implements register.Accounts.
func (h *house) ChangePassword(ctx context.Context, bare xmpp.JID, password string) error {
	return h.auth.Accounts().SetPassword(ctx, bare, password)
}

// Remove implements register.Accounts.
func (h *house) Remove(ctx context.Context, bare xmpp.JID) error {
	return h.store.Write(ctx, func(tx *storage.Tx) error {
		acc, found, err := h.auth.Accounts().GetTx(tx, bare)
		if err != nil || !found {
			return err
		}
		for _, f := range h.router.Features() {
			if f.Forget == nil {
				continue
			}
			if err := f.Forget(tx, acc.ID, bare); err != nil {
				return err
			}
		}
		return h.auth.Accounts().DeleteTx(tx, acc.ID)
	})
}

const password = "pencil"

// account makes accounts of the first domain.
func (h *house) account(names ...string) {
	h.t.Helper()
	for _, n := range names {
		if _, err := h.auth.Accounts().Create(context.Background(), xmpp.MustJID(n+"@"+host), password); err != nil {
			h.t.Fatal(err)
		}
	}
}

// options connect to the first domain with STARTTLS.
func (h *house) options() xmpptest.Options {
	return xmpptest.Options{Addr: h.starttls, Host: host, TLS: h.trust(host)}
}

// trust makes a client's TLS that trusts the certificate of a domain.
func (h *house) trust(name string) *tls.Config {
	roots := x509.NewCertPool()
	leaf := h.certs.Certificate(name).Leaf
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots}
}

// dial opens a stream under TLS.
func (h *house) dial() *xmpptest.Client {
	h.t.Helper()
	return xmpptest.Dial(h.t, h.options())
}

// raw opens a stream in clear.
func (h *house) raw() *xmpptest.Client {
	h.t.Helper()
	return xmpptest.Connect(h.t, xmpptest.Options{Addr: h.starttls, Host: host})
}

// login opens a session; the account is made if there is none.
func (h *house) login(name, resource string) *xmpptest.Client {
	h.t.Helper()
	if _, found, _ := h.auth.Accounts().Get(context.Background(), xmpp.MustJID(name+"@"+host)); !found {
		h.account(name)
	}
	c := h.dial()
	c.Login(xmpptest.Login{User: name, Password: password, Resource: resource})
	return c
}

// serves fails the test unless a new client is served.
func (h *house) serves() {
	h.t.Helper()
	c := h.login("witness", "")
	c.Ping(nil)
	c.Bye()
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// record keeps what is logged.
type record struct {
	mu   sync.Mutex
	text []byte
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, p...)
	return len(p), nil
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decoded(t testing.TB, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// limits are those of what is kept.
func (p *plan) limits() mam.Limits {
	l := mam.Limits{Messages: p.waiting}
	if p.unarchived {
		l.Archive = func(string) mam.Archive { return mam.Archive{Default: mam.PolicyNever} }
	}
	return l
}
