package s2s

import (
	"cmp"
	"slices"
)

// Figures are what is there now, and what has ever been.
type Figures struct {
	In, Out               int // streams, by who has opened them
	Waiting               int // stanzas that wait for their domain
	Unacknowledged        int // that the other side may not have
	StanzasIn, StanzasOut int64
	Domains               []DomainFigures // those that most waits for
	Others                DomainFigures   // all the others together
}

// DomainFigures are those of one domain.
type DomainFigures struct {
	Domain  string
	Waiting int
	Up      int // from how many domains of ours there is a stream to it
}

// Figures counts everything, with figures of their own for at most so many domains.
func (s *Server) Figures(domains int) (f Figures) {
	f.StanzasIn, f.StanzasOut = s.stats.In.Load(), s.stats.Out.Load()
	for _, l := range s.allLinks() {
		if l.out {
			f.Out++
		} else {
			f.In++
		}
		l.mu.Lock()
		f.Unacknowledged += len(l.sent)
		f.StanzasIn += int64(l.counts.in)
		f.StanzasOut += int64(l.counts.out)
		l.mu.Unlock()
	}
	by := map[string]*DomainFigures{}
	for _, r := range s.allRoutes() {
		d := by[r.pair.remote]
		if d == nil {
			d = &DomainFigures{Domain: r.pair.remote}
			by[r.pair.remote] = d
		}
		r.mu.Lock()
		d.Waiting += len(r.queue)
		if r.state == joined {
			d.Up++
		}
		r.mu.Unlock()
	}
	for _, d := range by {
		f.Waiting += d.Waiting
		f.Domains = append(f.Domains, *d)
	}
	slices.SortFunc(f.Domains, func(a, b DomainFigures) int {
		return cmp.Or(b.Waiting-a.Waiting, b.Up-a.Up, cmp.Compare(a.Domain, b.Domain))
	})
	for _, d := range f.Domains[min(domains, len(f.Domains)):] {
		f.Others.Waiting += d.Waiting
		f.Others.Up += d.Up
	}
	f.Domains = f.Domains[:min(domains, len(f.Domains))]
	return f
}
