package s2s

import "parley/xmpp"

// SetPolicy changes the policy. Streams end that carry a domain which it denies, or of which it
// wants a certificate where dialback has been enough; the others stay open.
func (s *Server) SetPolicy(p *Policy) {
	s.policy.Store(p)
	for _, r := range s.allRoutes() {
		r.denied.Store(p.For(r.pair.remote).Denied)
	}
	for _, l := range s.allLinks() {
		if why := l.against(p); why != "" {
			l.log().Info("a connection ends, since the rules have changed", "rule", why)
			l.leave(xmpp.EndStream("policy-violation", "the rules of this server have changed"), nil)
		}
	}
}

// against returns the rule of a policy that does not allow a stream to go on, or "".
func (l *link) against(p *Policy) string {
	for remote, proof := range l.believed() {
		rule := p.For(remote)
		if rule.Denied || !rule.Dialback && (proof == "dialback" || proof == "dns") {
			return rule.Why
		}
	}
	return ""
}

// believed returns the domains that a stream carries stanzas of or for, and why we believe
// that the other side is each of them.
func (l *link) believed() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := map[string]string{}
	if l.over {
		return list
	}
	for p := range l.sends { // by a stream that came in only if both may send: it stands in l.may, too
		list[p.remote] = l.theirs
	}
	for p, proof := range l.may {
		list[p.remote] = proof
	}
	return list
}

// with reports whether a stream has to do with a domain.
func (l *link) with(remote string) bool {
	_, carries := l.believed()[remote]
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && (carries || l.head.remote == remote)
}
