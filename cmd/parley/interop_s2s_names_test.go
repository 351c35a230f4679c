//go:build interop

package main

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A nameServer answers for domains that nobody else has, over UDP and TCP. What is not in it
// does not exist. Nothing is to be remembered by who asks: every TTL is zero.
type nameServer struct {
	t    testing.TB
	addr string // host:port

	mu     sync.Mutex
	zones  map[string][]dns.RR // by name, in lower case with the dot at the end
	signed map[string]bool     // names whose answers say that they were validated (RFC 4035)
	asked  []string            // name and type of every question
}

// startNames starts a name server on a free port of 127.0.0.1.
func startNames(t testing.TB) *nameServer {
	t.Helper()
	n := &nameServer{t: t, zones: map[string][]dns.RR{}, signed: map[string]bool{}}
	var (
		udp net.PacketConn
		tcp net.Listener
		err error
	)
	for range 20 { // the port has to be free for both
		if udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			break
		}
		udp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.addr = udp.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: n}, {Listener: tcp, Handler: n}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	n.add("localhost A 127.0.0.1")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the name server was asked:\n%s", n.questions())
		}
	})
	return n
}

// port is the port alone.
func (n *nameServer) port() string {
	_, port, _ := net.SplitHostPort(n.addr)
	return port
}

// ServeDNS answers a question (RFC 1035).
func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	n.mu.Lock()
	for _, question := range q.Question {
		name := strings.ToLower(question.Name)
		n.asked = append(n.asked, name+" "+dns.TypeToString[question.Qtype])
		rrs, exists := n.zones[name]
		for _, rr := range rrs {
			if t := rr.Header().Rrtype; t == question.Qtype || t == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
		if len(m.Answer) == 0 {
			soa, _ := dns.NewRR("example. 0 IN SOA ns.example. nobody.example. 1 1 1 1 0")
			m.Ns = append(m.Ns, soa)
		}
		m.AuthenticatedData = n.signed[name]
	}
	n.mu.Unlock()
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(o.UDPSize(), o.Do())
	}
	w.WriteMsg(m)
}

// add puts records into the zone, in the form of a zone file, without class and TTL.
func (n *nameServer) add(records ...string) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, text := range records {
		name, rest, _ := strings.Cut(text, " ")
		rr, err := dns.NewRR(dns.Fqdn(name) + " 0 IN " + rest)
		if err != nil {
			n.t.Fatalf("%s: %v", text, err)
		}
		name = strings.ToLower(rr.Header().Name)
		n.zones[name] = append(n.zones[name], rr)
	}
}

// remove forgets what is said of a name.
func (n *nameServer) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.zones, dns.Fqdn(strings.ToLower(name)))
}

// sign has the answers about names say that they were validated.
func (n *nameServer) sign(names ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		n.signed[dns.Fqdn(strings.ToLower(name))] = true
	}
}

// serves says that a domain has a server for other servers at addr: the service is
// xmpp-server, or xmpps-server where TLS comes first (RFC 6120 §3.2.1, XEP-0368 §3). What
// was said of it before is forgotten. The host is localhost, since ejabberd asks the system,
// and not the name server, for addresses.
func (n *nameServer) serves(domain, service, addr string) {
	n.t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "127.0.0.1" {
		n.t.Fatalf("%s is no address to announce: %v", addr, err)
	}
	srv := "_" + service + "._tcp." + domain
	n.remove(srv)
	n.add(srv + " SRV 0 0 " + port + " localhost.")
}

// questions returns what has been asked, a line each.
func (n *nameServer) questions() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.asked, "\n")
}
