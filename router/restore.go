package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// Saved is what the house knows of a session that is to be there again after a restart. It
// is made for being written as JSON.
type Saved struct {
	JID      string            // full
	Agent    xmpp.UserAgent    // what the client has said that it is
	Presence string            // as the client has sent it; "" unless available
	Sent     time.Time         // when it has
	Priority int8              // RFC 6121 §4.7.2.3
	Ready    bool              // see Resource
	Interest bool              // see Resource
	Copies   bool              // see Resource
	Since    time.Time         // when it was bound
	Directed []string          // who was sent directed presence (RFC 6121 §4.6)
	Features map[string][]byte // what features have to say, by their names
}

// ErrNotWhole says that a session was restored, but not all that belongs to it: its client
// is not to go on with it.
var ErrNotWhole = errors.New("router: something of a saved session is not as it was")

var errTaken = errors.New("router: the resource of a saved session is there already")

// Save returns what is to be kept of a session over a restart. Nobody is told that it goes:
// where it is saved, Leave is not called. ok is false if it is over.
func (s *Sender) Save() (sv Saved, ok bool) {
	s.account.inbox.insist(func(t *Turn) {
		var res Resource
		if res, ok = s.account.Resource(s.jid.Resource()); !ok || res.Session != s.session {
			ok = false
			return
		}
		sv = Saved{
			JID: s.jid.String(), Agent: s.agent, Sent: res.Sent, Priority: res.Priority, Ready: res.Ready,
			Interest: res.Interest, Copies: res.Copies, Since: res.since, Features: map[string][]byte{},
		}
		if res.said != nil {
			sv.Presence = string(res.said.AppendNS(nil, xmpp.NSClient))
		}
		s.mu.Lock()
		for to := range s.directed {
			sv.Directed = append(sv.Directed, to.String())
		}
		s.mu.Unlock()
		for _, f := range s.r.features {
			if f.Save == nil {
				continue
			}
			if data := f.Save(t, s.account, res); data != nil {
				sv.Features[f.Name] = data
			}
		}
		s.r.sessions.Add(-1)
	})
	return sv, ok
}

// Restore makes a session that was saved, without showing anything of it to anybody: who
// saw it sees it yet. held are the messages that it was handed and has not acknowledged.
// make is called with the full JID. With ErrNotWhole the session is there, and to be ended
// by Leave, so that those who saw it hear of it; with any other error it is not.
func (r *Router) Restore(ctx context.Context, sv Saved, held []storage.ID, make func(xmpp.JID) Session) (*Sender, error) {
	full, err := xmpp.ParseJID(sv.JID)
	if err != nil || full.Resource() == "" {
		return nil, fmt.Errorf("router: %q is the address of no session", sv.JID)
	}
	a, err := r.account(ctx, full.Bare())
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, fmt.Errorf("router: there is no account %s", full.Bare())
	}
	s := &Sender{r: r, jid: full, held: held, agent: sv.Agent, began: sv.Since}
	s.open(a, nil)
	whole := s.directedTo(sv.Directed)
	failed := a.Do(func(t *Turn) {
		if _, there := a.Resource(full.Resource()); there {
			err = errTaken
			return
		}
		s.session = make(full)
		res := Resource{
			Session: s.session, sender: s, since: sv.Since, Sent: sv.Sent,
			Priority: sv.Priority, Interest: sv.Interest, Copies: sv.Copies,
		}
		if sv.Presence != "" {
			if res.said, err = xmpp.ParseStanza(sv.Presence); err != nil {
				return
			}
			res.Presence, res.Ready = r.shown(a, res.said), sv.Ready
		}
		a.add(res)
		r.sessions.Add(1)
		whole = r.restored(t, a, res, sv.Features) && whole
	})
	if err == nil {
		err = failed
	}
	switch {
	case err != nil:
		a.pins.Add(-1)
		return nil, err
	case !whole:
		return s, ErrNotWhole
	}
	return s, nil
}

func (s *Sender) directedTo(list []string) bool {
	for _, text := range list {
		j, err := xmpp.ParseJID(text)
		if err != nil {
			return false
		}
		if s.directed == nil {
			s.directed = map[xmpp.JID]bool{}
		}
		s.directed[j] = true
	}
	return true
}

// restored has the features take up what they have saved of a session.
func (r *Router) restored(t *Turn, a *Account, res Resource, saved map[string][]byte) (whole bool) {
	defer r.caught("restoring a session", nil)
	for _, f := range r.features {
		if f.Restore == nil {
			continue
		}
		if err := f.Restore(t, a, res, saved[f.Name]); err != nil {
			r.log.Info("a saved session is not whole", "jid", res.JID().String(), "feature", f.Name, "reason", err)
			return false
		}
	}
	return true
}
