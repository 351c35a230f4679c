package s2s

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := testTime()
	r := newTestResolver(t, newZone(t), func(c *ResolverConfig) {
		c.Servers, c.ResolvConf, c.Now = nil, file, func() time.Time { return now }
	})
	expect := func(want string) {
		t.Helper()
		list, err := r.servers()
		if got := fmt.Sprint(list, err); !strings.Contains(got, want) {
			t.Errorf("%s, not %s", got, want)
		}
	}
	expect("no such file")
	if _, err := r.Targets(testContext(t), "b.example", nil); err == nil || NotFound(err) {
		t.Error(err)
	}
	write("# resolvers\nsearch example\nnameserver 127.0.0.1\nnameserver fe80::1%eth0\nnameserver x\nnameserver\n")
	expect("no such file") // it is not looked at all the time
	now = now.Add(resolvConfCheck)
	expect("[127.0.0.1:53 [fe80::1%eth0]:53] <nil>")
	write("nameserver 127.0.0.2\n")
	now = now.Add(resolvConfCheck)
	expect("[127.0.0.2:53] <nil>")
	os.Remove(file)
	now = now.Add(resolvConfCheck)
	expect("[127.0.0.2:53] <nil>")
	write("search example\n")
	now = now.Add(resolvConfCheck)
	expect("names no resolver")
}

func TestNamesAtTheirLongest(t *testing.T) {
	long := strings.Repeat("a.", 118) + "example" // 243: no room for _xmpp-server._tcp
	z := newZone(t, long+". 60 IN A 192.0.2.1", "ab--c.example. 60 IN A 192.0.2.1")
	z.set(func() { z.signed = true })
	r := newTestResolver(t, z)
	for _, domain := range []string{long, "ab--c.example", "AB--C.Example"} {
		list, err := r.Targets(testContext(t), domain, nil)
		if err != nil || len(list) != 1 || list[0].Host != strings.ToLower(domain) {
			t.Errorf("%s: %v %v", domain, list, err)
		}
	}
	j := NewJudge(JudgeConfig{Resolver: r, DANE: true, Roots: x509.NewCertPool()})
	defer j.Close()
	if v := j.Verify(testContext(t), long, chainOf(server(t, nil, names{})), &Target{Domain: long, Host: long, Port: serverPort}, nil); v.Refused {
		t.Errorf("%+v", v)
	}
}

// What strangers can make a resolver remember is bounded in bytes too.
func TestResolverMemoryInBytes(t *testing.T) {
	z := newZone(t)
	for i := range 200 {
		z.add(t, fmt.Sprintf("big.example. 60 IN TLSA 3 1 2 %0128x", i))
	}
	for i := range 20 {
		z.add(t, fmt.Sprintf("small.example. 60 IN TLSA 3 1 2 %0128x", i))
	}
	z.set(func() { z.cut = true })
	r := newTestResolver(t, z)
	for _, name := range []string{"big.example.", "small.example."} {
		a, err := r.lookup(testContext(t), question{name, dns.TypeTLSA})
		if err != nil || a.failed != nil || len(a.records) == 0 || len(a.records) > maxRecords {
			t.Fatal(a, err)
		}
	}
	if s := r.Stats(); s.Remembered != 1 || s.Asked != 2 {
		t.Errorf("%+v", s)
	}
}

func TestResolverMistakes(t *testing.T) {
	for _, servers := range [][]string{{"dns.example"}, {"127.0.0.1:0"}, {"127.0.0.1:x"}, {""}, make([]string, 9)} {
		if r, err := NewResolver(ResolverConfig{Servers: servers}); err == nil {
			r.Close()
			t.Errorf("%q was taken", servers)
		}
	}
}
