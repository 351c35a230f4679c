package s2s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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

	maxRaced = 8 // targets of one priority that are tried together
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
	c, _, err := d.race(ctx, []Target{t}, trail)
	return c, err
}

// DialAny connects to the first of several targets that answers, in their order: those of one
// priority at the same time, with a moment between them (XEP-0495 §4). It returns which of them
// that is, so that the caller can go on without it if nothing comes of the connection. The
// errors are those of Dial, for the last ones tried.
func (d *Dialer) DialAny(ctx context.Context, targets []Target, trail *Trail) (c *net.TCPConn, at int, err error) {
	err = &ResolveError{NotFound: true, Text: "there is nowhere to connect to"}
	for first := 0; first < len(targets); {
		end := first + 1
		for end < len(targets) && end-first < maxRaced && targets[end].Priority == targets[first].Priority && !targets[end].Static {
			end++
		}
		var gerr error
		if c, at, gerr = d.race(ctx, targets[first:end], trail); gerr == nil {
			return c, first + at, nil
		}
		if first == 0 || !NotFound(gerr) {
			err = gerr // an address that does not answer says more than a host without one
		}
		if ctx.Err() != nil {
			break
		}
		first = end
	}
	return nil, 0, err
}

func (d *Dialer) race(ctx context.Context, targets []Target, trail *Trail) (*net.TCPConn, int, error) {
	// What is still on its way when one attempt has won is given up.
	ctx2, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &race{
		d: d, targets: targets, trail: trail, ctx: ctx2, results: make(chan attempt),
		found: make(chan family), families: make([][2]family, len(targets)),
	}
	c, at, err := r.run()
	if c == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return c, at, err
}

// A race is one call of Dial, or one priority of DialAny. Its fields belong to the goroutine
// of run.
type race struct {
	d       *Dialer
	targets []Target
	trail   *Trail
	ctx     context.Context

	results chan attempt // each attempt that was started sends one, until ctx ends
	found   chan family  // each host's addresses of one kind, until ctx ends

	waiting  [2][]candidate // IPv6 and IPv4, in the order of the targets
	families [][2]family    // what was found, as in waiting
	first    int            // lookups of the first target that are open
	lookups  int            // all that are open
	running  int            // attempts that have not ended
	tried    int            // attempts that were started
	last     int            // the kind of the last one
	failed   *DialError     // the last one that failed
}

// A candidate is an address of a target.
type candidate struct {
	at   int
	addr netip.Addr
}

// An attempt is what became of a candidate.
type attempt struct {
	candidate
	conn *net.TCPConn
	err  error
}

func (r *race) run() (*net.TCPConn, int, error) {
	r.lookup()
	next := time.NewTimer(0) // when another attempt may start
	defer next.Stop()
	ready, delayed := false, false
	for {
		if ready && r.start() {
			ready = false
			next.Reset(attemptDelay)
		}
		if r.lookups == 0 && r.running == 0 && len(r.waiting[0])+len(r.waiting[1]) == 0 {
			return nil, 0, r.failure()
		}
		select {
		case f := <-r.found:
			switch now := r.add(f); {
			case r.tried > 0:
			case now:
				ready = true
			case !delayed && len(r.waiting[0])+len(r.waiting[1]) > 0:
				ready, delayed = false, true
				next.Reset(resolutionDelay) // RFC 8305 §3
			}
		case a := <-r.results:
			r.running--
			t := r.targets[a.at]
			if a.err == nil {
				r.trail.Note(StageConnect, "%s answers at %s", t, a.addr)
				return a.conn, a.at, nil
			}
			err := fmt.Errorf("%s: %s", a.addr, plainDialError(a.err))
			r.failed = &DialError{Target: t, Text: err.Error(), Err: a.err}
			r.trail.Fail(StageConnect, "%s %v", t, err)
			ready = true
		case <-next.C:
			ready = true
		case <-r.ctx.Done():
			return nil, 0, r.ctx.Err()
		}
	}
}

// lookup asks for both kinds of addresses of all hosts at once.
func (r *race) lookup() {
	for at, t := range r.targets {
		if list := local(t.Host); list != nil {
			for _, a := range list {
				r.place(candidate{at, a})
			}
			continue
		}
		for kind, qtype := range []uint16{dns.TypeAAAA, dns.TypeA} {
			r.lookups++
			if at == 0 {
				r.first++
			}
			go func() {
				f := r.d.Resolver.family(r.ctx, t.Host, qtype, r.trail)
				f.at, f.kind = at, kind
				select {
				case r.found <- f:
				case <-r.ctx.Done():
				}
			}()
		}
	}
}

// add takes the addresses of a host, and says whether to begin with what is there: where it is
// the best that can come, IPv6 of the first target, or all that it has.
func (r *race) add(f family) (now bool) {
	r.lookups--
	if f.at == 0 {
		r.first--
	}
	r.families[f.at][f.kind] = f
	for _, a := range f.list {
		r.place(candidate{f.at, a})
	}
	return r.first == 0 || f.at == 0 && f.kind == 0 && len(f.list) > 0
}

// place puts a candidate behind the others of its target, and before those of later ones.
func (r *race) place(c candidate) {
	list := &r.waiting[kindOf(c.addr)]
	i := len(*list)
	for i > 0 && (*list)[i-1].at > c.at {
		i--
	}
	*list = slices.Insert(*list, i, c)
}

func kindOf(a netip.Addr) int {
	if a.Is4() {
		return 1
	}
	return 0
}

// start begins the next attempt, if there is an address left. Both kinds take turns, IPv6 first.
func (r *race) start() bool {
	kind := 0
	if r.tried > 0 {
		kind = 1 - r.last
	}
	if len(r.waiting[kind]) == 0 {
		kind = 1 - kind
	}
	if len(r.waiting[kind]) == 0 {
		return false
	}
	c := r.waiting[kind][0]
	r.waiting[kind] = r.waiting[kind][1:]
	r.last = kind
	r.tried++
	r.running++
	go r.attempt(c)
	return true
}

func (r *race) attempt(c candidate) {
	d := r.d.Net
	d.Timeout = cmp.Or(r.d.AttemptTimeout, DefaultAttemptTimeout)
	port := strconv.Itoa(int(r.targets[c.at].Port))
	nc, err := d.DialContext(r.ctx, "tcp", net.JoinHostPort(c.addr.String(), port))
	conn, _ := nc.(*net.TCPConn)
	select {
	case r.results <- attempt{c, conn, err}:
	case <-r.ctx.Done():
		if conn != nil {
			conn.Close() // another was faster
		}
	}
}

// failure is why there is no connection. That one of the hosts may have an address which DNS
// does not tell for now says more than that another has none.
func (r *race) failure() error {
	if r.failed != nil {
		return r.failed
	}
	var err error
	for at, f := range r.families {
		e := noAddress(r.ctx, r.targets[at].Host, f[1], f[0])
		r.trail.Fail(StageDNS, "%v", e)
		if err == nil || !NotFound(e) {
			err = e
		}
	}
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
