package s2s

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"parley/router"
	"parley/xmpp"
)

// live reads stanzas until the stream ends.
func (l *link) live() {
	l.noteHeard()
	l.running.Store(true)
	err := l.attend()
	if errors.Is(err, errLeaving) {
		err = l.goodbye
	}
	var rd router.Round
	l.from.Settle(&rd)
	l.lastWord()
	rd.Flush()
	if l.sm != nil && l.sm.id != "" {
		l.s.noteCount(l.sm.id, l.head, l.handled())
	}
	l.finish(err)
	<-l.parted // the last bytes are written, by whoever does it
	if backlog, _ := l.t.Backlog(); backlog == 0 && (l.st.Ended() || errors.Is(err, io.EOF)) {
		l.st.Close(0) // there is nothing to wait for
	} else {
		l.st.Close(lingerAfter)
	}
	close(l.done)
}

// finish ends the stream for what reading has said.
func (l *link) finish(err error) {
	var wrong *xmpp.StreamError
	switch {
	case l.st.Ended():
		err = nil
	case errors.As(err, &wrong):
		l.log().Warn("a server's stream is ended", "condition", wrong.Condition, "text", wrong.Text)
	}
	l.end(err)
}

func (l *link) attend() (err error) {
	defer func() {
		if p := recover(); p != nil { // it ends the stream, not the house
			l.log().Error("a stanza's handling panicked", "panic", p, "stack", string(debug.Stack()))
			err = xmpp.EndStream("internal-server-error", "")
		}
	}()
	var rd router.Round
	defer rd.Flush()
	for n := 1; ; n++ {
		st, err := l.st.Next()
		switch {
		case errors.Is(err, xmpp.ErrMore):
			l.flush(&rd)
			if err := l.wait(); err != nil {
				return err
			}
			n = 0
			continue
		case err != nil:
			return err
		}
		if err := l.handle(&rd, st); err != nil {
			return err
		}
		if n%stanzasARound == 0 {
			l.flush(&rd)
			l.noteHeard()
			if l.leaves() {
				return errLeaving
			}
		}
	}
}

// wait waits until something comes, or the stream is to end.
func (l *link) wait() error {
	for {
		if l.leaves() {
			return errLeaving
		}
		switch err := l.t.Wait(); {
		case err == nil:
			l.noteHeard()
			return nil
		case !errors.Is(err, xmpp.ErrNudged):
			return err
		}
		l.t.Trim()
	}
}

func (l *link) noteHeard() {
	now := time.Now()
	l.mu.Lock()
	l.heard = now
	grown := l.grown
	l.grown = false
	l.mu.Unlock()
	if grown {
		l.st.SetLimits(xmpp.Limits{Stanza: l.s.settings.Load().Stanza})
	}
}

func (l *link) flush(rd *router.Round) {
	rd.Flush()
	if l.said {
		l.said = false
		l.Flush()
	}
	if d := l.spend(time.Now()); d > 0 {
		l.s.stats.Paced.Add(1)
		time.Sleep(d)
	}
}

// spend counts what was read since the last time against what one stream may send, and
// returns how long it is to wait until it is read on.
func (l *link) spend(now time.Time) time.Duration {
	set := l.s.settings.Load()
	n := l.st.Taken() - l.paid
	l.paid += n
	if set.Rate <= 0 {
		return 0
	}
	l.budget = min(l.budget+now.Sub(l.refilled).Seconds()*float64(set.Rate), float64(set.Burst)) - float64(n)
	l.refilled = now
	if l.budget >= 0 {
		return 0
	}
	return min(time.Duration(-l.budget/float64(set.Rate)*float64(time.Second)), time.Second)
}

// handle takes one element of a stream that is open.
func (l *link) handle(rd *router.Round, st *xmpp.Stanza) error {
	if st.Kind != xmpp.Nonza {
		return l.stanza(rd, st)
	}
	switch st.Name.Space {
	case nsDialback:
		return l.dialback(st)
	case nsSM:
		return l.manage(rd, st)
	case xmpp.NSStream:
		if st.Name.Local == "error" {
			return l.theirError(st)
		}
	case nsBidi:
		if !l.out && st.Name.Local == "bidi" {
			return l.wantsBidi(st)
		}
	}
	return l.negotiate(st)
}

// stanza takes a stanza for the house, if the stream may carry it (RFC 6120 §8.1.1.2,
// §8.1.2.2).
func (l *link) stanza(rd *router.Round, st *xmpp.Stanza) error {
	p := pair{st.To.Domain(), st.From.Domain()}
	if st.Fault != nil { // of an address that is none: its sender may be a user like any other
		if !st.From.IsZero() && l.hosts(st.From.Domain()) {
			if l.count() {
				l.from.Answered()
				l.reject(rd, st)
			}
			return nil
		}
		return xmpp.EndStream("improper-addressing", "")
	}
	switch {
	case st.From.IsZero() || st.To.IsZero():
		return xmpp.EndStream("improper-addressing", "")
	case l.out && !l.bidi:
		return xmpp.EndStream("not-authorized", "nothing is sent on this side of a stream")
	case l.allowed(p):
	case !l.hosts(p.remote):
		if l.proofs() == 0 {
			return xmpp.EndStream("not-authorized", "")
		}
		return xmpp.EndStream("invalid-from", "this stream is not for %s", p.remote)
	case !l.s.cfg.Local(p.local):
		return xmpp.EndStream("host-unknown", "")
	default:
		return xmpp.EndStream("invalid-from", "this stream is not for %s and %s", p.remote, p.local)
	}
	if l.count() {
		if l.taken == 1 {
			l.pay(time.Now())
		}
		l.from.Deliver(context.Background(), rd, st)
	}
	return nil
}

// count counts a stanza that was taken from the stream. Under stream management none is taken
// any more when the stream is over for us: it could not be acknowledged, and is sent again.
func (l *link) count() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over && l.sm != nil {
		return false
	}
	l.taken++
	l.counts.in++
	l.spoke = time.Now()
	return true
}

// reject answers a stanza whose 'to' is no address.
func (l *link) reject(rd *router.Round, st *xmpp.Stanza) {
	answer := xmpp.Bounce(st, st.Fault)
	if answer == nil {
		return
	}
	if from, err := xmpp.NewJID("", l.head.local, ""); err == nil && answer.From.IsZero() {
		answer.From = from
	}
	l.s.cfg.Router.Deliver(rd, answer)
}

// theirError takes a stream error of the other side.
func (l *link) theirError(st *xmpp.Stanza) error {
	condition, text := streamErrorOf(st)
	if condition == "" {
		condition = "undefined-condition"
	}
	l.log().Info("the other server ends the stream", "condition", condition, "text", text)
	return &theirs{condition, text}
}

// theirs is a stream error that the other side has sent.
type theirs struct{ condition, text string }

func (e *theirs) Error() string {
	if e.text != "" {
		return "the other server ends the stream: " + e.condition + " (" + e.text + ")"
	}
	return "the other server ends the stream: " + e.condition
}

func streamErrorOf(st *xmpp.Stanza) (condition, text string) {
	for e := range st.Children {
		switch n := e.Name(); {
		case n.Space != xmpp.NSStreams:
		case n.Local == "text":
			text = oneLine(e.Text())
		case condition == "":
			condition = n.Local
		}
	}
	return condition, text
}
