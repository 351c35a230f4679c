package c2s

import (
	"net/netip"
	"sync"
	"time"

	"parley/xmpp"
)

// A budget is what somebody may send: an account, or an address. What is beyond it is read
// later, so that the sender's own connection fills up and nothing is lost.
type budget struct {
	users int // connections that share it; the server's lock

	mu    sync.Mutex // a leaf
	level float64    // bytes beyond what the long run allows
	at    time.Time  // when that was so
}

// whose says who shares a budget: an account or a network.
type whose struct {
	account xmpp.JID
	network netip.Prefix
}

// spend takes n bytes, of which rate a second are free in the long run and burst at once, and
// returns how long to wait until more is read.
func (b *budget) spend(n, rate, burst int, now time.Time) time.Duration {
	if rate <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level = max(0, b.level-now.Sub(b.at).Seconds()*float64(rate)) + float64(n)
	b.at = now
	over := b.level - float64(burst)
	if over <= 0 {
		return 0
	}
	return time.Duration(over / float64(rate) * float64(time.Second))
}

// budgets gives a connection its part in the budgets of its account and its address.
func (c *conn) budgets() {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.mine = c.srv.budget(whose{account: c.jid.Bare()})
	c.near = c.srv.budget(whose{network: network(c.addr)})
}

// budget returns one for one more connection. The lock is held.
func (s *Server) budget(w whose) *budget {
	b := s.spent[w]
	if b == nil {
		b = &budget{at: time.Now()}
		s.spent[w] = b
	}
	b.users++
	return b
}

// unbudget takes a connection off its budgets. Those that nobody uses are forgotten when they
// are whole again, at the next look.
func (c *conn) unbudget() {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	for _, b := range [...]*budget{c.mine, c.near} {
		if b != nil {
			b.users--
		}
	}
	c.mine, c.near = nil, nil
}

// forgetBudgets is called by the sweeper.
func (s *Server) forgetBudgets(now time.Time) {
	set := s.settings.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, b := range s.spent {
		rate := set.AccountRate
		if w.account.IsZero() {
			rate = set.AddressRate
		}
		if b.users == 0 && (rate <= 0 || b.whole(rate, now)) {
			delete(s.spent, w)
		}
	}
}

func (b *budget) whole(rate int, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.level <= now.Sub(b.at).Seconds()*float64(rate)
}

// paceStep is how long a reader sleeps until it looks whether its connection is still there.
const paceStep = 200 * time.Millisecond

// pace waits where the client has sent more than its account or its address may.
func (c *conn) pace() {
	n := int(c.s.Taken() - c.paid)
	if n < paceBytes {
		return
	}
	c.paid += uint64(n)
	set, now := c.srv.settings.Load(), time.Now()
	wait := max(c.mine.spend(n, set.AccountRate, set.AccountBurst, now), c.near.spend(n, set.AddressRate, set.AddressBurst, now))
	if wait <= 0 {
		return
	}
	c.srv.stats.Paced.Add(1)
	for ; wait > 0 && c.ended.Load() == 0 && !c.srv.stopping.Load(); wait -= paceStep {
		time.Sleep(min(wait, paceStep))
		c.lives()
	}
}

// paceBytes is how much of what a client sends is counted at a time.
const paceBytes = 16 << 10
