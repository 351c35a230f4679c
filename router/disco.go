package router

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strings"
	"sync"

	"parley/xmpp"
)

const (
	nsInfo  = "http://jabber.org/protocol/disco#info"
	nsItems = "http://jabber.org/protocol/disco#items"
	nsCaps  = "http://jabber.org/protocol/caps"

	// capsNode names this software in entity capabilities (XEP-0115 §4).
	capsNode = "urn:x-parley:server"
)

// disco holds the answers of service discovery (XEP-0030), made once from the features.
type disco struct {
	server  []string   // features of the server
	account []string   // features of an account
	who     []Identity // identities of the server
	forms   []func(host string) []xmpp.Form

	mu  sync.Mutex        // a leaf
	ver map[string]string // verification strings by host
}

func (d *disco) compile(features []Feature) {
	d.who = []Identity{{"server", "im", "Parley"}}
	d.forgetCaps()
	for _, f := range features {
		d.server = append(d.server, f.Disco...)
		d.account = append(d.account, f.AccountDisco...)
		d.who = append(d.who, f.Identities...)
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
		},
		Disco:        []string{nsInfo, nsItems, nsCaps},
		AccountDisco: []string{nsInfo, nsItems},
		IQ: []IQ{
			Get(ToServer, nsInfo, "query", r.serverInfo),
			Get(ToServer, nsItems, "query", r.serverItems),
			Get(ToAccount, nsInfo, "query", r.accountInfo),
			Get(ToAccount, nsItems, "query", r.accountItems),
		},
	}
}

// serverInfo answers disco#info to the server, also under the node of its capabilities
// (XEP-0115 §6.2), and under the nodes of features.
func (r *Router) serverInfo(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if _, ver := r.Caps(q.Host); node != "" && node != capsNode+"#"+ver {
		n, err := r.node(ctx, q, node)
		if err != nil {
			return nil, err
		}
		return n.info(node)
	}
	return info(node, r.disco.who, r.disco.server, r.forms(q.Host)), nil
}

func (r *Router) forms(host string) []xmpp.Form {
	var all []xmpp.Form
	for _, f := range r.disco.forms {
		all = append(all, f(host)...)
	}
	return all
}

// serverItems answers disco#items to the server: the services of the domain, of which
// there are none yet that have an address of their own, and what the nodes of features have.
func (r *Router) serverItems(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if node == "" {
		return noItems(""), nil
	}
	n, err := r.node(ctx, q, node)
	return n.items(node), err
}

// accountInfo answers disco#info to an account. To strangers it is not there
// (XEP-0030 §8, first rule).
func (r *Router) accountInfo(ctx context.Context, q *Request) (xmpp.Payload, error) {
	if q.Account == nil || !r.Trusted(ctx, q.Account, q.From()) {
		return nil, xmpp.Refuse("service-unavailable", "")
	}
	if node := q.Payload.Attr("node"); node != "" {
		if !q.Own() {
			return nil, xmpp.Refuse("item-not-found", "")
		}
		n, err := r.node(ctx, q, node)
		if err != nil {
			return nil, err
		}
		return n.info(node)
	}
	return info("", []Identity{{Category: "account", Type: "registered"}}, r.disco.account, nil), nil
}

// accountItems answers disco#items to an account: the available resources to the account
// itself and its subscribers, nothing to anybody else, existing or not (XEP-0030 §8, second rule).
func (r *Router) accountItems(ctx context.Context, q *Request) (xmpp.Payload, error) {
	node := q.Payload.Attr("node")
	if node != "" && q.Own() {
		n, err := r.node(ctx, q, node)
		return n.items(node), err
	}
	if node != "" || q.Account == nil || !r.Trusted(ctx, q.Account, q.From()) {
		return noItems(node), nil
	}
	var b xmpp.Builder
	b.Open(nsItems, "query")
	for _, res := range q.Account.Resources() {
		if res.Available() {
			b.Open("", "item", "jid", res.JID().String()).Close()
		}
	}
	return b.Payload(), nil
}

func noItems(node string) xmpp.Payload {
	var b xmpp.Builder
	return b.Open(nsItems, "query", "node", node).Payload()
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

// Caps returns the node and the verification string of the server's capabilities for the
// stream feature of XEP-0115 §6.3.
func (r *Router) Caps(host string) (node, ver string) {
	forms := r.forms(host)
	d := &r.disco
	d.mu.Lock()
	defer d.mu.Unlock()
	if ver = d.ver[host]; ver == "" {
		ver = verification(d.who, d.server, forms)
		d.ver[host] = ver
	}
	return capsNode, ver
}

// forgetCaps has the verification strings computed again, after a reload.
func (d *disco) forgetCaps() {
	d.mu.Lock()
	d.ver = map[string]string{}
	d.mu.Unlock()
}

// verification computes the string of XEP-0115 §5.1 with SHA-1.
func verification(who []Identity, features []string, forms []xmpp.Form) string {
	var ids []string
	for _, id := range who {
		ids = append(ids, id.Category+"/"+id.Type+"//"+id.Name)
	}
	slices.Sort(ids)
	features = slices.Sorted(slices.Values(features))
	var s strings.Builder
	write := func(v string) { s.WriteString(v); s.WriteByte('<') }
	for _, v := range append(ids, features...) {
		write(v)
	}
	slices.SortFunc(forms, func(a, b xmpp.Form) int {
		return strings.Compare(a.Value("FORM_TYPE"), b.Value("FORM_TYPE"))
	})
	for _, f := range forms {
		write(f.Value("FORM_TYPE"))
		fields := slices.Clone(f.Fields)
		slices.SortFunc(fields, func(a, b xmpp.Field) int { return strings.Compare(a.Var, b.Var) })
		for _, fd := range fields {
			if fd.Var == "FORM_TYPE" {
				continue
			}
			write(fd.Var)
			for _, v := range slices.Sorted(slices.Values(fd.Values)) {
				write(v)
			}
		}
	}
	sum := sha1.Sum([]byte(s.String()))
	return base64.StdEncoding.EncodeToString(sum[:])
}
