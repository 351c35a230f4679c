package routertest

import (
	"context"
	"sync"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A Service is a component without a network. It implements Person and router.Way.
type Service struct {
	house *House
	jid   xmpp.JID
	link  *router.Link

	mu   sync.Mutex
	got  []*xmpp.Stanza
	gone bool
}

// Service connects a component that speaks for a domain: all that is for it comes to the actor.
// Other domains are not reached. One of the same domain that has left comes again.
func (h *House) Service(domain string) *Actor {
	h.t.Helper()
	s := &Service{house: h, jid: mustJID(h.t, domain), link: h.Router.NewLink()}
	h.mu.Lock()
	if h.services == nil {
		h.services = map[string]*Service{}
		h.Router.SetWays(h.ways)
	}
	h.services[domain] = s
	h.mu.Unlock()
	h.Router.Attached(s.jid)
	h.Settle()
	return &Actor{t: h.t, jid: s.jid, Person: s}
}

func (h *House) ways(_, to string) (router.Way, *xmpp.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.services[to]; s != nil {
		return s, nil
	}
	return nil, xmpp.Refuse("remote-server-not-found", "")
}

// Keep implements router.Way.
func (s *Service) Keep(*xmpp.Stanza) router.Keeping { return nil }

// Prompt implements router.Way.
func (s *Service) Prompt() bool { return false }

// Gone implements router.Way.
func (s *Service) Gone(storage.ID) {}

// Carry implements router.Way.
func (s *Service) Carry(_ *router.Round, st *xmpp.Stanza, _ storage.ID) *xmpp.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return xmpp.Refuse("remote-server-timeout", "")
	}
	s.got = append(s.got, st)
	return nil
}

// Says implements Person. The stanza is sent as it is: the door's checks are not made.
func (s *Service) Says(xml string) {
	s.house.t.Helper()
	s.Sends(xml)
	s.house.Settle()
}

// Sends is Says for who does not wait for what it causes.
func (s *Service) Sends(xml string) {
	s.house.t.Helper()
	st, err := xmpp.ParseStanza(xml)
	if err != nil {
		s.house.t.Fatalf("%s: %v", xml, err)
	}
	var rd router.Round
	s.link.Deliver(context.Background(), &rd, st)
	s.link.Settle(&rd)
	rd.Flush()
}

// Hears implements Person.
func (s *Service) Hears() *xmpp.Stanza {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		return nil
	}
	st := s.got[0]
	s.got = s.got[1:]
	return st
}

// Ended implements Person.
func (s *Service) Ended() string { return "" }

// Leaves implements Person: what is for the service is refused from now on.
func (s *Service) Leaves() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}
