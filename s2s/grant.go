package s2s

import "time"

// A grant is a pair that we may send for, and by which proof.
type grant struct {
	pair
	proof string
	at    time.Time
}

// countsWithin is how long a server that has opened a stream of both directions has to begin
// stream management before we send by it without: what is sent earlier is not counted.
const countsWithin = 2 * time.Second

// grants lets a pair be sent for: at once, or when the other side has begun to count, has begun
// to send, or lets too much time pass.
func (l *link) grants(p pair, proof string) {
	l.mu.Lock()
	waits := l.s.settings.Load().Manage && l.sm == nil && l.counts.in == 0
	if waits {
		l.owed = append(l.owed, grant{p, proof, time.Now()})
	}
	l.mu.Unlock()
	if !waits {
		l.grant(p, proof)
	}
}

// pay lets everything be sent for that was granted before that time.
func (l *link) pay(before time.Time) {
	l.mu.Lock()
	owed := l.owed
	if len(owed) == 0 || l.over || owed[0].at.After(before) {
		l.mu.Unlock()
		return
	}
	l.owed = nil
	l.mu.Unlock()
	for _, g := range owed {
		l.grant(g.pair, g.proof)
	}
}

// grant lets a pair be sent for, and has what waits be handed over.
func (l *link) grant(p pair, proof string) {
	l.mayCarry(p, proof)
	if r := l.s.known(p); r != nil {
		r.carried()
	}
}
