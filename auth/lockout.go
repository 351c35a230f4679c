package auth

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"parley/xmpp"
)

// lockout slows guessing down, and cannot lock an owner out:
//
//   - Failures of one address (an IPv4 address, an IPv6 /64) first delay its answers and
//     then refuse it. An account that has logged in from there is still let through,
//     only delayed: the owner behind the same address translation gets in.
//   - Failures for one account name, from wherever, delay the answers to addresses that
//     have never logged in to it. They never refuse: the owner on a new network waits
//     Throttle.MaxDelay at most.
//
// Names are counted whether the account exists or not, so a delay tells nothing. All is
// in memory, bounded, and forgotten with a restart.
type lockout struct {
	cfg Throttle
	now func() time.Time

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Prefix, score]
	names     *simplelru.LRU[xmpp.JID, score]
	known     *simplelru.LRU[pair, struct{}]

	refused, delayed atomic.Uint64
}

// pair is an account that has logged in from an address.
type pair struct {
	jid  xmpp.JID
	addr netip.Prefix
}

// score counts failures; it falls as time passes.
type score struct {
	n  float64
	at time.Time
}

// maxScore bounds how long an address or a name suffers after the last failure: at the
// defaults 50 minutes, of which an address is refused for 40.
const maxScore = 100

func newLockout(cfg Throttle, now func() time.Time) *lockout {
	// NewLRU fails for a size below one only, and the defaults exclude that.
	addresses, _ := simplelru.NewLRU[netip.Prefix, score](cfg.Entries, nil)
	names, _ := simplelru.NewLRU[xmpp.JID, score](cfg.Entries, nil)
	known, _ := simplelru.NewLRU[pair, struct{}](cfg.Entries, nil)
	return &lockout{cfg: cfg, now: now, addresses: addresses, names: names, known: known}
}

func (s score) after(now time.Time, forgive time.Duration) float64 {
	return max(0, s.n-float64(max(0, now.Sub(s.at)))/float64(forgive))
}

// network is what an address is counted by. It is not valid for one that is exempt or
// not known.
func (l *lockout) network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	for _, p := range l.cfg.Exempt {
		if p.Contains(addr) {
			return netip.Prefix{}
		}
	}
	bits := 32
	if addr.Is6() {
		bits = 64 // what one customer has at least, so no more than one customer
	}
	p, _ := addr.Prefix(bits)
	return p
}

// verdict says how long the answer to a login must wait, or that it is refused.
func (l *lockout) verdict(addr netip.Addr, jid xmpp.JID) (wait time.Duration, ok bool) {
	network, now := l.network(addr), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	known := network.IsValid() && l.known.Contains(pair{jid, network})
	if network.IsValid() {
		s, _ := l.addresses.Get(network)
		n := s.after(now, l.cfg.AddressForgive)
		if n >= float64(l.cfg.AddressLimit) && !known {
			l.refused.Add(1)
			return l.untilBelow(n), false
		}
		wait = l.delay(n - float64(l.cfg.AddressFree))
	}
	if !known {
		s, _ := l.names.Get(jid)
		wait = max(wait, l.delay(s.after(now, l.cfg.AccountForgive)-float64(l.cfg.AccountFree)))
	}
	return wait, true
}

// untilBelow is the time until a score of n is below the limit of an address.
func (l *lockout) untilBelow(n float64) time.Duration {
	over := n - float64(l.cfg.AddressLimit)
	return time.Duration(over*float64(l.cfg.AddressForgive)) + time.Second
}

// delay doubles with each failure above the free ones.
func (l *lockout) delay(over float64) time.Duration {
	if over <= 0 {
		return 0
	}
	d := l.cfg.Delay
	for ; over > 1 && d < l.cfg.MaxDelay; over-- {
		d *= 2
	}
	return min(d, l.cfg.MaxDelay)
}

// fail counts a failure. jid is zero where no account was named.
func (l *lockout) fail(addr netip.Addr, jid xmpp.JID) {
	network, now := l.network(addr), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if network.IsValid() {
		add(l.addresses, network, now, l.cfg.AddressForgive)
	}
	if !jid.IsZero() {
		add(l.names, jid, now, l.cfg.AccountForgive)
	}
}

func add[K comparable](lru *simplelru.LRU[K, score], key K, now time.Time, forgive time.Duration) {
	s, _ := lru.Get(key)
	lru.Add(key, score{min(maxScore, s.after(now, forgive)+1), now})
}

// success remembers that the account logs in from there. It takes nothing off a score:
// who has an account of his own could else guess for ever at another.
func (l *lockout) success(addr netip.Addr, jid xmpp.JID) {
	network := l.network(addr)
	if !network.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known.Add(pair{jid, network}, struct{}{})
}

// address says whether logins from there are refused unless they are of an account that
// is known there, and for how long.
func (l *lockout) address(addr netip.Addr) (wait time.Duration, ok bool) {
	network, now := l.network(addr), l.now()
	if !network.IsValid() {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, _ := l.addresses.Peek(network)
	n := s.after(now, l.cfg.AddressForgive)
	if n >= float64(l.cfg.AddressLimit) {
		return l.untilBelow(n), false
	}
	return l.delay(n - float64(l.cfg.AddressFree)), true
}
