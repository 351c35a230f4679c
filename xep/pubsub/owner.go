package pubsub

import (
	"crypto/rand"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// create makes a node (XEP-0060 §8.1).
func (k *ask) create() (xmpp.Payload, error) {
	if err := k.mayCreate(); err != nil {
		return nil, err
	}
	configure := k.pubsub.Child(nsPubsub, "configure")
	if _, named := configure.LookupAttr("node"); named { // XEP-0060 §8.1.3
		return nil, xmpp.Refuse("bad-request", "")
	}
	if k.name == "" {
		k.name = strings.ToLower(rand.Text()) // XEP-0060 §8.1.1: an instant node
	}
	name, cfg := k.name, k.defaults(k.name)
	form, filled, err := submitted(configure, formConfig)
	if err == nil && filled && form.Type != "cancel" {
		cfg, err = k.rules().apply(cfg, form)
	}
	if err != nil {
		return nil, err
	}
	err = k.turn(func(t *router.Turn) error {
		var was *node
		if err := k.read(func(tx *storage.Tx) (err error) {
			was, err = find(tx, k.id(), name)
			return err
		}); err != nil {
			return err
		}
		if was != nil && was.moved == "" {
			return xmpp.Refuse("conflict", "")
		}
		n, err := k.newNode(name, cfg)
		if err != nil {
			return err
		}
		return t.Write(k.ctx, func(tx *storage.Tx) error { return k.make(tx, n) })
	})
	var b xmpp.Builder
	return b.Open(nsPubsub, "pubsub").Open("", "create", "node", name).Payload(), err
}

// make writes a new node. Who makes one of a service is its owner.
func (k *ask) make(tx *storage.Tx, n *node) error {
	if k.h.account != nil {
		return create(tx, n)
	}
	id, err := serviceOf(tx, k.h.jid.Domain())
	if err == nil && id == 0 {
		id, err = addService(tx, k.h.jid.Domain())
	}
	if err != nil {
		return err
	}
	n.owner = id
	if err := create(tx, n); err != nil {
		return err
	}
	return affiliate(tx, n.id, k.from.Bare(), affOwner)
}

// mine is the view of an owner of a node that is there, with all who have to do with it.
func (k *ask) mine() (*view, error) {
	v, err := k.lookAll()
	if err == nil {
		err = v.there()
	}
	if err == nil && v.aff() != affOwner {
		err = forbidden()
	}
	return v, err
}

// configuration returns the form of a node (XEP-0060 §8.2.1).
func (k *ask) configuration() (xmpp.Payload, error) {
	v, err := k.mine()
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsOwner, "pubsub").Open("", "configure", "node", k.name)
	return b.Raw(k.rules().form(v.n.cfg, "form", formConfig).Payload()).Payload(), nil
}

// defaultConfiguration returns the form of a node that is not there yet (XEP-0060 §8.3). Who
// names it is told how that one would be.
func (k *ask) defaultConfiguration() (xmpp.Payload, error) {
	if typ := k.action.Attr("type"); typ != "" && typ != "leaf" {
		return nil, unsupported("collections")
	}
	var b xmpp.Builder
	b.Open(nsOwner, "pubsub").Open("", "default", "node", k.name)
	return b.Raw(k.rules().form(k.defaults(k.name), "form", formConfig).Payload()).Payload(), nil
}

// configure changes the configuration of a node (XEP-0060 §8.2.4).
func (k *ask) configure() (xmpp.Payload, error) {
	form, filled, err := submitted(k.action, formConfig)
	switch {
	case err != nil:
		return nil, err
	case !filled:
		return nil, xmpp.Refuse("bad-request", "there is no form")
	}
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.mine()
		if err != nil || form.Type == "cancel" {
			return err
		}
		was := v.n.cfg
		if v.n.cfg, err = k.rules().apply(was, form); err != nil {
			return err
		}
		if len(v.n.cfg.encode()) > maxConfig {
			return xmpp.Refuse("not-acceptable", "the configuration is too large")
		}
		gone, e, err := k.rewrite(t, v)
		if err != nil {
			return err
		}
		if v.n.cfg.Config { // XEP-0060 §8.2.5.3
			k.tell(t, v, k.rules().configured(v.n))
		}
		if len(gone) > 0 && v.n.cfg.Retract {
			k.tell(t, v, retracted(v.n, gone))
		}
		k.s.reopened(t, k.h, v, &was)
		e.settle(t)
		return nil
	})
}

// rewrite writes a new configuration, and takes out what there is too much of by it.
func (k *ask) rewrite(t *router.Turn, v *view) (gone []string, e *edit, err error) {
	n := v.n
	most := n.room(k.rules().Limits)
	if !n.cfg.Persist {
		most = 0
	}
	e, err = k.write(t, n.name, func(tx *storage.Tx) (err error) {
		if err := reconfigure(tx, n.id, n.cfg); err != nil {
			return err
		}
		if gone = nil; n.items <= most {
			return nil
		}
		var freed int64
		if gone, freed, err = surplus(tx, n.id, "", n.items-most); err != nil {
			return err
		}
		if err := drop(tx, n.id, gone...); err != nil {
			return err
		}
		return tally(tx, n.id, -int64(len(gone)), -freed)
	}, anyItem)
	return gone, e, err
}

// remove deletes a node (XEP-0060 §8.4).
func (k *ask) remove() (xmpp.Payload, error) {
	uri := k.action.Child(nsOwner, "redirect").Attr("uri")
	if len(uri) > maxText {
		return nil, xmpp.Refuse("not-acceptable", "the address is too long")
	}
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.mine()
		if err != nil {
			return err
		}
		e, err := k.write(t, v.n.name, func(tx *storage.Tx) error { return remove(tx, v.n.id, uri) }, anyItem)
		if err != nil {
			return err
		}
		if v.n.cfg.Delete {
			k.tell(t, v, deleted(v.n, uri))
		}
		e.settle(t)
		return nil
	})
}

// purge deletes all items of a node (XEP-0060 §8.5).
func (k *ask) purge() (xmpp.Payload, error) {
	return nil, k.turn(func(t *router.Turn) error {
		v, err := k.mine()
		switch {
		case err != nil:
			return err
		case !v.n.cfg.Persist: // XEP-0060 §8.5.3.3
			return unsupported("persistent-items")
		}
		e, err := k.write(t, v.n.name, func(tx *storage.Tx) error { return purge(tx, v.n.id) }, anyItem)
		if err != nil {
			return err
		}
		k.tell(t, v, purged(v.n))
		e.settle(t)
		return nil
	})
}
