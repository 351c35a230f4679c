package pubsub

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// An ask is a request to somebody's nodes.
type ask struct {
	s      *Service
	ctx    context.Context
	rd     *router.Round                           // of who asks
	take   func(fn func(*router.Turn) error) error // takes a turn of the owner and waits for it
	h      *home                                   // whose nodes they are; nil: there is nobody for who asks
	from   xmpp.JID
	owner  bool         // who asks owns all nodes there
	pubsub xmpp.Element // <pubsub/>
	action xmpp.Element // its first child
	name   string       // of the node
}

// An action answers one kind of request.
type action func(*ask) (xmpp.Payload, error)

// key names a kind of request: type, namespace and element.
type key struct{ typ, space, local string }

// actions are all that there are.
func actions() map[key]action {
	return map[key]action{
		{"get", nsPubsub, "items"}:         (*ask).items,
		{"get", nsPubsub, "subscriptions"}: (*ask).ownSubscriptions,
		{"get", nsPubsub, "affiliations"}:  (*ask).ownAffiliations,
		{"get", nsPubsub, "options"}:       func(*ask) (xmpp.Payload, error) { return nil, unsupported("subscription-options") },
		{"set", nsPubsub, "options"}:       func(*ask) (xmpp.Payload, error) { return nil, unsupported("subscription-options") },
		{"get", nsPubsub, "default"}:       func(*ask) (xmpp.Payload, error) { return nil, unsupported("subscription-options") },
		{"set", nsPubsub, "publish"}:       (*ask).publish,
		{"set", nsPubsub, "retract"}:       (*ask).retract,
		{"set", nsPubsub, "subscribe"}:     (*ask).subscribe,
		{"set", nsPubsub, "unsubscribe"}:   (*ask).unsubscribe,
		{"set", nsPubsub, "create"}:        (*ask).create,
		{"get", nsOwner, "configure"}:      owners((*ask).configuration),
		{"set", nsOwner, "configure"}:      owners((*ask).configure),
		{"get", nsOwner, "default"}:        owners((*ask).defaultConfiguration),
		{"set", nsOwner, "delete"}:         owners((*ask).remove),
		{"set", nsOwner, "purge"}:          owners((*ask).purge),
		{"get", nsOwner, "subscriptions"}:  owners((*ask).subscriptions),
		{"set", nsOwner, "subscriptions"}:  owners((*ask).resubscribe),
		{"get", nsOwner, "affiliations"}:   owners((*ask).affiliations),
		{"set", nsOwner, "affiliations"}:   owners((*ask).affiliate),
	}
}

// owners is what only the owner may do (XEP-0060 §14.2). To others it is all the same, whether
// there is such a node, and such an account, or not; of a service's nodes mine looks.
func owners(do action) action {
	return func(k *ask) (xmpp.Payload, error) {
		if (k.h == nil || k.h.account != nil) && !k.owner {
			return nil, forbidden()
		}
		return do(k)
	}
}

// handle answers a request to an account.
func (s *Service) handle(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	k := s.ask(ctx, q)
	k.owner = q.Own() || q.Deputy()
	return k.answer(q.Stanza.Type, q.Payload)
}

// ask is a request to an account, about which nothing is known yet.
func (s *Service) ask(ctx context.Context, q *router.Request) *ask {
	k := &ask{s: s, ctx: ctx, rd: q.Round, take: q.Turn, from: q.From(), owner: q.Own()}
	if q.Account != nil {
		k.h = of(q.Account)
	}
	return k
}

// answer answers it.
func (k *ask) answer(typ string, pubsub xmpp.Element) (xmpp.Payload, error) {
	k.pubsub, k.action = pubsub, pubsub.First()
	k.name = k.action.Attr("node")
	name := k.action.Name()
	do := k.s.actions[key{typ, name.Space, name.Local}]
	switch {
	case do == nil || name.Space != pubsub.Name().Space:
		return nil, xmpp.Refuse("bad-request", "there is no such request")
	case len(k.name) > maxName:
		return nil, xmpp.Refuse("not-acceptable", "the name of the node is too long")
	}
	return do(k)
}

// named refuses a request that does not name a node.
func (k *ask) named() error {
	if k.name == "" {
		return nodeRequired()
	}
	return nil
}

// read runs fn in a snapshot. What was pushed so far leaves first.
func (k *ask) read(fn func(*storage.Tx) error) error {
	k.rd.Flush()
	return k.s.store.Read(k.ctx, fn)
}

// id is the number of the owner; that of nobody where there is no account, so that the store
// is asked in any case and the time tells nothing.
func (k *ask) id() int64 {
	if k.h == nil {
		return noAccount
	}
	return k.h.id
}

const noAccount = 0

// turn takes a turn of the owner and waits for it.
func (k *ask) turn(fn func(*router.Turn) error) error {
	if k.h == nil {
		return noNode()
	}
	return k.take(func(t *router.Turn) error {
		t.Flush() // it will wait
		return fn(t)
	})
}

// A view is what somebody has to do with a node, as far as it was looked up.
type view struct {
	n     *node
	affs  map[xmpp.JID]string
	subs  []subscription
	owner bool

	trusted func() bool     // sees the presence of the owner
	knows   func() bool     // may know that the owner is there
	groups  func() []string // of the owner's roster that it is in
	bare    xmpp.JID
}

// aff is the affiliation of who looks.
func (v *view) aff() string {
	if v.owner {
		return affOwner
	}
	if a, ok := v.affs[v.bare]; ok {
		return a
	}
	return affNone
}

// sub reports whether who looks is subscribed.
func (v *view) sub() bool {
	return slices.ContainsFunc(v.subs, func(s subscription) bool { return s.state == subYes && s.jid.Bare() == v.bare })
}

// eligible reports whether the configuration lets who looks subscribe and read without the
// owner's consent in the single case (XEP-0060 §4.5, §6.5.1).
func (v *view) eligible(c *config) bool {
	switch v.aff() {
	case affOwner, affPublisher, affMember:
		return true
	case affOutcast, affPublishOnly:
		return false
	}
	switch c.Access {
	case accessOpen:
		return true
	case accessPresence:
		return v.trusted()
	case accessRoster:
		return v.trusted() && slices.ContainsFunc(v.groups(), func(g string) bool { return slices.Contains(c.Groups, g) })
	}
	return false
}

// mayRead returns nil where who looks may have the items, or why not (XEP-0060 §6.5.9).
func (v *view) mayRead() *xmpp.Error {
	c := &v.n.cfg
	switch {
	case v.eligible(c), c.Access == accessAuthorize && v.sub() && v.aff() == affNone:
		return nil
	case c.Access != accessAuthorize && v.aff() == affNone && !v.knows():
		return noNode() // for who asks there is nothing (XEP-0060 §14.3)
	case v.aff() != affNone:
		return forbidden() // XEP-0060 §6.5.9.10
	}
	switch c.Access {
	case accessPresence:
		return fault("", "not-authorized", "presence-subscription-required", "")
	case accessRoster:
		return fault("", "not-authorized", "not-in-roster-group", "")
	case accessWhitelist:
		return fault("", "not-allowed", "closed-node", "")
	}
	return notSubscribed() // XEP-0060 §6.5.9.3
}

// mayPublish reports whether who looks may publish (XEP-0060 §4.1, §16.4.4).
func (v *view) mayPublish() bool {
	switch v.aff() {
	case affOwner, affPublisher, affPublishOnly:
		return true
	case affOutcast:
		return false
	}
	switch v.n.cfg.Publish {
	case "subscribers":
		return v.sub()
	case "open":
		return v.mayRead() == nil
	}
	return false
}

// view is how somebody sees the nodes of an account. What must be asked for is asked for once,
// and only where it matters.
func (s *Service) view(ctx context.Context, h *home, who xmpp.JID, owner bool) *view {
	bare := who.Bare()
	v := &view{owner: owner, bare: bare}
	switch {
	case h == nil:
		v.trusted, v.knows, v.groups = func() bool { return false }, func() bool { return false }, func() []string { return nil }
	case h.account == nil:
		s.amongOwners(ctx, v)
	default:
		s.amongContacts(ctx, h.account, v)
	}
	return v
}

// amongContacts is the view of the nodes of an account.
func (s *Service) amongContacts(ctx context.Context, a *router.Account, v *view) {
	v.trusted = once(func() bool { return v.owner || s.router.Trusted(ctx, a, v.bare) })
	v.knows = once(func() bool {
		if v.trusted() {
			return true
		}
		in, err := s.router.Contact(ctx, a, v.bare)
		return in && err == nil
	})
	v.groups = once(func() []string { return s.groupsOf(ctx, a, v.bare) })
}

func (s *Service) groupsOf(ctx context.Context, a *router.Account, bare xmpp.JID) []string {
	list, err := s.router.Groups(ctx, a, bare)
	if err != nil {
		s.log.Warn("the groups of a contact cannot be read", "account", a.JID.String(), "error", err)
	}
	return list
}

// once remembers what a function has said the first time.
func once[T any](fn func() T) func() T {
	var v T
	done := false
	return func() T {
		if !done {
			v, done = fn(), true
		}
		return v
	}
}

// around reads who has to do with the node.
func (v *view) around(tx *storage.Tx) (err error) {
	if v.affs, err = affiliations(tx, v.n.id); err == nil {
		v.subs, err = subscriptions(tx, v.n.id)
	}
	return err
}

// beside reads what who looks has to do with the node, and who its owners are.
func (v *view) beside(tx *storage.Tx) (err error) {
	if v.affs, err = affiliationsOf(tx, v.n.id, v.bare); err == nil {
		v.subs, err = subscriptionsOf(tx, v.n.id, v.bare)
	}
	return err
}

// look is the view of who asks, of the node that is named: n is nil where there is none. Of
// others it has only the owners.
func (k *ask) look() (*view, error) { return k.viewed((*view).beside) }

// lookAll is look with all who have to do with the node.
func (k *ask) lookAll() (*view, error) { return k.viewed((*view).around) }

func (k *ask) viewed(read func(*view, *storage.Tx) error) (*view, error) {
	v := k.s.view(k.ctx, k.h, k.from, k.owner)
	if err := k.named(); err != nil {
		return v, err
	}
	return v, k.read(func(tx *storage.Tx) (err error) {
		if v.n, err = find(tx, k.id(), k.name); err != nil || v.n == nil {
			return err
		}
		return read(v, tx)
	})
}

// there refuses a request for a node that is not there, or not there any more.
func (v *view) there() error {
	switch {
	case v.n == nil:
		return noNode()
	case v.n.moved == "":
		return nil
	case v.eligible(&v.n.cfg):
		return hasMoved(v.n.moved)
	}
	return noNode()
}
