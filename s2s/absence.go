package s2s

import (
	"time"

	"parley/xmpp"
)

// absentAfter is how long a domain is not reached until its users are taken for absent.
const absentAfter = time.Minute

// An absence is what a route knows of its domain while that is not reached. The route's lock
// guards it.
type absence struct {
	since  time.Time       // of the first attempt that failed; zero while it is reached
	told   bool            // its users were said to be absent
	looks  bool            // a stream was lost, and it is to be found out whether the domain is there
	latest map[moment]item // presence that is worth nothing but its last word
}

// A moment is whose presence it is, and for whom.
type moment struct {
	from, to xmpp.JID
	probe    bool
}

// momentOf reports whether a stanza is presence of the moment for an account: of this only the
// last is worth being told later (RFC 6121 §4.4.2). What is directed to a full address, as to a
// room, is not.
func momentOf(st *xmpp.Stanza) (m moment, ok bool) {
	if st.Kind != xmpp.Presence || !st.To.IsBare() {
		return m, false
	}
	switch st.Type {
	case "", "unavailable":
		return moment{st.From, st.To, false}, true
	case "probe":
		return moment{st.From.Bare(), st.To, true}, true
	}
	return m, false
}

// remember notes presence that is to be told when the domain is reached; false: it is none
// of the moment. The lock is held.
func (r *route) remember(it item) bool {
	m, ok := momentOf(it.st)
	if !ok {
		return false
	}
	if r.away.latest == nil {
		r.away.latest = map[moment]item{}
	}
	last, there := r.away.latest[m]
	if there && last.at.Before(it.at) || !there && len(r.away.latest) < r.s.settings.Load().QueueStanzas {
		r.away.latest[m] = it
	}
	return true
}

// outdated forgets what a newer stanza says otherwise. The lock is held.
func (r *route) outdated(st *xmpp.Stanza) {
	if len(r.away.latest) > 0 {
		if m, ok := momentOf(st); ok {
			delete(r.away.latest, m)
		}
	}
}

// remembered takes out what was remembered. The lock is held.
func (r *route) remembered() (list []item) {
	for _, it := range r.away.latest {
		list = append(list, it)
	}
	r.away.latest = nil
	return list
}

// goes notes that the domain is not reached now. It reports whether its users are to be taken
// for absent from now on. The lock is held.
func (r *route) goes(now time.Time, permanent bool) (absent bool) {
	if r.away.since.IsZero() {
		r.away.since = now
	}
	if permanent || now.Sub(r.away.since) > r.s.settings.Load().GiveUp {
		r.away.latest = nil
	}
	if r.away.told || !permanent && now.Sub(r.away.since) < absentAfter {
		return false
	}
	r.away.told, r.away.looks = true, false
	return true
}

// comes notes that the domain is reached. It reports whether its users were taken for
// absent. The lock is held.
func (r *route) comes() (was bool) {
	was = r.away.told
	r.away = absence{}
	return was
}
