package pubsub

import (
	"crypto/rand"
	"slices"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// subscriptions returns who is subscribed to a node (XEP-0060 §8.8.1). Who waits for the
// owner's consent is among them: it is the owner who is to give it.
func (k *ask) subscriptions() (xmpp.Payload, error) {
	v, err := k.mine()
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsOwner, "pubsub").Open("", "subscriptions", "node", k.name)
	for _, sub := range v.subs {
		sub.write(&b, "")
	}
	return b.Payload(), nil
}

// changes reads the entries of a list that the owner changes.
func (k *ask) changes(name string) (list []xmpp.Element, err error) {
	for e := range k.action.Children {
		if e.Is(nsOwner, name) {
			list = append(list, e)
		}
	}
	if len(list) == 0 || len(list) > maxChanges {
		return nil, xmpp.Refuse("bad-request", "there are no changes, or too many")
	}
	return list, nil
}

// resubscribe changes subscriptions (XEP-0060 §8.8.2): all that can be changed are, and the
// others are returned with an error (§8.8.2.4). Who has not asked for it, and does not see the
// owner's presence, is not subscribed by the owner: that would be a way to write to strangers.
func (k *ask) resubscribe() (xmpp.Payload, error) {
	list, err := k.changes("subscription")
	if err != nil {
		return nil, err
	}
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.mine()
		if err != nil {
			return err
		}
		var wrong xmpp.Builder
		wrong.Open(nsOwner, "pubsub").Open("", "subscriptions", "node", k.name)
		failed := false
		var changed []subscription
		for _, e := range list {
			sub, was, ok := v.changed(e)
			if !ok || was.state == subNone && sub.state == subYes && !k.befriended(v, sub.jid) {
				failed = true
				was.write(&wrong, "")
				continue
			}
			if sub.state != was.state {
				changed = append(changed, sub)
			}
		}
		all, _, err := k.subscribed(v.n, v.bare)
		if err == nil && all+int64(len(changed)) > int64(k.rules().Subscriptions)+maxChanges {
			err = k.s.over("there are too many subscriptions")
		}
		if err == nil {
			err = k.settle(t, v, changed)
		}
		if err == nil && failed {
			e := xmpp.Refuse("not-acceptable", "")
			e.Echo = wrong.Payload()
			return e
		}
		return err
	})
}

// befriended reports whether somebody sees the presence of the owner.
func (k *ask) befriended(v *view, jid xmpp.JID) bool {
	w := k.s.view(k.ctx, k.h, jid, false)
	w.n, w.affs = v.n, v.affs
	return w.trusted()
}

// changed reads one change of a subscription, and what there was before. A subscription that
// does not say its state stays as it is.
func (v *view) changed(e xmpp.Element) (sub, was subscription, ok bool) {
	jid, err := xmpp.ParseJID(e.Attr("jid"))
	if err != nil {
		return sub, was, false
	}
	was = subscription{jid: jid, state: subNone}
	if i := slices.IndexFunc(v.subs, func(s subscription) bool { return s.jid == jid }); i >= 0 {
		was = v.subs[i]
	}
	sub = was
	if state := e.Attr("subscription"); state != "" {
		sub.state = state
	}
	if sub.subid == "" {
		sub.subid = strings.ToLower(rand.Text())
	}
	return sub, was, sub.state == was.state || sub.state == subYes || sub.state == subNone
}

// settle writes subscriptions as they are now, and tells whose they are (XEP-0060 §8.8.4).
func (k *ask) settle(t *router.Turn, v *view, changed []subscription) error {
	if len(changed) == 0 {
		return nil
	}
	err := t.Write(k.ctx, func(tx *storage.Tx) error {
		for _, sub := range changed {
			if err := subscribe(tx, v.n.id, sub); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, sub := range changed {
		k.s.inform(t, k.h, v.n, sub)
	}
	return nil
}

// affiliations returns who has to do with a node (XEP-0060 §8.9.1).
func (k *ask) affiliations() (xmpp.Payload, error) {
	v, err := k.mine()
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsOwner, "pubsub").Open("", "affiliations", "node", k.name)
	if k.h.account != nil {
		b.Open("", "affiliation", "jid", k.h.jid.String(), "affiliation", affOwner).Close()
	}
	for _, jid := range sorted(v.affs) {
		b.Open("", "affiliation", "jid", jid.String(), "affiliation", v.affs[jid]).Close()
	}
	return b.Payload(), nil
}

func sorted(m map[xmpp.JID]string) (list []xmpp.JID) {
	for jid := range m {
		list = append(list, jid)
	}
	slices.SortFunc(list, func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// affiliate changes affiliations (XEP-0060 §8.9.2), of a node of a service also who owns it. The owner of an account's nodes is the
// account, and nobody else (XEP-0163 §2.2).
func (k *ask) affiliate() (xmpp.Payload, error) {
	list, err := k.changes("affiliation")
	if err != nil {
		return nil, err
	}
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.mine()
		if err != nil {
			return err
		}
		want, wrong, err := v.affiliated(k.h, list)
		if err != nil {
			return err
		}
		if err := k.roomForMembers(v, len(want)); err != nil {
			return err
		}
		if err := k.assign(t, v, want); err != nil {
			return err
		}
		if len(wrong) == 0 {
			return nil
		}
		var b xmpp.Builder // XEP-0060 §8.9.2.4
		b.Open(nsOwner, "pubsub").Open("", "affiliations", "node", k.name)
		for _, jid := range sorted(wrong) {
			b.Open("", "affiliation", "jid", jid.String(), "affiliation", wrong[jid]).Close()
		}
		e := xmpp.Refuse("not-acceptable", "")
		e.Echo = b.Payload()
		return e
	})
}

// affiliated reads changes of affiliations: those to be made, and those that cannot be, with
// what there is. A node of a service keeps an owner.
func (v *view) affiliated(h *home, list []xmpp.Element) (want, wrong map[xmpp.JID]string, err error) {
	want, wrong = map[xmpp.JID]string{}, map[xmpp.JID]string{}
	allowed := []string{affPublisher, affPublishOnly, affMember, affOutcast, affNone}
	if h.account == nil {
		allowed = append(allowed, affOwner)
	}
	for _, e := range list {
		jid, err := xmpp.ParseJID(e.Attr("jid"))
		if err != nil {
			return nil, nil, xmpp.Refuse("jid-malformed", "")
		}
		jid = jid.Bare() // XEP-0060 §4.1
		_, twice := want[jid]
		if _, failed := wrong[jid]; twice || failed { // XEP-0060 §8.9.2.4
			return nil, nil, xmpp.Refuse("bad-request", "somebody is named twice")
		}
		aff := e.Attr("affiliation")
		own := h.account != nil && jid == h.jid
		switch {
		case own && aff != affOwner:
			wrong[jid] = affOwner
		case own, aff == "":
		case slices.Contains(allowed, aff):
			want[jid] = aff
		default:
			if wrong[jid] = v.affs[jid]; wrong[jid] == "" {
				wrong[jid] = affNone
			}
		}
	}
	if h.account == nil && !v.owned(want) {
		for jid, aff := range want {
			if v.affs[jid] == affOwner && aff != affOwner {
				delete(want, jid)
				wrong[jid] = affOwner
			}
		}
	}
	return want, wrong, nil
}

// owned reports whether the node has an owner after changes.
func (v *view) owned(want map[xmpp.JID]string) bool {
	for jid, aff := range v.affs {
		if changed, ok := want[jid]; aff == affOwner && (!ok || changed == affOwner) {
			return true
		}
	}
	for _, aff := range want {
		if aff == affOwner {
			return true
		}
	}
	return false
}

// roomForMembers refuses more affiliations than an account may have.
func (k *ask) roomForMembers(v *view, more int) error {
	var all int64
	err := k.read(func(tx *storage.Tx) (err error) {
		if k.h.account == nil {
			all = int64(len(v.affs))
			return nil
		}
		all, err = members(tx, k.id())
		return err
	})
	if err == nil && all+int64(more) > int64(k.rules().Affiliations) {
		err = k.s.over("there are too many affiliations")
	}
	return err
}

// assign writes affiliations. Who waits for consent and may subscribe now has it, and who may
// not any more has no subscription (XEP-0060 §8.7.4).
func (k *ask) assign(t *router.Turn, v *view, want map[xmpp.JID]string) error {
	if len(want) == 0 {
		return nil
	}
	err := t.Write(k.ctx, func(tx *storage.Tx) error {
		for _, jid := range sorted(want) {
			if err := affiliate(tx, v.n.id, jid, want[jid]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var changed []subscription
	for _, sub := range v.subs {
		switch aff := want[sub.jid.Bare()]; {
		case aff == affOutcast, aff == affPublishOnly, aff == affNone && v.n.cfg.Access == accessWhitelist:
			sub.state = subNone
		case (aff == affPublisher || aff == affMember || aff == affOwner) && sub.state == subPending:
			sub.state = subYes
		default:
			continue
		}
		changed = append(changed, sub)
	}
	return k.settle(t, v, changed)
}
