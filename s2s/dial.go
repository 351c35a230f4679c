package s2s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const (
	// DefaultAttemptTimeout is how long one address may take to answer.
	DefaultAttemptTimeout = 10 * time.Second

	// RFC 8305 §8.
	attemptDelay    = 250 * time.Millisecond // between the starts of two attempts
	resolutionDelay = 50 * time.Millisecond  // for AAAA, when A is there first
)

// A Dialer opens connections to targets: IPv6 first, both families in turn, the next address
// before the last has failed (RFC 8305, XEP-0495 §4).
type Dialer struct {
	Resolver *Resolver
	// Net opens each connection, with its local address and control function.
	Net net.Dialer
	// AttemptTimeout is for one address; 0: DefaultAttemptTimeout.
	AttemptTimeout time.Duration
}

// A DialError says that a host has addresses, and that none of them answers:
// remote-server-timeout (RFC 6120 §8.3.3.17).
type DialError struct {
	Target Target
	Text   string // for operators: what the last address said
	Err    error
}

func (e *DialError) Error() string { return e.Target.String() + ": " + e.Text }
func (e *DialError) Unwrap() error { return e.Err }

// Dial connects to a target. The error is a *ResolveError, a *DialError, or that of ctx.
func (d *Dialer) Dial(ctx context.Context, t Target, trail *Trail) (*net.TCPConn, error) {
	// What is still on its way when one attempt has won is given up.
	ctx2, cancel := context.WithCancel(ctx)
	defer cancel()
	race := &race{d: d, target: t, trail: trail, ctx: ctx2, results: make(chan attempt), found: make(chan family)}
	c, err := race.run()
	if c == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return c, err
}

// A race is one call of Dial. Its fields belong to the goroutine of run.
type race struct {
	d      *Dialer
	target Target
	trail  *Trail
	ctx    context.Context

	results chan attempt // each attempt that was started sends one, until ctx ends
	found   chan family  // each family's addresses, until ctx ends

	six, four []netip.Addr
	lookups   int  // still open
	running   int  // attempts that have not ended
	tried     int  // attempts that were started
	lastSix   bool // the last attempt was to an IPv6 address
	families  [2]family
	last      error
}

// An attempt is what became of one address.
type attempt struct {
	addr netip.Addr
	conn *net.TCPConn
	err  error
}

func (r *race) run() (*net.TCPConn, error) {
	r.lookup()
	next := time.NewTimer(0) // when another attempt may start
	defer next.Stop()
	ready := false
	for {
		if ready && r.start() {
			ready = false
			next.Reset(attemptDelay)
		}
		if r.lookups == 0 && r.running == 0 && len(r.six)+len(r.four) == 0 {
			return nil, r.failure()
		}
		select {
		case f := <-r.found:
			r.lookups--
			if wait := r.add(f); wait && r.tried == 0 {
				ready = false
				next.Reset(resolutionDelay) // RFC 8305 §3
			} else if r.tried == 0 {
				ready = true
			}
		case a := <-r.results:
			r.running--
			if a.err == nil {
				r.trail.Note(StageConnect, "%s answers at %s", r.target, a.addr)
				return a.conn, nil
			}
			r.last = fmt.Errorf("%s: %s", a.addr, plainDialError(a.err))
			r.trail.Fail(StageConnect, "%s %v", r.target, r.last)
			ready = true
		case <-next.C:
			ready = true
		case <-r.ctx.Done():
			return nil, r.ctx.Err()
		}
	}
}

// lookup asks for both families at once.
func (r *race) lookup() {
	if list := local(r.target.Host); list != nil {
		for _, a := range list {
			r.place(a)
		}
		return
	}
	for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeA} {
		r.lookups++
		go func() {
			f := r.d.Resolver.family(r.ctx, r.target.Host, qtype, r.trail)
			f.six = qtype == dns.TypeAAAA
			select {
			case r.found <- f:
			case <-r.ctx.Done():
			}
		}()
	}
}

// add takes the addresses of a family, and says whether to wait a moment for the other.
func (r *race) add(f family) (wait bool) {
	r.families[0], r.families[1] = f, r.families[0]
	for _, a := range f.list {
		r.place(a)
	}
	return !f.six && r.lookups > 0
}

func (r *race) place(a netip.Addr) {
	if a.Is4() {
		r.four = append(r.four, a)
	} else {
		r.six = append(r.six, a)
	}
}

// start begins the next attempt, if there is an address left. Families take turns, IPv6 first.
func (r *race) start() bool {
	list := &r.six
	if len(r.six) == 0 || len(r.four) > 0 && r.tried > 0 && r.lastSix {
		list = &r.four
	}
	if len(*list) == 0 {
		return false
	}
	addr := (*list)[0]
	*list = (*list)[1:]
	r.lastSix = addr.Is6()
	r.tried++
	r.running++
	go r.attempt(addr)
	return true
}

func (r *race) attempt(addr netip.Addr) {
	d := r.d.Net
	d.Timeout = cmp.Or(r.d.AttemptTimeout, DefaultAttemptTimeout)
	c, err := d.DialContext(r.ctx, "tcp", net.JoinHostPort(addr.String(), strconv.Itoa(int(r.target.Port))))
	conn, _ := c.(*net.TCPConn)
	select {
	case r.results <- attempt{addr, conn, err}:
	case <-r.ctx.Done():
		if conn != nil {
			conn.Close() // another was faster
		}
	}
}

// failure is why there is no connection.
func (r *race) failure() error {
	if r.last != nil {
		return &DialError{Target: r.target, Text: r.last.Error(), Err: r.last}
	}
	err := noAddress(r.ctx, r.target.Host, r.families[0], r.families[1])
	r.trail.Fail(StageDNS, "%v", err)
	return err
}

// plainDialError leaves out what people know already.
func plainDialError(err error) string {
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		return "no answer"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return err.Error()
}
