// Package strangers limits what one account may send to people who do not know it: messages,
// and requests for a subscription. Who writes to contacts, or is answered, never meets the
// limits.
package strangers

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Limits are budgets of one account.
type Limits struct {
	Messages int // to strangers, in a minute; 0: any number
	Requests int // for a subscription, in an hour; 0: any number
}

// acquaintances is of how many others an account is remembered to have written to, and of
// how many to be known by.
const acquaintances = 128

type feature struct {
	limits func() Limits
	now    func() time.Time
	router *router.Router
	seed   maphash.Seed
	people router.Memo[person]
}

// New returns the feature. limits is asked each time.
func New(limits func() Limits, now func() time.Time) router.Feature {
	f := &feature{limits: limits, now: now, seed: maphash.MakeSeed()}
	return router.Feature{
		Name:  "budgets for strangers",
		Sent:  router.Hooks{Guard: f.guard, Bar: f.bar},
		Load:  f.load,
		Start: func(h router.Hall) { f.router = h.Router },
	}
}

// A person is what is remembered of an account in use.
type person struct {
	mu       sync.Mutex // a leaf
	wroteTo  []uint64   // hashes of bare addresses, the oldest first
	knownBy  []uint64
	messages budget
	requests budget
}

func (f *feature) load(_ *storage.Tx, a *router.Account) error {
	f.people.Set(a, &person{})
	return nil
}

// guard refuses a message to a stranger where the sender's budget is used up. Who does not
// exist is a stranger too: nothing can be learned.
func (f *feature) guard(p *router.Passage) *xmpp.Error {
	limit := f.limits().Messages
	if limit <= 0 || p.Stanza.Type == "error" || p.Sender == p.Recipient || f.router.Visits(p.Stanza.To) {
		return nil // a room has limits of its own
	}
	me, to := f.people.Of(p.Sender), maphash.String(f.seed, p.Stanza.To.Bare().String())
	if p.Recipient != nil {
		from := maphash.String(f.seed, p.Sender.JID.String())
		if f.people.Of(p.Recipient).wrote(from) || me.known(to) {
			me.writes(p.Stanza, to)
			return nil
		}
		if f.router.Trusted(context.Background(), p.Recipient, p.Sender.JID) {
			me.isKnown(to)
			me.writes(p.Stanza, to)
			return nil
		}
	}
	if !me.spend(&me.messages, limit, time.Minute, f.now()) {
		return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many messages to people who do not know you"}
	}
	me.writes(p.Stanza, to)
	return nil
}

// bar refuses a request for a subscription where the budget is used up.
func (f *feature) bar(a *router.Account, st *xmpp.Stanza) *xmpp.Error {
	limit := f.limits().Requests
	if limit <= 0 || st.Kind != xmpp.Presence || st.Type != "subscribe" {
		return nil
	}
	if me := f.people.Of(a); !me.spend(&me.requests, limit, time.Hour, f.now()) {
		return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many requests for a subscription"}
	}
	return nil
}

// writes notes to whom the account writes something that a person has written, not a client
// by itself: the other is no stranger to it, nor it to the other, who may answer.
func (p *person) writes(st *xmpp.Stanza, to uint64) {
	if !st.Has("", "body") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wroteTo = remember(p.wroteTo, to)
}

func (p *person) wrote(to uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.wroteTo, to)
}

func (p *person) isKnown(by uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knownBy = remember(p.knownBy, by)
}

func (p *person) known(by uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.knownBy, by)
}

func remember(list []uint64, n uint64) []uint64 {
	if slices.Contains(list, n) {
		return list
	}
	if len(list) >= acquaintances {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, n)
}

// A budget is how much of a limit is left. It comes back little by little, and is whole
// again after the time that the limit is for.
type budget struct {
	spent float64
	at    time.Time
}

// spend takes one from a budget, if there is one.
func (p *person) spend(b *budget, limit int, per time.Duration, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.spent = max(0, b.spent-float64(limit)*float64(now.Sub(b.at))/float64(per))
	b.at = now
	if b.spent+1 > float64(limit) {
		return false
	}
	b.spent++
	return true
}
