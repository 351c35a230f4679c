package pubsub

import "parley/xmpp"

// fault is a stanza error with an application-specific condition of pubsub (XEP-0060 §11). An
// empty typ is the usual one of the condition, an empty name no condition of pubsub.
func fault(typ, condition, name, text string) *xmpp.Error {
	e := xmpp.Refuse(condition, text)
	if typ != "" {
		e.Type = typ
	}
	if name != "" {
		var b xmpp.Builder
		e.App = b.Open(nsErrors, name).Payload()
	}
	return e
}

// unsupported says that a feature of XEP-0060 §10 is not there.
func unsupported(feature string) *xmpp.Error {
	var b xmpp.Builder
	e := xmpp.Refuse("feature-not-implemented", "")
	e.App = b.Open(nsErrors, "unsupported", "feature", feature).Payload()
	return e
}

func noNode() *xmpp.Error { return xmpp.Refuse("item-not-found", "") }

// nothingYet is noNode for owners who ask for their own items. Profanity 0.13.1 goes by the old
// code alone, and publishes no list of its devices without that.
func nothingYet() *xmpp.Error {
	e := noNode()
	e.Code = "404"
	return e
}

func forbidden() *xmpp.Error       { return xmpp.Refuse("forbidden", "") }
func nodeRequired() *xmpp.Error    { return fault("", "bad-request", "nodeid-required", "") }
func itemRequired() *xmpp.Error    { return fault("", "bad-request", "item-required", "") }
func invalidPayload() *xmpp.Error  { return fault("", "bad-request", "invalid-payload", "") }
func notSubscribed() *xmpp.Error   { return fault("", "not-authorized", "not-subscribed", "") }
func invalidJID() *xmpp.Error      { return fault("", "bad-request", "invalid-jid", "") }
func preconditionNot() *xmpp.Error { return fault("", "conflict", "precondition-not-met", "") }

// hasMoved is the answer to who asks for a node that its owner has deleted and said where it
// is now (XEP-0060 §6.1.3.11).
func hasMoved(uri string) *xmpp.Error {
	e := fault("modify", "gone", "", "")
	e.Detail = uri
	return e
}
