package mam

import (
	"parley/router"
	"parley/xmpp"
)

// nsID is the namespace of <stanza-id/> (XEP-0359 §2.1).
const nsID = "urn:xmpp:sid:0"

// honest takes off, of what a user sends, what only this house may say: that it held the
// message up (XEP-0203 §5), and under which id it has it (XEP-0359 §3). What a client says
// in its own name of the former stays; what lies deeper, as in a forwarded message, is
// quoted and stays too.
func (f *feature) honest(p *router.Passage) {
	p.Stanza = p.Stanza.WithoutDelay(func(from xmpp.JID) bool {
		return f.router.Local(from.Domain()) && from.Bare() != p.Sender.JID
	})
	f.unnamed(p)
}

// unnamed takes off every <stanza-id/> that was given by this house or an account of it,
// whoever sends it: none that comes from outside can be true (XEP-0359 §3). Those of
// others stay.
func (f *feature) unnamed(p *router.Passage) {
	if !p.Stanza.Has(nsID, "stanza-id") {
		return
	}
	p.Stanza = p.Stanza.Without(func(e xmpp.Element) bool {
		if !e.Is(nsID, "stanza-id") {
			return false
		}
		by, err := xmpp.ParseJID(e.Attr("by"))
		return err == nil && f.router.Serves(by.Domain())
	})
}
