package s2s

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/auth"
	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xep/push"
	"parley/xmpp"
)

// A house is a router with people, whose way out is a real server on loopback.
type house struct {
	*routertest.House
	*Server
	t        testing.TB
	hosts    []string
	certs    *auth.Certs
	starttls string
	direct   string
	log      *journal
	resolver *Resolver
	routes   sync.Map // domain -> []string
	stopped  bool
	make     func() *Server
}

// plan is what a test changes about a house.
type plan struct {
	set        Settings
	certs      map[string]*signer // of domains; none: self-signed
	zone       *zone              // who answers for DNS; nil: nobody
	policy     PolicyConfig
	roots      *x509.CertPool
	dir        string
	storage    storage.Config
	local      func(domain string) bool // of components; nil: there are none
	now        func() time.Time
	unarchived bool // nothing is archived
}

// journal is a log that tests may look at.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *journal) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *journal) has(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.b.String(), part)
}

func (r *journal) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// limits are those of what is kept.
func (p *plan) limits() mam.Limits {
	l := mam.Limits{Messages: 10000}
	if p.unarchived {
		l.Archive = func(string) mam.Archive { return mam.Archive{Default: mam.PolicyNever} }
	}
	return l
}

// open makes a house for these domains.
func open(t testing.TB, change func(*plan), hosts ...string) *house {
	t.Helper()
	p := &plan{set: Defaults(), policy: PolicyConfig{Dialback: true}, roots: x509.NewCertPool(), dir: t.TempDir()}
	if change != nil {
		change(p)
	}
	h := &house{t: t, hosts: hosts, log: &journal{}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", hosts[0], h.log)
		}
	})
	h.House = routertest.NewWith(t, routertest.Config{Hosts: hosts, Storage: p.storage, Log: log, Features: []router.Feature{
		Feature(), roster.New(), mam.New(p.limits), ping.New(), carbons.New(), push.New(push.Config{}),
	}})
	var list []auth.HostCert
	for _, d := range hosts {
		c := auth.HostCert{Host: d}
		if s := p.certs[d]; s != nil {
			c.CertFile = s.file(t)
		}
		list = append(list, c)
	}
	var err error
	if h.certs, err = auth.OpenCerts(auth.CertConfig{Dir: p.dir, Hosts: list}); err != nil {
		t.Fatal(err)
	}
	servers := []string{"127.0.0.1:1"}
	if p.zone != nil {
		servers = []string{p.zone.addr}
	}
	h.resolver, err = NewResolver(ResolverConfig{Servers: servers, Routes: func(domain string) []string {
		if v, ok := h.routes.Load(domain); ok {
			return v.([]string)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := NewPolicy(p.policy)
	if err != nil {
		t.Fatal(err)
	}
	doors := map[string]*auth.TLS{}
	for _, d := range hosts {
		doors[d] = h.certs.Server(auth.TLSOptions{Host: d, AskClient: true})
	}
	judge := NewJudge(JudgeConfig{Roots: p.roots, Resolver: h.resolver, DANE: p.zone != nil, Now: p.now})
	h.make = func() *Server {
		return NewServer(Config{
			Router: h.Router, Store: h.Store, Local: func(domain string) bool { return h.Router.Serves(domain) || p.local != nil && p.local(domain) }, Log: log, Settings: p.set, Policy: policy,
			TLS: func(host string) *auth.TLS {
				if d := doors[host]; d != nil {
					return d
				}
				return doors[hosts[0]]
			},
			DirectTLS:   h.certs.Server(auth.TLSOptions{ALPN: []string{"xmpp-server"}, AskClient: true}),
			Certificate: h.certs.Certificate, Resolver: h.resolver, Dialer: &Dialer{Resolver: h.resolver}, Judge: judge,
			SweepEvery: 20 * time.Millisecond,
		})
	}
	h.again()
	t.Cleanup(func() {
		h.stop()
		judge.Close()
		h.resolver.Close()
	})
	return h
}

// again has a new server begin, with what the last one has left.
func (h *house) again() {
	h.Server, h.stopped = h.make(), false
	h.Router.SetWays(h.Ways)
	if err := h.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.starttls, h.direct = h.listen(false), h.listen(true)
}

func (h *house) listen(direct bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	go h.Serve(l, direct)
	return l.Addr().String()
}

func (h *house) stop() {
	if h.stopped {
		return
	}
	h.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		h.t.Errorf("stopping: %v", err)
	}
	h.Barrier()
}

// leads says where a domain is.
func (h *house) leads(domain, addr string, direct bool) {
	if direct {
		addr = "tls://" + addr
	}
	h.routes.Store(domain, []string{addr})
}

// wants waits for a stanza of a person that is as the pattern says.
func wants(t testing.TB, a *routertest.Actor, pattern string) *xmpp.Stanza {
	t.Helper()
	var st *xmpp.Stanza
	routertest.Eventually(t, a.JID().String()+" hears "+pattern, func() bool {
		st = a.Hears()
		return st != nil && (st.Kind != xmpp.Presence || st.From != a.JID()) // its own presence comes back
	})
	if why := routertest.Match(pattern, st); why != "" {
		t.Fatalf("%s hears\n%s\ninstead of\n%s\n(%s)", a.JID(), st, pattern, why)
	}
	return st
}

// pair of houses, a.example and b.example, that know where the other is.
func two(t testing.TB, change func(*plan), direct bool) (a, b *house) {
	t.Helper()
	a, b = open(t, change, "a.example"), open(t, change, "b.example")
	if direct {
		a.leads("b.example", b.direct, true)
		b.leads("a.example", a.direct, true)
	} else {
		a.leads("b.example", b.starttls, false)
		b.leads("a.example", a.starttls, false)
	}
	return a, b
}

func TestTalk(t *testing.T) {
	for _, direct := range []bool{false, true} {
		for _, bidi := range []bool{false, true} {
			t.Run(fmt.Sprintf("direct=%v bidi=%v", direct, bidi), func(t *testing.T) {
				a, b := two(t, func(p *plan) { p.set.Bidi = bidi }, direct)
				ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
				ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
				wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
				bob.Says("<message to='ann@a.example' type='chat' id='2'><body>Hi</body></message>")
				wants(t, ann, "<message from='bob@b.example/2' to='ann@a.example' type='chat' id='2'><body>Hi</body></message>")
				ann.Says("<iq to='b.example' type='get' id='3'><ping xmlns='urn:xmpp:ping'/></iq>")
				wants(t, ann, "<iq from='b.example' to='ann@a.example/1' type='result' id='3'/>")
				ann.Says("<message to='nobody@b.example' type='normal' id='4'><body>?</body></message>")
				wants(t, ann, "<message from='nobody@b.example' to='ann@a.example/1' type='error' id='4'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
			})
		}
	}
}

// file writes a certificate with its key for a server to read.
func (s *signer) file(t testing.TB) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
