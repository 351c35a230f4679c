package s2s

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is what we let a resolver send in one datagram; what is longer comes by TCP.
	udpSize = 1232
	// maxAliases bounds a chain of CNAME records.
	maxAliases = 8
	// maxRecords is how many records of an answer are looked at.
	maxRecords = 64
	// maxRemembered is how long, in bytes on the wire, an answer may be that is remembered.
	maxRemembered = 4 << 10

	maxTTL         = time.Hour   // answers are not believed longer, whatever they say
	maxNegativeTTL = time.Minute // that there is nothing: not longer than this
)

// A question is what is asked of a resolver. The name is lower case, with a final dot.
type question struct {
	name  string
	qtype uint16
}

func (q question) String() string {
	return strings.TrimSuffix(q.name, ".") + " " + dns.TypeToString[q.qtype]
}

// An answer is what a resolver found: records of the type that was asked for, or none.
type answer struct {
	records []dns.RR
	name    string // the owner of the records, at the end of the aliases; with a final dot
	secure  bool   // authenticated by DNSSEC, on the word of a resolver that we trust
	missing bool   // NXDOMAIN: there is not even the name
	failed  error  // nobody could say; temporary
	ttl     time.Duration
}

// ask finds the answer to a question, through the aliases that a resolver has not followed.
func (r *Resolver) ask(ctx context.Context, q question) answer {
	all := answer{name: q.name, secure: true, ttl: maxTTL}
	for range maxAliases {
		one, size := r.askServers(ctx, question{all.name, q.qtype})
		one.secure = one.secure && all.secure
		one.ttl = min(one.ttl, all.ttl)
		if size > maxRemembered {
			one.ttl = 0
		}
		all, q.name = one, all.name
		if all.failed != nil || all.missing || len(all.records) > 0 || all.name == q.name {
			return all
		}
	}
	return answer{name: q.name, failed: fmt.Errorf("more than %d aliases", maxAliases)}
}

// askServers tries the resolvers in turn, each twice. A resolver that says that it cannot tell
// is asked once.
func (r *Resolver) askServers(ctx context.Context, q question) (answer, int) {
	servers, err := r.servers()
	if err != nil {
		return answer{name: q.name, failed: err}, 0
	}
	given := make([]bool, len(servers)) // said that they cannot tell
	var last error
	for range 2 {
		for i, server := range servers {
			if given[i] || ctx.Err() != nil {
				continue
			}
			msg, err := r.exchange(ctx, server, q)
			if err == nil {
				err = rcodeError(msg.Rcode)
				given[i] = err != nil
			}
			if err == nil {
				return read(msg, q, r.trusts(server)), msg.Len()
			}
			last = &serverError{server, err}
		}
	}
	if last == nil {
		last = context.Cause(ctx)
	}
	return answer{name: q.name, failed: last}, 0
}

// A serverError is why one resolver has no answer.
type serverError struct {
	server netip.AddrPort
	err    error
}

func (e *serverError) Error() string { return e.server.String() + ": " + e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// outward is an error of DNS as users may see it: who our resolvers are stands in the trail.
func outward(err error) string {
	var e *serverError
	if errors.As(err, &e) {
		err = e.err
	}
	return err.Error()
}

var (
	errServFail  = errors.New("SERVFAIL: the servers of the domain do not answer, or its signatures are wrong")
	errTruncated = errors.New("an answer that is cut off, by TCP")
)

// rcodeError is nil for the codes that are an answer.
func rcodeError(rcode int) error {
	switch rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return nil
	case dns.RcodeServerFailure:
		return errServFail
	}
	if s, ok := dns.RcodeToString[rcode]; ok {
		return errors.New(s)
	}
	return fmt.Errorf("code %d", rcode)
}

// exchange asks one resolver, by UDP and then by TCP if the answer was cut off.
func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.SetEdns0(udpSize, true)
	m.AuthenticatedData = true // we want to know, RFC 6840
	msg, err := r.exchangeBy(ctx, "udp", server, m)
	if err == nil && msg.Truncated {
		if msg, err = r.exchangeBy(ctx, "tcp", server, m); err == nil && msg.Truncated {
			err = errTruncated
		}
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return nil, fmt.Errorf("no answer within %v", r.cfg.Timeout)
	}
	return msg, err
}

// exchangeBy sends a query from a port of its own and waits for its answer. A datagram that is
// no answer to it may come from anybody, and changes nothing.
func (r *Resolver) exchangeBy(ctx context.Context, network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	conn := &dns.Conn{Conn: c, UDPSize: udpSize}
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		p, err := conn.ReadMsgHeader(nil)
		if err != nil && !errors.Is(err, dns.ErrShortRead) {
			return nil, err
		}
		msg := new(dns.Msg)
		if err == nil && msg.Unpack(p) == nil && answers(msg, m) {
			return msg, nil
		}
		if network == "tcp" {
			return nil, errors.New("an answer that makes no sense")
		}
	}
}

// answers reports whether a message is the answer to a query: its id and its question.
func answers(msg, m *dns.Msg) bool {
	if !msg.Response || msg.Id != m.Id || msg.Opcode != dns.OpcodeQuery || len(msg.Question) != 1 {
		return false
	}
	got, want := msg.Question[0], m.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}

// read takes out of a message what belongs to the question. Where it ends with an alias, the
// answer has no records and the alias's name.
func read(msg *dns.Msg, q question, trusted bool) answer {
	a := answer{name: q.name, secure: trusted && msg.AuthenticatedData, ttl: maxTTL}
	section := msg.Answer[:min(len(msg.Answer), 4*maxRecords)] // with the signatures among them
	for n := 0; n < maxAliases; n++ {
		to, ttl := alias(section, a.name)
		if to == "" || q.qtype == dns.TypeCNAME {
			break
		}
		a.name, a.ttl = to, min(a.ttl, ttl)
	}
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype != q.qtype || h.Class != dns.ClassINET || !strings.EqualFold(h.Name, a.name) || len(a.records) == maxRecords {
			continue
		}
		a.records, a.ttl = append(a.records, rr), min(a.ttl, seconds(h.Ttl))
	}
	if len(a.records) == 0 {
		a.missing = msg.Rcode == dns.RcodeNameError
		a.ttl = min(a.ttl, negativeTTL(msg))
	}
	return a
}

// alias returns where a name leads, "" if nowhere.
func alias(section []dns.RR, name string) (to string, ttl time.Duration) {
	for _, rr := range section {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && strings.EqualFold(c.Hdr.Name, name) {
			return strings.ToLower(c.Target), seconds(c.Hdr.Ttl)
		}
	}
	return "", 0
}

// negativeTTL is for how long it is known that there is nothing (RFC 2308): not at all if the
// zone does not say.
func negativeTTL(msg *dns.Msg) time.Duration {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(seconds(soa.Hdr.Ttl), seconds(soa.Minttl), maxNegativeTTL)
		}
	}
	return 0
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }
