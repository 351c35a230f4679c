package router

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"parley/xmpp"
)

// Bind makes a session of the account with this bare JID and number (RFC 6120 §7), whose
// owner has proved to be who they are, beginning when Forgets was since. resource may be
// empty: the server makes one then. A session that holds the resource already is ended
// with conflict (RFC 6120 §7.7.2.2). make is called with the full JID. The session is
// spoken through the Sender until Leave.
func (r *Router) Bind(bare xmpp.JID, id int64, since uint64, resource string, make func(xmpp.JID) Session) (*Sender, error) {
	s, _, err := r.BindWith(bare, id, since, resource, xmpp.Element{}, make)
	return s, err
}

// BindWith is Bind with what a <bind/> of Bind 2 enables at once (XEP-0386 §3.2). It also
// returns what is to stand in <bound/>.
func (r *Router) BindWith(bare xmpp.JID, id int64, since uint64, resource string, req xmpp.Element, make func(xmpp.JID) Session) (*Sender, xmpp.Payload, error) {
	return r.BindAgent(bare, id, since, xmpp.UserAgent{}, resource, req, make)
}

// BindAgent is BindWith for a client that says which one it is. Earlier sessions of the
// same client are ended with conflict (XEP-0386 §3.2): it has lost them, or it would not
// come again.
func (r *Router) BindAgent(bare xmpp.JID, id int64, since uint64, agent xmpp.UserAgent, resource string, req xmpp.Element, make func(xmpp.JID) Session) (*Sender, xmpp.Payload, error) {
	if resource == "" {
		resource = strings.ToLower(rand.Text())
	}
	full, err := bare.WithResource(resource)
	if err != nil {
		return nil, nil, xmpp.Refuse("bad-request", "no valid resource") // RFC 6120 §7.7.2.1
	}
	a, err := r.proved(bare, id, since)
	if err != nil {
		return nil, nil, r.failed(err)
	}
	if a == nil {
		return nil, nil, xmpp.Refuse("not-allowed", "")
	}
	s := &Sender{r: r, jid: full, agent: agent}
	s.open(a, nil)
	var refused error
	var bound xmpp.Payload
	err = a.Do(func(t *Turn) {
		if a.gone.Load() {
			refused = xmpp.Refuse("not-allowed", "")
			return
		}
		defer r.replace(t, a, full)() // the older one hears of it when the newer one is there
		defer r.succeed(t, a, agent)()
		s.began = time.Now() // behind all that these have said
		if limit := int(r.maxResources.Load()); len(a.Resources()) >= limit {
			refused = tooManyResources()
			return
		}
		s.session = make(full)
		a.add(Resource{Session: s.session, sender: s, since: time.Now()})
		r.sessions.Add(1)
		a.land(t)
		bound = r.inline(t, s, req)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		a.pins.Add(-1)
		return nil, nil, err
	}
	return s, bound, nil // the pin is the session's, until Leave
}

// proved returns the account of somebody who has just logged in, pinned. Whether it exists
// is asked only if an account has been removed since the login began: it may be this one.
func (r *Router) proved(bare xmpp.JID, id int64, since uint64) (*Account, error) {
	a, drops := r.accounts.get(bare)
	if a == nil && r.forgets.Load() == since {
		fresh, err := r.load(context.Background(), bare, id)
		if err != nil {
			return nil, err
		}
		a = r.accounts.put(fresh, drops)
	}
	if a == nil {
		return r.account(context.Background(), bare)
	}
	return a, nil
}

// Forgets returns how many accounts were forgotten.
func (r *Router) Forgets() uint64 { return r.forgets.Load() }

// tooManyResources is the error of XEP-0205 §4.4 for a limit on resources.
func tooManyResources() error {
	e := xmpp.Refuse("resource-constraint", "too many connected resources")
	var b xmpp.Builder
	e.App = b.Open("http://jabber.org/protocol/errors#resource-limit-exceeded", "resource-limit-exceeded").Payload()
	return e
}

// replace takes out the session that holds a full JID, if one does, and returns what then
// ends it. What it has said is settled, and no more of it comes: what the newer session says
// again is recognised.
func (r *Router) replace(t *Turn, a *Account, full xmpp.JID) (end func()) {
	old, ok := a.Resource(full.Resource())
	if !ok {
		return func() {}
	}
	r.depart(t, a, old.sender, unavailable(full, ""))
	old.sender.settle(&t.Round)
	return func() { old.End(xmpp.EndStream("conflict", "a newer session has taken this resource")) }
}

// succeed takes out the sessions of a client that has come again, and returns what then
// ends them.
func (r *Router) succeed(t *Turn, a *Account, agent xmpp.UserAgent) (end func()) {
	var old []Session
	for _, res := range a.Resources() {
		if agent.ID != "" && res.sender.agent.ID == agent.ID {
			r.depart(t, a, res.sender, unavailable(res.JID(), ""))
			res.sender.settle(&t.Round)
			old = append(old, res.Session)
		}
	}
	return func() {
		for _, s := range old {
			s.End(xmpp.EndStream("conflict", "this client has opened a newer session"))
		}
	}
}

// Leave takes the session out of its account: unavailable presence is sent for it unless
// it was sent already (RFC 6121 §4.5.3). It waits for what is in flight. Leave is called
// once, by the reader.
func (s *Sender) Leave(status string) {
	var rd Round
	s.settle(&rd)
	s.account.inbox.insist(func(t *Turn) { // a session that stayed would be a ghost
		s.r.depart(t, s.account, s, unavailable(s.jid, status))
		s.r.left(t, s)
		s.r.crossings.forget(s.provisional())
	})
	s.account.pins.Add(-1)
}

// depart removes a session from the list and shows that it went. What it was handed is written
// then: it is offered to others.
func (r *Router) depart(t *Turn, a *Account, s *Sender, st *xmpp.Stanza) {
	was, ok := a.remove(s.session)
	if !ok {
		return
	}
	r.sessions.Add(-1)
	s.ends()
	s.undirect(t, st, was.Available())
	if was.Available() {
		after := was
		after.Presence, after.Ready = nil, false
		r.show(t, a, PresenceChange{was, after, st})
	}
	s.land(&t.Round)
}

// left has the features see to what a session was handed and has not taken.
func (r *Router) left(t *Turn, s *Sender) {
	for _, f := range r.features {
		if f.Left != nil {
			f.Left(t, s.account, s)
		}
	}
}

func unavailable(from xmpp.JID, status string) *xmpp.Stanza {
	var b xmpp.Builder
	if status != "" {
		b.Leaf("", "status", status)
	}
	st := xmpp.NewStanza(xmpp.Presence, b.Payload())
	st.Type, st.From = "unavailable", from
	return st
}

// Forget ends every session of an account that is removed or disabled, with this error,
// and forgets what is known of it. The Directory knows of the change already.
func (r *Router) Forget(bare xmpp.JID, err *xmpp.StreamError) {
	r.forgets.Add(1)
	a := r.accounts.drop(bare)
	if a == nil {
		return
	}
	a.inbox.insist(func(*Turn) {
		a.gone.Store(true)
		for _, res := range a.Resources() {
			res.End(err)
		}
	})
}

// EachSession calls fn for every connected resource of the house.
func (r *Router) EachSession(fn func(*Account, Resource)) {
	for i := range r.accounts.parts {
		p := &r.accounts.parts[i]
		p.mu.Lock()
		list := make([]*Account, 0, len(p.m))
		for _, a := range p.m {
			list = append(list, a)
		}
		p.mu.Unlock()
		for _, a := range list {
			for _, res := range a.Resources() {
				fn(a, res)
			}
		}
	}
}

// WithAccountInMemory calls fn with an account that is in use, and not at all for any
// other.
func (r *Router) WithAccountInMemory(bare xmpp.JID, fn func(*Account)) {
	if a, _ := r.accounts.get(bare); a != nil {
		defer a.pins.Add(-1)
		fn(a)
	}
}
