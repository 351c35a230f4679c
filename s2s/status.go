package s2s

import (
	"cmp"
	"context"
	"crypto/tls"
	"slices"
	"time"
)

// LinkInfo is what an operator may want to know of a stream with another server.
type LinkInfo struct {
	ID        string            `json:"id"`        // in the log
	Direction string            `json:"direction"` // who has opened it: in or out
	Local     string            `json:"local"`
	Remote    string            `json:"remote"` // "" where nothing was said yet
	Address   string            `json:"address"`
	Since     time.Time         `json:"since"`
	TLS       string            `json:"tls,omitempty"`
	Receives  map[string]string `json:"receives,omitempty"` // "remote -> local": by which proof
	Sends     map[string]string `json:"sends,omitempty"`    // "local -> remote": by which proof
	Both      bool              `json:"bidi"`
	Managed   bool              `json:"stream_management"`
	In        uint64            `json:"stanzas_in"`
	Out       uint64            `json:"stanzas_out"`
	Waiting   int               `json:"unacknowledged"` // stanzas that the other side may not have
	Path      []Step            `json:"path,omitempty"` // how it was opened, and by what the other side was believed
}

// Links describes all streams, in the order of domains.
func (s *Server) Links() []LinkInfo {
	list := []LinkInfo{}
	for _, l := range s.allLinks() {
		if i, ok := l.info(); ok {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b LinkInfo) int {
		return cmp.Or(cmp.Compare(a.Remote, b.Remote), cmp.Compare(a.Local, b.Local), a.Since.Compare(b.Since))
	})
	return list
}

func (l *link) info() (i LinkInfo, ok bool) {
	state := l.t.TLS()
	l.mu.Lock()
	defer l.mu.Unlock()
	i = LinkInfo{
		ID: l.id, Direction: "in", Address: l.addr.String(), Since: l.began, Both: l.bidi, Managed: l.smOut != nil,
		Local: l.head.local, Remote: l.head.remote, In: l.counts.in, Out: l.counts.out, Waiting: len(l.sent),
		Receives: map[string]string{}, Sends: map[string]string{}, Path: l.trail.Steps(),
	}
	if l.out {
		i.Direction = "out"
	}
	if state != nil {
		i.TLS = tls.VersionName(state.Version)
	}
	for p, proof := range l.may {
		i.Receives[p.remote+" -> "+p.local] = proof
	}
	for p, proof := range l.sends {
		i.Sends[p.local+" -> "+p.remote] = proof
	}
	return i, !l.over
}

// RouteInfo is what an operator may want to know of the way to a domain.
type RouteInfo struct {
	Local   string    `json:"local"`
	Remote  string    `json:"remote"`
	State   string    `json:"state"` // resting, connecting or connected
	Waiting int       `json:"waiting"`
	Bytes   int       `json:"bytes"`
	Oldest  time.Time `json:"oldest,omitzero"` // of what waits
	Next    time.Time `json:"next,omitzero"`   // when it is tried again
	Fails   int       `json:"failures"`        // in a row
	Error   string    `json:"error,omitempty"` // of the last attempt
	At      time.Time `json:"error_at,omitzero"`
	Path    []Step    `json:"path,omitempty"` // of that attempt
}

// Routes describes the ways to all domains that are in use, in the order of domains.
func (s *Server) Routes() []RouteInfo {
	list := []RouteInfo{}
	for _, r := range s.allRoutes() {
		list = append(list, r.info())
	}
	slices.SortFunc(list, func(a, b RouteInfo) int {
		return cmp.Or(cmp.Compare(a.Remote, b.Remote), cmp.Compare(a.Local, b.Local))
	})
	return list
}

func (r *route) info() RouteInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := RouteInfo{Local: r.pair.local, Remote: r.pair.remote, State: "resting", Waiting: len(r.queue), Bytes: r.bytes, Fails: r.fails}
	switch r.state {
	case connecting:
		i.State = "connecting"
	case joined:
		i.State = "connected"
	}
	if len(r.queue) > 0 {
		i.Oldest = r.queue[0].at
	}
	if now := time.Now(); r.next(now).After(now) {
		i.Next = r.next(now)
	}
	if f := r.failure; f != nil {
		i.Error, i.At, i.Path = f.text, f.at, f.trail.Steps()
	}
	return i
}

// CloseDomain ends all streams with a domain, and returns how many there were. What waits
// for the domain is tried again at once; it returns how many stanzas do.
func (s *Server) CloseDomain(remote string) (streams, waiting int) {
	for _, l := range s.allLinks() {
		if l.with(remote) {
			streams++
			l.leave(nil, nil)
		}
	}
	for _, r := range s.allRoutes() {
		if r.pair.remote == remote {
			r.mu.Lock()
			waiting += len(r.queue)
			r.mu.Unlock()
			r.hurry()
		}
	}
	return streams, waiting
}

// A Check is what came of reaching a domain as if for the first time.
type Check struct {
	Domain string `json:"domain"`
	Rule   string `json:"rule"`             // of the configuration
	Proof  string `json:"proof,omitempty"`  // by which we believe the domain: pkix, dane, posh, or dns with dialback
	Ours   string `json:"ours,omitempty"`   // by which it believes us: certificate or dialback
	Error  string `json:"error,omitempty"`  // why it cannot be reached
	Reason string `json:"reason,omitempty"` // what the certificate says
	Path   []Step `json:"path"`
}

// Check opens a stream to a domain and closes it, whatever there is already. With only, it
// looks at the certificate and goes no further: nobody is asked to believe us.
func (s *Server) Check(ctx context.Context, local, remote string, only bool) Check {
	rule := s.policy.Load().For(remote)
	c := Check{Domain: remote, Rule: rule.Why, Path: []Step{}}
	if rule.Denied {
		c.Error = "this server does not talk to " + remote
		return c
	}
	ctx, stop := context.WithTimeout(ctx, s.settings.Load().Connect)
	defer stop()
	p := pair{local, remote}
	l, err := s.open(ctx, p)
	if err != nil {
		f := asFailure(err)
		c.Error, c.Path = f.text, f.trail.Steps()
		return c
	}
	verdict := l.judge(ctx, remote, &l.target)
	c.Reason, c.Proof = verdict.Reason, verdict.Proof
	switch {
	case verdict.Refused, verdict.Proof == "" && !rule.Dialback:
		c.Error = "the certificate is not accepted: " + verdict.Reason
	case verdict.Proof == "":
		c.Proof = "dialback"
	}
	if only || c.Error != "" {
		l.end(nil)
		close(l.done)
		s.forget(l)
	} else {
		l.tries = true
		if err := l.authenticate(ctx, p, rule); err != nil {
			c.Error = asFailure(err).text
			l.trail.Fail(StageProof, "%s", c.Error)
		}
		c.Ours = l.ours
		l.end(nil)
	}
	c.Path = l.trail.Steps()
	return c
}
