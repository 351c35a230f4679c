package s2s

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A zone is a resolver on loopback that knows a few records, and can misbehave.
type zone struct {
	addr string

	mu       sync.Mutex
	records  []dns.RR
	signed   bool            // answers with AD
	unsigned map[string]bool // names whose answers have no AD all the same
	rcodes   map[string]int  // name, or "name TYPE" -> code
	silent   map[string]bool // name, or "name TYPE": no answer
	cut      bool            // every answer by UDP is truncated
	forge    bool            // wrong answers precede the right one
	asked    map[string]int  // "name TYPE", and "tcp" or "udp"
}

func newZone(t testing.TB, lines ...string) *zone {
	t.Helper()
	z := &zone{unsigned: map[string]bool{}, rcodes: map[string]int{}, silent: map[string]bool{}, asked: map[string]int{}}
	z.add(t, lines...)
	var pc net.PacketConn
	var l net.Listener
	for range 20 { // until a port is free for both
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if l == nil {
		t.Fatal("no port for a resolver")
	}
	z.addr = pc.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: l, Handler: z}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			s.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			s.Shutdown()
			<-ended
		})
	}
	return z
}

func (z *zone) add(t testing.TB, lines ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		z.records = append(z.records, rr)
	}
}

func (z *zone) set(fn func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	fn()
}

// count returns how often something was asked: "name TYPE", "udp" or "tcp".
func (z *zone) count(what string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[what]
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	network := w.RemoteAddr().Network()
	name := strings.ToLower(q.Question[0].Name)
	what := name + " " + dns.TypeToString[q.Question[0].Qtype]
	z.mu.Lock()
	z.asked[what]++
	z.asked[network]++
	if z.silent[name] || z.silent[what] {
		z.mu.Unlock()
		return
	}
	m := z.answer(q, name, what)
	forge := z.forge && network == "udp"
	m.Truncated = z.cut && network == "udp"
	z.mu.Unlock()
	if m.Truncated {
		m.Answer = nil
	}
	if forge {
		w.Write([]byte("x"))
		for _, change := range []func(*dns.Msg){
			func(m *dns.Msg) { m.Id++ },
			func(m *dns.Msg) { m.Question[0].Name = "other.example." },
			func(m *dns.Msg) { m.Question = nil },
			func(m *dns.Msg) { m.Response = false },
		} {
			wrong := m.Copy()
			wrong.Answer, wrong.Rcode = nil, dns.RcodeNameError
			change(wrong)
			w.WriteMsg(wrong)
		}
	}
	w.WriteMsg(m)
}

// answer is what a resolver says. The lock is held.
func (z *zone) answer(q *dns.Msg, name, what string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	if code, ok := z.rcodes[what]; ok {
		m.Rcode = code
		return m
	}
	if code, ok := z.rcodes[name]; ok {
		m.Rcode = code
		return m
	}
	m.AuthenticatedData = z.signed && !z.unsigned[name]
	exists := false
	for range 20 {
		next := ""
		for _, rr := range z.records {
			owner := strings.ToLower(rr.Header().Name)
			exists = exists || owner == name || strings.HasSuffix(owner, "."+name)
			if owner != name {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = strings.ToLower(c.Target)
			} else if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
		m.AuthenticatedData = m.AuthenticatedData && !z.unsigned[name]
	}
	if len(m.Answer) == 0 {
		soa, _ := dns.NewRR("example. 30 IN SOA ns.example. hostmaster.example. 1 2 3 4 30")
		m.Ns = []dns.RR{soa}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	}
	return m
}

func newTestResolver(t testing.TB, z *zone, change ...func(*ResolverConfig)) *Resolver {
	t.Helper()
	cfg := ResolverConfig{Servers: []string{z.addr}, Timeout: 300 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	r, err := NewResolver(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// testTime is when all certificates of the tests are judged.
func testTime() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// A signer is a certificate and its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// names of a certificate.
type names struct {
	dns      []string
	ips      []string
	srv      []string
	addr     []string
	critical bool
}

// issue makes a certificate by hand of another; nil: self-signed.
func issue(t testing.TB, by *signer, change func(*x509.Certificate)) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, by, key, change)
}

func issueFor(t testing.TB, by *signer, key crypto.Signer, change func(*x509.Certificate)) *signer {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "a server"},
		NotBefore: testTime().AddDate(0, -1, 0), NotAfter: testTime().AddDate(0, 1, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if change != nil {
		change(tmpl)
	}
	parent := &signer{tmpl, key}
	if by != nil {
		parent = by
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert, key}
}

func newCA(t testing.TB, name string, by *signer) *signer {
	return issue(t, by, func(c *x509.Certificate) {
		c.Subject.CommonName = name
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	})
}

// server makes a certificate with some names.
func server(t testing.TB, by *signer, n names) *signer {
	return issue(t, by, func(c *x509.Certificate) { setNames(t, c, n) })
}

// setNames writes the subjectAltName by hand, with names that crypto/x509 does not know.
func setNames(t testing.TB, c *x509.Certificate, n names) {
	t.Helper()
	var list []asn1.RawValue
	for _, d := range n.dns {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(d)})
	}
	for _, ip := range n.ips {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: netip.MustParseAddr(ip).AsSlice()})
	}
	for _, s := range n.srv {
		list = append(list, otherName(t, 7, asn1.TagIA5String, s))
	}
	for _, a := range n.addr {
		list = append(list, otherName(t, 5, asn1.TagUTF8String, a))
	}
	if list == nil {
		return
	}
	value, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: n.critical, Value: value})
}

func otherName(t testing.TB, kind, tag int, s string) asn1.RawValue {
	t.Helper()
	id, err1 := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, kind})
	value, err2 := asn1.Marshal(asn1.RawValue{Tag: tag, Bytes: []byte(s)})
	outer, err3 := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: value})
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: append(id, outer...)}
}

func pool(list ...*signer) *x509.CertPool {
	p := x509.NewCertPool()
	for _, s := range list {
		p.AddCert(s.cert)
	}
	return p
}

func chainOf(list ...*signer) (chain []*x509.Certificate) {
	for _, s := range list {
		chain = append(chain, s.cert)
	}
	return chain
}
