package pubsub

import (
	"crypto/rand"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// subscriber reads the address of a subscription, which is of who asks (XEP-0060 §6.1.3.1). An
// owner has no power over the addresses of others here.
func (k *ask) subscriber() (xmpp.JID, bool) {
	jid, err := xmpp.ParseJID(k.action.Attr("jid"))
	return jid, err == nil && jid.Bare() == k.from.Bare()
}

// subscribe is a request to be told of what is published (XEP-0060 §6.1).
func (k *ask) subscribe() (xmpp.Payload, error) {
	if err := k.named(); err != nil {
		return nil, err
	}
	jid, ok := k.subscriber()
	switch {
	case !ok:
		return nil, invalidJID()
	case !k.pubsub.Child(nsPubsub, "options").IsZero():
		return nil, unsupported("subscription-options")
	}
	sub := subscription{jid: jid}
	err := k.turn(func(t *router.Turn) error { return k.subscription(t, &sub) })
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub")
	sub.write(&b, k.name)
	return b.Payload(), nil
}

// write writes a subscription; node is "" where it is clear.
func (s subscription) write(b *xmpp.Builder, node string) {
	b.Open("", "subscription", "node", node, "jid", s.jid.String(), "subid", s.subid, "subscription", s.state).Close()
}

// subscription is the turn of a subscription; sub comes to be what it is.
func (k *ask) subscription(t *router.Turn, sub *subscription) error {
	v, err := k.look()
	if err != nil {
		return err
	}
	if err := v.there(); err != nil {
		return err
	}
	if err := v.maySubscribe(); err != nil {
		return err
	}
	if i := slices.IndexFunc(v.subs, func(s subscription) bool { return s.jid == sub.jid }); i >= 0 {
		if v.subs[i].state == subPending { // XEP-0060 §6.1.3.7
			return fault("", "not-authorized", "pending-subscription", "")
		}
		*sub = v.subs[i] // XEP-0060 §6.1.6: once is enough
		return nil
	}
	sub.subid, sub.state = strings.ToLower(rand.Text()), subYes
	if !v.eligible(&v.n.cfg) {
		sub.state = subPending // XEP-0060 §6.1.4
	}
	if err := k.roomFor(v.n, sub.jid.Bare()); err != nil {
		return err
	}
	if err := t.Write(k.ctx, func(tx *storage.Tx) error { return subscribe(tx, v.n.id, *sub) }); err != nil {
		return err
	}
	if sub.state == subPending {
		k.s.askOwner(t, k.h, v.n, *sub)
		return nil
	}
	k.announce(t, v.n, *sub)
	if v.n.cfg.SendLast != lastNever { // XEP-0060 §6.1.7
		k.s.welcome(t, k.h, v.n, sub.jid)
	}
	return nil
}

// maySubscribe returns nil where who looks may subscribe, or ask for it, or why not
// (XEP-0060 §6.1.3).
func (v *view) maySubscribe() error {
	refused := v.mayRead()
	switch {
	case refused != nil && refused.Condition == "item-not-found":
		return refused
	case v.aff() == affOutcast || v.aff() == affPublishOnly:
		return forbidden()
	case !v.n.cfg.Subscribe: // XEP-0060 §6.1.3.10
		return unsupported("subscribe")
	case refused != nil && v.n.cfg.Access != accessAuthorize:
		return refused
	}
	return nil
}

// roomFor refuses a subscription where there are too many (XEP-0060 §6.1.3.9).
func (k *ask) roomFor(n *node, bare xmpp.JID) error {
	all, own, err := k.subscribed(n, bare)
	if err == nil && (own >= maxSubscribed || all >= int64(k.rules().Subscriptions)) {
		k.s.stats.Refused.Add(1)
		err = fault("wait", "policy-violation", "too-many-subscriptions", "")
	}
	return err
}

// subscribed counts subscriptions, all and those of an address: of an account to all nodes, of a
// service to one.
func (k *ask) subscribed(n *node, bare xmpp.JID) (all, own int64, err error) {
	err = k.read(func(tx *storage.Tx) (err error) {
		if k.h.account != nil {
			all, own, err = subscribed(tx, k.id(), bare)
			return err
		}
		subs, err := subscriptionsOf(tx, n.id, bare)
		if own = int64(len(subs)); err == nil {
			all, err = subscribersOf(tx, n.id)
		}
		return err
	})
	return all, own, err
}

// unsubscribe ends a subscription (XEP-0060 §6.2).
func (k *ask) unsubscribe() (xmpp.Payload, error) {
	if err := k.named(); err != nil {
		return nil, err
	}
	jid, ok := k.subscriber()
	if !ok {
		return nil, forbidden() // XEP-0060 §6.2.3.3
	}
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.look()
		if err != nil {
			return err
		}
		if err := v.there(); err != nil {
			return err
		}
		i := slices.IndexFunc(v.subs, func(s subscription) bool { return s.jid == jid })
		switch subid := k.action.Attr("subid"); {
		case i < 0 && !v.knows() && v.mayRead() != nil:
			return noNode()
		case i < 0: // XEP-0060 §6.2.3.2
			return fault("cancel", "unexpected-request", "not-subscribed", "")
		case subid != "" && subid != v.subs[i].subid: // XEP-0060 §6.2.3.5
			return fault("", "not-acceptable", "invalid-subid", "")
		}
		sub := v.subs[i]
		sub.state = subNone
		if err := t.Write(k.ctx, func(tx *storage.Tx) error { return subscribe(tx, v.n.id, sub) }); err != nil {
			return err
		}
		k.announce(t, v.n, sub)
		return nil
	})
}

// announce tells the owner who has begun to listen, or has ceased to, where the owner wants
// that (XEP-0060 §16.4.4).
func (k *ask) announce(t *router.Turn, n *node, sub subscription) {
	if n.cfg.Sub && sub.jid.Bare() != k.h.jid {
		k.s.toOwners(t, k.h, n, subscriptionEvent(n, sub))
	}
}

// ownSubscriptions returns the subscriptions of who asks (XEP-0060 §5.6).
func (k *ask) ownSubscriptions() (xmpp.Payload, error) {
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub").Open("", "subscriptions", "node", k.name)
	err := k.read(func(tx *storage.Tx) error {
		return everySubscription(tx, k.id(), k.from.Bare(), k.name, func(node string, sub subscription) { sub.write(&b, node) })
	})
	return b.Payload(), err
}

// ownAffiliations returns the affiliations of who asks (XEP-0060 §5.7).
func (k *ask) ownAffiliations() (xmpp.Payload, error) {
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub").Open("", "affiliations", "node", k.name)
	write := func(node, affiliation string) {
		b.Open("", "affiliation", "node", node, "affiliation", affiliation).Close()
	}
	err := k.read(func(tx *storage.Tx) error {
		if k.h == nil || k.h.account == nil || !k.owner {
			return everyAffiliation(tx, k.id(), k.from.Bare(), k.name, write)
		}
		list, err := nodesOf(tx, k.id())
		for _, n := range list {
			if k.name == "" || n.name == k.name {
				write(n.name, affOwner)
			}
		}
		return err
	})
	return b.Payload(), err
}
