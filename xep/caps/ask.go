package caps

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Limits of asking.
const (
	patience = 20 * time.Second
	maxOpen  = 4096 // hashes that are being asked for
)

// How many unknown hashes one account may announce: so many at once, and then one each
// time. More are not looked at, so that nobody can fill the table, or empty it of what
// others need (XEP-0390 §8.2).
const (
	maxNews   = 40
	newsEvery = time.Minute
)

// A budget is how many more an account may announce, and when that was counted.
type budget struct {
	left float64
	at   time.Time
}

// afford takes one from the budget of an account and reports whether there was one. Only in
// a turn of the account.
func (f *feature) afford(a *router.Account, now time.Time) bool {
	b := budget{maxNews, now}
	if was := f.budgets.Of(a); was != nil {
		earned := max(0, float64(now.Sub(was.at))/float64(newsEvery))
		b.left = min(maxNews, was.left+earned)
	}
	if b.left < 1 {
		return false
	}
	b.left--
	f.budgets.Set(a, &b)
	return true
}

// A question is a hash that nobody has proved yet. One client is asked at a time; if it
// does not prove it, the next one is.
type question struct {
	digest  digest
	asked   *client
	waiting []*client // who have announced the same
	timer   *time.Timer
}

// ask has a client asked, or wait for another's answer to the same question. It returns
// what has come to be known meanwhile.
func (f *feature) ask(t *router.Turn, cl *client) *Info {
	if len(cl.said.digests) == 0 {
		f.pose(&t.Round, cl, nil)
		return nil
	}
	d := cl.said.digests[0]
	f.mu.Lock()
	if e, found := f.cache.get(cl.said.trusted()); found {
		cl.info = e.info
		f.mu.Unlock()
		return e.info
	}
	q := f.open[d]
	if q != nil {
		q.waiting = append(q.waiting, cl)
		cl.question = q
	}
	if q != nil || len(f.open) >= maxOpen {
		f.mu.Unlock()
		return nil
	}
	q = &question{digest: d}
	f.open[d] = q
	f.turnTo(q, cl)
	f.mu.Unlock()
	f.pose(&t.Round, cl, q)
	return nil
}

// turnTo makes a client the one that is asked. The lock is held.
func (f *feature) turnTo(q *question, cl *client) {
	if q.timer != nil {
		q.timer.Stop()
	}
	q.asked, cl.question = cl, q
	q.timer = time.AfterFunc(f.patience, func() { f.late(q, cl) })
}

// late has the next client asked instead of one that does not answer.
func (f *feature) late(q *question, cl *client) {
	var rd router.Round
	f.pose(&rd, f.pass(q, cl), q)
	rd.Flush()
}

// pose asks a client, or the next one that can be asked. No client is no question, and no
// question is one for this client alone.
func (f *feature) pose(rd *router.Round, cl *client, q *question) {
	for cl != nil {
		asked := cl
		var b xmpp.Builder
		p := b.Open(xmpp.NSInfo, "query", "node", asked.said.node).Payload() // XEP-0115 §6.2, XEP-0390 §5.5
		id := "caps-" + strings.ToLower(rand.Text())
		if asked.sender.Ask(rd, "get", id, p, func(st *xmpp.Stanza) { f.answered(asked, q, st) }) || q == nil {
			return
		}
		cl = f.pass(q, asked)
	}
}

// pass returns whom to ask after somebody has not proved the hash, nil where that is nobody
// or the question is not theirs any more.
func (f *feature) pass(q *question, from *client) *client {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[q.digest] != q || q.asked != from {
		return nil
	}
	return f.next(q)
}

// next turns to the next client, one of another account if there is one: whoever lies
// about a hash holds it up once. The lock is held.
func (f *feature) next(q *question) *client {
	failed := q.asked
	failed.question = nil
	if len(q.waiting) == 0 {
		f.shut(q)
		return nil
	}
	i := max(0, slices.IndexFunc(q.waiting, func(c *client) bool { return c.account != failed.account }))
	cl := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	f.turnTo(q, cl)
	return cl
}

// shut ends a question. The lock is held.
func (f *feature) shut(q *question) {
	q.timer.Stop()
	delete(f.open, q.digest)
}

// leave takes a client out of the question that it is part of. If it was the one who is
// asked, next is to be asked q. The lock is held.
func (f *feature) leave(cl *client) (q *question, next *client) {
	q = cl.question
	switch {
	case q == nil || f.open[q.digest] != q:
		return nil, nil
	case q.asked == cl:
		return q, f.next(q)
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(c *client) bool { return c == cl })
	return nil, nil
}

// answered takes a client's answer. What is proved is for everybody, also if it comes late.
func (f *feature) answered(cl *client, q *question, st *xmpp.Stanza) {
	info, proven := judge(cl.said, st)
	now := f.now()
	var news []*client
	var next *client
	f.mu.Lock()
	for _, d := range proven {
		f.cache.put(d, info, now)
	}
	if info != nil && cl.info == nil && f.there[cl.jid()] == cl {
		cl.info = info
		news = append(news, cl)
	}
	switch {
	case q == nil || f.open[q.digest] != q:
	case slices.Contains(proven, q.digest):
		news = append(news, f.solve(q, info)...)
	case q.asked == cl:
		next = f.next(q)
	}
	f.mu.Unlock()
	for _, d := range proven {
		f.write(info.size(), func(tx *storage.Tx) error { return add(tx, d, info, now, f.rows) })
	}
	for _, c := range news {
		f.tell(c)
	}
	var rd router.Round
	f.pose(&rd, next, q)
	rd.Flush()
}

// solve ends a question with what was proved, and returns those for whom that is news. The
// lock is held.
func (f *feature) solve(q *question, info *Info) (news []*client) {
	f.shut(q)
	for _, c := range append(q.waiting, q.asked) {
		if c.info == nil {
			c.info = info
			news = append(news, c)
		}
	}
	return news
}

// tell has a turn taken in which the features learn what a client can do.
func (f *feature) tell(cl *client) {
	err := cl.account.Post(func(t *router.Turn) {
		f.mu.Lock()
		current := f.there[cl.jid()] == cl
		f.mu.Unlock()
		if res, ok := cl.account.Resource(cl.jid().Resource()); ok && current && res.Session == cl.session {
			f.router.Known(t, cl.account, res, cl.info.Features)
		}
	})
	if err != nil {
		f.log.Warn("what a client can do was not told", "client", cl.jid().String(), "error", err)
	}
}
