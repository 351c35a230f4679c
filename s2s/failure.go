package s2s

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"parley/router"
	"parley/xmpp"
)

// A failure is why there is no stream to a domain.
type failure struct {
	at        time.Time
	condition string // of the error for who has sent something
	text      string // in words that may be shown to anybody
	permanent bool   // trying again soon is of no use
	trail     *Trail
	cause     error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

// answer is what who has sent something is told.
func (f *failure) answer() *xmpp.Error { return xmpp.Refuse(f.condition, f.text) }

// asFailure makes a failure of whatever went wrong.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	f = &failure{at: time.Now(), condition: "remote-server-timeout", text: oneLine(inWords(err).Error()), cause: err}
	var wrong *theirs
	var unverified *errUnverified
	switch {
	case NotFound(err): // RFC 6120 §8.3.3.16
		f.condition, f.permanent = "remote-server-not-found", true
	case errors.As(err, &wrong) && (wrong.condition == "host-unknown" || wrong.condition == "host-gone"):
		f.condition, f.permanent = "remote-server-not-found", true
	case errors.As(err, &wrong) && (wrong.condition == "not-authorized" || wrong.condition == "policy-violation" || wrong.condition == "invalid-from"):
		f.permanent = true
	case errors.As(err, &unverified):
		f.permanent = unverified.condition != "remote-server-timeout" && unverified.condition != "remote-connection-failed" && unverified.condition != "resource-constraint"
	}
	return f
}

// refusal is a failure that trying again does not change.
func refusal(format string, args ...any) *failure {
	return &failure{at: time.Now(), condition: "remote-server-timeout", text: oneLine(fmt.Sprintf(format, args...)), permanent: true}
}

// maxBarren is how many streams in a row may take something and deliver nothing before the
// next one is waited for: there is something that the other side cannot bear.
const maxBarren = 3

// slow sees to it that a server which ends each stream that brings it something is not asked
// for the next one at once. The lock is held.
func (r *route) slow(left bool) {
	switch {
	case r.moved.Load():
		r.barren = 0
	case left:
		r.barren++
	}
	if r.barren >= maxBarren {
		r.retryAt = time.Now().Add(backoff(r.barren - maxBarren + 1))
	}
}

// Backoff between attempts.
const (
	backoffFirst = 2 * time.Second
	backoffMost  = 5 * time.Minute
)

// backoff is how long is waited after so many failures.
func backoff(fails int) time.Duration {
	d := min(backoffFirst<<min(fails-1, 10), backoffMost)
	return d*3/4 + rand.N(d/2)
}

// failed notes that an attempt has failed and answers what is not worth waiting. It reports
// whether anything waits yet.
func (r *route) failed(err error) bool {
	f := asFailure(err)
	r.s.stats.Failed.Add(1)
	r.mu.Lock()
	r.fails++
	d := backoff(r.fails)
	if back := r.mine(time.Now()); back != nil && time.Now().Before(back.comes) {
		r.fails, d = 1, backoff(1) // there is not much time
	}
	r.failure, r.retryAt = f, time.Now().Add(d)
	var keep, drop []item
	counted := r.counted()
	for i, it := range r.queue {
		switch {
		case !f.permanent && (i < counted || waits(it.st)):
			keep = append(keep, it)
		case f.permanent || !r.remember(it):
			drop = append(drop, it)
		}
	}
	absent := r.goes(time.Now(), f.permanent)
	r.requeue(keep)
	if f.permanent {
		r.resume = nil
	}
	r.mu.Unlock()
	r.s.log.Warn("a domain cannot be reached", "domain", r.pair.remote, "from", r.pair.local, "reason", f.text, "waiting", len(keep), "next", d.Round(time.Second), "path", f.trail.String())
	r.refuse(drop, f.answer())
	r.giveUp(r.tooOld())
	if absent {
		r.s.cfg.Router.Distant(r.pair.local, r.pair.remote, false)
	}
	return !r.rests()
}

// tooOld takes out what has waited for too long.
func (r *route) tooOld() (old []item) {
	before := time.Now().Add(-r.s.settings.Load().GiveUp)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.queue) && r.queue[n].at.Before(before) {
		n++
	}
	if n > 0 {
		old = r.queue[:n:n]
		r.requeue(r.queue[n:])
		r.resume = nil
	}
	return old
}

// giveUp answers what has waited for too long.
func (r *route) giveUp(old []item) {
	if len(old) == 0 {
		return
	}
	r.mu.Lock()
	f := r.failure
	r.mu.Unlock()
	text := fmt.Sprintf("%s could not be reached for %s", r.pair.remote, r.s.settings.Load().GiveUp)
	if f != nil {
		text += ": " + f.text
	}
	r.s.log.Warn("messages are given up", "domain", r.pair.remote, "stanzas", len(old), "reason", text)
	r.refuse(old, xmpp.Refuse("remote-server-timeout", text))
}

// refuse answers stanzas with an error, and takes them out of the outbox behind that.
func (r *route) refuse(list []item, err *xmpp.Error) {
	if len(list) == 0 {
		return
	}
	var rd router.Round
	for _, it := range list {
		switch {
		case it.st.Kind == xmpp.Message:
			r.s.cfg.Router.Return(&rd, it.st, err)
		case it.st.Kind == xmpp.IQ || waits(it.st) || it.st.Type == "" && !it.st.To.IsBare(): // who joins a room wants to know
			r.s.cfg.Router.Bounce(&rd, it.st, err)
		}
	}
	rd.Flush()
	if ids := idsOf(list); len(ids) > 0 { // what is not written is settled by that
		r.s.outbox.store.Keep(64, nil, func(error) { r.s.outbox.gone(ids) })
	}
}
