package s2s_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/auth"
	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/s2s"
	"parley/storage"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xmpp"
)

// A house is a router with people, whose way out is a real server on loopback.
type house struct {
	*routertest.House
	*s2s.Server
	t        testing.TB
	hosts    []string
	certs    *auth.Certs
	starttls string
	direct   string
	log      *record
	resolver *s2s.Resolver
	routes   sync.Map // domain -> []string
	stopped  bool
}

// plan is what a test changes about a house.
type plan struct {
	set     s2s.Settings
	policy  s2s.PolicyConfig
	roots   *x509.CertPool
	dir     string
	storage storage.Config
}

// record is a log that tests may look at.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) has(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.b.String(), part)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// open makes a house for these domains.
func open(t testing.TB, change func(*plan), hosts ...string) *house {
	t.Helper()
	p := &plan{set: s2s.Defaults(), policy: s2s.PolicyConfig{Dialback: true}, roots: x509.NewCertPool(), dir: t.TempDir()}
	if change != nil {
		change(p)
	}
	h := &house{t: t, hosts: hosts, log: &record{}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", hosts[0], h.log)
		}
	})
	h.House = routertest.NewWith(t, routertest.Config{Hosts: hosts, Storage: p.storage, Log: log, Features: []router.Feature{
		s2s.Feature(), roster.New(), mam.New(func() mam.Limits { return mam.Limits{Messages: 10000} }), ping.New(), carbons.New(),
	}})
	var list []auth.HostCert
	for _, d := range hosts {
		list = append(list, auth.HostCert{Host: d})
	}
	var err error
	if h.certs, err = auth.OpenCerts(auth.CertConfig{Dir: p.dir, Hosts: list}); err != nil {
		t.Fatal(err)
	}
	h.resolver, err = s2s.NewResolver(s2s.ResolverConfig{Servers: []string{"127.0.0.1:1"}, Routes: func(domain string) []string {
		if v, ok := h.routes.Load(domain); ok {
			return v.([]string)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := s2s.NewPolicy(p.policy)
	if err != nil {
		t.Fatal(err)
	}
	doors := map[string]*auth.TLS{}
	for _, d := range hosts {
		doors[d] = h.certs.Server(auth.TLSOptions{Host: d, AskClient: true})
	}
	judge := s2s.NewJudge(s2s.JudgeConfig{Roots: p.roots, Resolver: h.resolver})
	h.Server = s2s.NewServer(s2s.Config{
		Router: h.Router, Store: h.Store, Local: h.Router.Serves, Log: log, Settings: p.set, Policy: policy,
		TLS: func(host string) *auth.TLS {
			if d := doors[host]; d != nil {
				return d
			}
			return doors[hosts[0]]
		},
		DirectTLS:   h.certs.Server(auth.TLSOptions{ALPN: []string{"xmpp-server"}, AskClient: true}),
		Certificate: h.certs.Certificate, Resolver: h.resolver, Dialer: &s2s.Dialer{Resolver: h.resolver}, Judge: judge,
		SweepEvery: 20 * time.Millisecond,
	})
	h.Router.SetWays(h.Ways)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.starttls, h.direct = h.listen(false), h.listen(true)
	t.Cleanup(func() {
		h.stop()
		judge.Close()
		h.resolver.Close()
	})
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
