package s2s

import (
	"errors"
	"net/netip"
	"time"

	"parley/xmpp"
)

// carrier returns a stream by which a pair may be sent.
func (s *Server) carrier(p pair) *link {
	for _, l := range s.allLinks() {
		if l.carries(p) {
			return l
		}
	}
	return nil
}

// shareable returns a stream to the same domain that another domain of ours has opened, and
// that may carry this one, too (XEP-0220 §2.6). One that can be resumed is not shared: only
// the pair of its header could go on with it.
func (s *Server) shareable(p pair) *link {
	for _, l := range s.allLinks() {
		if l.out && l.heads().remote == p.remote && l.shares() {
			return l
		}
	}
	return nil
}

// outTo returns a stream that we have opened to a domain, but not a certain one.
func (s *Server) outTo(p pair, except *link) *link {
	for _, l := range s.allLinks() {
		if l != except && l.out && l.heads().remote == p.remote && l.busy() {
			return l
		}
	}
	return nil
}

// admit takes in a stream that was accepted, if there is room.
func (s *Server) admit(l *link) bool {
	set := s.settings.Load()
	from := addressPrefix(l.addr.Addr())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door.stopping.Load() || set.Links > 0 && len(s.links) >= set.Links || set.PerAddress > 0 && s.unproven[from] >= set.PerAddress {
		return false
	}
	s.unproven[from]++
	l.counted = true
	s.links[l] = struct{}{}
	s.works.Add(1)
	return true
}

// enter takes in a stream of ours.
func (s *Server) enter(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door.stopping.Load() {
		return false
	}
	s.links[l] = struct{}{}
	s.works.Add(1)
	s.stats.Connected.Add(1)
	return true
}

// forget takes out a stream that is over.
func (s *Server) forget(l *link) {
	l.mu.Lock()
	in, out := l.counts.in, l.counts.out
	l.mu.Unlock()
	s.stats.In.Add(int64(in))
	s.stats.Out.Add(int64(out))
	s.mu.Lock()
	if _, there := s.links[l]; there {
		delete(s.links, l)
		s.uncount(l)
		s.works.Done()
	}
	s.mu.Unlock()
}

// proven notes that a stream has proved a domain.
func (s *Server) proven(l *link) {
	s.mu.Lock()
	s.uncount(l)
	s.mu.Unlock()
}

// uncount takes a stream out of those that have proved nothing. The lock is held.
func (s *Server) uncount(l *link) {
	if !l.counted {
		return
	}
	l.counted = false
	from := addressPrefix(l.addr.Addr())
	if s.unproven[from]--; s.unproven[from] <= 0 {
		delete(s.unproven, from)
	}
}

// addressPrefix is what an address is counted by: itself, or for IPv6 the /64 around it.
func addressPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

// isLost reports whether a stream has ended without either side saying so. The lock is held.
func (l *link) isLost() bool {
	var wrong *xmpp.StreamError
	var said *theirs
	switch {
	case l.cause == nil:
		return false
	case errors.As(l.cause, &said): // a server may go on with one that was silent for it
		return said.condition == "connection-timeout" && l.resumable()
	case errors.As(l.cause, &wrong):
		return wrong.Condition == "conflict" || wrong.Condition == "connection-timeout"
	}
	return true
}

// resumable reports whether who has opened the stream may go on with it when it is lost. The lock
// is held.
func (l *link) resumable() bool {
	if l.out {
		return l.smOut.resumes() != ""
	}
	return l.sm != nil && l.sm.id != ""
}

// shares reports whether the stream may carry another domain of ours.
func (l *link) shares() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && !l.leaving && len(l.sends) > 0 && len(l.sends) < maxPairs && l.features.dialbackErrors && l.smOut.resumes() == ""
}

// resumes returns the id by which the stream is resumed.
func (o *outbound) resumes() string {
	if o == nil {
		return ""
	}
	return o.id
}

// busy reports whether the stream carries anything for us.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && !l.leaving && len(l.sends) > 0
}

func (l *link) overSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over && l.heard.Before(t)
}

// look is called now and then by the sweeper.
func (l *link) look(now time.Time) {
	set := l.s.settings.Load()
	l.mu.Lock()
	gone := l.left()
	over, proofs := l.over, len(l.may)
	waits, stalled := len(l.sent) > 0, now.Sub(l.stalled) > set.Stall
	// While the stream is being opened there is nothing to give back, and whoever waits does not
	// expect to be interrupted.
	silent := l.running.Load() && now.Sub(l.heard) > trimAfter && now.Sub(l.heard) < trimAfter+2*l.s.cfg.SweepEvery
	l.mu.Unlock()
	if silent {
		l.t.Nudge()
	}
	l.s.outbox.gone(gone)
	l.pay(now.Add(-countsWithin))
	switch {
	case over:
	case !l.out && proofs == 0 && now.Sub(l.began) > set.Negotiate:
		l.end(xmpp.EndStream("connection-timeout", "no domain was proved in %s", set.Negotiate))
	case waits && stalled:
		l.log().Warn("a server takes nothing any more; another stream is tried", "waiting", "stanzas")
		l.end(xmpp.EndStream("connection-timeout", "nothing was taken in %s", set.Stall))
	default:
		l.leave(nil, func() bool { return l.needless(now, set.Idle) })
	}
}

// needless reports whether nobody has used the stream for a while. The lock is held.
func (l *link) needless(now time.Time, idle time.Duration) bool {
	quiet := now.Sub(l.spoke)
	switch {
	case len(l.sent) > 0 || len(l.asked) > 0 || len(l.verify) > 0 || !l.running.Load():
		return false
	case l.asks:
		return quiet > verifierIdle
	}
	return quiet > idle && (!l.out || len(l.sends) > 0)
}

// trimAfter is the silence after which a stream gives back the memory for its next record.
const trimAfter = 8 * time.Second
