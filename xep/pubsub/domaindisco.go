package pubsub

import "parley/xmpp"

// offered are the features of XEP-0060 §10 that the service of a domain has.
func offered() []string {
	list := []string{xmpp.NSInfo, nsItems, "urn:xmpp:ping", xmpp.NSRSM, nsPubsub, nsOrder, nsOrder + "@" + nsPubsub, nsFilter}
	for _, name := range []string{
		"access-open", "config-node", "config-node-max", "create-and-configure", "create-nodes", "delete-items", "delete-nodes", "instant-nodes",
		"item-ids", "manage-subscriptions", "member-affiliation", "meta-data", "modify-affiliations", "multi-items", "outcast-affiliation",
		"persistent-items", "publish", "publish-node-full", "publish-only-affiliation", "publish-options", "publisher-affiliation", "purge-nodes", "retract-items",
		"retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions", "rsm", "subscribe", "subscription-notifications",
	} {
		list = append(list, nsPubsub+"#"+name)
	}
	return list
}

// discovered answers service discovery about a domain (XEP-0060 §5.1 to §5.5).
func (k *ask) discovered(query xmpp.Element) (xmpp.Payload, error) {
	k.name = query.Attr("node")
	items := query.Is(nsItems, "query")
	var b xmpp.Builder
	b.Open(query.Name().Space, "query", "node", k.name)
	switch {
	case k.name == "" && items:
		return k.nodes(&b, query)
	case k.name == "":
		b.Open("", "identity", "category", "pubsub", "type", "service", "name", "Publishing").Close()
		for _, f := range offered() {
			b.Open("", "feature", "var", f).Close()
		}
		return b.Payload(), nil
	}
	about, err := k.about(query)
	if err == nil && about == nil {
		err = noNode()
	}
	if err != nil {
		return nil, err
	}
	for _, id := range about.Identities {
		b.Open("", "identity", "category", id.Category, "type", id.Type, "name", id.Name).Close()
	}
	for _, f := range about.Features {
		b.Open("", "feature", "var", f).Close()
	}
	for _, f := range about.Forms {
		b.Raw(f.Payload())
	}
	for _, it := range about.Items {
		b.Open("", "item", "jid", it.JID.String(), "name", it.Name).Close()
	}
	return b.Payload(), nil
}

// nodes lists the nodes of a domain, page by page where they are many (XEP-0059).
func (k *ask) nodes(b *xmpp.Builder, query xmpp.Element) (xmpp.Payload, error) {
	page, err := xmpp.ParsePaging(query)
	if err != nil {
		return nil, err
	}
	if page.Backwards || page.Index > 0 {
		return nil, xmpp.Refuse("feature-not-implemented", "nodes are listed forwards")
	}
	list, all, err := k.list(query, page)
	if err != nil {
		return nil, err
	}
	for _, it := range list {
		b.Open("", "item", "jid", it.JID.String(), "node", it.Node, "name", it.Name).Close()
	}
	if paged := !query.Child(xmpp.NSRSM, "set").IsZero(); paged || !all {
		about := xmpp.Page{Index: -1, Count: -1}
		if len(list) > 0 {
			about.First, about.Last = list[0].Node, list[len(list)-1].Node
		}
		b.Raw(about.Payload())
	}
	return b.Payload(), nil
}
