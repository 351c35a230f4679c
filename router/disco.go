package router

import (
	"context"
	"slices"
	"sync"

	"parley/xmpp"
)

const (
	nsInfo  = xmpp.NSInfo
	nsItems = "http://jabber.org/protocol/disco#items"
)

// disco holds the answers of service discovery (XEP-0030), made once from the features.
type disco struct {
	server  []string   // features of the server
	account []string   // features of an account
	who     []Identity // identities of the server
	as      []Identity // identities of an account
	forms   []func(host string) []xmpp.Form

	mu   sync.Mutex      // a leaf
	caps map[string]Caps // by host
}

func (d *disco) compile(features []Feature) {
	d.who = []Identity{{"server", "im", "Parley"}}
	d.as = []Identity{{Category: "account", Type: "registered"}}
	d.forgetCaps()
	for _, f := range features {
		d.server = append(d.server, f.Disco...)
		d.account = append(d.account, f.AccountDisco...)
		d.who = append(d.who, f.Identities...)
		d.as = append(d.as, f.AccountAs...)
		if f.Forms != nil {
			d.forms = append(d.forms, f.Forms)
		}
	}
	slices.Sort(d.server)
	slices.Sort(d.account)
	d.server = slices.Compact(d.server)
	d.account = slices.Compact(d.account)
}

func (r *Router) discoFeature() Feature {
	return Feature{
		Name: "disco",
		RFCs: []RFC{
			{6120, "stanzas and routing"},
			{6121, "delivery of messages, directed presence"},
			{7622, "addresses"},
		},
		XEPs: []XEP{
			{Number: 30, Version: "2.5.0"},
			{Number: 115, Version: "1.6.0", Note: "the server's own capabilities"},
			{Number: 128, Version: "1.0.1"},
			{Number: 390, Version: "0.3.2", Note: "the server's own capabilities"},
		},
		Disco:        []string{nsInfo, nsItems, nsCaps, nsCaps2},
		AccountDisco: []string{nsInfo, nsItems},
		IQ: []IQ{
			Get(ToServer, nsInfo, "query", r.serverInfo),
			Get(ToServer, nsItems, "query", r.serverItems),
			Get(ToAccount, nsInfo, "query", r.accountInfo),
			Get(ToAccount, nsItems, "query", r.accountItems),
		},
	}
}

// serverInfo answers disco#info to the server, also under the nodes of its capabilities
// (XEP-0115 §6.2, XEP-0390 §5.5), and under those of features.
func (r *Router) serverInfo(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if node != "" && !r.Caps(q.Host).names(node) {
		n, err := r.node(ctx, q, node)
		if err != nil {
			return nil, err
		}
		return n.info(node)
	}
	about := r.about(q.Host)
	return info(node, about.Identities, about.Features, about.Forms), nil
}

// about is what is said of a domain of the house.
func (r *Router) about(host string) NodeInfo {
	return r.nest(host, false, NodeInfo{Identities: r.disco.who, Features: r.disco.server, Forms: r.forms(host)})
}

// nest has features change what is said of a domain or of its accounts.
func (r *Router) nest(host string, bare bool, about NodeInfo) NodeInfo {
	about.Identities, about.Features, about.Forms = slices.Clip(about.Identities), slices.Clip(about.Features), slices.Clip(about.Forms)
	for _, f := range r.features {
		if f.Nest != nil {
			f.Nest(host, bare, &about)
		}
	}
	return about
}

// Nested says that features say something else of the domains from now on (Feature.Nest): the
// hashes of the server's capabilities are made anew.
func (r *Router) Nested() { r.disco.forgetCaps() }

func (r *Router) forms(host string) []xmpp.Form {
	var all []xmpp.Form
	for _, f := range r.disco.forms {
		all = append(all, f(host)...)
	}
	return all
}

// serverItems answers disco#items to the server: the services of the domain that have
// addresses of their own, and what the nodes of features have.
func (r *Router) serverItems(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if node == "" {
		services := &NodeInfo{}
		for _, f := range r.features {
			if f.Items != nil {
				services.Items = append(services.Items, f.Items(q.Host)...)
			}
		}
		return services.items(""), nil
	}
	n, err := r.node(ctx, q, node)
	return n.items(node), err
}

// accountInfo answers disco#info to an account. To strangers it is not there
// (XEP-0030 §8, first rule), but for nodes that are for everybody.
func (r *Router) accountInfo(ctx context.Context, q *Request) (xmpp.Payload, error) {
	if q.Payload.Attr("node") != "" {
		return r.accountNodeInfo(ctx, q, q.Payload.Attr("node"))
	}
	if q.Account == nil || !r.Trusted(ctx, q.Account, q.From()) {
		return nil, xmpp.Refuse("service-unavailable", "")
	}
	about := r.nest(q.Host, true, NodeInfo{Identities: r.disco.as, Features: r.disco.account})
	return info("", about.Identities, about.Features, about.Forms), nil
}

// accountNodeInfo is accountInfo for a node: of the asker's own account, of any account, or
// one that somebody else knows.
func (r *Router) accountNodeInfo(ctx context.Context, q *Request, node string) (xmpp.Payload, error) {
	h := r.elsewhere(q)
	if h != nil && !q.Own() {
		return h(ctx, q)
	}
	var n *NodeInfo
	var err error
	if q.Own() {
		n, err = r.node(ctx, q, node)
	}
	if n == nil && err == nil {
		n, err = r.accountNode(ctx, q, node)
	}
	switch {
	case err != nil:
		return nil, err
	case n == nil && h != nil:
		return h(ctx, q)
	case n == nil && (q.Account == nil || !r.Trusted(ctx, q.Account, q.From())):
		return nil, xmpp.Refuse("service-unavailable", "")
	}
	return n.info(node)
}

// accountNode asks the features what stands under a node of an account.
func (r *Router) accountNode(ctx context.Context, q *Request, node string) (*NodeInfo, error) {
	for _, f := range r.features {
		if f.AccountNode == nil {
			continue
		}
		if n, err := f.AccountNode(ctx, q, node); n != nil || err != nil {
			return n, err
		}
	}
	return nil, nil
}

// accountItems answers disco#items to an account: the available resources to the account
// itself and its subscribers, nodes to who may see them, nothing to anybody else, existing or
// not (XEP-0030 §8, second rule).
func (r *Router) accountItems(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if node != "" && q.Own() {
		n, err := r.node(ctx, q, node)
		if err != nil || n != nil {
			return n.items(node), err
		}
	}
	if h := r.elsewhere(q); h != nil {
		return h(ctx, q)
	}
	if node != "" {
		n, err := r.accountNode(ctx, q, node)
		return n.items(node), err
	}
	about := &NodeInfo{}
	if q.Account != nil && r.Trusted(ctx, q.Account, q.From()) {
		for _, res := range q.Account.Resources() {
			if res.Available() {
				about.Items = append(about.Items, Item{JID: res.JID()})
			}
		}
	}
	for _, f := range r.features {
		if f.AccountNodes == nil {
			continue
		}
		nodes, err := f.AccountNodes(ctx, q)
		if err != nil {
			return nil, err
		}
		about.Items = append(about.Items, nodes...)
	}
	return about.items(""), nil
}

func info(node string, who []Identity, features []string, forms []xmpp.Form) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsInfo, "query", "node", node)
	for _, id := range who {
		b.Open("", "identity", "category", id.Category, "type", id.Type, "name", id.Name).Close()
	}
	for _, f := range features {
		b.Open("", "feature", "var", f).Close()
	}
	for _, f := range forms {
		b.Raw(f.Payload())
	}
	return b.Payload()
}
