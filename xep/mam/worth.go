package mam

import (
	"iter"

	"parley/xmpp"
)

// Namespaces of what is worth keeping.
const (
	nsReceipts   = "urn:xmpp:receipts"                   // XEP-0184
	nsMarkers    = "urn:xmpp:chat-markers:0"             // XEP-0333
	nsRetract    = "urn:xmpp:message-retract:1"          // XEP-0424
	nsReactions  = "urn:xmpp:reactions:0"                // XEP-0444
	nsInvitation = "jabber:x:conference"                 // XEP-0249
	nsRoomUser   = "http://jabber.org/protocol/muc#user" // XEP-0045
	nsEncryption = "urn:xmpp:eme:0"                      // XEP-0380
)

// worth says what a message means to somebody who reads it later.
type worth uint8

const (
	nothing  worth = iota // it is kept nowhere
	waits                 // it is kept until some device has taken it
	archived              // it belongs into the archive
)

// worthOf is the one rule by which messages are kept (docs/archive.md has it in words).
//
// Of what type groupchat, headline and error is nothing is kept: a room has its own archive
// (XEP-0313 §6.1.2), and the others speak of the moment. Hints of the sender come before what
// the message contains (XEP-0334 §4.1, §4.2, §4.4).
func worthOf(st *xmpp.Stanza) worth {
	if st.Type == "groupchat" || st.Type == "headline" || st.Type == "error" || st.Has(nsHints, "no-store") {
		return nothing
	}
	w := nothing
	for e := range st.Children {
		w = max(w, worthOfChild(e))
	}
	if w == waits && st.Has(nsHints, "store") {
		w = archived
	}
	if w == archived && st.Has(nsHints, "no-permanent-store") {
		w = waits
	}
	return w
}

func worthOfChild(e xmpp.Element) worth {
	switch n := e.Name(); n.Space {
	case "":
		switch n.Local {
		case "body":
			return archived
		case "thread":
			return nothing
		}
	case nsStates:
		return nothing // XEP-0160 §3
	case nsHints:
		if n.Local == "store" {
			return archived
		}
		return nothing
	case nsReceipts:
		if n.Local == "request" {
			return nothing
		}
		return archived
	case nsMarkers:
		if n.Local == "markable" {
			return nothing
		}
		return archived
	case nsOrigin, xmpp.NSDelay, nsMAM: // the last: what a room's archive has sent, which has it
		return nothing
	case nsRetract, nsReactions, nsInvitation, nsEncryption:
		return archived
	case nsRoomUser:
		if e.Child(nsRoomUser, "invite").Attr("from") != "" {
			return archived
		}
	}
	if encrypted(e) {
		return archived
	}
	return waits
}

// nsOrigin is the namespace of <origin-id/> and <stanza-id/> (XEP-0359 §2).
const nsOrigin = nsID

// encrypted reports whether an element holds an encrypted message (XEP-0384, XEP-0373,
// XEP-0027), which is as good as a body.
func encrypted(e xmpp.Element) bool {
	switch e.Name() {
	case xmpp.Name{Space: "urn:xmpp:omemo:2", Local: "encrypted"},
		xmpp.Name{Space: "eu.siacs.conversations.axolotl", Local: "encrypted"},
		xmpp.Name{Space: "urn:xmpp:openpgp:0", Local: "openpgp"},
		xmpp.Name{Space: "jabber:x:encrypted", Local: "x"}:
		return true
	}
	return false
}

// content reports whether a message is something to read, so that it counts as unread.
func content(children iter.Seq[xmpp.Element]) bool {
	for e := range children {
		if e.Is("", "body") || encrypted(e) || e.Is(nsInvitation, "x") {
			return true
		}
	}
	return false
}
