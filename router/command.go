package router

import (
	"context"

	"parley/xmpp"
)

// A Command is something that somebody asks the server to do, step by step and with forms
// (XEP-0050). A feature only names what there is; xep/command carries it out.
type Command struct {
	Node string                                         // unique (XEP-0050 §3.2)
	Name string                                         // for people
	May  func(*Request) bool                            // who asks may see and run it; nil: nobody may
	Run  func(context.Context, *Request) (Stage, error) // begins it
}

// A Stage is where a command stands after one step. Without Next the command has ended,
// and Form is its result; with Next it asks for Form to be filled in.
//
// Next is given what was filled in, checked against Form (xmpp.Form.Accept). Its error
// answers the request, and the command stays at this stage, so that the form can be sent
// once more; an error that is neither *xmpp.Error nor *xmpp.FormError is one of ours. Run and Next may wait for
// storage, never for a peer.
type Stage struct {
	Form  *xmpp.Form
	Notes []Note
	Last  bool // what Next does ends the command
	Next  func(context.Context, *Request, xmpp.Form) (Stage, error)
}

// A Note says something to people about a command (XEP-0050 §4.3). Type is info, warn or
// error; one that failed has an error (XEP-0050 §3.6).
type Note struct{ Type, Text string }

// NodeInfo is what stands under a node of the server or an account in service discovery
// (XEP-0030 §3.2, §4.2).
type NodeInfo struct {
	Identities []Identity
	Features   []string
	Forms      []xmpp.Form // XEP-0128
	Items      []Item
}

// An Item is an entry of disco#items (XEP-0030 §4.1).
type Item struct {
	JID        xmpp.JID
	Node, Name string
}

// info answers disco#info to a node.
func (n *NodeInfo) info(node string) (xmpp.Payload, error) {
	if n == nil {
		return nil, xmpp.Refuse("item-not-found", "") // XEP-0030 §7
	}
	return info(node, n.Identities, n.Features, n.Forms), nil
}

// items answers disco#items to a node.
func (n *NodeInfo) items(node string) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsItems, "query", "node", node)
	if n != nil {
		for _, it := range n.Items {
			b.Open("", "item", "jid", it.JID.String(), "node", it.Node, "name", it.Name).Close()
		}
	}
	return b.Payload()
}

// node asks the features what stands under a node of the server, or of the asker's own
// account; nil where nothing does.
func (r *Router) node(ctx context.Context, q *Request, node string) (*NodeInfo, error) {
	for _, f := range r.features {
		ask := f.Node
		if q.Account != nil {
			ask = f.OwnNode
		}
		if ask == nil {
			continue
		}
		if n, err := ask(ctx, q, node); n != nil || err != nil {
			return n, err
		}
	}
	return nil, nil
}
