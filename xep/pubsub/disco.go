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
	k := &ask{s: s, ctx: ctx, q: q, account: q.Account, from: q.From(), owner: q.Own(), name: name}
	if len(name) > maxName {
		return nil, nil
	}
	v, err := k.look()
	if err != nil || v.n == nil || v.n.moved != "" || v.mayRead() != nil {
		return nil, err
	}
	if !q.Payload.Is(nsItems, "query") {
		return &router.NodeInfo{
			Identities: []router.Identity{{Category: "pubsub", Type: "leaf", Name: v.n.cfg.Title}},
			Features:   []string{nsPubsub},
			Forms:      []xmpp.Form{v.metadata()},
		}, nil
	}
	about := &router.NodeInfo{}
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

// metadata is what is said of a node (XEP-0060 §16.4.3).
func (v *view) metadata() xmpp.Form {
	c := &v.n.cfg
	most := "max"
	if c.MaxItems > 0 {
		most = strconv.Itoa(c.MaxItems)
	}
	var publishers []string
	for _, jid := range sorted(v.affs) {
		if v.owner && v.affs[jid] == affPublisher {
			publishers = append(publishers, jid.String())
		}
	}
	n := 0
	for _, sub := range v.subs {
		if sub.state == subYes {
			n++
		}
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
		{Var: "pubsub#owner", Type: "jid-multi", Label: "Owner", Values: []string{v.n.address.String()}},
		{Var: "pubsub#publisher", Type: "jid-multi", Label: "Who may publish", Values: publishers},
		{Var: "pubsub#num_subscribers", Type: "text-single", Label: "How many have subscribed", Values: []string{strconv.Itoa(n)}},
	}}
	f.Fields = slices.DeleteFunc(f.Fields, func(fd xmpp.Field) bool { return len(fd.Values) == 0 })
	return f
}

// nodeList returns the nodes that who asks may read (XEP-0163 §6.2).
func (s *Service) nodeList(ctx context.Context, q *router.Request) (list []router.Item, err error) {
	passes, err := filter(q.Payload)
	if err != nil {
		return nil, err
	}
	k := &ask{s: s, ctx: ctx, q: q, account: q.Account, from: q.From(), owner: q.Own()}
	v := s.view(ctx, k.account, k.from, k.owner)
	var views []*view
	err = k.read(func(tx *storage.Tx) error {
		views = nil
		nodes, err := nodesOf(tx, k.id())
		for _, n := range nodes {
			if err != nil {
				return err
			}
			w := *v
			w.n = n
			err = w.around(tx)
			views = append(views, &w)
		}
		return err
	})
	for _, w := range views { // what must be asked for is not asked for in the snapshot
		if w.mayRead() == nil && passes(w.n.cfg.Type) {
			list = append(list, router.Item{JID: w.n.address, Node: w.n.name, Name: w.n.cfg.Title})
		}
	}
	return list, err
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
