package s2s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// DefaultQueryTimeout is how long one resolver is waited for, one time.
	DefaultQueryTimeout = 3 * time.Second
	// maxResolving is how long one question may take, with all resolvers and aliases.
	maxResolving = 15 * time.Second

	maxTargets   = 32   // of a domain; the first in their order
	maxAddresses = 16   // of a host, of each family
	maxAnswers   = 2048 // remembered
	maxQueries   = 128  // at once

	serverPort = 5269 // registered for xmpp-server, RFC 6120 §14.7
)

// ResolverConfig says how DNS is asked.
type ResolverConfig struct {
	// Servers are the resolvers, in the order in which they are tried: "127.0.0.1:53",
	// "[::1]:53". Nobody else is ever asked. Empty: those of /etc/resolv.conf, which is read
	// again when it changes.
	Servers []string
	// TrustAD takes the word of every resolver that DNSSEC has authenticated an answer.
	// Otherwise only resolvers at a loopback address are believed that.
	TrustAD bool
	// Routes returns the static routes of a domain, as Policy.Routes does; nil: there are
	// none. RFC 6120 §3.2.3.
	Routes func(domain string) []string
	// Timeout is for one query to one resolver; 0: DefaultQueryTimeout.
	Timeout time.Duration
	// ResolvConf is read instead of /etc/resolv.conf.
	ResolvConf string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// A Resolver finds out where domains are reached. It remembers answers for as long as they
// say, an hour at most, and asks equal questions once. All its methods may be called at the
// same time.
type Resolver struct {
	cfg        ResolverConfig
	configured []netip.AddrPort
	file       resolvFile
	memory     *memory[question, answer]
	stop       context.CancelFunc
}

// A Target is one place where a domain may be reached.
type Target struct {
	Host   string // lower case, A-labels, without a final dot; or an IP address
	Port   uint16
	Direct bool // TLS from the first byte (XEP-0368)
	SRV    bool // from an SRV record; else it is the domain itself, or a static route
	Secure bool // the SRV record was authenticated by DNSSEC
	Static bool // from the configuration: nobody was asked
	// Domain is whose target it is, with A-labels: nothing about another domain follows from it.
	Domain string
	// Priority is that of the SRV record. Targets of one priority come one after the other.
	Priority uint16
}

// String is "xmpp.example.org:5269", with "tls://" in front where TLS comes first.
func (t Target) String() string {
	s := net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	if t.Direct {
		return "tls://" + s
	}
	return s
}

// A ResolveError says why it is not known where a domain or a host is.
type ResolveError struct {
	Name string // the domain or host
	// NotFound: DNS says that there is no such thing, remote-server-not-found (RFC 6120
	// §8.3.3.16). Otherwise DNS could not tell for now, remote-server-timeout (§8.3.3.17).
	NotFound bool
	Text     string // for operators
}

func (e *ResolveError) Error() string { return e.Name + ": " + e.Text }

// NewResolver checks the addresses of resolvers. Close ends what is on its way.
func NewResolver(cfg ResolverConfig) (*Resolver, error) {
	servers, err := parseServers(cfg.Servers)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultQueryTimeout)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	stopped, stop := context.WithCancel(context.Background())
	return &Resolver{
		cfg: cfg, configured: servers, stop: stop,
		file:   resolvFile{path: cmp.Or(cfg.ResolvConf, resolvConf)},
		memory: newMemory[question, answer](stopped, cfg.Now, maxAnswers, maxQueries, maxResolving),
	}, nil
}

// CheckServers says what is wrong with a list of name servers, as ResolverConfig has it.
func CheckServers(servers []string) error {
	_, err := parseServers(servers)
	return err
}

// Close lets all questions fail that are open, and all later ones.
func (r *Resolver) Close() { r.stop() }

// Stats says how much is remembered and asked.
func (r *Resolver) Stats() MemoryStats { return r.memory.stats() }

// Targets returns where a domain may be reached, in the order in which to try: at least one
// target, and at most 32. The error is a *ResolveError, or that of ctx.
func (r *Resolver) Targets(ctx context.Context, domain string, trail *Trail) ([]Target, error) {
	ascii, err := asciiDomain(domain)
	if err != nil {
		return nil, &ResolveError{Name: cut(domain, 80), NotFound: true, Text: "this cannot be the name of a host"}
	}
	list, err := r.routes(domain, trail)
	if list == nil && err == nil {
		list, err = r.ways(ctx, ascii, trail)
	}
	for i := range list {
		list[i].Domain = ascii
	}
	return list, err
}

// ways finds the targets of a domain without routes.
func (r *Resolver) ways(ctx context.Context, ascii string, trail *Trail) ([]Target, error) {
	self := []Target{{Host: ascii, Port: serverPort}}
	if _, ip := literal(ascii); ip {
		return self, nil
	}
	list, err := r.services(ctx, ascii, trail)
	if list != nil || err != nil {
		return list, err
	}
	// RFC 6120 §3.2.2: the domain itself. Whether it has an address is known sooner here.
	trail.Note(StageDNS, "%s has no SRV records: the host of that name is tried at port %d", ascii, serverPort)
	if _, _, err := r.Addresses(ctx, ascii, trail); err != nil {
		if NotFound(err) {
			trail.Fail(StageDNS, "%v", err)
		}
		return nil, err
	}
	return self, nil
}

func (r *Resolver) routes(domain string, trail *Trail) (list []Target, err error) {
	if r.cfg.Routes == nil {
		return nil, nil
	}
	for _, route := range r.cfg.Routes(domain) {
		t, err := ParseRoute(route)
		if err != nil {
			return nil, &ResolveError{Name: domain, Text: err.Error()}
		}
		trail.Note(StageRoute, "%s by configuration", t)
		list = append(list, t)
	}
	return list, nil
}

// ParseRoute reads a static route: "xmpp.example.org:5269", or "tls://192.0.2.1:5270" where
// TLS comes first. Without a port it is 5269, and 5270 with "tls://".
func ParseRoute(route string) (Target, error) {
	rest, direct := strings.CutPrefix(route, "tls://")
	t := Target{Port: serverPort, Direct: direct, Static: true}
	if direct {
		t.Port++
	}
	form := fmt.Errorf("route %q is not of the form host:port or tls://host:port", route)
	host, port, err := net.SplitHostPort(rest)
	switch n, bad := strconv.ParseUint(port, 10, 16); {
	case strings.Contains(rest, "/"): // another scheme, or a path
		return Target{}, form
	case err != nil:
		host = rest
	case bad != nil || n == 0:
		return Target{}, fmt.Errorf("route %q: %q is no port", route, port)
	default:
		t.Port = uint16(n)
	}
	if t.Host, err = asciiDomain(host); err != nil {
		if t.Host, err = hostName(host); err != nil { // with underscores
			return Target{}, form
		}
	}
	return t, nil
}

// found is what one service's SRV records are.
type found struct {
	answer
	list []record
	none bool // a single record whose target is the root: decidedly not here
}

// services asks for both services at once, whose records are one list (XEP-0368 §3). Nothing
// at all and no error: there are no SRV records.
func (r *Resolver) services(ctx context.Context, ascii string, trail *Trail) ([]Target, error) {
	names := [2]string{"_xmpps-server._tcp." + ascii + ".", "_xmpp-server._tcp." + ascii + "."}
	if len(names[0]) > maxHostName {
		return nil, nil // no such records can be
	}
	var answers [2]answer
	var errs [2]error
	done := make(chan struct{})
	go func() {
		defer close(done)
		answers[0], errs[0] = r.lookup(ctx, question{names[0], dns.TypeSRV})
	}()
	answers[1], errs[1] = r.lookup(ctx, question{names[1], dns.TypeSRV})
	<-done
	var records []record
	none := 0
	var failed error
	for i, a := range answers {
		if err := cmp.Or(errs[i], a.failed); err != nil {
			trail.Fail(StageDNS, "%s SRV: %v", strings.TrimSuffix(names[i], "."), err)
			failed = cmp.Or(failed, err)
			continue
		}
		f := service(a, i == 0, trail, strings.TrimSuffix(names[i], "."))
		records = append(records, f.list...)
		if f.none {
			none++
		}
	}
	switch {
	case len(records) > 0:
		return ordered(records, rand.IntN), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case failed != nil:
		// RFC 7673 §3.1: that nobody can tell is not that there is nothing.
		return nil, &ResolveError{Name: ascii, Text: "where its server is cannot be found out for now: " + outward(failed)}
	case none > 0:
		// RFC 6120 §3.2.1 rule 3, XEP-0368 §5.
		trail.Fail(StageDNS, "%s has no XMPP server", ascii)
		return nil, &ResolveError{Name: ascii, NotFound: true, Text: `its SRV records say that it has no XMPP server (target ".")`}
	}
	return nil, nil
}

// lookup answers from memory, or asks.
func (r *Resolver) lookup(ctx context.Context, q question) (answer, error) {
	return r.memory.get(ctx, q, func(ctx context.Context) (answer, time.Duration) {
		a := r.ask(ctx, q)
		if a.failed != nil {
			return a, 0
		}
		return a, a.ttl
	})
}

// service reads the SRV records of one service.
func service(a answer, direct bool, trail *Trail, name string) (f found) {
	f.answer = a
	for _, rr := range a.records {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		if srv.Target == "." {
			f.none = true
			continue
		}
		host, err := hostName(srv.Target)
		if _, ip := literal(host); err != nil || ip || srv.Port == 0 {
			trail.Fail(StageDNS, "%s SRV: a record is of no use: %d %s", name, srv.Port, srv.Target)
			continue
		}
		t := Target{Host: host, Port: srv.Port, Direct: direct, SRV: true, Secure: a.secure, Priority: srv.Priority}
		trail.Note(StageDNS, "%s SRV %d %d %d %s%s", name, srv.Priority, srv.Weight, srv.Port, host, signed(a.secure))
		f.list = append(f.list, record{Target: t, weight: srv.Weight})
	}
	if f.none && len(a.records) == 1 {
		trail.Note(StageDNS, `%s SRV says "not here"`, name)
	}
	// Records that are all of no use are records: RFC 6120 §3.2.1 rule 8 wants no fallback.
	f.none = len(a.records) > 0 && len(f.list) == 0
	return f
}

func signed(secure bool) string {
	if secure {
		return " (authenticated)"
	}
	return ""
}

// NotFound reports whether an error says that a domain does not exist, rather than that it
// could not be reached for now.
func NotFound(err error) bool {
	var e *ResolveError
	return errors.As(err, &e) && e.NotFound
}
