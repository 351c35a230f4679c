package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// takenWithin is how late it may be on disk that a device has taken a message
// (docs/delivery.md).
const takenWithin = time.Second

// A letter is a message that somebody said.
type letter struct {
	from, recipient string // accounts
	device          string // that said it
	n               int    // which of the device's
	id, to          string
	passing         bool // it is not to be archived
	repeats         int  // how often it may have been said again
	acknowledged    bool
	found           bool // in both archives
}

func (l *letter) body() string { return "text of " + l.id }

// An entry is a message in an archive.
type entry struct{ id, archived string }

// A book has all that was said, acknowledged, heard and found, over all lives of a server.
type book struct {
	t          *testing.T
	unarchived bool // nothing is archived

	mu                      sync.Mutex
	letters                 map[string]*letter
	order                   []*letter
	jids                    map[string]map[string]string // account -> device -> full address
	ids                     map[entry]string             // account and message -> its id in that archive
	heard                   map[entry]bool               // account and message
	sure                    map[entry]time.Time          // when the server knew that a device had it
	final                   map[entry]bool               // it must not be given out again
	archives                map[string][]entry
	last                    map[entry]int // account and device -> number of its last message in the archive
	again, offline, carbons int
}

func newBook(t *testing.T) *book {
	return &book{t: t, letters: map[string]*letter{}, jids: map[string]map[string]string{"romeo": {}, "juliet": {}}, ids: map[entry]string{}, heard: map[entry]bool{},
		sure: map[entry]time.Time{}, final: map[entry]bool{}, archives: map[string][]entry{}, last: map[entry]int{}}
}

// moved notes a device's full address.
func (b *book) moved(user, name, jid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jids[user][name] = jid
}

// addressee returns to whom a user writes: mostly to a bare address, else to a device of the
// other one which may be there or not.
func (b *book) addressee(user string, rnd *rand.Rand) (to, recipient string) {
	recipient = "juliet"
	if user == "juliet" {
		recipient = "romeo"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	to = recipient + "@localhost"
	if rnd.IntN(4) == 0 {
		names := make([]string, 0, len(b.jids[recipient]))
		for name := range b.jids[recipient] {
			names = append(names, name)
		}
		if slices.Sort(names); len(names) > 0 {
			to = b.jids[recipient][names[rnd.IntN(len(names))]]
		}
	}
	return to, recipient
}

func (b *book) writes(l *letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters[l.id] = l
	b.order = append(b.order, l)
}

// repeated notes what a device may be about to say again.
func (b *book) repeated(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.letters[id].repeats++
		b.again++
	}
}

func (b *book) acknowledged(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters[id].acknowledged = true
}

// taken notes that the server knows that a device has these.
func (b *book) taken(p *person, list []*xmpptest.Heard, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range list {
		l := b.letters[h.ID]
		if _, ok := b.sure[entry{p.user, h.ID}]; !ok && l != nil && l.recipient == p.user {
			b.sure[entry{p.user, h.ID}] = at
		}
	}
}

// dies notes when the server is killed. What it had known for long enough is on the disk.
func (b *book) dies(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e, since := range b.sure {
		if at.Sub(since) > takenWithin {
			b.final[e] = true
		}
	}
	clear(b.sure)
}

// hear judges a message that came to a device.
func (b *book) hear(p *person, h *xmpptest.Heard) {
	l := b.authentic(p.user, h)
	if l == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := entry{p.user, l.id}
	if l.recipient == p.user {
		b.heard[key] = true
	}
	switch {
	case h.Way == xmpptest.Result:
		return
	case h.Way != xmpptest.Straight:
		b.carbons++
	case h.Delayed:
		b.offline++
	}
	if b.final[key] && !(l.passing && l.repeats > 0) {
		b.t.Errorf("%s: what was taken for more than %s before a kill comes again: %s", p.name, takenWithin, h.XML)
	}
	if h.Delayed || l.passing && l.repeats > 0 {
		return
	}
	if before := p.order[l.device]; l.n <= before {
		b.t.Errorf("%s: %s comes behind number %d: %s", p.name, l.id, before, h.XML)
	}
	p.order[l.device] = l.n
}

// authentic judges what a message is: somebody said just that, and it has had no other id in
// that archive.
func (b *book) authentic(user string, h *xmpptest.Heard) *letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.letters[h.ID]
	bare, _, _ := strings.Cut(h.From, "/")
	switch {
	case l == nil || h.Body != l.body() || bare != l.from+"@localhost" || h.Type != "chat" || user != l.from && user != l.recipient:
		b.t.Errorf("%s: nobody said that: %s", user, h.XML)
		return nil
	case h.Archived != "" && l.passing:
		b.t.Errorf("%s: this is not to be archived: %s", user, h.XML)
	case h.Archived == "" && !l.passing:
		b.t.Errorf("%s: this has no id: %s", user, h.XML)
	}
	if h.Archived != "" {
		key := entry{user, l.id}
		if was, ok := b.ids[key]; ok && was != h.Archived {
			b.t.Errorf("%s: %s was %s before: %s", user, l.id, was, h.XML)
		}
		b.ids[key] = h.Archived
	}
	return l
}

// archived judges the next message of an archive: once, and each device's in order.
func (b *book) archived(user string, e entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.letters[e.id]
	if l == nil {
		return // authentic has said so
	}
	key := entry{user, l.device}
	if l.n <= b.last[key] {
		b.t.Errorf("%s's archive: %s stands behind number %d of that device, or twice", user, e, b.last[key])
	}
	b.last[key] = l.n
	b.archives[user] = append(b.archives[user], e)
}

// census looks for what was acknowledged, in both archives, which have the same order.
func (b *book) census() {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine, yours := b.archives["romeo"], b.archives["juliet"]
	if !slices.EqualFunc(mine, yours, func(a, b entry) bool { return a.id == b.id }) {
		b.t.Errorf("the two archives do not have the same: %d and %d messages", len(mine), len(yours))
	}
	there := map[string]bool{}
	for _, e := range mine {
		there[e.id] = true
	}
	for _, l := range b.order {
		switch {
		case l.found || l.passing:
		case there[l.id]:
			l.found = true
		case l.acknowledged:
			b.t.Errorf("%s was acknowledged and is in no archive", l.id)
		}
	}
}

// complete judges the whole: what was acknowledged was heard by the account that it was for.
func (b *book) complete(kills int) {
	acknowledged := 0
	for _, l := range b.order {
		if !l.acknowledged {
			continue
		}
		acknowledged++
		if !b.heard[entry{l.recipient, l.id}] {
			b.t.Errorf("%s to %s was acknowledged and never came", l.id, l.to)
		}
	}
	b.t.Logf("%d messages, %d acknowledged, %d said again, %d came late, %d copies, %d taken for good",
		len(b.order), acknowledged, b.again, b.offline, b.carbons, len(b.final))
	if acknowledged < 5*kills || b.again < kills || b.offline < kills || b.carbons < kills && !b.unarchived || len(b.final) < kills/10 {
		b.t.Error("too little happened to prove anything")
	}
}
