package s2s

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listen returns the port of a listener at 127.0.0.1 that takes connections and closes them.
func listen(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

// A network notes the attempts, and lets those to some addresses hang or fail.
type network struct {
	hang map[string]bool
	fail map[string]bool

	mu    sync.Mutex
	tried []string
	at    []time.Time
}

func (n *network) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	host, _, _ := net.SplitHostPort(address)
	n.mu.Lock()
	n.tried = append(n.tried, host)
	n.at = append(n.at, time.Now())
	n.mu.Unlock()
	if n.hang[host] {
		<-ctx.Done()
		return ctx.Err()
	}
	if n.fail[host] {
		time.Sleep(20 * time.Millisecond) // so that the other kind of addresses is there too
		return syscall.ENETUNREACH
	}
	return nil
}

func (n *network) attempts() (string, []time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.tried, " "), append([]time.Time(nil), n.at...)
}

func newDialer(t *testing.T, z *zone, n *network) *Dialer {
	return &Dialer{Resolver: newTestResolver(t, z), Net: net.Dialer{ControlContext: n.control}}
}

func TestIPv6FirstAndInTurn(t *testing.T) {
	z := newZone(t,
		"b.example. 60 IN AAAA 2001:db8::1", "b.example. 60 IN AAAA 2001:db8::2", "b.example. 60 IN AAAA 2001:db8::3",
		"b.example. 60 IN A 192.0.2.1", "b.example. 60 IN A 127.0.0.1")
	n := &network{fail: map[string]bool{"2001:db8::1": true, "2001:db8::2": true, "2001:db8::3": true, "192.0.2.1": true}}
	var trail Trail
	d := newDialer(t, z, n)
	if _, _, err := d.Resolver.Addresses(testContext(t), "b.example", nil); err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial(testContext(t), Target{Host: "b.example", Port: listen(t)}, &trail)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	tried, at := n.attempts()
	if tried != "2001:db8::1 192.0.2.1 2001:db8::2 127.0.0.1" {
		t.Errorf("tried %s", tried)
	}
	if d := at[3].Sub(at[0]); d >= 3*attemptDelay {
		t.Errorf("addresses that refuse soon have cost %v", d)
	}
	if s := trail.String(); !strings.Contains(s, "connect failed: b.example:") || !strings.Contains(s, "2001:db8::2: network is unreachable") || !strings.Contains(s, "answers at 127.0.0.1") {
		t.Error(s)
	}
}

// An address that does not answer holds nobody up for long (RFC 8305 §5).
func TestHappyEyeballs(t *testing.T) {
	z := newZone(t, "b.example. 60 IN AAAA 2001:db8::1", "b.example. 60 IN A 127.0.0.1")
	n := &network{hang: map[string]bool{"2001:db8::1": true}}
	c, err := newDialer(t, z, n).Dial(testContext(t), Target{Host: "b.example", Port: listen(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	tried, at := n.attempts()
	if tried != "2001:db8::1 127.0.0.1" {
		t.Fatalf("tried %s", tried)
	}
	if d := at[1].Sub(at[0]); d < attemptDelay-20*time.Millisecond || d > 20*attemptDelay {
		t.Errorf("the second attempt came after %v", d)
	}
}

// Where AAAA is not answered, A does not wait for it for long (RFC 8305 §3).
func TestResolutionDelay(t *testing.T) {
	z := newZone(t, "b.example. 60 IN A 127.0.0.1")
	z.set(func() { z.silent["b.example. AAAA"] = true })
	n := &network{}
	start := time.Now()
	d := newDialer(t, z, n)
	d.Resolver.cfg.Timeout = 5 * time.Second
	var trail Trail
	c, err := d.Dial(testContext(t), Target{Host: "b.example", Port: listen(t)}, &trail)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	_, at := n.attempts()
	if d := at[0].Sub(start); d < resolutionDelay-10*time.Millisecond || d > 2*time.Second {
		t.Errorf("the attempt came after %v", d)
	}
	time.Sleep(50 * time.Millisecond) // the lookup that is not needed any more ends
	if s := trail.String(); strings.Contains(s, "failed") {
		t.Errorf("nothing has failed: %s", s)
	}
}

func TestDialErrors(t *testing.T) {
	z := newZone(t, "b.example. 60 IN A 192.0.2.1", "b.example. 60 IN AAAA 2001:db8::1")
	z.set(func() { z.silent["silent.example."] = true })
	n := &network{fail: map[string]bool{"192.0.2.1": true, "2001:db8::1": true}, hang: map[string]bool{"192.0.2.5": true}}
	d := newDialer(t, z, n)
	_, err := d.Dial(testContext(t), Target{Host: "b.example", Port: 5269, Direct: true}, nil)
	var de *DialError
	if !errors.As(err, &de) || !strings.Contains(err.Error(), "tls://b.example:5269: ") || !strings.Contains(err.Error(), "unreachable") || NotFound(err) {
		t.Error(err)
	}
	if _, err := d.Dial(testContext(t), Target{Host: "none.example", Port: 5269}, nil); !NotFound(err) {
		t.Error(err)
	}
	if _, err := d.Dial(testContext(t), Target{Host: "silent.example", Port: 5269}, nil); err == nil || NotFound(err) || errors.As(err, &de) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Dial(ctx, Target{Host: "192.0.2.5", Port: 5269}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	short := &Dialer{Resolver: d.Resolver, Net: d.Net, AttemptTimeout: 50 * time.Millisecond}
	if _, err := short.Dial(testContext(t), Target{Host: "192.0.2.5", Port: 5269}, nil); !errors.As(err, &de) || !strings.Contains(err.Error(), "192.0.2.5: no answer") {
		t.Error(err)
	}
}

func TestDialLocalhostWithoutDNS(t *testing.T) {
	z := newZone(t)
	n := &network{fail: map[string]bool{"::1": true}}
	c, err := newDialer(t, z, n).Dial(testContext(t), Target{Host: "localhost", Port: listen(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if z.count("udp") != 0 {
		t.Error("DNS was asked for localhost")
	}
}

// Targets of one priority are tried together, in their order; those of the next when all of
// them have failed (XEP-0495 §4.1).
func TestDialAny(t *testing.T) {
	z := newZone(t, "a.example. 60 IN A 192.0.2.1", "a.example. 60 IN AAAA 2001:db8::1", "b.example. 60 IN A 192.0.2.2",
		"c.example. 60 IN A 127.0.0.1", "d.example. 60 IN A 127.0.0.1")
	port := listen(t)
	target := func(host string, priority uint16) Target {
		return Target{Host: host, Port: port, SRV: true, Priority: priority}
	}
	hang := &network{hang: map[string]bool{"2001:db8::1": true, "192.0.2.1": true, "192.0.2.2": true}}
	c, at, err := newDialer(t, z, hang).DialAny(testContext(t), []Target{target("a.example", 1), target("none.example", 1), target("c.example", 1), target("d.example", 2)}, nil)
	if err != nil || at != 2 {
		t.Fatal(at, err)
	}
	c.Close()
	if tried, _ := hang.attempts(); tried != "2001:db8::1 192.0.2.1 127.0.0.1" {
		t.Errorf("tried %s", tried)
	}
	fail := &network{fail: hang.hang}
	c, at, err = newDialer(t, z, fail).DialAny(testContext(t), []Target{target("a.example", 1), target("b.example", 2), target("d.example", 3)}, nil)
	if err != nil || at != 2 {
		t.Fatal(at, err)
	}
	c.Close()
	var de *DialError
	_, _, err = newDialer(t, z, fail).DialAny(testContext(t), []Target{target("b.example", 1), target("none.example", 2)}, nil)
	if !errors.As(err, &de) || de.Target.Host != "b.example" {
		t.Error(err)
	}
	if _, _, err = newDialer(t, z, fail).DialAny(testContext(t), []Target{target("none.example", 1), target("nothing.example", 1)}, nil); !NotFound(err) {
		t.Error(err)
	}
	if _, _, err = newDialer(t, z, fail).DialAny(testContext(t), nil, nil); !NotFound(err) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, _, err = newDialer(t, z, hang).DialAny(ctx, []Target{target("a.example", 1), target("d.example", 2)}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// The first target's answer is waited for a moment where that of a later one is there (XEP-0495
// §4.2), and not for long.
func TestDialAnyKeepsTheOrder(t *testing.T) {
	z := newZone(t, "slow.example. 60 IN A 127.0.0.1", "quick.example. 60 IN A 127.0.0.1")
	z.set(func() { z.silent["slow.example."] = true })
	start := time.Now()
	n := &network{}
	dialer := newDialer(t, z, n)
	dialer.Resolver.cfg.Timeout = 5 * time.Second
	c, at, err := dialer.DialAny(testContext(t), []Target{{Host: "slow.example", Port: 1, SRV: true}, {Host: "quick.example", Port: listen(t), SRV: true}}, nil)
	if err != nil || at != 1 {
		t.Fatal(at, err)
	}
	c.Close()
	if _, times := n.attempts(); times[0].Sub(start) < resolutionDelay-10*time.Millisecond || times[0].Sub(start) > 2*time.Second {
		t.Errorf("the attempt came after %v", times[0].Sub(start))
	}
}
