package pubsub

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Who may make nodes at the services of domains.
const (
	CreateLocal  = "local"  // users of this server
	CreateAnyone = "anyone" // users of other servers too
	CreateAdmins = "admins" // those who run the server
)

// Settings are how the services of domains are: pubsub.example.org for example.org.
type Settings struct {
	Limits         // of one service; Subscriptions and Affiliations of one node
	PerUser int    // nodes that one user may own there; 0 as in DefaultSettings
	Create  string // who may make nodes; "" is CreateLocal
}

// DefaultSettings are those of a server whose operator has no other opinion.
func DefaultSettings() Settings {
	return Settings{
		Limits:  Limits{Nodes: 10_000, Items: 5000, Payload: 256 << 10, Bytes: 1 << 30, Subscriptions: 10_000, Affiliations: 1000},
		PerUser: 100, Create: CreateLocal,
	}
}

// Whole returns the settings with the defaults for what is not set.
func (s Settings) Whole() Settings {
	d := DefaultSettings()
	s.Limits = s.Limits.or(d.Limits)
	if s.PerUser <= 0 {
		s.PerUser = d.PerUser
	}
	if s.Create == "" {
		s.Create = d.Create
	}
	return s
}

// lines is how many lines of turns the nodes of all services share: what concerns one node is in
// order, and nobody waits for a node in another line.
const lines = 64

// domains is what there is of services of domains.
type domains struct {
	inboxes [lines]*router.Inbox
	seed    maphash.Seed
	ids     sync.Map // numbers of services by domain, as far as they are known
}

func (d *domains) start(r *router.Router) {
	d.seed = maphash.MakeSeed()
	for i := range d.inboxes {
		d.inboxes[i] = r.NewInbox()
	}
}

// line returns the line of a node.
func (d *domains) line(domain, name string) *router.Inbox {
	var m maphash.Hash
	m.SetSeed(d.seed)
	m.WriteString(domain)
	m.WriteByte(0)
	m.WriteString(name)
	return d.inboxes[m.Sum64()%lines]
}

// Has implements router.Service.
func (s *Service) Has(domain string) bool {
	_, ok := s.hostOf(domain)
	return ok
}

// hostOf returns the domain of the house whose service a domain is.
func (s *Service) hostOf(domain string) (string, bool) {
	host, ok := strings.CutPrefix(domain, s.cfg.Prefix+".")
	return host, s.cfg.Prefix != "" && ok && s.router.Serves(host)
}

// Take implements router.Service.
func (s *Service) Take(rd *router.Round, st *xmpp.Stanza, settled func()) {
	switch {
	case st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set"):
		p, err := s.request(rd, st)
		s.router.Answer(rd, st, p, err)
	case st.Kind == xmpp.Message:
		s.message(rd, st, settled)
	}
}

// Seats implements router.Service: nobody is at an address of it.
func (s *Service) Seats(_, _ xmpp.JID) bool { return false }

// at returns the home of the nodes of a domain. It has a number from its first node on.
func (s *Service) at(ctx context.Context, to xmpp.JID) (h *home, err error) {
	h = &home{jid: to.Host()}
	if id, known := s.domains.ids.Load(to.Domain()); known {
		h.id = id.(int64)
		return h, nil
	}
	err = s.store.Read(ctx, func(tx *storage.Tx) (err error) {
		h.id, err = serviceOf(tx, h.jid.Domain())
		return err
	})
	switch {
	case err != nil:
	case h.id == 0:
		h.id = noService
	default:
		s.domains.ids.Store(to.Domain(), h.id)
	}
	return h, err
}

// noService is the number of a service that has no nodes.
const noService = -1 << 62

// request answers a request to a domain.
func (s *Service) request(rd *router.Round, st *xmpp.Stanza) (xmpp.Payload, error) {
	if st.To.Local() != "" || st.To.Resource() != "" {
		return nil, xmpp.Refuse("item-not-found", "")
	}
	ctx := context.Background()
	rd.Flush()
	h, err := s.at(ctx, st.To)
	if err != nil {
		return nil, err
	}
	k := &ask{s: s, ctx: ctx, rd: rd, h: h, from: st.From, owner: s.admin(st.From.Bare())}
	k.take = func(fn func(*router.Turn) error) (err error) {
		if failed := s.domains.line(h.jid.Domain(), k.name).Do(func(t *router.Turn) { err = fn(t) }); failed != nil {
			return failed
		}
		return err
	}
	p := st.Payload()
	switch name := p.Name(); {
	case name.Local == "pubsub" && (name.Space == nsPubsub || name.Space == nsOwner):
		return k.answer(st.Type, p)
	case st.Type == "get" && p.Is("urn:xmpp:ping", "ping"):
		return nil, nil
	case st.Type == "get" && (p.Is(xmpp.NSInfo, "query") || p.Is(nsItems, "query")):
		return k.discovered(p)
	}
	return nil, xmpp.Refuse("service-unavailable", "")
}

// message takes an owner's answer to a request for a subscription (XEP-0060 §8.6), and
// notifications that come back (§12.4). It does not wait for the turn of either.
func (s *Service) message(rd *router.Round, st *xmpp.Stanza, settled func()) {
	name, asked, allow, cancelled, ok := consent(st)
	turn := func(t *router.Turn, h *home) error { return s.decide(t, h, st.From, name, asked, allow) }
	switch {
	case st.Type == "error" && bounced(st):
		turn = func(t *router.Turn, h *home) error {
			return t.Write(context.Background(), func(tx *storage.Tx) error { return lose(tx, h.id, st.From) })
		}
	case st.Type == "error" || cancelled:
		settled()
		return
	case !ok:
		s.router.Bounce(rd, st, xmpp.Refuse("service-unavailable", ""))
		settled()
		return
	}
	err := s.domains.line(st.To.Domain(), name).Post(func(t *router.Turn) {
		defer settled()
		h, err := s.at(context.Background(), st.To)
		if err == nil {
			err = turn(t, h)
		}
		if err != nil {
			s.router.Bounce(&t.Round, st, wrong(err))
		}
	})
	if err != nil {
		s.router.Bounce(rd, st, wrong(err))
		settled()
	}
}

// wrong makes a stanza error of what went wrong.
func wrong(err error) *xmpp.Error {
	var e *xmpp.Error
	if errors.As(err, &e) {
		return e
	}
	return xmpp.Failure(err)
}

// bounced reports whether a notification has come back that nobody will ever take.
func bounced(st *xmpp.Stanza) bool {
	e := xmpp.ErrorOf(st)
	return e != nil && (e.Type == "cancel" || e.Condition == "gone") && strings.HasPrefix(st.ID, eventID)
}

// admin reports whether somebody runs the server: who does owns all nodes of its services.
func (s *Service) admin(bare xmpp.JID) bool { return s.cfg.Admin != nil && s.cfg.Admin(bare) }

// settings are those of the service that a home is.
func (s *Service) settings(h *home) Settings {
	host, _ := s.hostOf(h.jid.Domain())
	if s.cfg.Settings == nil {
		return DefaultSettings()
	}
	return s.cfg.Settings(host).Whole()
}

// rules are what configurations may say where this is asked.
func (k *ask) rules() rules { return k.s.rulesOf(k.h) }

func (s *Service) rulesOf(h *home) rules {
	if h != nil && h.account == nil {
		return rules{Limits: s.settings(h).Limits, service: true}
	}
	return rules{Limits: s.limits()}
}

// defaults is how a node is there until somebody says otherwise.
func (k *ask) defaults(name string) config {
	if k.h.account == nil {
		return ordinary()
	}
	return defaults(name)
}

// mayCreate refuses who may not make nodes (XEP-0060 §8.1.1).
func (k *ask) mayCreate() error {
	if k.owner {
		return nil
	}
	if k.h == nil || k.h.account != nil {
		return forbidden()
	}
	switch k.s.settings(k.h).Create {
	case CreateAnyone:
		return nil
	case CreateLocal:
		if k.s.router.Serves(k.from.Domain()) {
			return nil
		}
	}
	return forbidden()
}

// roomForOwner refuses who owns as many nodes of a service as they may.
func (k *ask) roomForOwner() error {
	var owned int64
	err := k.read(func(tx *storage.Tx) (err error) {
		owned, err = ownedBy(tx, k.id(), k.from.Bare())
		return err
	})
	if err == nil && owned >= int64(k.s.settings(k.h).PerUser) && !k.owner {
		err = k.s.over("you own too many nodes")
	}
	return err
}

// ownersOf reads the owners of a node of a service.
func (s *Service) ownersOf(t *router.Turn, n *node) (list []xmpp.JID) {
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) error {
		all, err := affiliationsOf(tx, n.id, xmpp.JID{})
		list = sorted(all)
		return err
	})
	if err != nil {
		s.log.Error("the owners of a node cannot be read; they are not told", "node", n.name, "error", err)
	}
	return list
}

// services names the service of a domain.
func (s *Service) services(host string) []router.Item {
	if s.cfg.Prefix == "" {
		return nil
	}
	j, err := xmpp.NewJID("", s.cfg.Prefix+"."+host, "")
	if err != nil {
		return nil
	}
	return []router.Item{{JID: j, Name: "Publishing"}}
}
