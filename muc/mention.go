package muc

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parley/xmpp"
)

// nsReference is the namespace of references (XEP-0372).
const nsReference = "urn:xmpp:reference:0"

// Limits of what is looked at for mentions.
const (
	maxReferences = 100    // of one message
	maxNickWords  = 6      // of a nickname
	maxWords      = 10_000 // of one message
)

// referred returns who is mentioned by references, which have the bare address (XEP-0372 §3.2)
// or, as clients have it in rooms, that of the occupant.
func (t *turn) referred(st *xmpp.Stanza) (list []xmpp.JID) {
	n := 0
	for e := range st.Children {
		if !e.Is(nsReference, "reference") || e.Attr("type") != "mention" {
			continue
		}
		if n++; n > maxReferences {
			return list
		}
		if j := t.meant(e.Attr("uri")); !j.IsZero() {
			list = append(list, j)
		}
	}
	return list
}

// meant returns the bare address that a URI leads to (RFC 5122); the zero JID where it leads to
// nobody.
func (t *turn) meant(uri string) xmpp.JID {
	text, ok := strings.CutPrefix(uri, "xmpp:")
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i]
	}
	text, err := url.PathUnescape(text)
	if !ok || err != nil {
		return xmpp.JID{}
	}
	j, err := xmpp.ParseJID(text)
	switch {
	case err != nil || j.Bare() == t.jid && j.IsBare():
		return xmpp.JID{}
	case j.Bare() != t.jid:
		return j.Bare()
	}
	if o := t.byNick[key(j.Resource())]; o != nil {
		return o.real
	}
	return t.lists.reservedBy(j.Resource())
}

// called returns who is mentioned in a text: whose nickname stands there as whole words. Case
// does not count, nor what stands between the words. The text is gone through once, however many
// names there are.
func (a *absentees) called(text string) (list []xmpp.JID) {
	if len(a.names) == 0 {
		return nil
	}
	words := wordsOf(text, maxWords)
	for i, w := range words {
		for _, n := range a.names[w] {
			if rest := words[i+1:]; len(rest) >= len(n.rest) && slices.Equal(rest[:len(n.rest)], n.rest) {
				list = append(list, n.jid)
			}
		}
	}
	return list
}

// wordsOf returns the first words of a text, in lower case: runs of letters, marks and digits.
func wordsOf(text string, most int) (words []string) {
	for w := range strings.FieldsFuncSeq(strings.ToLower(norm.NFC.String(text)), between) {
		if len(words) == most {
			break
		}
		words = append(words, w)
	}
	return words
}

func between(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

// single reports whether a word is one character: it stands in too many texts to be a name.
func single(word string) bool { return utf8.RuneCountInString(word) == 1 }
