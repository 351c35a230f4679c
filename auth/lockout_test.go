package auth

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// An address that guesses is slowed down, then refused, and forgiven in time.
func TestAddressIsSlowedDownThenRefused(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := channel("192.0.2.66")
	var waits []time.Duration
	refusedAt := 0
	for i := range 60 {
		got := try(t, a, ch, fmt.Sprintf("guess%d", i), "123456")
		waits = append(waits, c.waited())
		if got == TemporaryAuthFailure {
			refusedAt = i
			break
		}
		if got != NotAuthorized {
			t.Fatalf("attempt %d: %q", i, got)
		}
	}
	if waits[4] != 0 || waits[5] != 0 || waits[6] == 0 || waits[12] <= waits[6] || refusedAt < 20 || refusedAt > 30 {
		t.Errorf("waits %v, refused at %d", waits, refusedAt)
	}
	proofs := a.Stats().Proofs
	if got := try(t, a, ch, "romeo", "pencil"); got != TemporaryAuthFailure || a.Stats().Proofs != proofs {
		t.Errorf("the right password from a refused address: %q, and it was checked: %v", got, a.Stats().Proofs != proofs)
	}
	wait, ok := a.Allow(ch.Peer)
	if ok || wait <= 0 || wait > time.Minute {
		t.Errorf("Allow: %v, %v", wait, ok)
	}
	if got := try(t, a, channel("192.0.2.67"), "romeo", "pencil"); got != "" {
		t.Errorf("the address beside it: %q", got)
	}
	if err := c.sleep(context.Background(), wait); err != nil {
		t.Fatal(err)
	}
	if got := try(t, a, ch, "romeo", "pencil"); got != "" {
		t.Errorf("when the time is over: %q", got)
	}
}

// The throttle cannot lock the owner out: neither from a place he has been before, nor
// from a new one.
func TestThrottleCannotLockOutTheOwner(t *testing.T) {
	a, c := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	create(t, a, "julia", "secret")
	home, newPlace := channel("192.0.2.1"), channel("198.51.100.7")
	if got := try(t, a, home, "romeo", "pencil"); got != "" {
		t.Fatal(got)
	}
	for i := range 300 { // from everywhere
		try(t, a, channel(fmt.Sprintf("203.0.113.%d", i%250)), "romeo", fmt.Sprint(i))
	}
	c.waited()
	if got := try(t, a, home, "romeo", "pencil"); got != "" || c.waited() != 0 {
		t.Errorf("at home, while the account is attacked: %q", got)
	}
	if got := try(t, a, newPlace, "romeo", "pencil"); got != "" {
		t.Errorf("at a new place, while the account is attacked: %q", got)
	}
	if w := c.waited(); w == 0 || w > 4*time.Second {
		t.Errorf("at a new place: waited %v", w)
	}
	for i := range 100 { // from the same address translation
		try(t, a, home, fmt.Sprintf("guess%d", i), "123456")
	}
	c.waited()
	if got := try(t, a, home, "julia", "secret"); got != TemporaryAuthFailure {
		t.Errorf("somebody not known at an address that guesses: %q", got)
	}
	if got := try(t, a, home, "romeo", "pencil"); got != "" {
		t.Errorf("the owner behind an address that guesses: %q", got)
	}
	if w := c.waited(); w == 0 || w > 4*time.Second {
		t.Errorf("behind an address that guesses: waited %v", w)
	}
	if _, got := tryPlain(t, a, home, "", "romeo", "pencil"); got != "" {
		t.Errorf("the same with PLAIN: %q", got)
	}
}

// Names are slowed down alike, whether an account has them or not.
func TestDelayTellsNothing(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	var waits [2][]time.Duration
	for k, name := range []string{"romeo", "nobody"} {
		for i := range 15 {
			try(t, a, channel(fmt.Sprintf("203.0.%d.%d", k, i)), name, "wrong")
			waits[k] = append(waits[k], c.waited())
		}
	}
	if fmt.Sprint(waits[0]) != fmt.Sprint(waits[1]) || waits[0][14] == 0 {
		t.Errorf("%v", waits)
	}
}

// An account of one's own does not buy more guesses at others.
func TestOwnLoginForgivesNothing(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "mallory", "own")
	ch, got := channel("192.0.2.66"), ""
	for i := 0; i < 80 && got != TemporaryAuthFailure; i++ {
		if own := try(t, a, ch, "mallory", "own"); own != "" {
			t.Fatalf("own account: %q", own)
		}
		got = try(t, a, ch, fmt.Sprintf("guess%d", i), "123456")
	}
	if got != TemporaryAuthFailure {
		t.Error("never refused")
	}
}

// A whole IPv6 /64 is one customer; an IPv4 address in IPv6 form is the IPv4 address.
func TestNetworks(t *testing.T) {
	l := newLockout(Throttle{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.withDefaults(), time.Now)
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "fe80::1%eth0": "fe80::/64",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "127.0.0.1": "invalid Prefix", "::ffff:127.0.0.1": "invalid Prefix",
	} {
		if got := l.network(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if l.network(netip.Addr{}).IsValid() {
		t.Error("no address is an address")
	}
}

// Behind a proxy that hides its clients nobody is refused for the others, and nobody is
// known.
func TestExemptAddress(t *testing.T) {
	a, c := open(t, Config{Throttle: Throttle{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	create(t, a, "romeo", "pencil")
	ch := channel("127.0.0.1")
	if got := try(t, a, ch, "romeo", "pencil"); got != "" {
		t.Fatal(got)
	}
	for range 100 {
		if got := try(t, a, ch, "romeo", "wrong"); got != NotAuthorized {
			t.Fatal(got)
		}
	}
	c.waited()
	if got := try(t, a, ch, "romeo", "pencil"); got != "" || c.waited() == 0 {
		t.Errorf("%q, or no delay", got)
	}
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	clock := newClock()
	l := newLockout(Throttle{Entries: 100}.withDefaults(), clock.now)
	for i := range 1000 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		l.fail(addr, address(fmt.Sprintf("guess%d", i)))
		l.success(addr, address(fmt.Sprintf("user%d", i)))
	}
	if l.addresses.Len() != 100 || l.names.Len() != 100 || l.known.Len() != 100 {
		t.Errorf("%d, %d, %d", l.addresses.Len(), l.names.Len(), l.known.Len())
	}
}

// A clock that jumps back neither forgives nor condemns for ever.
func TestThrottleAndAClockThatJumps(t *testing.T) {
	clock := newClock()
	l := newLockout(Throttle{}.withDefaults(), clock.now)
	addr := netip.MustParseAddr(somewhere)
	for range 1000 {
		l.fail(addr, address("romeo"))
	}
	clock.at = clock.at.Add(-24 * time.Hour)
	wait, ok := l.verdict(addr, address("romeo"))
	if ok || wait > time.Hour {
		t.Errorf("%v, %v", wait, ok)
	}
	l.fail(addr, address("romeo")) // from here on by the new clock
	clock.at = clock.at.Add(time.Hour)
	if _, ok := l.verdict(addr, address("romeo")); !ok {
		t.Error("refused for ever")
	}
}
