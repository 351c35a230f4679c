package vcard

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"parley/xmpp"
)

// maxSearchable is how many bytes of a field can be found.
const maxSearchable = 255

// A found is somebody in the directory.
type found struct{ jid, first, last, nick, email string }

// entryOf reads the fields of XEP-0055 §2.1 from a vCard. Who has only a full name is found
// under that.
func entryOf(card xmpp.Element) (e found) {
	text := func(parent xmpp.Element, name string) string {
		if parent.IsZero() {
			return ""
		}
		return short(strings.TrimSpace(parent.ChildText(ns, name)))
	}
	name := card.Child(ns, "N")
	e.first, e.last = text(name, "GIVEN"), text(name, "FAMILY")
	if e.first == "" && e.last == "" {
		e.first = text(card, "FN")
	}
	e.nick = text(card, "NICKNAME")
	e.email = text(card.Child(ns, "EMAIL"), "USERID")
	return e
}

// short cuts a text behind a whole character.
func short(s string) string {
	if len(s) <= maxSearchable {
		return s
	}
	return strings.ToValidUTF8(s[:maxSearchable], "")
}

// folded is a text as it is compared: without regard to case and to how signs are composed.
func folded(s string) string { return strings.ToLower(norm.NFKC.String(s)) }
