package pubsub

import (
	"context"
	"slices"
	"strconv"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsFilter is the namespace of XEP-0462.
const nsFilter = "urn:xmpp:pubsub-filter:0"

const nsItems = "http://jabber.org/protocol/disco#items"

// nodeInfo says what a node is, to who may read it (XEP-0060 §5.3, §5.4), and which items it has
// (§5.5). To others there is nothing.
func (s *Service) nodeInfo(ctx context.Context, q *router.Request, name string) (*router.NodeInfo, error) {
	k := s.ask(ctx, q)
	k.name = name
	return k.about(q.Payload)
}

func (k *ask) about(query xmpp.Element) (*router.NodeInfo, error) {
	if len(k.name) > maxName {
		return nil, nil
	}
	v, err := k.look()
	if err != nil || v.n == nil || v.n.moved != "" || !v.visible() {
		return nil, err
	}
	if !query.Is(nsItems, "query") {
		var subscribers int64
		err := k.read(func(tx *storage.Tx) (err error) {
			subscribers, err = subscribersOf(tx, v.n.id)
			return err
		})
		return &router.NodeInfo{
			Identities: []router.Identity{{Category: "pubsub", Type: "leaf", Name: v.n.cfg.Title}},
			Features:   []string{nsPubsub},
			Forms:      []xmpp.Form{v.metadata(subscribers)},
		}, err
	}
	about := &router.NodeInfo{}
	if v.mayRead() != nil {
		return about, nil
	}
	err = k.read(func(tx *storage.Tx) error {
		ids, err := names(tx, v.n, maxPage)
		about.Items = nil
		for _, id := range ids {
			about.Items = append(about.Items, router.Item{JID: v.n.address, Name: id})
		}
		return err
	})
	return about, err
}

// visible reports whether who looks may know of the node: who may read it, and who may ask for
// that.
func (v *view) visible() bool {
	return v.mayRead() == nil || v.n.cfg.Access == accessAuthorize && v.aff() == affNone
}

// metadata is what is said of a node (XEP-0060 §16.4.3).
func (v *view) metadata(subscribers int64) xmpp.Form {
	c := &v.n.cfg
	most := "max"
	if c.MaxItems > 0 {
		most = strconv.Itoa(c.MaxItems)
	}
	f := xmpp.Form{Type: "result", Fields: []xmpp.Field{
		xmpp.FormType(formMeta),
		{Var: "pubsub#type", Type: "text-single", Label: "What kind of data it has", Values: some(c.Type)},
		{Var: "pubsub#creator", Type: "jid-single", Label: "Who has made it", Values: []string{v.n.creator.String()}},
		{Var: "pubsub#creation_date", Type: "text-single", Label: "When", Values: []string{v.n.created.UTC().Format("2006-01-02T15:04:05Z")}},
		{Var: "pubsub#title", Type: "text-single", Label: "Name", Values: some(c.Title)},
		{Var: "pubsub#description", Type: "text-single", Label: "What it is about", Values: some(c.Description)},
		{Var: "pubsub#language", Type: "list-single", Label: "Language", Values: some(c.Language)},
		{Var: "pubsub#contact", Type: "jid-multi", Label: "Whom to ask about it", Values: c.Contact},
		{Var: "pubsub#access_model", Type: "list-single", Label: "Who may subscribe and read", Values: []string{c.Access}},
		{Var: "pubsub#publish_model", Type: "list-single", Label: "Who may publish", Values: []string{c.Publish}},
		{Var: "pubsub#max_items", Type: "text-single", Label: "How many items are kept", Values: []string{most}},
		{Var: "pubsub#owner", Type: "jid-multi", Label: "Owner", Values: v.ownerNames()},
		{Var: "pubsub#num_subscribers", Type: "text-single", Label: "How many have subscribed", Values: []string{strconv.FormatInt(subscribers, 10)}},
	}}
	f.Fields = slices.DeleteFunc(f.Fields, func(fd xmpp.Field) bool { return len(fd.Values) == 0 })
	return f
}

// ownerNames are those of the owners.
func (v *view) ownerNames() (names []string) {
	for _, jid := range sorted(v.affs) {
		if v.affs[jid] == affOwner {
			names = append(names, jid.String())
		}
	}
	if names == nil {
		return []string{v.n.address.String()} // an account
	}
	return names
}

// nodeList returns the nodes that who asks may know of (XEP-0163 §6.2).
func (s *Service) nodeList(ctx context.Context, q *router.Request) ([]router.Item, error) {
	k := s.ask(ctx, q)
	list, _, err := k.list(q.Payload, xmpp.Paging{Max: -1, Index: -1})
	return list, err
}

// list returns nodes in the order of their names, the next ones behind a page, and whether these
// are all.
func (k *ask) list(query xmpp.Element, page xmpp.Paging) (list []router.Item, all bool, err error) {
	passes, err := filter(query)
	if err != nil {
		return nil, false, err
	}
	most := maxPage
	if page.Max >= 0 {
		most = min(most, page.Max)
	}
	var views []*view
	err = k.read(func(tx *storage.Tx) error {
		nodes, err := nodesBehind(tx, k.id(), page.After, most+1)
		if views, all = nil, len(nodes) <= most; !all {
			nodes = nodes[:most]
		}
		for _, n := range nodes {
			if err != nil {
				return err
			}
			v := k.s.view(k.ctx, k.h, k.from, k.owner)
			v.n = n
			err = v.beside(tx)
			views = append(views, v)
		}
		return err
	})
	for _, v := range views { // what must be asked for is not asked for in the snapshot
		if v.visible() && passes(v.n.cfg.Type) {
			list = append(list, router.Item{JID: v.n.address, Node: v.n.name, Name: v.n.cfg.Title})
		}
	}
	return list, all, err
}

// filter reads by which types nodes are chosen (XEP-0462 §3.2).
func filter(query xmpp.Element) (passes func(typ string) bool, err error) {
	form, given, err := submitted(query.Child(nsFilter, "filter"), nsFilter)
	if err != nil || !given {
		return func(string) bool { return true }, err
	}
	find := func(name string) (values []string, given bool) {
		i := slices.IndexFunc(form.Fields, func(f xmpp.Field) bool { return f.Var == name })
		if i < 0 {
			return nil, false
		}
		return form.Fields[i].Values, true
	}
	in, included := find("included-types")
	out, excluded := find("excluded-types")
	switch {
	case included && excluded:
		return nil, xmpp.Refuse("bad-request", "types are included or excluded, not both")
	case included:
		return func(typ string) bool { return slices.Contains(in, typ) }, nil
	}
	return func(typ string) bool { return !slices.Contains(out, typ) }, nil
}

// tidy deletes what has expired.
func (s *Service) tidy(ctx context.Context) error { return tidy(ctx, s.store) }
