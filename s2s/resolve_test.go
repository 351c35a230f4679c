package s2s

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
)

func TestTargets(t *testing.T) {
	z := newZone(t,
		"_xmpp-server._tcp.b.example. 60 IN SRV 20 0 5269 xmpp.B.example.",
		"_xmpps-server._tcp.b.example. 60 IN SRV 10 0 443 tls.b.example.",
		"_xmpp-server._tcp.b.example. 60 IN SRV 30 0 0 noport.b.example.",
		"_xmpp-server._tcp.b.example. 60 IN SRV 30 0 5269 192.0.2.9.",
		`_xmpp-server._tcp.b.example. 60 IN SRV 30 0 5269 bad\032name.b.example.`,
		"plain.example. 60 IN AAAA ::1",
		"_xmpp-server._tcp.alias.example. 60 IN CNAME _xmpp-server._tcp.b.example.",
		"_xmpps-server._tcp.alias.example. 60 IN CNAME elsewhere.example.",
		"_xmpp-server._tcp.closed.example. 60 IN SRV 0 0 0 .",
		"closed.example. 60 IN A 127.0.0.1",
		"_xmpps-server._tcp.nodirect.example. 60 IN SRV 0 0 0 .",
		"nodirect.example. 60 IN A 127.0.0.1",
		"_xmpps-server._tcp.starttls.example. 60 IN SRV 0 0 0 .",
		"_xmpp-server._tcp.starttls.example. 60 IN SRV 0 0 5269 xmpp.b.example.",
		"_xmpp-server._tcp.useless.example. 60 IN SRV 0 0 0 xmpp.b.example.",
		"useless.example. 60 IN A 127.0.0.1",
		"_xmpp-server._tcp.xn--bcher-kva.example. 60 IN SRV 0 0 5269 xn--bcher-kva.example.",
		"cname.example. 60 IN CNAME plain.example.",
	)
	z.set(func() { z.rcodes["_xmpp-server._tcp.half.example."] = dns.RcodeServerFailure })
	z.add(t, "_xmpps-server._tcp.half.example. 60 IN SRV 0 0 5270 xmpp.b.example.", "broken.example. 60 IN A 127.0.0.1")
	z.set(func() { z.rcodes["_xmpp-server._tcp.broken.example."] = dns.RcodeServerFailure })
	z.set(func() { z.rcodes["_xmpp-server._tcp.refused.example."] = dns.RcodeRefused })
	z.set(func() { z.silent["_xmpps-server._tcp.silent.example."] = true })
	r := newTestResolver(t, z)
	xmpp := Target{Host: "xmpp.b.example", Port: 5269, SRV: true}
	for _, c := range []struct {
		domain   string
		want     []Target
		notFound bool
		text     string // of the error
	}{
		{domain: "b.example", want: []Target{{Host: "tls.b.example", Port: 443, Direct: true, SRV: true, Priority: 10}, {Host: "xmpp.b.example", Port: 5269, SRV: true, Priority: 20}}},
		{domain: "plain.example", want: []Target{{Host: "plain.example", Port: 5269}}},
		{domain: "cname.example", want: []Target{{Host: "cname.example", Port: 5269}}},
		{domain: "alias.example", want: []Target{{Host: "xmpp.b.example", Port: 5269, SRV: true, Priority: 20}}},
		{domain: "starttls.example", want: []Target{xmpp}}, // XEP-0368 §5
		{domain: "half.example", want: []Target{{Host: "xmpp.b.example", Port: 5270, Direct: true, SRV: true}}},
		{domain: "bücher.example", want: []Target{{Host: "xn--bcher-kva.example", Port: 5269, SRV: true}}},
		{domain: "192.0.2.7", want: []Target{{Host: "192.0.2.7", Port: 5269}}},
		{domain: "[2001:db8::7]", want: []Target{{Host: "2001:db8::7", Port: 5269}}},
		{domain: "closed.example", notFound: true, text: "no XMPP server"},
		{domain: "nodirect.example", notFound: true, text: "no XMPP server"},
		{domain: "useless.example", notFound: true, text: "no XMPP server"},
		{domain: "nowhere.example", notFound: true, text: "no address"},
		{domain: "no host", notFound: true, text: "cannot be the name of a host"},
		{domain: "broken.example", text: "SERVFAIL"},
		{domain: "refused.example", text: "REFUSED"},
		{domain: "silent.example", text: "no answer within 300ms"},
	} {
		var trail Trail
		got, err := r.Targets(testContext(t), c.domain, &trail)
		for _, target := range got {
			if ascii, _ := asciiDomain(c.domain); target.Domain != ascii {
				t.Errorf("%s: a target of %q", c.domain, target.Domain)
			}
		}
		if d := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Target{}, "Domain")); d != "" {
			t.Errorf("%s: %s\n%v", c.domain, d, &trail)
		}
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", c.domain, err)
			}
			continue
		}
		var re *ResolveError
		if !errors.As(err, &re) || re.NotFound != c.notFound || NotFound(err) != c.notFound || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.domain, err)
		}
		if strings.Contains(err.Error(), z.addr) { // users are shown this
			t.Errorf("%s: the error names the resolver: %v", c.domain, err)
		}
		if re != nil && !re.NotFound && !strings.Contains(trail.String(), z.addr) {
			t.Errorf("%s: the trail does not name the resolver: %v", c.domain, &trail)
		}
	}
	var trail Trail
	newTestResolver(t, z).Targets(testContext(t), "b.example", &trail)
	for _, want := range []string{"_xmpps-server._tcp.b.example SRV 10 0 443 tls.b.example", "a record is of no use: 0 noport.b.example"} {
		if !strings.Contains(trail.String(), want) {
			t.Errorf("the trail does not say %q: %v", want, &trail)
		}
	}
}

func TestStaticRoutes(t *testing.T) {
	z := newZone(t)
	r := newTestResolver(t, z, func(c *ResolverConfig) {
		c.Routes = func(domain string) []string {
			return map[string][]string{"b.example": {"tls://host_1.example", "127.0.0.1:15269", "[::1]:1", "tls://[::1]", "Bücher.example:5"}}[domain]
		}
	})
	got, err := r.Targets(testContext(t), "b.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"tls://host_1.example:5270", "127.0.0.1:15269", "[::1]:1", "tls://[::1]:5270", "xn--bcher-kva.example:5"}
	for i, target := range got {
		if target.String() != want[i] || !target.Static {
			t.Errorf("%v, not %s", target, want[i])
		}
	}
	if len(got) != len(want) || z.count("udp") != 0 {
		t.Errorf("%d targets, %d queries", len(got), z.count("udp"))
	}
}

func TestAuthenticatedData(t *testing.T) {
	z := newZone(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 xmpp.b.example.",
		"_xmpp-server._tcp.c.example. 60 IN CNAME _xmpp-server._tcp.b.example.")
	secure := func(r *Resolver, domain string) bool {
		t.Helper()
		list, err := r.Targets(testContext(t), domain, nil)
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Secure
	}
	if secure(newTestResolver(t, z), "b.example") {
		t.Error("secure without AD")
	}
	z.set(func() { z.signed = true })
	r := newTestResolver(t, z)
	if !secure(r, "b.example") || !secure(r, "c.example") {
		t.Error("AD from loopback was not believed")
	}
	z.set(func() { z.unsigned["_xmpp-server._tcp.b.example."] = true })
	if secure(newTestResolver(t, z), "c.example") {
		t.Error("an alias leads to what is not signed, and it is secure")
	}
}

// Only resolvers of this machine are believed, and not the forwarder of containers, unless
// the operator says so.
func TestWhoIsTrusted(t *testing.T) {
	for server, want := range map[string]bool{
		"127.0.0.1:53": true, "127.0.0.53:53": true, "[::1]:53": true, "[::ffff:127.0.0.1]:53": true,
		"127.0.0.11:53": false, "192.0.2.1:53": false, "10.0.0.1:53": false, "[fe80::1]:53": false,
	} {
		for _, trust := range []bool{false, true} {
			r, err := NewResolver(ResolverConfig{Servers: []string{server}, TrustAD: trust})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := r.trusts(r.configured[0]); got != (want || trust) || r.authenticates() != got {
				t.Errorf("%s with TrustAD %v: %v", server, trust, got)
			}
		}
	}
}

func TestTruncatedAnswersComeByTCP(t *testing.T) {
	z := newZone(t)
	for i := range 40 {
		z.add(t, fmt.Sprintf("_xmpp-server._tcp.b.example. 60 IN SRV %d 0 5269 a-long-name-for-a-host-%d.b.example.", i, i))
	}
	z.set(func() { z.cut = true })
	list, err := newTestResolver(t, z).Targets(testContext(t), "b.example", nil)
	if err != nil || len(list) != maxTargets || list[0].Host != "a-long-name-for-a-host-0.b.example" {
		t.Fatalf("%d targets, %v", len(list), err)
	}
	if z.count("tcp") != 2 {
		t.Errorf("%d queries by TCP", z.count("tcp"))
	}
}

// Datagrams that are no answer change nothing.
func TestForgedAnswers(t *testing.T) {
	z := newZone(t, "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 xmpp.b.example.")
	z.set(func() { z.forge = true })
	list, err := newTestResolver(t, z).Targets(testContext(t), "b.example", nil)
	if err != nil || len(list) != 1 || list[0].Host != "xmpp.b.example" {
		t.Fatalf("%v %v", list, err)
	}
}

func TestServersAreTriedInTurn(t *testing.T) {
	bad, deaf, good := newZone(t), newZone(t), newZone(t, "b.example. 60 IN A 192.0.2.1")
	bad.set(func() { bad.rcodes["b.example."] = dns.RcodeServerFailure })
	deaf.set(func() { deaf.silent["b.example."] = true })
	r, err := NewResolver(ResolverConfig{Servers: []string{bad.addr, deaf.addr, good.addr}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, _, err := r.Addresses(testContext(t), "b.example", nil)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if bad.count("b.example. A") != 1 || deaf.count("b.example. A") != 1 || good.count("b.example. A") != 1 {
		t.Error("not each was asked once")
	}
}

func TestAliases(t *testing.T) {
	z := newZone(t, "a0.example. 60 IN CNAME a1.example.", "a1.example. 60 IN A 192.0.2.1",
		"loop.example. 60 IN CNAME pool.example.", "pool.example. 60 IN CNAME loop.example.")
	for i := range 12 {
		z.add(t, fmt.Sprintf("l%d.example. 60 IN CNAME l%d.example.", i, i+1))
	}
	z.add(t, "l12.example. 60 IN A 192.0.2.1")
	r := newTestResolver(t, z)
	if list, _, err := r.Addresses(testContext(t), "a0.example", nil); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	// A chain that the answer holds in pieces is followed further.
	if list, _, err := r.Addresses(testContext(t), "l0.example", nil); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if _, _, err := r.Addresses(testContext(t), "loop.example", nil); err == nil {
		t.Error(err)
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	z := newZone(t, "b.example. 60 IN A 192.0.2.1", "short.example. 0 IN A 192.0.2.1", "long.example. 999999 IN A 192.0.2.1")
	now := testTime()
	r := newTestResolver(t, z, func(c *ResolverConfig) { c.Now = func() time.Time { return now } })
	for _, c := range []struct {
		host string
		good time.Duration
	}{
		{"b.example", time.Minute}, {"short.example", 0}, {"long.example", time.Hour},
		{"none.example", 30 * time.Second}, // by its SOA
	} {
		start, what := now, c.host+". A"
		ask := func(at time.Duration, want int) {
			t.Helper()
			now = start.Add(at)
			r.Addresses(testContext(t), c.host, nil)
			if n := z.count(what); n != want {
				t.Errorf("%s after %v: asked %d times, not %d", c.host, at, n, want)
			}
		}
		ask(0, 1)
		if c.good > 0 {
			ask(c.good-time.Second, 1)
		}
		ask(c.good, 2)
	}
}

func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	z := newZone(t, "b.example. 0 IN A 192.0.2.1")
	z.set(func() { z.silent["b.example. A"] = true })
	r := newTestResolver(t, z)
	done := make(chan error)
	for range 50 {
		go func() {
			_, _, err := r.Addresses(testContext(t), "b.example", nil)
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err == nil || NotFound(err) {
			t.Error(err)
		}
	}
	if n := z.count("b.example. A"); n > 4 { // twice for each turn of the resolver
		t.Errorf("asked %d times", n)
	}
}

// Who does not want to wait any more does not end it for others.
func TestOneCallerGivesUp(t *testing.T) {
	z := newZone(t, "b.example. 60 IN A 192.0.2.1")
	z.set(func() { z.silent["b.example. A"] = true })
	r := newTestResolver(t, z)
	ctx, cancel := context.WithCancel(testContext(t))
	other := make(chan error)
	go func() {
		_, _, err := r.Addresses(testContext(t), "b.example", nil)
		other <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() {
		cancel()
		z.set(func() { z.silent = map[string]bool{} })
	})
	if _, _, err := r.Addresses(ctx, "b.example", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-other; err != nil { // the second try of the resolver is answered
		t.Error(err)
	}
}

// FuzzAnswer reads messages of any form as the answer to a question.
func FuzzAnswer(f *testing.F) {
	q := question{"_xmpp-server._tcp.b.example.", dns.TypeSRV}
	for _, lines := range [][]string{
		{"_xmpp-server._tcp.b.example. 60 IN SRV 1 2 5269 xmpp.b.example."},
		{"_xmpp-server._tcp.b.example. 60 IN CNAME x.example.", "x.example. 5 IN SRV 1 2 3 ."},
		{"_xmpp-server._tcp.b.example. 60 IN CNAME _xmpp-server._tcp.b.example."},
	} {
		m := new(dns.Msg).SetQuestion(q.name, q.qtype)
		m.Response, m.AuthenticatedData = true, true
		for _, l := range lines {
			rr, _ := dns.NewRR(l)
			m.Answer = append(m.Answer, rr)
		}
		p, _ := m.Pack()
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		msg := new(dns.Msg)
		if msg.Unpack(p) != nil {
			return
		}
		ask := new(dns.Msg).SetQuestion(q.name, q.qtype)
		ask.Id = msg.Id
		_ = answers(msg, ask)
		a := read(msg, q, false)
		if a.secure || len(a.records) > maxRecords || a.ttl > maxTTL || a.ttl < 0 || a.missing && len(a.records) > 0 {
			t.Fatalf("%+v", a)
		}
		for _, rr := range a.records {
			if rr.Header().Rrtype != q.qtype {
				t.Fatalf("%v was not asked for", rr)
			}
		}
		for _, target := range service(a, true, nil, q.name).list {
			if target.Port == 0 || target.Host == "" || len(target.Host) > maxHostName || strings.ContainsAny(target.Host, " /\\\x00*") {
				t.Fatalf("%+v", target)
			}
		}
	})
}

// TestParseRoute reads static routes, and says what is wrong with one.
func TestParseRoute(t *testing.T) {
	for route, want := range map[string]Target{
		"x.example":             {Host: "x.example", Port: 5269, Static: true},
		"x.example:1":           {Host: "x.example", Port: 1, Static: true},
		"tls://x.example":       {Host: "x.example", Port: 5270, Static: true, Direct: true},
		"tls://192.0.2.1:65535": {Host: "192.0.2.1", Port: 65535, Static: true, Direct: true},
		"[2001:db8::1]:7":       {Host: "2001:db8::1", Port: 7, Static: true},
		"_x.example:7":          {Host: "_x.example", Port: 7, Static: true},
	} {
		if got, err := ParseRoute(route); err != nil || got != want {
			t.Errorf("%s: %+v, %v", route, got, err)
		}
	}
	const form = "is not of the form host:port or tls://host:port"
	for route, want := range map[string]string{
		"": form, "http://x": form, "http://x:1": form, "x/y:1": form, "tls://x/": form, "x y:1": form,
		"x:0": `"0" is no port`, "x:65536": `"65536" is no port`, "x:http": `"http" is no port`, "x:": `"" is no port`,
	} {
		if _, err := ParseRoute(route); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", route, err)
		}
	}
}
